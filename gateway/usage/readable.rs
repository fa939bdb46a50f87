//! A body as a meter can read it, piece by piece, while the client gets it as it is.
//!
//! Of the compressions only gzip, in one member, is read: a stream of it takes 40 KiB, where others take megabytes. So
//! providers are asked for no other (see `proxy::inject`).

use std::io::Write;

use flate2::write::GzDecoder;

/// Compressed bytes that are read at a time: what they become is held, and is at most about a thousand times
/// as long.
const STEP: usize = 1024;
/// A body that becomes more than so many times its size is meant to keep the reader busy.
const MOST_TIMES: u64 = 100;
/// What any body may become.
const ALWAYS: u64 = 1 << 20;

/// The reader of one body.
pub enum Readable {
    /// As it comes.
    Plain,
    /// Decompressed.
    Gzip(Box<Gzip>),
    /// Not at all.
    Blind,
}

/// The state of a decompression.
pub struct Gzip {
    decoder: GzDecoder<Vec<u8>>,
    read: u64,
    made: u64,
}

impl Readable {
    /// For a body with this `Content-Encoding`; left out, or empty, it is plain.
    pub fn of(encoding: &[u8]) -> Self {
        let encoding = encoding.trim_ascii();
        if encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity") {
            Self::Plain
        } else if [&b"gzip"[..], b"x-gzip"]
            .iter()
            .any(|gzip| encoding.eq_ignore_ascii_case(gzip))
        {
            Self::Gzip(Box::new(Gzip {
                decoder: GzDecoder::new(Vec::new()),
                read: 0,
                made: 0,
            }))
        } else {
            Self::Blind
        }
    }

    /// Gives the text of the next piece to `reader`, in as many pieces as it likes.
    pub fn feed(&mut self, piece: &[u8], mut reader: impl FnMut(&[u8])) {
        match self {
            Self::Plain => reader(piece),
            Self::Gzip(gzip) => {
                if !gzip.feed(piece, &mut reader) {
                    *self = Self::Blind;
                }
            }
            Self::Blind => {}
        }
    }
}

impl Gzip {
    /// Whether there is more to be had.
    fn feed(&mut self, piece: &[u8], reader: &mut impl FnMut(&[u8])) -> bool {
        for step in piece.chunks(STEP) {
            // A flush, so that nothing that is known already waits for the next piece.
            let written = self
                .decoder
                .write_all(step)
                .and_then(|()| self.decoder.flush());
            let made = self.decoder.get_mut();
            self.read += step.len() as u64;
            self.made += made.len() as u64;
            reader(made);
            made.clear();
            if written.is_err() || self.made > self.read * MOST_TIMES + ALWAYS {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// A stream as servers make them: each event is to be had as soon as it is sent.
    fn compressed(events: &[&str]) -> Vec<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let mut pieces = Vec::new();
        for event in events {
            encoder.write_all(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            pieces.push(std::mem::take(encoder.get_mut()));
        }
        pieces.push(encoder.finish().unwrap());
        pieces
    }

    fn text(readable: &mut Readable, piece: &[u8]) -> String {
        let mut text = Vec::new();
        readable.feed(piece, |read| text.extend_from_slice(read));
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn each_event_is_read_as_soon_as_it_is_there() {
        let events = ["data: one\n\n", "data: two\n\n", "data: [DONE]\n\n"];
        let mut readable = Readable::of(b"GZIP");
        for (piece, event) in compressed(&events).iter().zip(events) {
            assert_eq!(text(&mut readable, piece), event);
        }
        // And wherever it is cut.
        let mut readable = Readable::of(b"x-gzip");
        let whole = compressed(&events).concat();
        let read: String = whole
            .chunks(1)
            .map(|byte| text(&mut readable, byte))
            .collect();
        assert_eq!(read, events.concat());
    }

    #[test]
    fn what_is_not_compressed_is_read_as_it_is_and_what_is_not_known_not_at_all() {
        for plain in [&b""[..], b"identity"] {
            assert_eq!(text(&mut Readable::of(plain), b"data"), "data");
        }
        for other in [&b"br"[..], b"zstd", b"gzip, br"] {
            assert_eq!(text(&mut Readable::of(other), b"data"), "");
        }
        let mut broken = Readable::of(b"gzip");
        assert_eq!(text(&mut broken, b"not gzip at all"), "");
        assert!(matches!(broken, Readable::Blind));
    }

    #[test]
    fn a_body_that_only_keeps_busy_is_given_up() {
        let zeros = "\0".repeat(64 << 20);
        let bomb = compressed(&[&zeros]).concat();
        let mut readable = Readable::of(b"gzip");
        let mut read = 0;
        readable.feed(&bomb, |piece| {
            assert!(piece.len() < 2 << 20);
            read += piece.len();
        });
        assert!(matches!(readable, Readable::Blind));
        assert!(read < 4 << 20, "{read}");
    }
}
