//! Decompresses a body chunk by chunk for a meter, while the client gets it as it is.
//!
//! `proxy::inject` lets clients request no other compression than gzip: decoding it takes 40 KiB per stream, where others
//! take megabytes. A provider may send Zstandard all the same; the number of such bodies that are decoded at once is
//! limited, and with it their memory.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::write::GzDecoder;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

/// The compressed bytes that are decoded at a time. The decoded bytes are held, and are at most about a thousand times as
/// many.
const STEP: usize = 1024;
/// The largest ratio of decoded to compressed bytes. A body beyond it is taken for an attack on the reader.
const MOST_TIMES: u64 = 100;
/// The decoded bytes that any body may have, whatever the ratio.
const ALWAYS: u64 = 1 << 20;
/// The members that any gzip body may have: each needs a new decoder.
const MEMBERS: u64 = 64;
/// A gzip body may have one member more for each of these compressed bytes.
const MEMBER: u64 = 1024;
/// The largest window of Zstandard, as a power of two: what HTTP allows
/// (<https://www.rfc-editor.org/rfc/rfc9659#name-window-size>).
const ZSTD_WINDOW: u32 = 23;
/// The Zstandard bodies that are decoded at once in this process, each with up to such a window.
const ZSTD_AT_ONCE: usize = 16;
/// The decoded bytes of a Zstandard body that are held at a time.
const ZSTD_STEP: usize = 16 << 10;

/// The decoder of one body.
pub(crate) enum BodyDecoder {
    /// The body is not compressed.
    Plain,
    /// The body is compressed by gzip.
    Gzip(Box<Gzip>),
    /// The body is compressed by Zstandard.
    Zstd(Box<Zstd>),
    /// The body cannot be decoded, or no further.
    Unreadable,
}

/// The state of a gzip decoder.
pub(crate) struct Gzip {
    decoder: GzDecoder<Vec<u8>>,
    /// The members that have ended (RFC 1952, section 2.2).
    members: u64,
    ratio: Ratio,
}

/// The state of a Zstandard decoder.
pub(crate) struct Zstd {
    decoder: Decoder<'static>,
    decoded: Vec<u8>,
    ratio: Ratio,
    _permit: Permit,
}

/// The compressed and the decoded bytes of a body.
#[derive(Default)]
struct Ratio {
    read: u64,
    decoded: u64,
}

impl Ratio {
    /// Counts bytes. Returns whether the ratio is still one of a genuine response.
    fn add(&mut self, read: usize, decoded: usize) -> bool {
        self.read += read as u64;
        self.decoded += decoded as u64;
        self.decoded <= self.read * MOST_TIMES + ALWAYS
    }
}

/// The right to decode one Zstandard body, given back when dropped.
struct Permit;

static PERMITS_TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Permit {
    fn take() -> Option<Self> {
        let more = |taken: usize| (taken < ZSTD_AT_ONCE).then_some(taken + 1);
        let taken = PERMITS_TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        // Not `then_some`: it would make a permit in any case, and drop it where none was taken.
        taken.is_ok().then(|| Self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        PERMITS_TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl BodyDecoder {
    /// A decoder for a body with this `Content-Encoding`, which is empty for a body without one.
    pub(crate) fn of(encoding: &[u8]) -> Self {
        let encoding = encoding.trim_ascii();
        if encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity") {
            Self::Plain
        } else if [&b"gzip"[..], b"x-gzip"]
            .iter()
            .any(|gzip| encoding.eq_ignore_ascii_case(gzip))
        {
            Self::Gzip(Box::new(Gzip {
                decoder: GzDecoder::new(Vec::new()),
                members: 0,
                ratio: Ratio::default(),
            }))
        } else if encoding.eq_ignore_ascii_case(b"zstd") {
            Zstd::new().map_or(Self::Unreadable, |zstd| Self::Zstd(Box::new(zstd)))
        } else {
            Self::Unreadable
        }
    }

    /// Whether the body cannot be decoded, or no further.
    pub(crate) fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable)
    }

    /// Decodes the next chunk, and calls `reader` with the decoded bytes, once or several times.
    pub(crate) fn feed(&mut self, chunk: &[u8], mut reader: impl FnMut(&[u8])) {
        match self {
            Self::Plain => reader(chunk),
            Self::Gzip(gzip) => {
                if !gzip.feed(chunk, &mut reader) {
                    *self = Self::Unreadable;
                }
            }
            Self::Zstd(zstd) => {
                if !zstd.feed(chunk, &mut reader) {
                    *self = Self::Unreadable;
                }
            }
            Self::Unreadable => {}
        }
    }
}

