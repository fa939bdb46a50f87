//! A filter in front of the comparison of names with many prefixes: it excludes most names by their first three letters.
//!
//! Runs for every header of every request.

/// Which first three letters occur: for each first letter, a bit for each second one; for each second letter, a bit for
/// each third one. Letters are taken modulo 32.
#[derive(Clone, Copy)]
pub(super) struct Letters {
    first: [u32; 32],
    second: [u32; 32],
}

#[expect(
    clippy::indexing_slicing,
    reason = "a letter is one of 32, and the compiler evaluates it"
)]
impl Letters {
    const NONE: Self = Self {
        first: [0; 32],
        second: [0; 32],
    };
    const ALL: Self = Self {
        first: [u32::MAX; 32],
        second: [u32::MAX; 32],
    };

    /// Adds all names that begin with `prefix`.
    pub(super) const fn add(&mut self, prefix: &[u8]) {
        match *prefix {
            [] => *self = Self::ALL,
            [first] => {
                self.first[(first % 32) as usize] = u32::MAX;
                self.second = Self::ALL.second;
            }
            [first, second] => {
                self.first[(first % 32) as usize] |= 1 << (second % 32);
                self.second[(second % 32) as usize] = u32::MAX;
            }
            [first, second, third, ..] => {
                self.first[(first % 32) as usize] |= 1 << (second % 32);
                self.second[(second % 32) as usize] |= 1 << (third % 32);
            }
        }
    }

    /// Whether a name that was added may begin with these letters.
    #[inline]
    const fn may_match(&self, [first, second, third]: [u8; 3]) -> bool {
        let seconds = self.first[(first % 32) as usize];
        let thirds = self.second[(second % 32) as usize];
        (seconds >> (second % 32)) & (thirds >> (third % 32)) & 1 == 1
    }
}

/// Excludes most names that begin with none of the prefixes added to it.
#[derive(Clone, Copy)]
pub(super) struct PrefixFilter {
    /// For names that do not begin with `x-`.
    pub(super) plain: Letters,
    /// For what follows `x-`.
    pub(super) extensions: Letters,
}

impl PrefixFilter {
    /// Without any prefix.
    pub(super) const NONE: Self = Self {
        plain: Letters::NONE,
        extensions: Letters::NONE,
    };

    /// Adds all names that begin with `prefix`.
    pub(super) fn add(&mut self, prefix: &str) {
        match prefix.as_bytes() {
            [b'x', b'-', rest @ ..] => self.extensions.add(rest),
            short => {
                self.plain.add(short);
                if b"x-".starts_with(short) {
                    self.extensions = Letters::ALL;
                }
            }
        }
    }

    /// Whether `name` may begin with a prefix that was added; `false` is certain.
    #[inline]
    pub(super) fn may_match(&self, name: &str) -> bool {
        match *name.as_bytes() {
            [b'x', b'-', first, second, third, ..] => {
                self.extensions.may_match([first, second, third])
            }
            // Names this short are rare: they are compared.
            [b'x', b'-', ..] => true,
            [first, second, third, ..] => self.plain.may_match([first, second, third]),
            _ => true,
        }
    }
}
