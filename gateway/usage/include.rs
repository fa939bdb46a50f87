//! Requests the usage of a stream: writes `stream_options.include_usage` into the body of a request on its way up.
//!
//! `OpenAI`'s chat API and those like it report the usage of a stream only if the request sets that
//! (<https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options>). All other bytes of the
//! body stay as they are, except long runs of white space between members. Held back are the name of a member until its
//! value begins, and `stream_options` until the end of the object.

use crate::wire::json::members::{Mark, Members};

/// The name of the member that requests usage, as it is written.
const NAME: &str = r#""stream_options":"#;
/// Its value where the client sends none.
const VALUE: &str = r#"{"include_usage":true}"#;
/// The longest `stream_options` that are changed, in bytes.
const LONGEST: usize = 1024;
/// The bytes between two values that are held before white space among them is dropped.
const MOST_BETWEEN: usize = 256;

/// The most bytes by which a body becomes longer. A body with an announced length becomes longer by exactly this: spaces
/// are appended, which mean nothing behind a JSON document.
pub(crate) const ROOM: usize = 1 + NAME.len() + VALUE.len();

/// The rewriter of one request's body.
///
/// It removes `stream_options` where they stand and writes them at the end of the object. Only there is it known whether
/// the request is for a stream; a provider refuses `stream_options` in any other request.
pub struct IncludeUsage {
    members: Members,
    /// The bytes that are still to be added; `None` for a body without an announced length.
    left: Option<usize>,
    at: At,
    /// The bytes since the last value: a comma, a name, a colon.
    between: Vec<u8>,
    /// Whether a member has been written, so that the next one needs a comma.
    written: bool,
    /// The value of `stream` so far, while the rewriter is in it.
    word: Vec<u8>,
    /// Whether the last `stream` member is `true`.
    streams: bool,
    /// The value of the last `stream_options`, without white space outside of its strings.
    options: Option<Vec<u8>>,
    usage: UsageRequest,
}

/// Whether the body requests usage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UsageRequest {
    /// Not decided yet, or not requested here.
    Undecided,
    /// The rewriter has requested it.
    Added,
    /// The client's options were too long to change and have been sent as they are.
    LeftToClient,
}

/// The place of the rewriter in the object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before or behind the object, or in a body that is none.
    Outside,
    /// Between two values.
    Between,
    /// In the value of `stream`.
    Stream,
    /// In the value of `stream_options`.
    Options,
    /// In any other value.
    Value,
}

impl IncludeUsage {
    /// A rewriter for one body. `announced`: whether the request goes up with a `Content-Length`, which must then be
    /// the client's and [`ROOM`] more.
    pub fn new(announced: bool) -> Self {
        Self {
            members: Members::default(),
            left: announced.then_some(ROOM),
            at: At::Outside,
            between: Vec::new(),
            written: false,
            word: Vec::new(),
            streams: false,
            options: None,
            usage: UsageRequest::Undecided,
        }
    }

    /// The bytes for the provider in place of the next chunk. `end`: no chunk follows.
    pub fn feed(&mut self, chunk: &[u8], end: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(chunk.len() + ROOM);
        let mut rest = chunk;
        while let Some((&byte, after)) = rest.split_first() {
            // Most of a body is strings, which are copied whole.
            if matches!(self.at, At::Outside | At::Value) {
                let (text, behind) = rest.split_at(self.members.text(rest));
                if !text.is_empty() {
                    out.extend_from_slice(text);
                    rest = behind;
                    continue;
                }
            }
            rest = after;
            let before = out.len();
            self.step(byte, &mut out);
            self.account(1, out.len() - before);
        }
        if end {
            let before = out.len();
            if self.at != At::Outside {
                self.give_up(&mut out);
            }
            self.account(0, out.len() - before);
            let padding = self.left.take().unwrap_or(0);
            out.resize(out.len() + padding, b' ');
        }
        out
    }

    /// Whether the rewriter has requested usage, which the client did not.
    pub(crate) fn has_requested_usage(&self) -> bool {
        self.usage == UsageRequest::Added
    }

    /// Counts bytes of the client's body and the bytes that replace them.
    fn account(&mut self, read: usize, written: usize) {
        self.left = self.left.map(|left| (left + read).saturating_sub(written));
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        let mark = self.members.step(byte);
        if self.members.is_lost() {
            if self.at != At::Outside {
                self.give_up(out);
            }
            out.push(byte);
            return;
        }
        match mark {
            Mark::Begins => self.begin(byte, out),
            Mark::Ends => {
                self.value(byte, out);
                self.value_ended();
            }
            Mark::Ended => {
                self.value_ended();
                self.between(byte, out);
            }
            Mark::EndedAndCloses => {
                self.value_ended();
                self.close(out);
            }
            Mark::Closes => self.close(out),
            Mark::Nothing => match self.at {
                At::Outside => {
                    out.push(byte);
                    if byte == b'{' {
                        self.at = At::Between;
                    }
                }
                At::Between => self.between(byte, out),
                At::Stream | At::Options | At::Value => self.value(byte, out),
            },
        }
    }

