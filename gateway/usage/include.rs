//! Asks a stream for its usage: writes `stream_options.include_usage` into the body of a request on its way.
//!
//! Streams of `OpenAI`'s chat and of what is like it say what they took only where they are asked to
//! (<https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options>). What the body says
//! besides stays as it is, byte by byte, and nothing of it waits but the value of `stream_options`.

use super::members::{Mark, Members};

/// What a body without `stream_options` gets.
const MEMBER: &str = r#","stream_options":{"include_usage":true}"#;
/// The longest `stream_options` that are changed.
const LONGEST: usize = 1024;

/// How many bytes longer a body may become. Where its length was announced before it was read, it becomes
/// exactly so much longer: blanks behind a document change nothing in it.
pub const ROOM: usize = MEMBER.len();

/// The body of one request.
pub struct IncludeUsage {
    members: Members,
    /// How many bytes are still to be added; `None` where no length was announced.
    left: Option<usize>,
    /// The value of `stream_options`, while it comes.
    held: Option<Vec<u8>>,
    /// The value of `stream`, as far as it came, while it comes.
    word: Option<Vec<u8>>,
    streams: bool,
    options: Options,
}

/// What is known of `stream_options`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Options {
    /// None so far.
    Absent,
    /// As the client sent them.
    Theirs,
    /// Changed, or put in.
    Ours,
}

impl IncludeUsage {
    /// For a body whose length is announced, as so many bytes and [`ROOM`], or not.
    pub fn new(announced: bool) -> Self {
        Self {
            members: Members::default(),
            left: announced.then_some(ROOM),
            held: None,
            word: None,
            streams: false,
            options: Options::Absent,
        }
    }

    /// What goes up for the next piece; `end` says that none follows.
    pub fn feed(&mut self, piece: &[u8], end: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len() + ROOM);
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            // Texts are most of a body.
            let (text, behind) = rest.split_at(self.members.text(rest));
            if !text.is_empty() && self.held.is_none() && self.word.is_none() {
                out.extend_from_slice(text);
                rest = behind;
                continue;
            }
            rest = after;
            self.step(byte, &mut out);
        }
        if end {
            out.extend(self.held.take().unwrap_or_default());
            let blanks = self.left.take().unwrap_or(0);
            out.resize(out.len() + blanks, b' ');
        }
        out
    }

    /// Whether the stream was asked for its usage here, and not by the client.
    pub fn asked(&self) -> bool {
        self.streams && self.options == Options::Ours
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        let mark = self.members.step(byte);
        if matches!(mark, Mark::Ended | Mark::EndedAndCloses) {
            self.value_ended(out);
        }
        match mark {
            Mark::Begins if self.members.is("stream") => self.word = Some(Vec::new()),
            Mark::Begins
                if self.options == Options::Absent && self.members.is("stream_options") =>
            {
                self.options = Options::Theirs;
                self.held = Some(Vec::new());
            }
            Mark::Closes | Mark::EndedAndCloses
                if self.streams && self.options == Options::Absent =>
            {
                self.options = Options::Ours;
                self.add(MEMBER.len());
                out.extend_from_slice(MEMBER.as_bytes());
            }
            _ => {}
        }
        if let Some(word) = &mut self.word
            && word.len() <= "false".len()
        {
            word.push(byte);
        }
        match &mut self.held {
            Some(held) if held.len() < LONGEST => held.push(byte),
            Some(_) => {
                out.extend(self.held.take().unwrap_or_default());
                out.push(byte);
            }
            None => out.push(byte),
        }
        if mark == Mark::Ends {
            self.value_ended(out);
        }
    }

    fn value_ended(&mut self, out: &mut Vec<u8>) {
        if let Some(word) = self.word.take() {
            self.streams = word == b"true";
        }
        let Some(held) = self.held.take() else { return };
        match with_usage(&held) {
            Some(options)
                if self
                    .left
                    .is_none_or(|left| options.len() <= held.len() + left) =>
            {
                self.options = Options::Ours;
                out.extend_from_slice(options.as_bytes());
                self.left = self.left.map(|left| left + held.len() - options.len());
            }
            _ => out.extend(held),
        }
    }

    fn add(&mut self, bytes: usize) {
        self.left = self.left.map(|left| left.saturating_sub(bytes));
    }
}

