//! The form of a response's body: JSON or an event stream. The first bytes decide, because `Content-Type` is wrong or
//! missing often enough. A body that is neither (audio, images, files) is recognized by them as well.

use crate::grammar::media::{EVENT_STREAM, MediaType};
use crate::wire::sse::FIELDS;

/// Media types, or prefixes of them, whose bodies are neither and are not read.
const BINARY: [&[u8]; 16] = [
    b"audio/",
    b"image/",
    b"video/",
    b"font/",
    b"model/",
    b"multipart/",
    b"application/pdf",
    b"application/zip",
    b"application/gzip",
    b"application/zstd",
    b"application/x-tar",
    b"application/wasm",
    b"application/grpc",
    b"application/protobuf",
    b"application/x-protobuf",
    b"application/vnd.amazon.eventstream",
];

/// The longest of [`FIELDS`], in bytes.
const LONGEST: usize = 6;

/// The form that `Content-Type` declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Declared {
    Json,
    Events,
    /// None that can be relied on: text, bytes, an unknown type, or no type at all.
    Unknown,
}

impl Declared {
    /// `None` for a media type whose bodies are not read.
    fn by(media: MediaType<'_>) -> Option<Self> {
        Some(if media.is(b"application/json") {
            Self::Json
        } else if media.is(EVENT_STREAM) {
            Self::Events
        } else if BINARY.iter().any(|start| media.starts_with(start)) {
            return None;
        } else if media.ends_with(b"+json") || media.ends_with(b"ndjson") {
            Self::Json
        } else {
            Self::Unknown
        })
    }
}

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Events,
    /// Neither of the two.
    Other,
}

/// Recognizes the form of one body by its first bytes.
#[derive(Debug)]
pub(super) struct Sniffer {
    declared: Declared,
    /// The first bytes, while they may begin more than one form.
    held: [u8; LONGEST],
    /// The number of bytes in `held`.
    length: usize,
}

impl Sniffer {
    /// A sniffer for a body with this `Content-Type`; `None` if such a body is not read.
    pub(super) fn of(content_type: &[u8]) -> Option<Self> {
        Some(Self {
            declared: Declared::by(MediaType::of(content_type))?,
            held: [0; LONGEST],
            length: 0,
        })
    }

    /// Whether the body is declared to be an event stream.
    pub(super) fn expects_events(&self) -> bool {
        self.declared == Declared::Events
    }

    /// Takes the next bytes. Returns the form, and the bytes that follow those [held](Self::held); `None` if more bytes are
    /// needed.
    pub(super) fn look<'b>(&mut self, bytes: &'b [u8]) -> Option<(Form, &'b [u8])> {
        let mut rest = bytes;
        while let Some((&byte, behind)) = rest.split_first() {
            // A byte order mark may stand before any form.
            let skipped = byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf);
            if self.length == 0 && skipped {
                rest = behind;
                continue;
            }
            match byte {
                _ if self.length > 0 => {}
                // 0x1e begins a sequence of JSON documents (RFC 7464).
                b'{' | b'[' | 0x1e => return Some((Form::Json, rest)),
                _ if self.declared == Declared::Events => return Some((Form::Events, rest)),
                _ => {}
            }
            if let Some(place) = self.held.get_mut(self.length) {
                *place = byte;
                self.length += 1;
            }
            rest = behind;
            let held = self.held();
            if FIELDS.contains(&held) {
                return Some((Form::Events, rest));
            }
            if !FIELDS.iter().any(|field| field.starts_with(held)) {
                let form = match self.declared {
                    Declared::Json => Form::Json,
                    _ => Form::Other,
                };
                return Some((form, rest));
            }
        }
        None
    }

    /// The bytes before those that [`Self::look`] returned.
    pub(super) fn held(&self) -> &[u8] {
        self.held.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form of a body that comes in chunks of one size, and the body without the white space and marks before it.
    fn look(media: &str, body: &str, cut: usize) -> Option<(Form, String)> {
        let mut sniffer = Sniffer::of(media.as_bytes())?;
        let mut chunks = body.as_bytes().chunks(cut);
        while let Some(chunk) = chunks.next() {
            if let Some((form, rest)) = sniffer.look(chunk) {
                let whole = [sniffer.held(), rest, &chunks.collect::<Vec<_>>().concat()].concat();
                return Some((form, String::from_utf8(whole).unwrap()));
            }
        }
        None
    }

    #[test]
    fn the_first_bytes_tell_the_form_wherever_they_are_cut() {
        let said = [
            "application/json",
            "text/event-stream; charset=utf-8",
            "text/plain",
            "",
        ];
        for (body, form) in [
            ("{\"a\": 1}", Form::Json),
            ("[{}]", Form::Json),
            ("\u{1e}{}\n", Form::Json),
            ("data: {}\n\n", Form::Events),
            ("data:{}\n\n", Form::Events),
            ("event: x\n", Form::Events),
            ("id: 1\n", Form::Events),
            ("retry: 5\n", Form::Events),
            (": hello\n\n", Form::Events),
        ] {
            for media in said {
                for before in ["", "\u{feff}", "\r\n", "\u{feff} \n"] {
                    for cut in 1..9 {
                        let found = look(media, &format!("{before}{body}"), cut);
                        assert_eq!(found, Some((form, body.to_owned())), "{media} {body}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_neither_is_what_it_is_said_to_be_or_nothing() {
        for body in [
            "dates are",
            "everything",
            "i",
            "\"text\"",
            "1",
            "\0\u{1}RIFF",
        ] {
            for cut in [1, 100] {
                let longer = format!("{body} and more");
                let of = |media| look(media, &longer, cut).unwrap().0;
                assert_eq!(of("text/plain"), Form::Other, "{body}");
                assert_eq!(of("application/problem+json"), Form::Json, "{body}");
                assert_eq!(of("text/event-stream"), Form::Events, "{body}");
            }
        }
        for media in [
            "audio/mpeg",
            "IMAGE/png",
            "multipart/form-data; boundary=x",
            "application/pdf",
        ] {
            assert!(Sniffer::of(media.as_bytes()).is_none(), "{media}");
        }
    }
}
