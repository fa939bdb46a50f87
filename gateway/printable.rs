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

/// The text with `\n`, `\u{9b}` and the like in the place of characters that do not show, but for those that `keep`
/// keeps.
pub fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if shows(c) || keep(c) {
            escaped.push(c);
        } else {
            escaped.extend(c.escape_debug());
        }
    }
    Cow::Owned(escaped)
}

/// JSON of the same meaning in which every character shows as itself, or is an escape. Takes valid JSON, where what
/// does not show stands in texts alone; line ends between values stay.
pub fn json(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut json = String::with_capacity(text.len());
    for c in text.chars() {
        // Below U+0020 there is only white space between values: JSON has escapes for it in texts already.
        if c < ' ' || shows(c) {
            json.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(json, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGE: &str = "a\u{7f}\u{9b}31m\u{202e}\u{2066}\u{2028}\u{feff}\u{e0041}z";

    #[test]
    fn what_moves_a_cursor_or_turns_a_text_around_is_escaped() {
        let escaped = escaped(STRANGE, |_| false);
        assert_eq!(
            escaped,
            "a\\u{7f}\\u{9b}31m\\u{202e}\\u{2066}\\u{2028}\\u{feff}\\u{e0041}z"
        );
        for plain in [
            "gpt-4o \"x\" \\ ~",
            "m\u{e9}t\u{e9}o \u{6a21}\u{578b} \u{1f600}",
        ] {
            assert_eq!(super::escaped(plain, |_| false), plain);
        }
        assert_eq!(
            super::escaped("a\n\tb\u{1b}", |c| c == '\n'),
            "a\n\\tb\\u{1b}"
        );
    }

    #[test]
    fn json_means_the_same_and_shows() {
        for c in (0..=0x0010_ffff)
            .filter_map(char::from_u32)
            .step_by(7)
            .chain(STRANGE.chars())
        {
            let before = serde_json::to_string(&format!("x{c}y")).unwrap();
            let after = json(&before);
            assert!(after.chars().all(shows), "{after:?}");
            let read: String = serde_json::from_str(&after).unwrap();
            assert_eq!(read, format!("x{c}y"));
        }
        assert_eq!(json("{\n  \"a\": 1\n}"), "{\n  \"a\": 1\n}");
    }
}
