//! Reads what stands in lines of a key file as `keygate keys` writes them: strings, numbers, hashes and times; see `plain`.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::digest::KeyDigest;

/// The years that every parser of dates reads in the same way.
const YEARS: std::ops::Range<i16> = 1000..9999;

/// A text and what is left of it. Each method reads something at its begin; `None` if something else is there.
pub(super) struct Reader<'t> {
    text: &'t str,
    pub(super) rest: &'t str,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, rest: text }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn place(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    pub(super) fn skip(&mut self, expected: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    /// Splits the rest at `end`, which is followed by an ASCII character.
    pub(super) fn take(&mut self, end: usize) -> Option<&'t str> {
        let (taken, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(taken)
    }

    /// Skips empty lines and comments.
    pub(super) fn skip_comments(&mut self) -> Option<()> {
        loop {
            match self.rest.as_bytes().first() {
                Some(b'\n') => self.skip("\n")?,
                Some(b'#') => {
                    let end = memchr::memchr(b'\n', self.rest.as_bytes())?;
                    let comment = self.take(end)?;
                    let is_text = |byte: u8| byte == b'\t' || !byte.is_ascii_control();
                    if !comment.bytes().all(is_text) {
                        return None;
                    }
                }
                _ => return Some(()),
            }
        }
    }

    /// A string between double quotes, without escapes and control characters.
    pub(super) fn string(&mut self) -> Option<&'t str> {
        self.skip("\"")?;
        let is_special = |byte: &u8| matches!(byte, b'"' | b'\\') || byte.is_ascii_control();
        let end = self.rest.bytes().position(|byte| is_special(&byte))?;
        let text = self.take(end)?;
        self.skip("\"")?;
        Some(text)
    }

    pub(super) fn bare_key(&mut self) -> Option<&'t str> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let end = self.rest.bytes().position(|byte| !is_part(byte))?;
        self.take(end).filter(|key| !key.is_empty())
    }

    /// The hashes behind the bracket of a list, and its other bracket.
    pub(super) fn digests(&mut self) -> Option<Vec<(KeyDigest, Option<Timestamp>)>> {
        let mut digests = Vec::with_capacity(1);
        while digests.is_empty() || self.skip(", ").is_some() {
            digests.push(match self.skip("{ hash = ") {
                Some(()) => self.ending_digest()?,
                None => (self.digest()?, None),
            });
        }
        self.skip("]")?;
        Some(digests)
    }

    /// A hash between double quotes.
    pub(super) fn digest(&mut self) -> Option<KeyDigest> {
        self.skip("\"sha256:")?;
        let hex = self.rest.as_bytes().first_chunk()?;
        let digest = KeyDigest::from_hex(hex)?;
        self.take(hex.len())?;
        self.skip("\"")?;
        Some(digest)
    }

    /// The rest of a table of a hash and its end, as a rotation writes it.
    pub(super) fn ending_digest(&mut self) -> Option<(KeyDigest, Option<Timestamp>)> {
        let digest = self.digest()?;
        self.skip(", expires = ")?;
        let end = self.moment()?;
        self.skip(" }")?;
        Some((digest, Some(end)))
    }

    /// The labels as they are written, and the brace behind them.
    pub(super) fn label_text(&mut self) -> Option<&'t str> {
        let line = memchr::memchr(b'\n', self.rest.as_bytes())?;
        let labels = self.take(line.checked_sub(" }".len())?)?;
        self.skip(" }")?;
        Some(labels)
    }

    /// The rest of a line.
    pub(super) fn line_text(&mut self) -> Option<&'t str> {
        let line = memchr::memchr(b'\n', self.rest.as_bytes())?;
        self.take(line).filter(|text| !text.is_empty())
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        let is_set = self.skip("true").is_some();
        if !is_set {
            self.skip("false")?;
        }
        Some(is_set)
    }

    /// A date with time in UTC, in whole seconds: `2027-01-31T12:00:00Z`.
    pub(super) fn moment(&mut self) -> Option<Timestamp> {
        let text: &[u8; 20] = self.rest.as_bytes().first_chunk()?;
        let form = b"0000-00-00T00:00:00Z";
        let fits = |(byte, form): (&u8, &u8)| match form {
            b'0' => byte.is_ascii_digit(),
            mark => byte == mark,
        };
        if !text.iter().zip(form).all(fits) {
            return None;
        }
        let two = |at: usize| {
            let digits = text.get(at..at + 2)?.iter();
            Some(digits.fold(0_i8, |number, digit| {
                number * 10 + (digit - b'0').cast_signed()
            }))
        };
        let year = i16::from(two(0)?) * 100 + i16::from(two(2)?);
        let (month, day) = (two(5)?, two(8)?);
        let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
        let local = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
        self.take(text.len())?;
        let moment = Offset::UTC.to_timestamp(local).ok()?;
        YEARS.contains(&year).then_some(moment)
    }
}
