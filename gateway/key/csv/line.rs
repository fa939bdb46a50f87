//! One line of CSV as databases and spreadsheets write it: its separator and its fields.
//!
//! A line that can be read in two ways is refused: an unquoted name such as `Smith, Bob` would be cut at its comma, and
//! the rest of it would become part of the key.

use zeroize::Zeroizing;

/// The separators in use: comma, semicolon (spreadsheets in many countries), tab, and `|` (`psql -A`).
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];
const BLANKS: [char; 2] = [' ', '\t'];

/// The separator that a line `sep=;` names, which Excel writes and reads; `None` if the line is another one, an error if
/// it names a character that cannot be the separator.
pub(super) fn named_separator(line: &str) -> Option<Result<char, String>> {
    let line = line.trim_matches(['"', ' ']);
    let (name, named) = line.split_at_checked("sep=".len())?;
    if !name.eq_ignore_ascii_case("sep=") {
        return None;
    }
    let mut characters = named.chars();
    let separator = (characters.next(), characters.next());
    if separator.1.is_some() {
        return None;
    }
    let known = separator.0.filter(|c| SEPARATORS.contains(c));
    Some(
        known.ok_or_else(|| "`sep=` names a separator, which is `,`, `;`, `|` or a tab".to_owned()),
    )
}

/// The separator that a line uses: the first one outside quotes. `None` if the line has none, or a quote that is not
/// closed.
pub(super) fn separator(line: &str) -> Option<char> {
    let line = line.trim_start_matches(' ');
    let rest = match line.strip_prefix('"') {
        Some(quoted) => unquoted(quoted)?.1,
        None => line,
    };
    rest.chars().find(|c| SEPARATORS.contains(c))
}

/// The fields of a line, without quotes and surrounding blanks. An error never quotes the line, which may hold a key.
pub(super) fn fields(line: &str, separator: char) -> Result<Vec<Zeroizing<String>>, String> {
    let blanks = |c: char| c != separator && BLANKS.contains(&c);
    let mut fields = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        let text = text.trim_matches(blanks);
        let field;
        (field, rest) = match text.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted, separator, blanks)?,
            None => plain_field(text, separator, blanks)?,
        };
        fields.push(field);
    }
    Ok(fields)
}

/// A field, and the text after the separator that follows it; `None` at the end of the line.
type Cut<'l> = (Zeroizing<String>, Option<&'l str>);

fn quoted_field(
    text: &str,
    separator: char,
    blanks: impl Fn(char) -> bool,
) -> Result<Cut<'_>, String> {
    let (field, behind) = unquoted(text).ok_or("a double quote is not closed on this line")?;
    let behind = behind.trim_start_matches(blanks);
    let rest = behind.strip_prefix(separator);
    if rest.is_none() && !behind.is_empty() {
        return Err(format!(
            "behind a closing quote there must be `{}` or the end of the line",
            separator.escape_default()
        ));
    }
    Ok((field, rest))
}

fn plain_field(
    text: &str,
    separator: char,
    blanks: impl Fn(char) -> bool,
) -> Result<Cut<'_>, String> {
    let (field, rest) = match text.split_once(separator) {
        Some((field, rest)) => (field, Some(rest)),
        None => (text, None),
    };
    let field = field.trim_matches(blanks);
    if let Some(other) = field.chars().find(|c| SEPARATORS.contains(c)) {
        return Err(format!(
            "there are both `{}` and `{}`: a field that holds one of them goes in double quotes",
            separator.escape_default(),
            other.escape_default()
        ));
    }
    Ok((Zeroizing::new(field.to_owned()), rest))
}

/// The text up to the closing quote, and the text after the quote. A quote within the text is written twice.
fn unquoted(text: &str) -> Option<(Zeroizing<String>, &str)> {
    let mut field = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    loop {
        let (part, behind) = rest.split_once('"')?;
        field.push_str(part);
        let Some(more) = behind.strip_prefix('"') else {
            return Some((field, behind));
        };
        field.push('"');
        rest = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Vec<String>, String> {
        let separator = separator(line).ok_or("no separator")?;
        let fields = fields(line, separator)?.into_iter();
        Ok(fields.map(|field| field.to_string()).collect())
    }

    #[test]
    fn fields_are_read_with_every_separator_and_with_or_without_quotes() {
        for (line, expected) in [
            ("a,b", &["a", "b"][..]),
            ("a;b", &["a", "b"]),
            ("a\tb", &["a", "b"]),
            ("a|b", &["a", "b"]),
            (" a , b ", &["a", "b"]),
            (" \"a\" , \"b\" ", &["a", "b"]),
            ("\"a\";\"b\"", &["a", "b"]),
            ("\"a,b\",\"c;d\"", &["a,b", "c;d"]),
            ("\"a,b\"|\"c|d\"", &["a,b", "c|d"]),
            ("\"say \"\"a\"\"\",b", &["say \"a\"", "b"]),
            ("a,\" b \"", &["a", " b "]),
            ("a,b,", &["a", "b", ""]),
            (",b", &["", "b"]),
            ("a,", &["a", ""]),
            ("a,\"\"", &["a", ""]),
            ("\t\"b\"\t", &["", "b", ""]),
            ("O\"Brien,b", &["O\"Brien", "b"]),
            ("Smith, Bob,c", &["Smith", "Bob", "c"]),
        ] {
            assert_eq!(read(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn an_ambiguous_line_is_refused() {
        for (line, why) in [
            ("Smith; Bob,c", "both `;` and `,`"),
            ("a,b|c", "both `,` and `|`"),
            ("a,b\tc", "both `,` and `\\t`"),
            ("a,\"b", "not closed"),
            ("\"a,b", "no separator"),
            ("\"a\" b,c", "behind a closing quote"),
            ("a,\"b\"c", "behind a closing quote"),
            ("a", "no separator"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn quoted_fields_are_read_back(
            texts in proptest::collection::vec("[ -~\u{e4}]{0,12}", 2..5),
            separator in proptest::sample::select(&SEPARATORS[..]),
        ) {
            let quoted = |text: &String| format!("\"{}\"", text.replace('"', "\"\""));
            let line = texts
                .iter()
                .map(quoted)
                .collect::<Vec<_>>()
                .join(&separator.to_string());
            proptest::prop_assert_eq!(read(&line).unwrap(), texts);
        }
    }
}
