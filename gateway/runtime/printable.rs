//! Text from outside, such as a provider's name for its model, made safe for a terminal or a log viewer: characters that
//! move the cursor, change colours or reverse the direction of writing become escapes.
//!
//! Knows characters alone, not what a text means.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a text is printable ASCII, and needs no escapes.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// Whether a character is visible as itself. Control characters, format characters such as U+202E, line separators and
/// unassigned characters are not.
fn shows(c: char) -> bool {
    // `escape_debug` would also escape quotes and the backslash.
    match c {
        ' '..='~' => true,
        _ => c.escape_debug().len() == 1,
    }
}

/// The text with escapes such as `\u009b` in place of characters that are not visible, except those that `keep` accepts.
///
/// A JSON document keeps its meaning if `keep` accepts the white space between values: other invisible characters stand in
/// its strings alone, where JSON has the same escapes.
pub fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if shows(c) || keep(c) {
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

/// The text made safe, with its line feeds and tabs.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n' || c == '\t')
}

/// The text made safe, in one line.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// A number and a noun, which gets an `s` unless the number is 1: `1 route`, `2 routes`.
pub fn count(number: impl TryInto<u64>, name: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {name}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGE: &str = "a\u{7f}\u{9b}31m\u{202e}\u{2066}\u{2028}\u{feff}\u{e0041}z";

    #[test]
    fn what_moves_a_cursor_or_turns_a_text_around_is_escaped() {
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
    fn json_means_the_same_and_shows() {
        let all = (0..=0x0010_ffff).filter_map(char::from_u32).step_by(7);
        for c in all.chain(STRANGE.chars()) {
            let before = serde_json::to_string(&format!("x{c}y")).unwrap();
            let after = lines(&before);
            assert!(after.chars().all(shows), "{after:?}");
            let read: String = serde_json::from_str(&after).unwrap();
            assert_eq!(read, format!("x{c}y"));
        }
        assert_eq!(lines("{\n  \"a\": 1\n}"), "{\n  \"a\": 1\n}");
    }
}