    /// A byte between two values.
    fn between(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.members.is_long() {
            // No name of interest is so long.
            self.write_between(out);
            out.push(byte);
        } else if !is_blank(byte) || self.members.is_quoted() || self.between.len() < MOST_BETWEEN {
            self.between.push(byte);
        }
    }

    /// The first byte of a value.
    fn begin(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.members.is("stream_options") {
            self.at = At::Options;
            self.between.clear();
            self.options = Some(vec![byte]);
            return;
        }
        self.write_between(out);
        self.at = At::Value;
        if self.members.is("stream") {
            self.at = At::Stream;
            self.word.clear();
        }
        self.value(byte, out);
    }

    /// A byte of a value.
    fn value(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.at == At::Options {
            let quoted = self.members.is_quoted();
            let options = self.options.get_or_insert_default();
            if options.len() >= LONGEST {
                // Options that say no more than what to include are never so long.
                self.write_options(out);
                out.push(byte);
                self.at = At::Value;
                self.usage = UsageRequest::LeftToClient;
            } else if quoted || !is_blank(byte) {
                options.push(byte);
            }
            return;
        }
        out.push(byte);
        if self.at == At::Stream {
            self.word.push(byte);
            if self.word.len() > "false".len() {
                self.streams = false;
                self.at = At::Value;
            }
        }
    }

    fn value_ended(&mut self) {
        if self.at == At::Stream {
            self.streams = self.word == b"true";
        }
        self.at = At::Between;
    }

    /// The object ends: writes `stream_options`, with a request for usage if the body is for a stream.
    fn close(&mut self, out: &mut Vec<u8>) {
        // White space, or a comma too many, which stays the client's mistake.
        out.append(&mut self.between);
        if self.streams && self.usage == UsageRequest::Undecided {
            // Serializing may make numbers longer than the client wrote them, and there is room for `VALUE` alone.
            let most = self.options.as_ref().map_or(0, Vec::len) + VALUE.len();
            let options = with_usage(self.options.as_deref());
            if let Some(options) = options.filter(|options| options.len() <= most) {
                self.usage = UsageRequest::Added;
                self.options = Some(options.into_bytes());
            }
        }
        self.write_options(out);
        out.push(b'}');
        self.at = At::Outside;
    }

    fn write_options(&mut self, out: &mut Vec<u8>) {
        if let Some(options) = self.options.take() {
            if std::mem::replace(&mut self.written, true) {
                out.push(b',');
            }
            out.extend_from_slice(NAME.as_bytes());
            out.extend(options);
        }
    }

    /// Writes the bytes before a value as they are, without the comma if this becomes the first member.
    fn write_between(&mut self, out: &mut Vec<u8>) {
        let mut between = std::mem::take(&mut self.between);
        if !between.is_empty() && !std::mem::replace(&mut self.written, true) {
            let comma = between.iter().position(|byte| !is_blank(*byte));
            if let Some(comma) = comma.filter(|at| between.get(*at) == Some(&b',')) {
                between.remove(comma);
            }
        }
        out.append(&mut between);
    }

