//! Converts paths of other gateways to prefixes in normal form that contain every path they can
//! match.

use crate::route::{NormalPath, PathPrefix};

/// The longest prefix in normal form of all paths that begin with `written`; `written` itself if it
/// is in normal form.
pub(super) fn plain_prefix(written: &str) -> String {
    let mut rest = written.split(['?', '#']).next().unwrap_or_default();
    loop {
        if let Ok(normal) = NormalPath::parse(rest.as_bytes())
            && rest.starts_with('/')
            && PathPrefix::parse(&normal.path).is_ok()
        {
            return normal.path.into_owned();
        }
        match rest.rfind('/') {
            Some(end) if end > 0 => rest = rest.get(..end).unwrap_or_default(),
            _ => return "/".to_owned(),
        }
    }
}

/// The longest prefix in normal form, of whole segments, of all paths that a regular expression
/// matches; and the text that each of these paths begins with.
pub(super) fn prefix_of_regex(regex: &str) -> (String, String) {
    if has_branches(regex) {
        return ("/".to_owned(), String::new());
    }
    let body = regex.strip_prefix('^').unwrap_or(regex);
    let mut literal = String::new();
    let mut chars = body.char_indices();
    let mut rest = "";
    while let Some((at, c)) = chars.next() {
        rest = body.get(at..).unwrap_or_default();
        match c {
            '\\' => match chars.next() {
                // A class such as `\d`, an assertion, or an escaped code point.
                Some((_, escaped)) if escaped.is_ascii_alphanumeric() => break,
                Some((_, escaped)) => literal.push(escaped),
                None => break,
            },
            '?' | '*' | '+' | '{' => {
                // The character before it is optional.
                literal.pop();
                break;
            }
            '.' | '[' | '(' | ')' | '$' | '|' | '^' => break,
            c => literal.push(c),
        }
        rest = "";
    }
    let ends = rest.is_empty() || rest == "$" || literal.ends_with('/') || goes_on_below(rest);
    let whole = if ends {
        literal.as_str()
    } else {
        // The last segment is not complete: `/v1/adm.*` matches `/v1/admin`.
        literal.rsplit_once('/').map_or("", |(whole, _)| whole)
    };
    let prefix = match whole.trim_end_matches('/') {
        "" => "/".to_owned(),
        whole => plain_prefix(whole),
    };
    let is_plain = PathPrefix::parse(&literal).is_ok();
    (prefix, if is_plain { literal } else { String::new() })
}

/// Returns whether `rest` of a regular expression is optional and begins with a slash, such as
/// `(/.*)?`.
fn goes_on_below(rest: &str) -> bool {
    let rest = rest.strip_suffix('$').unwrap_or(rest);
    let rest = rest.strip_suffix(['?', '*']).unwrap_or(rest);
    let group = rest
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    let inner = group.map(|inner| inner.strip_prefix("?:").unwrap_or(inner));
    inner.is_some_and(|inner| {
        let mut after = inner.chars().skip(1);
        let optional = after.next().is_some_and(|next| "?*{".contains(next));
        inner.starts_with('/') && !optional && !inner.contains(['(', ')', '|', '\\'])
    })
}

/// Returns whether a regular expression may have alternatives outside of groups.
fn has_branches(regex: &str) -> bool {
    let (mut depth, mut in_class, mut escaped) = (0_usize, false, false);
    for c in regex.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            _ if in_class => {}
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => return true,
            _ => {}
        }
    }
    in_class || escaped || depth > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::Regex;

    #[test]
    fn a_path_that_is_not_plain_has_a_plain_prefix() {
        for (written, prefix) in [
            ("/v1/admin", "/v1/admin"),
            ("/v1/admin/", "/v1/admin/"),
            ("/v1/admin%2Dx", "/v1/admin-x"),
            ("//v1//admin", "/v1/admin"),
            ("/v1/admin%2Fx", "/v1"),
            ("/v1/../admin", "/v1"),
            ("/v1/a;b/c", "/v1"),
            ("/v1/a?b=/c", "/v1/a"),
            ("v1/admin", "/"),
            ("", "/"),
        ] {
            assert_eq!(plain_prefix(written), prefix, "{written}");
        }
    }

    #[test]
    fn a_regular_expression_has_a_plain_prefix() {
        for (regex, prefix) in [
            ("/v1/admin/.*", "/v1/admin"),
            ("^/v1/admin/.*$", "/v1/admin"),
            ("/v1/admin", "/v1/admin"),
            ("/v1/admin(/.*)?", "/v1/admin"),
            ("/v1/admin(?:/.*)?$", "/v1/admin"),
            ("/v1/admin(/?.*)", "/v1"),
            ("/v1/adm.*", "/v1"),
            ("/v1/admin/?", "/v1"),
            ("/v1/admin/{0,1}x", "/v1"),
            ("/v1/admi(n|x)/y", "/v1"),
            ("/v1/a\\.b/.*", "/v1/a.b"),
            ("/v1/\\d+", "/v1"),
            ("/v1/admin/.*|/v2/.*", "/"),
            ("(?i)/v1/admin", "/"),
            (".*", "/"),
            ("", "/"),
            ("/v1/[", "/"),
        ] {
            assert_eq!(prefix_of_regex(regex).0, prefix, "{regex}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Everything that a regular expression matches as a whole is below its prefix.
        #[test]
        fn the_prefix_of_a_regular_expression_holds_what_it_matches(
            regex in "\\^?(/|a|b|\\.|[?*+]|\\[ab\\]|\\(a|\\(/|\\)|\\||\\\\\\.|\\{0,1\\}){1,8}\\$?",
            path in "(/|a|b){0,6}",
        ) {
            let path = format!("/{path}");
            let whole = Regex::new(&format!("^(?:{regex})$"));
            if let Ok(whole) = whole && Regex::new(&regex).is_ok() && whole.is_match(&path) {
                let normal = NormalPath::parse(path.as_bytes()).unwrap();
                let (prefix, beginning) = prefix_of_regex(&regex);
                prop_assert!(path.starts_with(&beginning), "{regex} {path} {beginning}");
                let prefix = PathPrefix::parse(&prefix).unwrap();
                prop_assert!(prefix.strip(&normal.path).is_some(), "{regex} {path} {prefix}");
            }
        }
    }
}