/// The same options, with usage; `None` where they have it, or are none.
fn with_usage(options: &[u8]) -> Option<String> {
    const NAME: &str = "include_usage";
    let mut options: serde_json::Value = serde_json::from_slice(options).ok()?;
    if options.is_null() {
        options = serde_json::json!({});
    }
    let map = options.as_object_mut()?;
    if map.get(NAME) == Some(&true.into()) {
        return None;
    }
    map.insert(NAME.to_owned(), true.into());
    Some(options.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// What goes up for a body cut into pieces, and whether it was asked for usage.
    fn sent(body: &[u8], announced: bool, cut: usize) -> (Vec<u8>, bool) {
        let mut include = IncludeUsage::new(announced);
        let mut sent = Vec::new();
        for piece in body.chunks(cut) {
            sent.extend(include.feed(piece, false));
        }
        sent.extend(include.feed(b"", true));
        (sent, include.asked())
    }

    #[test]
    fn a_stream_that_does_not_ask_for_usage_is_made_to() {
        let asked = r#","stream_options":{"include_usage":true}}"#;
        for (body, wanted) in [
            (r#"{"stream":true}"#, &*format!(r#"{{"stream":true{asked}"#)),
            (
                "{\"a\": \"}\\\"\", \"stream\": true }\n",
                &format!("{{\"a\": \"}}\\\"\", \"stream\": true {asked}\n"),
            ),
            (
                r#"{"stre\u0061m":true,"x":[]}"#,
                &format!(r#"{{"stre\u0061m":true,"x":[]{asked}"#),
            ),
            (
                r#"{"stream_options": null, "stream": true}"#,
                r#"{"stream_options": {"include_usage":true}, "stream": true}"#,
            ),
            (
                r#"{"stream_options": {"include_usage" : false}, "stream": true}"#,
                r#"{"stream_options": {"include_usage":true}, "stream": true}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{"include_obfuscation":false}}"#,
                r#"{"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true}}"#,
            ),
        ] {
            for cut in 1..=body.len() {
                let (free, was_asked) = sent(body.as_bytes(), false, cut);
                assert_eq!(String::from_utf8(free).unwrap(), wanted, "cut at {cut}");
                assert!(was_asked, "{body}");
                let (padded, _) = sent(body.as_bytes(), true, cut);
                assert_eq!(padded.len(), body.len() + ROOM);
                assert_eq!(padded.trim_ascii_end(), wanted.trim_ascii_end().as_bytes());
            }
        }
    }

    #[test]
    fn what_is_no_stream_or_asks_itself_goes_up_as_it_is() {
        let long = format!(
            r#"{{"stream_options":{{"x":"{}"}},"stream":true}}"#,
            "y".repeat(2 * LONGEST)
        );
        for body in [
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"stream":true,"stream_options":7}"#,
            r#"{"stream":false}"#,
            r#"{"stream":true,"stream":false}"#,
            r#"{"stream":"true"}"#,
            r#"{"stream":trueish}"#,
            r#"{"messages":[{"stream":true}]}"#,
            "{}",
            "[{\"stream\":true}]",
            "{\"stream\":true",
            "no JSON",
            "",
            &long,
        ] {
            for cut in [1, 2, 3, 7, 2000] {
                let (free, asked) = sent(body.as_bytes(), false, cut);
                assert_eq!(free, body.as_bytes());
                assert!(!asked, "{body}");
                let (padded, _) = sent(body.as_bytes(), true, cut);
                assert_eq!(padded.len(), body.len() + ROOM);
                assert!(padded.starts_with(body.as_bytes()));
            }
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\]:, \u{e9}]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            let name = prop_oneof![
                Just("stream".to_owned()),
                Just("stream_options".to_owned()),
                Just("include_usage".to_owned()),
                "[a-z\"]{1,3}"
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Read by a parser, what goes up is what came, but for `include_usage`.
        #[test]
        fn nothing_else_in_a_body_changes(value in value(), pretty in any::<bool>(), announced in any::<bool>(), cut in 1_usize..30) {
            let body = if pretty { format!("{value:#}") } else { value.to_string() };
            let (sent, asked) = sent(body.as_bytes(), announced, cut);
            if announced {
                prop_assert_eq!(sent.len(), body.len() + ROOM);
            }
            let mut wanted = value.clone();
            let read: Value = serde_json::from_slice(&sent).unwrap();
            if let Some(map) = wanted.as_object_mut() {
                let streams = map.get("stream") == Some(&json!(true));
                let options = map.get("stream_options").cloned();
                let own = match &options {
                    Some(Value::Object(options)) => options.get("include_usage") == Some(&json!(true)),
                    Some(Value::Null) => false,
                    Some(_) => true,
                    None => !streams,
                };
                prop_assert_eq!(asked, streams && !own);
                if !own {
                    let mut with = options.filter(|options| !options.is_null()).unwrap_or(json!({}));
                    with["include_usage"] = true.into();
                    map.insert("stream_options".to_owned(), with);
                }
            }
            prop_assert_eq!(read, wanted);
        }

        #[test]
        fn whatever_comes_goes_up(bytes in prop::collection::vec(any::<u8>(), 0..100), cut in 1_usize..20) {
            const COMMON: &[u8] = b"{}[]\"\\:, tn\n";
            let bytes: Vec<u8> = bytes.iter().map(|byte| COMMON.get(usize::from(*byte % 16)).copied().unwrap_or(*byte)).collect();
            let (sent, asked) = sent(&bytes, true, cut);
            prop_assert!(asked || sent.starts_with(&bytes));
            prop_assert_eq!(sent.len(), bytes.len() + ROOM);
        }
    }
}
