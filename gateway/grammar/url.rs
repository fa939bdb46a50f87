//! The scheme of an absolute URL (RFC 3986, section 3.1), and the user information in one (section 3.2.1).
//!
//! Knows where they end, and neither which schemes there are nor which URLs may have a user.

use std::borrow::Cow;

/// The scheme of `url`, and what follows `://`; `None` for a text without them. A scheme is the same in any case.
#[inline]
pub(crate) fn split_scheme(url: &str) -> Option<(&str, &str)> {
    url.split_once("://")
}

/// `text` with `***` in the place of each user and password of a URL in it, such as `https://user:password@host`.
pub(crate) fn mask_user_info(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut rest = text;
    while let Some((before, after)) = split_scheme(rest) {
        masked.push_str(before);
        masked.push_str("://");
        rest = match after.split_at_checked(user_info_len(after)) {
            Some((user_info, host)) if !user_info.is_empty() => {
                masked.push_str("***");
                host
            }
            _ => after,
        };
    }
    if masked.is_empty() {
        return Cow::Borrowed(text);
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

/// The length of the user information at the start of `after`, which follows the `://` of a URL in a text; 0 if there
/// is none. A password may hold a `/`, `?` or `#` that should be escaped: then what follows the first `:` is no port.
fn user_info_len(after: &str) -> usize {
    let ends_url = |character: char| character.is_whitespace() || "`\"'".contains(character);
    let url = after.split(ends_url).next().unwrap_or_default();
    let authority = url.split(['/', '?', '#']).next().unwrap_or_default();
    let has_port = |authority: &str| match authority.rsplit_once(':') {
        Some((_, port)) => port.bytes().all(|byte| byte.is_ascii_digit()),
        None => true,
    };
    let is_host = authority.starts_with('[') || has_port(authority);
    let end = match authority.rfind('@') {
        None if is_host => None,
        None => url.rfind('@'),
        in_authority => in_authority,
    };
    end.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_passwords_in_urls_are_masked_and_nothing_else_is() {
        for (text, masked) in [
            ("no URL: a@b, c://", "no URL: a@b, c://"),
            ("`https://h/p@1`, see docs", "`https://h/p@1`, see docs"),
            ("`https://u:pw@h/p` is wrong", "`https://***@h/p` is wrong"),
            ("redis://:p@w@h:6379?db=1", "redis://***@h:6379?db=1"),
            ("HTTPS://token@h#f", "HTTPS://***@h#f"),
            ("`https://u:p/w?#@h` is wrong", "`https://***@h` is wrong"),
            ("https://h:8080/p@1", "https://h:8080/p@1"),
            ("https://[::1]/p@1", "https://[::1]/p@1"),
            (
                "https://h/p?to=http://u:pw@i",
                "https://h/p?to=http://***@i",
            ),
            ("https://ü:pä@h", "https://***@h"),
            (
                "two: http://a:b@c, and \"http://d@e\"; x@y",
                "two: http://***@c, and \"http://***@e\"; x@y",
            ),
        ] {
            assert_eq!(mask_user_info(text), masked);
        }
    }
}
