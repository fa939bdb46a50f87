//! The places of the members of a JSON object, byte by byte.
//!
//! For bodies that are changed on their way. They are not parsed and serialized again, so that every byte that is not part
//! of the change stays as it is.

/// The longest name that is kept, in bytes, with its quotes. Each letter of `stream_options` may be an escape of six.
const NAME: usize = 96;

/// The meaning of a byte for the members of the outermost object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It neither begins nor ends a value.
    Nothing,
    /// It is the first byte of a member's value.
    Begins,
    /// It is the last byte of the value.
    Ends,
    /// It is the first byte behind the value.
    Ended,
    /// It is the first byte behind the value, and ends the object.
    EndedAndCloses,
    /// It ends the object.
    Closes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The object is expected.
    Before,
    /// A name is expected, or the end.
    Name,
    /// In a name.
    InName { escaped: bool },
    /// A colon is expected.
    Colon,
    /// A value is expected.
    Value,
    /// In a string, behind so many open brackets of the member's value.
    InText { depth: u32, escaped: bool },
    /// In an object or array, behind so many open brackets.
    Within { depth: u32 },
    /// In a number or a word.
    Bare,
    /// A comma is expected, or the end.
    After,
    /// The object has ended.
    Closed,
    /// The text is no object.
    Lost,
}

/// The walker over one object.
pub(crate) struct Members {
    state: State,
    /// The name of the current member as it is written, with its quotes.
    name: [u8; NAME],
    length: usize,
}

impl Default for Members {
    fn default() -> Self {
        Self {
            state: State::Before,
            name: [0; NAME],
            length: 0,
        }
    }
}

impl Members {
    /// Takes the next byte, and returns its meaning.
    pub(crate) fn step(&mut self, byte: u8) -> Mark {
        let white = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let (state, mark) = match (self.state, byte) {
            (State::InText { depth, escaped }, byte) => match (escaped, byte) {
                (false, b'"') if depth == 0 => (State::After, Mark::Ends),
                (false, b'"') => (State::Within { depth }, Mark::Nothing),
                (escaped, byte) => {
                    let escaped = !escaped && byte == b'\\';
                    (State::InText { depth, escaped }, Mark::Nothing)
                }
            },
            (State::Within { depth }, byte) => match byte {
                b'"' => {
                    let escaped = false;
                    (State::InText { depth, escaped }, Mark::Nothing)
                }
                b'{' | b'[' => {
                    let depth = depth.saturating_add(1);
                    (State::Within { depth }, Mark::Nothing)
                }
                b'}' | b']' if depth == 1 => (State::After, Mark::Ends),
                b'}' | b']' => (State::Within { depth: depth - 1 }, Mark::Nothing),
                _ => (State::Within { depth }, Mark::Nothing),
            },
            (State::InName { escaped }, byte) => {
                self.keep(byte);
                match (escaped, byte) {
                    (false, b'"') => (State::Colon, Mark::Nothing),
                    (escaped, byte) => {
                        let escaped = !escaped && byte == b'\\';
                        (State::InName { escaped }, Mark::Nothing)
                    }
                }
            }
            (State::Bare, b',') => (State::Name, Mark::Ended),
            (State::Bare, b'}') => (State::Closed, Mark::EndedAndCloses),
            (State::Bare, _) if white => (State::After, Mark::Ended),
            (state @ (State::Closed | State::Lost | State::Bare), _) => (state, Mark::Nothing),
            (state, _) if white => (state, Mark::Nothing),
            // A byte order mark.
            (State::Before, 0xef | 0xbb | 0xbf) => (State::Before, Mark::Nothing),
            (State::Before, b'{') | (State::After, b',') => (State::Name, Mark::Nothing),
            (State::Name, b'"') => {
                self.length = 0;
                self.keep(b'"');
                (State::InName { escaped: false }, Mark::Nothing)
            }
            (State::Name | State::After, b'}') => (State::Closed, Mark::Closes),
            (State::Colon, b':') => (State::Value, Mark::Nothing),
            (State::Value, b'"') => {
                let (depth, escaped) = (0, false);
                (State::InText { depth, escaped }, Mark::Begins)
            }
            (State::Value, b'{' | b'[') => (State::Within { depth: 1 }, Mark::Begins),
            // Not only the words of JSON: some servers accept NaN for a number.
            (State::Value, b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => {
                (State::Bare, Mark::Begins)
            }
            _ => (State::Lost, Mark::Nothing),
        };
        self.state = state;
        mark
    }

    /// The number of bytes at the beginning of `bytes` that need no [`Self::step`]: those of a string up to its next quote or
    /// escape, or all behind the end of the object.
    pub(crate) fn text(&self, bytes: &[u8]) -> usize {
        match self.state {
            State::InText { escaped: false, .. } => {
                memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len())
            }
            State::Closed | State::Lost => bytes.len(),
            _ => 0,
        }
    }

