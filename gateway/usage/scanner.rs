//! JSON, byte by byte, for a few numbers in it: nothing of a document is kept but where the scanner is.
//!
//! What leads to no number of interest is passed over by counting brackets, however deep it is. A document
//! that is no JSON is given up without a word: it is somebody else's to complain about.

use memchr::memchr2;

/// The longest name of interest, and the longest text that is kept, in bytes.
const TEXT: usize = 128;
/// The digits of the largest number, and one more.
const DIGITS: usize = 20;

/// A place in the tree of names that are of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node(pub(super) u8);

/// What a scanner looks for.
pub(super) trait Interest {
    /// The root of every document.
    const ROOT: Node;
    /// Where `name` leads from a place, if anything there is of interest.
    fn child(&self, of: Node, name: &[u8]) -> Option<Node>;
    /// A number at a place; `None` is one that is no count.
    fn number(&mut self, at: Node, value: Option<u64>);
    /// A text at a place, cut off at its longest.
    fn text(&mut self, at: Node, text: &[u8]);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value comes.
    Value,
    /// A name comes, or the end of the object.
    Name,
    /// Within a name.
    InName { escaped: bool },
    /// A colon comes.
    Colon,
    /// A value has ended: a comma comes, or the end of the object.
    After,
    /// Within a text that is of interest, or not.
    InText { escaped: bool },
    /// Within a number.
    InNumber,
    /// Within `true`, `false` or `null`.
    InLiteral,
    /// Within something that is of no interest, so many brackets deep.
    Skip {
        depth: u32,
        in_text: bool,
        escaped: bool,
    },
    /// This is no JSON.
    Dead,
}

/// The scanner. Documents may follow each other.
pub(super) struct Scanner {
    state: State,
    /// The objects that it is in, all of interest; empty between documents.
    stack: [Node; 8],
    depth: usize,
    /// The value that comes, if it is of interest.
    at: Option<Node>,
    /// Whether the document is a list of documents.
    listed: bool,
    text: [u8; TEXT],
    length: usize,
    /// Whether the number so far is no count.
    odd: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Value,
            stack: [Node(0); 8],
            depth: 0,
            at: None,
            listed: false,
            text: [0; TEXT],
            length: 0,
            odd: false,
        }
    }
}

impl Scanner {
    /// Begins with a new document.
    pub(super) fn reset(&mut self) {
        self.state = State::Value;
        self.depth = 0;
        self.at = None;
        self.listed = false;
    }

    /// Takes the next bytes.
    pub(super) fn feed<I: Interest>(&mut self, bytes: &[u8], interest: &mut I) {
        let mut rest = bytes;
        loop {
            rest = self.plain(rest);
            let Some((&byte, after)) = rest.split_first() else {
                return;
            };
            rest = after;
            match self.state {
                State::Dead => return,
                State::Skip { .. } => rest = self.skip(byte, rest),
                State::InText { escaped } => self.in_text(byte, escaped, interest),
                State::InName { escaped } => self.in_name(byte, escaped, interest),
                State::InNumber => match byte {
                    b'0'..=b'9' => self.digit(byte),
                    b'.' | b'e' | b'E' | b'+' | b'-' => self.odd = true,
                    other => {
                        self.end_number(interest);
                        self.between::<I>(other);
                    }
                },
                State::InLiteral => {
                    if !byte.is_ascii_alphabetic() {
                        self.end_value();
                        self.between::<I>(byte);
                    }
                }
                _ => self.between::<I>(byte),
            }
        }
    }

