//! Where a chunked body ends (RFC 9112, section 7.1), read beside its way to Pingora.
//!
//! What is not of the plain form, as a line that ends otherwise, is left to Pingora, which also takes an empty size for the
//! last one. No other request follows such a body, nor one with trailers.

/// The most digits of a chunk's size.
const DIGITS: u8 = 15;

/// A chunked body, up to where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunks {
    /// In a size, with so many digits.
    Size(u64, u8),
    /// Behind a size, in an extension.
    Extension(u64),
    /// Before the LF behind a size.
    SizeEnd(u64),
    /// In a chunk, with so many bytes to come.
    Data(u64),
    /// Before the CR behind a chunk.
    DataCr,
    /// Before the LF behind a chunk.
    DataLf,
    /// Behind the last size: before the CR of the empty line.
    LastCr,
    /// Before its LF.
    LastLf,
    /// In a trailer.
    Trailer,
    /// Before the LF behind a trailer.
    TrailerLf,
    /// Behind a trailer: before another one, or the CR of the empty line.
    TrailersCr,
    /// Before the LF of the empty line behind trailers.
    TrailersLf,
}

/// What became of a body by what came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More follows.
    More,
    /// The body ends before this byte of what came.
    Ends(usize),
    /// The same, with trailers.
    EndsInTrailers(usize),
    /// Where it ends cannot be told.
    Unclear,
}

impl Chunks {
    /// A body that nothing has come of.
    pub(crate) fn new() -> Self {
        Self::Size(0, 0)
    }

    /// Reads what comes next.
    pub(crate) fn read(&mut self, came: &[u8]) -> Progress {
        let mut at = 0;
        while let Some(&byte) = came.get(at) {
            if let Self::Data(left) = *self {
                let here =
                    usize::try_from(left).map_or(came.len() - at, |left| left.min(came.len() - at));
                at += here;
                let left = left - here as u64;
                *self = if left == 0 {
                    Self::DataCr
                } else {
                    Self::Data(left)
                };
                continue;
            }
            at += 1;
            match (*self, byte) {
                (Self::LastLf, b'\n') => return Progress::Ends(at),
                (Self::TrailersLf, b'\n') => return Progress::EndsInTrailers(at),
                _ => {}
            }
            match self.after(byte) {
                Some(next) => *self = next,
                None => return Progress::Unclear,
            }
        }
        Progress::More
    }

    /// What follows `byte`, which is in no chunk.
    fn after(self, byte: u8) -> Option<Self> {
        let digit = char::from(byte).to_digit(16);
        Some(match (self, byte) {
            (Self::Size(size, digits), _) if digit.is_some() && digits < DIGITS => {
                Self::Size(size * 16 + u64::from(digit?), digits + 1)
            }
            (Self::Size(size, 1..) | Self::Extension(size), b'\r') => Self::SizeEnd(size),
            (Self::Extension(_), b'\n') => return None,
            (Self::Size(size, 1..), b';') | (Self::Extension(size), _) => Self::Extension(size),
            (Self::SizeEnd(0), b'\n') => Self::LastCr,
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::new(),
            (Self::LastCr, b'\r') => Self::LastLf,
            (Self::TrailersCr, b'\r') => Self::TrailersLf,
            (Self::LastCr | Self::TrailersCr, b'!'..=b'~')
            | (Self::Trailer, b' '..=b'~' | b'\t') => Self::Trailer,
            (Self::Trailer, b'\r') => Self::TrailerLf,
            (Self::TrailerLf, b'\n') => Self::TrailersCr,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in `body` with more behind it, which comes in chunks of `size` bytes.
    fn found(body: &[u8], size: usize) -> Option<usize> {
        let mut chunks = Chunks::new();
        let mut before = 0;
        for chunk in body.chunks(size) {
            match chunks.read(chunk) {
                Progress::More => before += chunk.len(),
                Progress::Ends(at) | Progress::EndsInTrailers(at) => return Some(before + at),
                Progress::Unclear => return None,
            }
        }
        None
    }

    #[test]
    fn a_body_ends_behind_its_last_chunk_wherever_it_is_cut() {
        for body in [
            "0\r\n\r\n",
            "000;x\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "0\r\nx: y\r\n\r\n",
            "1\r\na\r\n0\r\nx:\t y\r\nz\r\n\r\n",
            "a;x=\"y\"\r\n0\r\n\r\n0123\n\r\n1\r\n\r\r\n00\r\n\r\n",
        ] {
            let more = format!("{body}0\r\n\r\nGET / HTTP/1.1\r\n\r\n");
            for size in 1..=more.len() {
                assert_eq!(
                    found(more.as_bytes(), size),
                    Some(body.len()),
                    "{body:?} {size}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_of_the_plain_form_has_no_end_here() {
        for body in [
            "\r\n\r\n",
            ";\r\n\r\n",
            "0\n\r\n",
            "0\r\n\n",
            "0 \r\n\r\n",
            " 0\r\n\r\n",
            "-0\r\n\r\n",
            "+0\r\n\r\n",
            "0x0\r\n\r\n",
            "0\r\n x: y\r\n\r\n",
            "0\r\nx: y\n\r\n",
            "0\r\nx: y\r\n\n",
            "0\r\nx: y\rz\r\n\r\n",
            "0\r\nx: \x7f\r\n\r\n",
            "1\r\nab\r\n0\r\n\r\n",
            "1\r\na\n0\r\n\r\n",
            "0;x\n\r\n\r\n",
            "0000000000000000\r\n\r\n",
            "ffffffffffffffff\r\n",
        ] {
            assert_eq!(found(body.as_bytes(), 64), None, "{body:?}");
        }
    }
}
