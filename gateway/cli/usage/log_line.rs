//! Finds the access line in a line of a log: as keygate writes it, or as a log collector has wrapped it.
//!
//! | collector | what it makes of a line |
//! |---|---|
//! | `journalctl -o json` | `{"MESSAGE": "LINE", ...}`, or a list of bytes |
//! | `journalctl`, syslog | `Nov 27 16:56:50 host keygate[12]: LINE`, also with a time as in RFC 3339 |
//! | Docker's json-file | `{"log": "LINE\n", "stream": "stdout", ...}` |
//! | `docker logs -t` | `2026-11-27T16:56:50.1Z LINE` |
//! | `docker compose logs` | `keygate-1  | LINE`, perhaps with such a time |
//! | Kubernetes (CRI) | `2026-11-27T16:56:50.1Z stdout F LINE` |
//! | `kubectl logs --prefix` | `[pod/name/container] LINE`, perhaps with such a time |
//! | syslog of RFC 5424 | `<14>1 2026-11-27T16:56:50.1Z host keygate 12 - - LINE` |
//! | Vector, Fluent Bit, ... | `{"message": "LINE", ...}` |
//!
//! No other text may precede a line: an event that quotes an access line is not one.

use serde::Deserialize;

use super::access_line::AccessLine;

/// The kinds of lines in a log.
pub(super) enum LogLine {
    /// An access line.
    Access(Box<AccessLine>),
    /// An event, which keygate writes to standard error.
    Event,
    /// A line of another program.
    Other,
}

/// A record of a log collector, with the line in it.
#[derive(Deserialize)]
struct Record {
    #[serde(rename = "MESSAGE", alias = "log", alias = "message")]
    text: Text,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    /// The form that journald uses for a message that is not UTF-8 or has control characters.
    Bytes(Vec<u8>),
}

/// Reads a line of a log.
pub(super) fn parse(line: &[u8]) -> LogLine {
    let line = line.trim_ascii();
    if !line.starts_with(b"{") {
        return plain(line);
    }
    if let Ok(access) = serde_json::from_slice(line) {
        return LogLine::Access(Box::new(access));
    }
    match serde_json::from_slice::<Record>(line) {
        Ok(Record { text }) => match text {
            Text::Plain(text) => plain(text.trim().as_bytes()),
            Text::Bytes(bytes) => plain(bytes.trim_ascii()),
        },
        Err(_) => LogLine::Other,
    }
}

/// Reads a line that is no JSON record.
fn plain(text: &[u8]) -> LogLine {
    let start = memchr::memchr(b'{', text).unwrap_or(text.len());
    let (prefix, rest) = text.split_at(start);
    let Ok(prefix) = std::str::from_utf8(prefix) else {
        return LogLine::Other;
    };
    let words: Vec<&str> = prefix.split_ascii_whitespace().take(MOST + 1).collect();
    let after = without_prefix(&words);
    if after.is_empty()
        && let Ok(access) = serde_json::from_slice(rest)
    {
        return LogLine::Access(Box::new(access));
    }
    if is_event(after) {
        return LogLine::Event;
    }
    LogLine::Other
}

/// The number of words before the access line that are examined: those of a prefix, and the first two of an event.
const MOST: usize = 8;

/// The words after the prefix of a log collector.
fn without_prefix<'w, 't>(words: &'w [&'t str]) -> &'w [&'t str] {
    match words {
        [_, "|", time, rest @ ..] if is_time(time) && !is_level(rest) => rest,
        [_, "|", rest @ ..] => rest,
        [time, "stdout" | "stderr", "F" | "P", rest @ ..] if is_time(time) => rest,
        [pod, time, rest @ ..] if is_pod(pod) && is_time(time) && !is_level(rest) => rest,
        [pod, rest @ ..] if is_pod(pod) => rest,
        [priority, time, _, _, _, _, "-", rest @ ..] if is_priority(priority) && is_time(time) => {
            rest
        }
        // syslog: month, day, time; or one time. `short-full`: weekday, day, time, zone.
        [_, _, _, _, tag, rest @ ..] if is_tag(tag) => rest,
        [_, day, _, _, _, tag, rest @ ..] if is_tag(tag) && is_day(day) => rest,
        [seconds, _, tag, rest @ ..] if is_seconds(seconds) && is_tag(tag) => rest,
        [time, _, tag, rest @ ..] if is_time(time) && is_tag(tag) => rest,
        [time, rest @ ..] if is_time(time) && !is_level(rest) => rest,
        rest => rest,
    }
}

fn is_pod(word: &str) -> bool {
    word.starts_with("[pod/") && word.ends_with(']')
}

/// Whether a word is the priority and version that start a line of RFC 5424: `<14>1`.
fn is_priority(word: &str) -> bool {
    let inner = word
        .strip_prefix('<')
        .and_then(|word| word.strip_suffix(">1"));
    inner.is_some_and(|number| number.parse::<u8>().is_ok())
}

fn is_day(word: &str) -> bool {
    word.parse::<jiff::civil::Date>().is_ok()
}

