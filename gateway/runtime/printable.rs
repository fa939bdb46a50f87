//! Text of others (a provider's name for its model, say) made fit for a terminal or a log viewer: characters that move
//! the cursor, change colours or turn the direction of writing are shown as escapes, and do nothing.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a text needs no escapes: all of it is printable ASCII.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// Whether a character shows as itself: no control character, no format character such as U+202E, no line separator,
/// nothing that has no meaning (yet).
fn shows(c: char) -> bool {
    // Of ASCII, what `escape_debug` would escape besides are quotes and the backslash.
    match c {
        ' '..='~' => true,
        _ => c.escape_debug().len() == 1,
    }
}

/// The text with `\u009b` and the like in the place of characters that do not show, but for those that `keep` keeps.
/// JSON means the same afterwards, where white space between values is kept: what does not show stands in its texts
/// alone, and JSON has these escapes.
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

/// The text in so many lines as it is, and likewise.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n' || c == '\t')
}

/// The text in one line.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// So many of something, whose name gets an `s` unless there is one: `1 route`, `2 routes`.
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
