//! Where a chunked body ends (RFC 9112, section 7.1). It is scanned here on its way to Pingora, which decodes it.
//!
//! The end of a body with unusual syntax, such as a line that ends in a lone LF, is unclear: Pingora may accept it (it takes
//! an empty size for the last one), but no request follows it on its connection, nor one with trailers.

/// The most hexadecimal digits that a chunk's size may have.
const DIGITS: u8 = 15;

/// The state of the scanner, at the position up to which a chunked body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkedBody {
    /// In a chunk's size: its value and its number of digits so far.
    Size(u64, u8),
    /// In a chunk extension, after the size.
    Extension(u64),
    /// Before the LF of the line with the size.
    SizeEnd(u64),
    /// In a chunk's data: the number of bytes still to come.
    Data(u64),
    /// Before the CR after a chunk's data.
    DataCr,
    /// Before the LF after a chunk's data.
    DataLf,
    /// After the line with the last size: before the CR of the empty line, or a trailer.
    LastCr,
    /// Before the LF of the empty line, without trailers.
    LastLf,
    /// In a trailer.
    Trailer,
    /// Before the LF of a trailer.
    TrailerLf,
    /// After a trailer: before another one, or the CR of the empty line.
    TrailersCr,
    /// Before the LF of the empty line, with trailers.
    TrailersLf,
}

/// The state of a body after some bytes of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The body goes on.
    More,
    /// The body ends before this position of the bytes.
    Ends(usize),
    /// The same, with trailers.
    EndsInTrailers(usize),
    /// The end of the body cannot be determined: its syntax is unusual.
    Unclear,
}

impl ChunkedBody {
    /// The scanner at the beginning of a body.
    pub(super) fn new() -> Self {
        Self::Size(0, 0)
    }

    /// Scans the next `bytes` of the body, cut anywhere.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Progress {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let Self::Data(left) = *self {
                let arrived = bytes.len() - at;
                let skipped = usize::try_from(left).map_or(arrived, |left| left.min(arrived));
                at += skipped;
                *self = match left - skipped as u64 {
                    0 => Self::DataCr,
                    left => Self::Data(left),
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

    /// The state after `byte`, which is not part of a chunk's data; `None` if it is unusual syntax.
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

    /// The end that is found when `body` arrives in parts of `size` bytes.
    fn found(body: &[u8], size: usize) -> Option<usize> {
        let mut scanner = ChunkedBody::new();
        let mut before = 0;
        for part in body.chunks(size) {
            match scanner.read(part) {
                Progress::More => before += part.len(),
                Progress::Ends(at) | Progress::EndsInTrailers(at) => return Some(before + at),
                Progress::Unclear => return None,
            }
        }
        None
    }

    #[test]
    fn a_body_ends_after_its_last_chunk_wherever_it_is_cut() {
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
    fn a_body_with_unusual_syntax_has_no_end() {
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