    /// Writes all that is held, for a body that turns out to be no object, or that breaks off.
    fn give_up(&mut self, out: &mut Vec<u8>) {
        self.write_options(out);
        if self.at == At::Between {
            self.write_between(out);
        }
        self.at = At::Outside;
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `options` with a request for usage; `None` if they have one, or are no object.
fn with_usage(options: Option<&[u8]>) -> Option<String> {
    const NAME: &str = "include_usage";
    let Some(options) = options else {
        return Some(VALUE.to_owned());
    };
    let mut options: serde_json::Value = serde_json::from_slice(options).ok()?;
    if options.is_null() {
        return Some(VALUE.to_owned());
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

    /// What goes up for a body cut into chunks, and whether usage was requested.
    fn sent(body: &[u8], announced: bool, cut: usize) -> (Vec<u8>, bool) {
        let mut include = IncludeUsage::new(announced);
        let mut sent = Vec::new();
        for chunk in body.chunks(cut) {
            sent.extend(include.feed(chunk, false));
        }
        sent.extend(include.feed(b"", true));
        (sent, include.has_requested_usage())
    }

    #[test]
    fn a_stream_that_does_not_ask_for_usage_is_made_to() {
        let added = r#","stream_options":{"include_usage":true}}"#;
        for (body, wanted) in [
            (r#"{"stream":true}"#, &*format!(r#"{{"stream":true{added}"#)),
            (
                "{\"a\": \"}\\\"\", \"stream\": true }\n",
                &format!("{{\"a\": \"}}\\\"\", \"stream\": true {added}\n"),
            ),
            (
                r#"{"stre\u0061m":true,"x":[]}"#,
                &format!(r#"{{"stre\u0061m":true,"x":[]{added}"#),
            ),
            (
                r#"{"stream_options": null, "stream": true}"#,
                &format!(r#"{{ "stream": true{added}"#),
            ),
            (
                r#"{"stream_options": {"include_usage" : false}, "a":NaN, "stream": true}"#,
                &format!(r#"{{ "a":NaN, "stream": true{added}"#),
            ),
            // What is said twice counts the last time.
            (
                r#"{"stream_options": {"include_usage":true}, "stream": true, "stream_options": null}"#,
                &format!(r#"{{ "stream": true{added}"#),
            ),
            (
                "\u{feff}{\"stream\":true}",
                &format!("\u{feff}{{\"stream\":true{added}"),
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
            r#"{{"stream":true,"stream_options":{{"x":"{}"}}}}"#,
            "y".repeat(2 * LONGEST)
        );
        for body in [
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"stream":true,"stream_options":7}"#,
            r#"{"stream":false,"stream_options":null}"#,
            r#"{"stream":true,"stream_options":{"a":[1e9,1e9,1e9,1e9,1e9,1e9]}}"#,
            r#"{"stream_options":{}}"#,
            r#"{"stream":true,"stream_options":{"a":1}"#,
            r#"{"stream":true,"stream_options":nul"#,
            r#"{"a":1,"stream_options":{},!"#,
            r#"{"stream":false,}"#,
            &format!(
                r#"{{"{}":1,"stream":false,"stream_options":{{"include_usage":true}}}}"#,
                "x".repeat(100)
            ),
            &format!(
                r#"{{"{}" : 1, "stream":true,"stream_options":{{"include_usage":true}}}}"#,
                "x".repeat(94)
            ),
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
                let (free, requested) = sent(body.as_bytes(), false, cut);
                assert_eq!(free, body.as_bytes());
                assert!(!requested, "{body}");
                let (padded, _) = sent(body.as_bytes(), true, cut);
                assert_eq!(padded.len(), body.len() + ROOM);
                assert!(padded.starts_with(body.as_bytes()));
            }
        }
    }

    #[test]
    fn blanks_hide_nothing() {
        let blanks = " ".repeat(2 * LONGEST);
        let body = format!(
            "{blanks}{{{blanks}\"stream\"{blanks}:{blanks}true{blanks},{blanks}\"stream_options\"{blanks}:{blanks}{{{blanks}}}{blanks}}}"
        );
        for cut in [1, 7, 100_000] {
            let (sent, requested) = sent(body.as_bytes(), true, cut);
            let wanted = json!({"stream": true, "stream_options": {"include_usage": true}});
            assert_eq!(serde_json::from_slice::<Value>(&sent).unwrap(), wanted);
            assert!(requested && sent.len() == body.len() + ROOM);
        }
    }

    #[test]
    fn a_body_of_any_size_takes_a_time_that_grows_with_it() {
        let text = "x".repeat(8 << 20);
        for body in [
            format!(r#"{{"a":"{text}","stream":true}}"#),
            format!(r#"{{"stream":"{text}"}}"#),
            format!(r#"{{"{text}":1,"stream_options":"{text}"}}"#),
            format!(r#"{{"stream_options":{{"a":"{text}"}}"#),
            format!("{{{}", " ".repeat(8 << 20)),
        ] {
            let start = std::time::Instant::now();
            let (sent, _) = sent(body.as_bytes(), true, 64 << 10);
            assert_eq!(sent.len(), body.len() + ROOM);
            // A minute and more where it grows with the square.
            assert!(start.elapsed().as_secs() < 10, "{body:.30}");
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
                "[a-z\"]{1,3}",
                "[a-z]{90,99}"
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
            let (sent, requested) = sent(body.as_bytes(), announced, cut);
            if announced {
                prop_assert_eq!(sent.len(), body.len() + ROOM);
            }
            let mut wanted = value.clone();
            let read: Value = serde_json::from_slice(&sent).unwrap();
            if let Some(map) = wanted.as_object_mut() {
                let streams = map.get("stream") == Some(&json!(true));
                let options = map.get("stream_options").cloned();
                let asks = match &options {
                    Some(Value::Object(options)) => options.get("include_usage") != Some(&json!(true)),
                    Some(Value::Null) | None => true,
                    Some(_) => false,
                };
                prop_assert_eq!(requested, streams && asks);
                if requested {
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
            let (sent, requested) = sent(&bytes, true, cut);
            if !requested && !bytes.windows(7).any(|window| window == b"stream_") {
                prop_assert!(sent.starts_with(&bytes));
            }
            prop_assert_eq!(sent.len(), bytes.len() + ROOM);
        }
    }
}