    /// Whether the walker is in a name or a string, where white space counts.
    pub(crate) fn is_quoted(&self) -> bool {
        matches!(self.state, State::InText { .. } | State::InName { .. })
    }

    /// Whether the text is no object.
    pub(crate) fn is_lost(&self) -> bool {
        self.state == State::Lost
    }

    /// Whether the current name is longer than any that is kept.
    pub(crate) fn is_long(&self) -> bool {
        let in_name = matches!(self.state, State::InName { .. } | State::Colon);
        in_name && self.length == NAME
    }

    /// Whether the current member has this name, in any spelling with escapes.
    pub(crate) fn is(&self, name: &str) -> bool {
        let written = self.name.get(..self.length).unwrap_or_default();
        if written.contains(&b'\\') {
            return serde_json::from_slice::<String>(written).is_ok_and(|read| read == name);
        }
        let bare = written.get(1..written.len().saturating_sub(1));
        bare == Some(name.as_bytes())
    }

    fn keep(&mut self, byte: u8) {
        if let Some(place) = self.name.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Vec<(String, String)> {
        let (mut members, mut found, mut value) = (Members::default(), Vec::new(), None);
        for byte in text.bytes() {
            let mark = members.step(byte);
            match mark {
                Mark::Begins => value = Some(String::new()),
                Mark::Ended | Mark::EndedAndCloses => {
                    let name = String::from_utf8_lossy(&members.name[..members.length]);
                    found.push((name.into_owned(), value.take().unwrap()));
                }
                _ => {}
            }
            if let Some(value) = &mut value {
                value.push(char::from(byte));
            }
            if mark == Mark::Ends {
                let name = String::from_utf8_lossy(&members.name[..members.length]);
                found.push((name.into_owned(), value.take().unwrap()));
            }
        }
        found
    }

    #[test]
    fn every_member_of_the_root_is_found_and_none_of_what_is_in_them() {
        let text = r#" { "a" : 1 , "b":{"c":"}\"{","d":[1,{"e":2}]}, "f" :"g\\","h":[ ], "i":null,"j":-1e5}"#;
        let found = members(text);
        let wanted = [
            ("\"a\"", "1"),
            ("\"b\"", r#"{"c":"}\"{","d":[1,{"e":2}]}"#),
            ("\"f\"", r#""g\\""#),
            ("\"h\"", "[ ]"),
            ("\"i\"", "null"),
            ("\"j\"", "-1e5"),
        ];
        let wanted: Vec<(String, String)> = wanted
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(found, wanted);
        for none in ["[1]", "{,}", "\"a\"", "", "{\"a\" 1}", "{\"a\": 1 2}"] {
            assert!(members(none).len() <= 1, "{none}");
        }
    }

    #[test]
    fn a_name_is_known_however_it_is_written() {
        let mut members = Members::default();
        for byte in br#"{"str\u0065am":"# {
            members.step(*byte);
        }
        assert!(members.is("stream") && !members.is("strea"));
        let mut members = Members::default();
        for byte in format!("{{\"{}", "x".repeat(1000)).bytes() {
            members.step(byte);
        }
        assert!(!members.is("stream"));
    }
}