/// Whether a word is a number of seconds, as in `short-unix`.
fn is_seconds(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Whether a word is the name and the id of a process, as syslog writes them: `keygate[12]:`.
fn is_tag(word: &str) -> bool {
    let number = word
        .strip_suffix("]:")
        .and_then(|word| word.rsplit_once('['));
    number.is_some_and(|(name, number)| {
        !name.is_empty() && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Whether a word is a time as in RFC 3339; journald omits the colon of the offset.
fn is_time(word: &str) -> bool {
    word.parse::<jiff::Timestamp>().is_ok()
        || jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", word).is_ok()
}

fn is_level(words: &[&str]) -> bool {
    matches!(words, ["ERROR" | "WARN" | "INFO", ..])
}

/// Whether the words start an event: a time and a level.
fn is_event(words: &[&str]) -> bool {
    matches!(words, [time, rest @ ..] if is_time(time) && is_level(rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = r#"{"time":"2026-11-27T16:56:50.000000Z","request_id":"0a","key":"alice","input_tokens":3}"#;
    const EVENT: &str = "2026-11-27T16:56:50.000000Z  INFO serving listen=[127.0.0.1:1]";

    fn wrapped(text: &str) -> Vec<String> {
        let json = serde_json::to_string(text).unwrap();
        let bytes = serde_json::to_string(text.as_bytes()).unwrap();
        let with_end = serde_json::to_string(&format!("{text}\n")).unwrap();
        vec![
            text.to_owned(),
            format!("  {text}\r\n"),
            format!(r#"{{"_PID":"12","MESSAGE":{json},"PRIORITY":"6"}}"#),
            format!(r#"{{"MESSAGE":{bytes}}}"#),
            format!(r#"{{"log":{with_end},"stream":"stdout","time":"2026-11-27T16:56:50.1Z"}}"#),
            format!(r#"{{"message":{json},"host":"a"}}"#),
            format!("Nov 27 16:56:50 host keygate[12]: {text}"),
            format!("Nov  7 16:56:50.123456 host keygate[12]: {text}"),
            format!("2026-11-27T16:56:50+0000 host keygate[12]: {text}"),
            format!("2026-11-27T16:56:50.123456+00:00 host keygate[12]: {text}"),
            format!("2026-11-27T16:56:50.1Z {text}"),
            format!("keygate-1  | {text}"),
            format!("keygate-1  | 2026-11-27T16:56:50.1Z {text}"),
            format!("2026-11-27T16:56:50.123456789Z stdout F {text}"),
            format!("[pod/keygate-7/keygate] {text}"),
            format!("[pod/keygate-7/keygate] 2026-11-27T16:56:50.1Z {text}"),
            format!("Fri 2026-11-27 16:56:50 UTC host keygate[12]: {text}"),
            format!("1795803304.123456 host keygate[12]: {text}"),
            format!("<14>1 2026-11-27T16:56:50.1Z host keygate 12 - - {text}"),
        ]
    }

    #[test]
    fn a_line_is_read_from_the_output_of_every_collector() {
        for log in wrapped(LINE) {
            match parse(log.as_bytes()) {
                LogLine::Access(line) => {
                    assert_eq!(
                        (line.key.as_deref(), line.input_tokens),
                        (Some("alice"), Some(3))
                    );
                }
                _ => panic!("{log}"),
            }
        }
        for log in wrapped(EVENT) {
            assert!(matches!(parse(log.as_bytes()), LogLine::Event), "{log}");
        }
    }

    proptest! {
        #[test]
        fn no_input_makes_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..200_usize) {
            parse(&bytes);
            // Nor does a line that was cut off and continues with other bytes.
            let cut = at.min(LINE.len() - 1);
            let broken = [&LINE.as_bytes()[..cut], &bytes].concat();
            let _ = parse(&broken);
        }

        #[test]
        fn an_access_line_after_other_words_does_not_count(words in "[a-zA-Z:|]{1,12}( [a-zA-Z:|]{1,12}){0,9}") {
            // `x |` is what Docker Compose puts there.
            let is_prefix = words.split(' ').nth(1) == Some("|") && words.split(' ').count() == 2;
            let found = parse(format!("{words} {LINE}").as_bytes());
            prop_assert_eq!(matches!(found, LogLine::Access(_)), is_prefix);
        }
    }

    #[test]
    fn a_quoted_access_line_does_not_count() {
        for log in [
            format!("{EVENT} {LINE}"),
            format!("provider says {LINE}"),
            format!("{LINE} and more"),
            format!("Nov 27 16:56:50 host keygate[12]: {EVENT} {LINE}"),
            format!("2026-11-27T16:56:50.1Z stdout F x {LINE}"),
            format!("keygate-1 | x {LINE}"),
            format!("host keygate[x]: {LINE}"),
            format!(r#"{{"a":{LINE}}}"#),
            format!(r#"{{"MESSAGE":{{"MESSAGE":{LINE}}}}}"#),
            r#"{"time":"2026-11-27T16:56:50.000000Z"}"#.to_owned(),
            "{".to_owned(),
            String::new(),
        ] {
            assert!(
                !matches!(parse(log.as_bytes()), LogLine::Access(_)),
                "{log}"
            );
        }
    }
}
