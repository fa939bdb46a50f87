//! Lists in headers: elements between commas (RFC 9110, section 5.6.1), and parts between other separators that leave
//! quoted strings alone.
//!
//! Knows the syntax alone, not the header it stands in.

/// The elements of a list without white space around them. Empty elements mean nothing and are left out.
pub(crate) fn elements(list: &str) -> impl DoubleEndedIterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
}

/// The same for a list that need not be text.
pub(crate) fn byte_elements(list: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    list.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// The parts of `text` between separators that stand in no quoted string (RFC 9110, section 5.6.4), the last part first,
/// without white space around them.
///
/// Reads from the end, so that an open quote near the beginning changes nothing in the parts behind it.
pub(crate) fn rsplit_unquoted(text: &[u8], separator: u8) -> RsplitUnquoted<'_> {
    RsplitUnquoted {
        rest: Some(text),
        separator,
    }
}

/// The iterator that [`rsplit_unquoted`] returns.
pub(crate) struct RsplitUnquoted<'l> {
    /// What is left to split; `None` once the first part has been returned.
    rest: Option<&'l [u8]>,
    separator: u8,
}

impl<'l> Iterator for RsplitUnquoted<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        let text = self.rest.take()?;
        let mut quoted = false;
        for (at, byte) in text.iter().enumerate().rev() {
            if *byte == b'"' && !is_escaped(text, at) {
                quoted = !quoted;
            } else if *byte == self.separator && !quoted {
                let (rest, part) = text.split_at_checked(at)?;
                self.rest = Some(rest);
                return part.get(1..).map(<[u8]>::trim_ascii);
            }
        }
        Some(text.trim_ascii())
    }
}

/// Whether the byte at `at` has an odd number of backslashes before it.
fn is_escaped(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\');
    backslashes.count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_elements_and_white_space_are_left_out() {
        for (list, wanted) in [
            ("a, b", vec!["a", "b"]),
            (" a ,,\tb, ", vec!["a", "b"]),
            ("a", vec!["a"]),
            (", ,", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(elements(list).collect::<Vec<_>>(), wanted, "{list}");
            let bytes: Vec<&[u8]> = byte_elements(list.as_bytes()).collect();
            let wanted: Vec<&[u8]> = wanted.iter().map(|element| element.as_bytes()).collect();
            assert_eq!(bytes, wanted, "{list}");
        }
    }

    #[test]
    fn separators_in_quotes_separate_nothing() {
        let parts =
            |text: &'static str| -> Vec<&[u8]> { rsplit_unquoted(text.as_bytes(), b',').collect() };
        assert_eq!(parts("a, b"), [&b"b"[..], b"a"]);
        assert_eq!(parts(r#"a,"b,c""#), [&br#""b,c""#[..], b"a"]);
        assert_eq!(parts(r#"a,"b\",c""#), [&br#""b\",c""#[..], b"a"]);
        assert_eq!(parts(r#""a, b"#), [&b"b"[..], br#""a"#]);
        assert_eq!(parts(""), [b""]);
    }
}
