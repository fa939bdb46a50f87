//! Where the members of a JSON object are, byte by byte, whatever is in them.
//!
//! For bodies that are changed on their way, which must not be read into anything and written anew: a byte
//! that is not about what is changed stays as it is.

/// The longest name that is told, with its quotes; each letter of `stream_options` may be an escape.
const NAME: usize = 96;

/// What a byte is to the members of the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing that matters.
    Nothing,
    /// The value of a member begins with it.
    Begins,
    /// The value ends with it.
    Ends,
    /// The value ended before it.
    Ended,
    /// The value ended before it, and with it the object.
    EndedAndCloses,
    /// The object ends with it.
    Closes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The object comes.
    Before,
    /// A name comes, or the end.
    Name,
    /// Within a name.
    InName { escaped: bool },
    /// A colon comes.
    Colon,
    /// A value comes.
    Value,
    /// Within a text, so many brackets deep.
    InText { depth: u32, escaped: bool },
    /// Within a value of several, so many brackets deep.
    Within { depth: u32 },
    /// Within a number or a word.
    Bare,
    /// A comma comes, or the end.
    After,
    /// The object is over.
    Closed,
    /// It was none.
    Lost,
}

/// The walk over one object.
pub(crate) struct Members {
    state: State,
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
    /// Takes the next byte.
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
            // A mark that some put before a text: it says nothing.
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
            // Not only what JSON has: some take NaN for a number.
            (State::Value, b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => {
                (State::Bare, Mark::Begins)
            }
            _ => (State::Lost, Mark::Nothing),
        };
        self.state = state;
        mark
    }

    /// How many of the bytes that come are of a text, and to be taken without a step for each.
    pub(crate) fn text(&self, bytes: &[u8]) -> usize {
        match self.state {
            State::InText { escaped: false, .. } => {
                memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len())
            }
            State::Closed | State::Lost => bytes.len(),
            _ => 0,
        }
    }

    /// Whether it is in a name or a text, where blanks count.
    pub(crate) fn is_quoted(&self) -> bool {
        matches!(self.state, State::InText { .. } | State::InName { .. })
    }

    /// Whether this cannot be an object.
    pub(crate) fn is_lost(&self) -> bool {
        self.state == State::Lost
    }

    /// Whether the name that it is in is longer than any that is told.
    pub(crate) fn is_long(&self) -> bool {
        let in_name = matches!(self.state, State::InName { .. } | State::Colon);
        in_name && self.length == NAME
    }

    /// Whether the member that it is in has this name, however it is written.
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