    /// Passes over what is plain in a text or a name; gives what is left after it.
    fn plain<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let kept = match self.state {
            State::InText { escaped: false } => self.at.is_some(),
            State::InName { escaped: false } => true,
            _ => return bytes,
        };
        let end = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
        let (plain, rest) = bytes.split_at(end);
        if kept {
            let room = self.text.get_mut(self.length..).unwrap_or_default();
            let length = room.len().min(plain.len());
            for (place, byte) in room.iter_mut().zip(plain) {
                *place = *byte;
            }
            self.length += length;
        }
        rest
    }

    /// A byte outside of texts, numbers and literals.
    fn between<I: Interest>(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (state, b' ' | b'\t' | b'\r' | b'\n') => state,
            (State::Value, _) => self.begin_value::<I>(byte),
            (State::Name, b'"') => {
                self.length = 0;
                State::InName { escaped: false }
            }
            (State::Name | State::After, b'}') if self.depth > 0 => {
                self.depth -= 1;
                self.end_value();
                return;
            }
            (State::After, b',') if self.depth > 0 => State::Name,
            // In a list of documents, and between documents.
            (State::After, b',') if self.listed => State::Value,
            (State::After, b']') if self.listed && self.depth == 0 => {
                self.listed = false;
                State::Value
            }
            (State::Colon, b':') => State::Value,
            _ => State::Dead,
        };
        if self.state == State::Value && self.depth == 0 {
            self.at = Some(I::ROOT);
        }
    }

    fn begin_value<I: Interest>(&mut self, byte: u8) -> State {
        let at = if self.depth == 0 {
            Some(I::ROOT)
        } else {
            self.at
        };
        let root = self.depth == 0;
        match byte {
            b'{' => match at.zip(self.stack.get_mut(self.depth)) {
                Some((node, place)) => {
                    *place = node;
                    self.depth += 1;
                    State::Name
                }
                None => State::Skip {
                    depth: 1,
                    in_text: false,
                    escaped: false,
                },
            },
            b'[' if root && !self.listed => {
                self.listed = true;
                State::Value
            }
            b']' if root && self.listed => {
                self.listed = false;
                State::Value
            }
            b'[' => State::Skip {
                depth: 1,
                in_text: false,
                escaped: false,
            },
            b'"' => {
                self.length = 0;
                State::InText { escaped: false }
            }
            b'-' | b'0'..=b'9' => {
                self.length = 0;
                self.odd = byte == b'-';
                if byte != b'-' {
                    self.digit(byte);
                }
                State::InNumber
            }
            b't' | b'f' | b'n' => State::InLiteral,
            _ => State::Dead,
        }
    }

    fn end_value(&mut self) {
        self.at = None;
        self.state = if self.depth == 0 && !self.listed {
            State::Value
        } else {
            State::After
        };
    }

    fn in_name<I: Interest>(&mut self, byte: u8, escaped: bool, interest: &I) {
        match (escaped, byte) {
            (false, b'"') => {
                let parent = self
                    .depth
                    .checked_sub(1)
                    .and_then(|top| self.stack.get(top));
                let name = self.text.get(..self.length);
                self.at = parent
                    .zip(name)
                    .and_then(|(parent, name)| interest.child(*parent, name));
                self.state = State::Colon;
            }
            (false, b'\\') => {
                // No name of interest has an escape in it.
                self.keep(b'\\');
                self.state = State::InName { escaped: true };
            }
            _ => {
                self.keep(byte);
                self.state = State::InName { escaped: false };
            }
        }
    }

    fn in_text<I: Interest>(&mut self, byte: u8, escaped: bool, interest: &mut I) {
        match (escaped, byte) {
            (false, b'"') => {
                if let Some((at, text)) = self.at.zip(self.text.get(..self.length)) {
                    interest.text(at, text);
                }
                self.end_value();
            }
            (false, b'\\') => self.state = State::InText { escaped: true },
            _ => {
                if self.at.is_some() {
                    self.keep(byte);
                }
                self.state = State::InText { escaped: false };
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    fn digit(&mut self, byte: u8) {
        if self.length < DIGITS {
            self.keep(byte);
        } else {
            // Longer than any number: the largest there is.
            self.text
                .iter_mut()
                .take(DIGITS)
                .for_each(|digit| *digit = b'9');
        }
    }

    fn end_number<I: Interest>(&mut self, interest: &mut I) {
        if let Some(at) = self.at {
            let digits = self.text.get(..self.length).unwrap_or_default();
            let value = digits.iter().fold(0_u64, |value, digit| {
                value
                    .saturating_mul(10)
                    .saturating_add(u64::from(digit - b'0'))
            });
            interest.number(at, (!self.odd).then_some(value));
        }
        self.end_value();
    }

    /// Passes over what is of no interest; gives what is left after it.
    fn skip<'b>(&mut self, first: u8, rest: &'b [u8]) -> &'b [u8] {
        let State::Skip {
            mut depth,
            mut in_text,
            mut escaped,
        } = self.state
        else {
            return rest;
        };
        let (mut byte, mut rest) = (first, rest);
        loop {
            match byte {
                _ if escaped => escaped = false,
                b'"' => in_text = !in_text,
                b'\\' if in_text => escaped = true,
                b'{' | b'[' if !in_text => depth = depth.saturating_add(1),
                b'}' | b']' if !in_text => {
                    depth -= 1;
                    if depth == 0 {
                        self.end_value();
                        return rest;
                    }
                }
                _ => {}
            }
            if in_text && !escaped {
                let plain = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                rest = rest.get(plain..).unwrap_or_default();
            }
            let Some((&next, after)) = rest.split_first() else {
                break;
            };
            (byte, rest) = (next, after);
        }
        self.state = State::Skip {
            depth,
            in_text,
            escaped,
        };
        &[]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Looks for `a`, `a.b` and `c`.
    #[derive(Default, Debug, PartialEq)]
    struct Found(Vec<(u8, String)>);

    impl Interest for Found {
        const ROOT: Node = Node(0);

        fn child(&self, of: Node, name: &[u8]) -> Option<Node> {
            match (of.0, name) {
                (0, b"a") => Some(Node(1)),
                (1, b"b") => Some(Node(2)),
                (0, b"c") => Some(Node(3)),
                _ => None,
            }
        }

        fn number(&mut self, at: Node, value: Option<u64>) {
            self.0.push((
                at.0,
                value.map_or("odd".to_owned(), |value| value.to_string()),
            ));
        }

        fn text(&mut self, at: Node, text: &[u8]) {
            self.0
                .push((at.0, String::from_utf8_lossy(text).into_owned()));
        }
    }

    fn scan(text: &str, cut: usize) -> Vec<(u8, String)> {
        let (mut scanner, mut found) = (Scanner::default(), Found::default());
        for piece in text.as_bytes().chunks(cut) {
            scanner.feed(piece, &mut found);
        }
        // A number is over when something follows it.
        scanner.feed(b" ", &mut found);
        found.0
    }

    #[test]
    fn numbers_and_texts_are_found_where_they_are_looked_for() {
        for (text, found) in [
            (
                r#"{"a": {"b": 5, "x": {"b": 6}}, "c": 7}"#,
                &[(2, "5"), (3, "7")][..],
            ),
            (
                r#"{"x": {"a": {"b": 1}}, "y": [{"a": {"b": 1}}, "}]", "\"]"], "c": "t\"x"}"#,
                &[(3, "t\"x")],
            ),
            (r#"[{"c": 1}, {"c": 2}]"#, &[(3, "1"), (3, "2")]),
            ("{\"c\": 1}\n{\"c\": 2}\n", &[(3, "1"), (3, "2")]),
            (
                r#"{"a": 1, "c": -1, "a": {"b": 1.5}, "c": 1e3}"#,
                &[(1, "1"), (3, "odd"), (2, "odd"), (3, "odd")],
            ),
            (
                r#"{"c": 99999999999999999999999}"#,
                &[(3, "18446744073709551615")],
            ),
            (
                r#"{"c": 18446744073709551616}"#,
                &[(3, "18446744073709551615")],
            ),
            (
                r#"{"a": {"b": null}, "c": true, "c": [1], "\u0063": 1}"#,
                &[],
            ),
            (r#"{"c": 1,, "c": 2}"#, &[(3, "1")]),
            ("[DONE]", &[]),
            ("{]", &[]),
            (r#"{"a": {}, "c": 3}"#, &[(3, "3")]),
        ] {
            let wanted: Vec<(u8, String)> = found
                .iter()
                .map(|(at, text)| (*at, (*text).to_owned()))
                .collect();
            for cut in 1..=text.len() {
                assert_eq!(scan(text, cut), wanted, "{text} cut at {cut}");
            }
        }
        let deep = format!(
            "{{\"x\": {}{}, \"c\": 1}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert_eq!(scan(&deep, 1000), [(3, "1".to_owned())]);
        let long = format!("{{\"c\": \"{}\"}}", "x".repeat(10_000));
        assert_eq!(scan(&long, 7), [(3, "x".repeat(TEXT))]);
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\]:, \u{e9}]{0,12}".prop_map(Value::from),
        ];
        let any = leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[abcx]", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[abcx]", any, 0..5)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    fn expected(document: &Value) -> Vec<(u8, String)> {
        let text = |at: u8, value: Option<&Value>| match value {
            Some(Value::Number(number)) => Some((at, number.to_string())),
            Some(Value::String(text)) => Some((at, text.clone())),
            _ => None,
        };
        let mut found = Vec::new();
        // In the order in which maps are written: that of their names.
        for (name, value) in document.as_object().into_iter().flatten() {
            match name.as_str() {
                "a" => {
                    found.extend(text(1, Some(value)));
                    found.extend(text(2, value.get("b")));
                }
                "c" => found.extend(text(3, Some(value))),
                _ => {}
            }
        }
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_found_is_what_a_parser_finds(document in document(), cut in 1_usize..20, pretty in any::<bool>()) {
            let text = if pretty { format!("{document:#}") } else { document.to_string() };
            // Texts with escapes come without their backslashes.
            let plain = |found: Vec<(u8, String)>| -> Vec<(u8, String)> {
                found.into_iter().map(|(at, text)| (at, text.replace('\\', ""))).collect()
            };
            prop_assert_eq!(plain(scan(&text, cut)), plain(expected(&document)));
        }

        #[test]
        fn whatever_comes_is_no_reason_to_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 1_usize..20) {
            let (mut scanner, mut found) = (Scanner::default(), Found::default());
            for piece in bytes.chunks(cut) {
                scanner.feed(piece, &mut found);
            }
        }
    }

    #[test]
    fn a_document_that_is_no_json_is_given_up_until_the_next() {
        let (mut scanner, mut found) = (Scanner::default(), Found::default());
        scanner.feed(b"[DONE] {\"c\": 1}", &mut found);
        assert_eq!(found.0, []);
        scanner.reset();
        scanner.feed(json!({"c": 2}).to_string().as_bytes(), &mut found);
        assert_eq!(found.0, [(3, "2".to_owned())]);
    }
}
