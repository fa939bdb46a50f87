//! In what form a response's body is: JSON or a stream of events. The bytes decide: what `Content-Type` says is wrong or
//! missing often enough, and a body that is neither (audio, images, files) is found out by its first bytes.

use crate::grammar::media::{EVENT_STREAM, MediaType};
use crate::wire::sse::FIELDS;

/// Media types, and beginnings of some, that are neither; they are not looked at.
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

/// What `Content-Type` says of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Declared {
    Json,
    Events,
    /// Nothing that could be relied on: text, bytes, nothing at all, a type that is not known.
    Unknown,
}

impl Declared {
    /// `None` for a media type of which nothing can be read.
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
    /// Neither.
    Other,
}

/// Looks at the first bytes of one body.
#[derive(Debug)]
pub(super) struct Sniffer {
    declared: Declared,
    /// What has come, where it is not enough to tell.
    held: [u8; LONGEST],
    length: usize,
}

impl Sniffer {
    /// For a body with this `Content-Type`; `None` where that says that there is nothing to be read.
    pub(super) fn of(content_type: &[u8]) -> Option<Self> {
        Some(Self {
            declared: Declared::by(MediaType::of(content_type))?,
            held: [0; LONGEST],
            length: 0,
        })
    }

    /// Whether the body is said to be a stream of events.
    pub(super) fn expects_events(&self) -> bool {
        self.declared == Declared::Events
    }

    /// Takes the next bytes: the form, and those of the bytes that belong to the body, behind what is
    /// [held](Self::held). `None` if there is more to come first.
    pub(super) fn look<'b>(&mut self, bytes: &'b [u8]) -> Option<(Form, &'b [u8])> {
        let mut rest = bytes;
        while let Some((&byte, behind)) = rest.split_first() {
            // A byte order mark says nothing.
            let skipped = byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf);
            if self.length == 0 && skipped {
                rest = behind;
                continue;
            }
            match byte {
                _ if self.length > 0 => {}
                // The last begins a sequence of documents (RFC 7464).
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

    /// What stands before what [`Self::look`] left.
    pub(super) fn held(&self) -> &[u8] {
        self.held.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form, and the body without what says nothing, for a body that comes in chunks of one size.
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
