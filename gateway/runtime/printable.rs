//! Escapes text from others, such as a provider's name for its model, for a terminal or a log viewer: characters that
//! would move the cursor, change colours or reverse the writing direction are shown as escapes.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a text is all printable ASCII, and so needs no escapes.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// Whether a character is printed as itself: no control character, no format character such as U+202E, no line separator,
/// no unassigned code point.
fn is_printable(c: char) -> bool {
    // `escape_debug` would also escape quotes and the backslash.
    match c {
        ' '..='~' => true,
        _ => c.escape_debug().len() == 1,
    }
}

/// The text with characters that are not printable replaced by escapes such as `\u009b`, except those that `keep`
/// accepts. JSON keeps its meaning if white space between values is kept: all other such characters can occur only in its
/// strings, where these escapes are JSON's own.
pub(crate) fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_printable(c) || keep(c) {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(escaped)
}

/// The text escaped, with its line breaks and tabs kept.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n' || c == '\t')
}

/// The text escaped, in one line.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// A number with a noun, which gets an `s` unless the number is 1: `1 route`, `2 routes`.
pub(crate) fn count(number: impl TryInto<u64>, name: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {name}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGE: &str = "a\u{7f}\u{9b}31m\u{202e}\u{2066}\u{2028}\u{feff}\u{e0041}z";

    #[test]
    fn characters_that_move_the_cursor_or_reverse_the_text_are_escaped() {
        assert_eq!(
            line(STRANGE),
            "a\\u007f\\u009b31m\\u202e\\u2066\\u2028\\ufeff\\udb40\\udc41z"
        );
        for plain in [
            "gpt-4o \"x\" \\ ~",
            "m\u{e9}t\u{e9}o \u{6a21}\u{578b} \u{1f600}",
        ] {
            assert_eq!(line(plain), plain);
        }
        assert_eq!(lines("a\n\tb\r\u{1b}"), "a\n\tb\\u000d\\u001b");
        assert_eq!(line("a\n\tb"), "a\\u000a\\u0009b");
    }

    #[test]
    fn escaped_json_keeps_its_meaning_and_is_printable() {
        let all = (0..=0x0010_ffff).filter_map(char::from_u32).step_by(7);
        for c in all.chain(STRANGE.chars()) {
            let before = serde_json::to_string(&format!("x{c}y")).unwrap();
            let after = lines(&before);
            assert!(after.chars().all(is_printable), "{after:?}");
            let read: String = serde_json::from_str(&after).unwrap();
            assert_eq!(read, format!("x{c}y"));
        }
        assert_eq!(lines("{\n  \"a\": 1\n}"), "{\n  \"a\": 1\n}");
    }
}