impl Zstd {
    fn new() -> Option<Self> {
        let permit = Permit::take()?;
        let mut decoder = Decoder::new().ok()?;
        decoder
            .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW))
            .ok()?;
        Some(Self {
            decoder,
            decoded: Vec::with_capacity(ZSTD_STEP),
            ratio: Ratio::default(),
            _permit: permit,
        })
    }

    /// Decodes a chunk. Returns whether the rest of the body may be decoded.
    fn feed(&mut self, chunk: &[u8], reader: &mut impl FnMut(&[u8])) -> bool {
        if chunk.is_empty() {
            // The decoder takes several empty chunks in a row for an error.
            return true;
        }
        let mut input = InBuffer::around(chunk);
        loop {
            self.decoded.clear();
            let before = input.pos();
            let mut output = OutBuffer::around(&mut self.decoded);
            let run = self.decoder.run(&mut input, &mut output);
            reader(&self.decoded);
            if run.is_err() || !self.ratio.add(input.pos() - before, self.decoded.len()) {
                return false;
            }
            // If the buffer is full, the decoder may hold more.
            if input.pos() == chunk.len() && self.decoded.len() < self.decoded.capacity() {
                return true;
            }
        }
    }
}

impl Gzip {
    /// Decodes a chunk. Returns whether the rest of the body may be decoded.
    fn feed(&mut self, chunk: &[u8], reader: &mut impl FnMut(&[u8])) -> bool {
        for step in chunk.chunks(STEP) {
            // Without a flush, bytes that are decoded already would wait for the next chunk.
            let written = self.write(step).and_then(|()| self.decoder.flush());
            let decoded = self.decoder.get_mut();
            reader(decoded);
            let sound = self.ratio.add(step.len(), decoded.len());
            decoded.clear();
            if written.is_err() || !sound {
                return false;
            }
        }
        true
    }

