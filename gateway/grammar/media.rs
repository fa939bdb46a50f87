//! Media types, as `Content-Type` names them (RFC 9110, section 8.3).
//!
//! Knows the syntax alone. What a body is taken for is decided where the body is read.

/// The media type of a stream of server-sent events.
pub(crate) const EVENT_STREAM: &[u8] = b"text/event-stream";

/// A media type without its parameters. Compared in any case.
#[derive(Clone, Copy)]
pub(crate) struct MediaType<'v>(&'v [u8]);

impl<'v> MediaType<'v> {
    /// The media type of a `Content-Type`; an empty one where the header is empty.
    pub(crate) fn of(content_type: &'v [u8]) -> Self {
        let end = content_type.iter().position(|byte| *byte == b';');
        let (media, _) = content_type.split_at(end.unwrap_or(content_type.len()));
        Self(media.trim_ascii())
    }

    /// Whether it is `other`.
    pub(crate) fn is(self, other: &[u8]) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }

    /// Whether it begins with `start`.
    pub(crate) fn starts_with(self, start: &[u8]) -> bool {
        let found = self.0.get(..start.len());
        found.is_some_and(|found| found.eq_ignore_ascii_case(start))
    }

    /// Whether it ends with `end`.
    pub(crate) fn ends_with(self, end: &[u8]) -> bool {
        let from = self.0.len().checked_sub(end.len());
        let found = from.and_then(|from| self.0.get(from..));
        found.is_some_and(|found| found.eq_ignore_ascii_case(end))
    }
}

/// Whether a `Content-Type` declares a stream of server-sent events.
pub(crate) fn is_event_stream(content_type: &[u8]) -> bool {
    MediaType::of(content_type).is(EVENT_STREAM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_read_without_parameters_and_in_any_case() {
        for (content_type, is_stream) in [
            ("text/event-stream", true),
            ("Text/Event-Stream ;charset=utf-8", true),
            (" text/event-stream", true),
            ("text/event-streams", false),
            ("application/json; x=text/event-stream", false),
            ("", false),
        ] {
            assert_eq!(is_event_stream(content_type.as_bytes()), is_stream);
        }
        let media = MediaType::of(b"application/Problem+JSON; charset=utf-8");
        assert!(media.starts_with(b"application/") && media.ends_with(b"+json"));
        let short = MediaType::of(b"json");
        assert!(!short.ends_with(b"+json") && !short.starts_with(b"json+"));
        assert!(MediaType::of(b"").is(b""));
    }
}