    fn write(&mut self, step: &[u8]) -> io::Result<()> {
        let mut rest = step;
        while !rest.is_empty() {
            let taken = self.decoder.write(rest)?;
            if taken == 0 {
                self.next_member()?;
            }
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Begins the next member of the body, with a new decoder. Fails if there are too many.
    fn next_member(&mut self) -> io::Result<()> {
        self.decoder.try_finish()?;
        self.members += 1;
        if self.members > MEMBERS + self.ratio.read / MEMBER {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let buffer = std::mem::take(self.decoder.get_mut());
        self.decoder = GzDecoder::new(buffer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// A Zstandard stream as servers write it: flushed after each event.
    fn zstandard(events: &[&str], level: i32) -> Vec<Vec<u8>> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level).unwrap();
        let mut chunks = Vec::new();
        for event in events {
            encoder.write_all(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            chunks.push(std::mem::take(encoder.get_mut()));
        }
        chunks.push(encoder.finish().unwrap());
        chunks
    }

    /// The same in gzip.
    fn compressed(events: &[&str]) -> Vec<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let mut chunks = Vec::new();
        for event in events {
            encoder.write_all(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            chunks.push(std::mem::take(encoder.get_mut()));
        }
        chunks.push(encoder.finish().unwrap());
        chunks
    }

    fn text(readable: &mut BodyDecoder, chunk: &[u8]) -> String {
        let mut text = Vec::new();
        readable.feed(chunk, |read| text.extend_from_slice(read));
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn each_event_is_read_as_soon_as_it_is_there() {
        let events = ["data: one\n\n", "data: two\n\n", "data: [DONE]\n\n"];
        let mut readable = BodyDecoder::of(b"GZIP");
        for (chunk, event) in compressed(&events).iter().zip(events) {
            assert_eq!(text(&mut readable, chunk), event);
        }
        // The same wherever the stream is cut.
        let mut readable = BodyDecoder::of(b"x-gzip");
        let whole = compressed(&events).concat();
        let read: String = whole
            .chunks(1)
            .map(|byte| text(&mut readable, byte))
            .collect();
        assert_eq!(read, events.concat());
    }

    /// RFC 1952, 2.2: a file is a series of members. Some flush by ending one and beginning the next.
    #[test]
    fn all_members_of_a_gzip_are_read() {
        let one = compressed(&["data: one\n\n"]).concat();
        let two = compressed(&["data: two\n\n", "data: [DONE]\n\n"]).concat();
        let whole = [one, two].concat();
        for cut in [1, 7, whole.len()] {
            let mut readable = BodyDecoder::of(b"gzip");
            let read: String = whole
                .chunks(cut)
                .map(|chunk| text(&mut readable, chunk))
                .collect();
            assert_eq!(read, "data: one\n\ndata: two\n\ndata: [DONE]\n\n");
            assert!(!readable.is_unreadable());
        }
    }

    #[test]
    fn members_that_only_keep_busy_are_given_up() {
        let empty = compressed(&[]).concat();
        let mut readable = BodyDecoder::of(b"gzip");
        readable.feed(&empty.repeat(60), |_| {});
        assert!(!readable.is_unreadable());
        readable.feed(&empty.repeat(1000), |_| {});
        assert!(readable.is_unreadable());
        // A member for each event.
        let event = compressed(&[&"data: {}\n\n".repeat(2000)]).concat();
        let mut readable = BodyDecoder::of(b"gzip");
        readable.feed(&event.repeat(60), |_| {});
        assert!(!readable.is_unreadable());
        // What is no member.
        readable.feed(b"text behind it", |_| {});
        assert!(readable.is_unreadable());
    }

    /// One test for all of it, because the permits belong to the process.
    #[test]
    fn zstandard_is_read_as_it_comes_by_so_many_at_once_and_not_in_larger_windows() {
        let events = ["data: one\n\n", "data: two\n\n", "data: [DONE]\n\n"];
        let mut readable = BodyDecoder::of(b"Zstd");
        for (chunk, event) in zstandard(&events, 3).iter().zip(events) {
            assert_eq!(text(&mut readable, chunk), event);
        }
        let long = "data: ".to_owned() + &"0123456789".repeat(20_000) + "\n\n";
        let whole = zstandard(&[&long], 19).concat();
        for cut in [1, 7, whole.len()] {
            let mut readable = BodyDecoder::of(b"zstd");
            let read: String = whole
                .chunks(cut)
                .map(|chunk| text(&mut readable, chunk))
                .collect();
            assert!(read == long, "cut at {cut}");
        }
        drop(readable);
        let all: Vec<BodyDecoder> = (0..=ZSTD_AT_ONCE)
            .map(|_| BodyDecoder::of(b"zstd"))
            .collect();
        let unreadable = |readable: &&BodyDecoder| matches!(readable, BodyDecoder::Unreadable);
        assert_eq!(all.iter().filter(unreadable).count(), 1);
        drop(all);
        let mut wide = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        wide.window_log(ZSTD_WINDOW + 1).unwrap();
        wide.write_all(b"data").unwrap();
        wide.flush().unwrap();
        let mut readable = BodyDecoder::of(b"zstd");
        assert_eq!(text(&mut readable, wide.get_ref()), "");
        assert!(matches!(readable, BodyDecoder::Unreadable));
        let zeros = "\0".repeat(64 << 20);
        let mut readable = BodyDecoder::of(b"zstd");
        let mut read = 0;
        readable.feed(&zstandard(&[&zeros], 3).concat(), |chunk| {
            read += chunk.len();
        });
        assert!(
            matches!(readable, BodyDecoder::Unreadable) && read < 4 << 20,
            "{read}"
        );
    }

    #[test]
    fn what_is_not_compressed_is_read_as_it_is_and_what_is_not_known_not_at_all() {
        for plain in [&b""[..], b"identity"] {
            assert_eq!(text(&mut BodyDecoder::of(plain), b"data"), "data");
        }
        for other in [&b"br"[..], b"gzip, zstd", b"gzip, br"] {
            assert_eq!(text(&mut BodyDecoder::of(other), b"data"), "");
        }
        let mut broken = BodyDecoder::of(b"gzip");
        assert_eq!(text(&mut broken, b"not gzip at all"), "");
        assert!(matches!(broken, BodyDecoder::Unreadable));
    }

    #[test]
    fn a_body_that_only_keeps_busy_is_given_up() {
        let zeros = "\0".repeat(64 << 20);
        let bomb = compressed(&[&zeros]).concat();
        let mut readable = BodyDecoder::of(b"gzip");
        let mut read = 0;
        readable.feed(&bomb, |chunk| {
            assert!(chunk.len() < 2 << 20);
            read += chunk.len();
        });
        assert!(matches!(readable, BodyDecoder::Unreadable));
        assert!(read < 4 << 20, "{read}");
    }
}
