//! The format of the keys that keygate makes: `kg_<name>_<secret><checksum>`.
//!
//! The secret is 43 base62 digits from the system's random generator (over 256 bits). The checksum is the CRC-32 of
//! everything before it in 6 base62 digits, as in `GitHub`'s tokens, so that typos and foreign keys are recognized
//! offline and scanners can find leaked keys. A key has only letters, digits and underscores, so that a double click
//! selects all of it.

use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::client_key::MAX_ID_LENGTH;

const PREFIX: &str = "kg_";
const SECRET_LEN: usize = 43;
const CHECKSUM_LEN: usize = 6;

/// Makes a key for the client `id`.
///
/// # Errors
/// The system's random generator failed.
pub fn generate(id: &str) -> Result<Zeroizing<String>, getrandom::Error> {
    // Allocated with its final size, so that no copy stays in freed memory when the string grows.
    let mut key = Zeroizing::new(String::with_capacity(
        PREFIX.len() + id.len() + 1 + SECRET_LEN + CHECKSUM_LEN,
    ));
    key.push_str(PREFIX);
    key.extend(
        id.chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }),
    );
    key.push('_');
    let mut made = 0;
    let mut random = Zeroizing::new([0u8; 64]);
    while made < SECRET_LEN {
        getrandom::fill(&mut *random)?;
        // 248 = 4 * 62: larger bytes would make the first digits more likely.
        for byte in random
            .iter()
            .filter(|byte| **byte < 248)
            .take(SECRET_LEN - made)
        {
            key.push(char::from(digit(u32::from(*byte) % 62)));
            made += 1;
        }
    }
    let sum = checksum(key.as_bytes());
    key.extend(sum.map(char::from));
    Ok(key)
}

/// The length of the longest key that [`generate`] makes, for an id of 64 characters.
const LONGEST: usize = PREFIX.len() + MAX_ID_LENGTH + 1 + SECRET_LEN + CHECKSUM_LEN;
/// The length of the shortest key, for an id of one character.
const SHORTEST: usize = PREFIX.len() + 2 + SECRET_LEN + CHECKSUM_LEN;

/// Whether `presented` has keygate's prefix, and whether it is malformed: cut off, mistyped or invented.
///
/// Takes the same steps for all keys of one length, whatever their bytes are.
pub(crate) fn inspect(presented: &[u8]) -> Form {
    let prefix = presented.get(..PREFIX.len()).unwrap_or_default();
    let has_prefix = equal(prefix, PREFIX.as_bytes());
    let whole = match presented.split_last_chunk::<CHECKSUM_LEN>() {
        Some((body, sum)) if (SHORTEST..=LONGEST).contains(&presented.len()) => {
            equal(&checksum(body), sum)
        }
        _ => Choice::from(0),
    };
    Form {
        has_prefix,
        malformed: has_prefix & !whole,
    }
}

/// Whether `presented` has keygate's prefix, but is no whole key of keygate's. Takes the same steps for all keys of one
/// length.
pub fn is_malformed(presented: &[u8]) -> Choice {
    inspect(presented).malformed
}

/// Whether `text` contains a whole key that keygate made. Unlike [`inspect`], this takes longer the more `text` looks like
/// keys: use it only for text that its sender may choose freely anyway.
pub(crate) fn contains_key(text: &[u8]) -> bool {
    let mut prefixes = memchr::memmem::find_iter(text, PREFIX);
    prefixes.any(|at| text.get(at..).is_some_and(begins_with_whole_key))
}

/// Whether a word of `text` has keygate's prefix, whether the key is whole, mistyped or cut off.
pub(crate) fn has_word_with_prefix(text: &[u8]) -> bool {
    let mut prefixes = memchr::memmem::find_iter(text, PREFIX);
    prefixes.any(|at| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        before.is_none_or(|byte| !is_token_byte(*byte))
    })
}

/// The characters of tokens (RFC 9110, section 11.2, `token68`) without the padding.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte)
}

/// Whether `text` starts with a whole key, whatever follows it. The checksum is computed only where an underscore is
/// followed by enough letters and digits, so that text that is full of prefixes costs little.
fn begins_with_whole_key(text: &[u8]) -> bool {
    const TAIL: usize = SECRET_LEN + CHECKSUM_LEN;
    let is_key_byte = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
    let longest = text.iter().take_while(is_key_byte).count().min(LONGEST);
    let text = text.get(..longest).unwrap_or_default();
    memchr::memchr_iter(b'_', text).any(|underscore| {
        let begin = underscore + 1;
        let tail = text.get(begin..begin + TAIL);
        tail.is_some_and(|tail| tail.iter().all(u8::is_ascii_alphanumeric))
            && bool::from(!inspect(text.get(..begin + TAIL).unwrap_or_default()).malformed)
    })
}

/// Whether two byte strings are equal. Takes the same steps whichever bytes differ.
fn equal(a: &[u8], b: &[u8]) -> Choice {
    let differ = a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b));
    differ.ct_eq(&0) & a.len().ct_eq(&b.len())
}

/// The form of a presented key, for code that must not branch on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// The key has keygate's prefix.
    pub(crate) has_prefix: Choice,
    /// The key has keygate's prefix, but its length or checksum is wrong.
    pub(crate) malformed: Choice,
}

/// The CRC-32 of `body` in base62. `body` is at most as long as that of the longest key.
fn checksum(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc::of(body);
    let mut digits = [0; CHECKSUM_LEN];
    for place in digits.iter_mut().rev() {
        *place = digit(rest % 62);
        rest /= 62;
    }
    digits
}

/// A base62 digit, in the order of ASCII. Computed and not looked up: the address of a lookup shows in the cache.
fn digit(number: u32) -> u8 {
    let [number, ..] = number.to_le_bytes();
    // At most 61 + 48 + 13.
    number + b'0' + u8::from(number > 9) * 7 + u8::from(number > 35) * 6
}

/// CRC-32 (IEEE 802.3, as in zlib) without lookups in a table at addresses that depend on the input.
///
/// The checksum is linear in the bits of the text: the contribution of a bit depends only on its distance from the end.
/// All contributions are computed at compile time, and each one is either added or masked out, for the same bit of eight
/// bytes at a time.
mod crc {
    use crate::key::format::{CHECKSUM_LEN, LONGEST};

    const POLYNOMIAL: u32 = 0xEDB8_8320;
    const WORDS: usize = (LONGEST - CHECKSUM_LEN).div_ceil(8);
    const ONES: u64 = 0x0101_0101_0101_0101;

    /// The contribution of each bit of each byte of a word to each of the four bytes of the checksum. Words and bytes count
    /// from the end of the text.
    const ADDS: [[[u64; 4]; 8]; WORDS] = adds();
    /// The checksum of this many zero bytes.
    const ZEROS: [u32; WORDS * 8] = zeros();

    const fn next(mut sum: u32) -> u32 {
        let mut bit = 0;
        while bit < 8 {
            sum = (sum >> 1) ^ (POLYNOMIAL & (sum & 1).wrapping_neg());
            bit += 1;
        }
        sum
    }

    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    const fn adds() -> [[[u64; 4]; 8]; WORDS] {
        let mut table = [[[0; 4]; 8]; WORDS];
        let mut bit = 0;
        while bit < 8 {
            let mut sum = 1 << bit;
            let mut behind = 0;
            while behind < WORDS * 8 {
                sum = next(sum);
                let bytes = sum.to_le_bytes();
                let mut byte = 0;
                while byte < 4 {
                    table[behind / 8][bit][byte] |= (bytes[byte] as u64) << (behind % 8 * 8);
                    byte += 1;
                }
                behind += 1;
            }
            bit += 1;
        }
        table
    }

    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    const fn zeros() -> [u32; WORDS * 8] {
        let mut table = [0; WORDS * 8];
        let mut sum = u32::MAX;
        let mut len = 0;
        while len < table.len() {
            table[len] = !sum;
            sum = next(sum);
            len += 1;
        }
        table
    }

    /// The checksum of `body`, which is at most as long as that of the longest key.
    pub(super) fn of(body: &[u8]) -> u32 {
        let mut words = [0; WORDS];
        let (begin, whole) = body.as_rchunks();
        let begin = begin
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        let whole = whole.iter().rev().map(|bytes| u64::from_be_bytes(*bytes));
        for (word, bytes) in words.iter_mut().zip(whole.chain([begin])) {
            *word = bytes;
        }
        let [mut first, mut second, mut third, mut fourth] = [0; 4];
        for (word, adds) in words.iter().zip(&ADDS).take(body.len().div_ceil(8)) {
            for (bit, adds) in adds.iter().enumerate() {
                let set = (word >> bit) & ONES;
                let mask = (set << 8).wrapping_sub(set);
                first ^= adds[0] & mask;
                second ^= adds[1] & mask;
                third ^= adds[2] & mask;
                fourth ^= adds[3] & mask;
            }
        }
        let sum = u32::from_le_bytes([first, second, third, fourth].map(fold));
        sum ^ ZEROS.get(body.len()).copied().unwrap_or_default()
    }

    /// The XOR of all bytes, by halves.
    fn fold(bytes: u64) -> u8 {
        let all = bytes ^ (bytes >> 32);
        let all = all ^ (all >> 16);
        let [sum, ..] = (all ^ (all >> 8)).to_le_bytes();
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_malformed(key: &[u8]) -> bool {
        super::is_malformed(key).into()
    }

    #[test]
    fn a_generated_key_is_recognized_and_any_change_makes_it_malformed() {
        for id in ["ci-bot", "a", &"x".repeat(64)] {
            let key = generate(id).unwrap();
            let begin = format!("kg_{}_", id.replace('-', "_"));
            assert!(key.starts_with(&begin));
            assert_eq!(key.len(), begin.len() + SECRET_LEN + CHECKSUM_LEN);
            assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            assert!(!is_malformed(key.as_bytes()));
            for at in 3..key.len() {
                let mut changed = key.as_bytes().to_vec();
                changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
                assert!(is_malformed(&changed), "changed at {at}");
                assert!(is_malformed(&key.as_bytes()[..at]), "cut at {at}");
            }
            assert!(is_malformed(&[key.as_bytes(), b"0"].concat()));
        }
        for foreign in [&b"mysecretkey"[..], b"", b"k", b"kg", b"KG_a_b"] {
            assert!(!bool::from(inspect(foreign).has_prefix));
        }
    }

    #[test]
    fn the_checksum_is_the_standard_crc_32() {
        // The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
        assert_eq!(crc::of(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc::of(b""), 0);
        // From Python's zlib.crc32(b"kg_a_" + b"z" * 43), converted to base62 by hand.
        let body = [b"kg_a_".as_slice(), &[b'z'; 43]].concat();
        assert_eq!(crc::of(&body), 0xAED9_9279);
        assert_eq!(&checksum(&body), b"3CWdth");
    }

    #[test]
    fn a_key_is_found_in_whatever_stands_around_it() {
        for id in ["a", "ci-bot", &"x".repeat(64)] {
            let key = generate(id).unwrap();
            for around in [
                "{}",
                "u:{}",
                "{}:",
                "<{}>",
                "xyz{}",
                "a.b-{}zz",
                "kg_{}",
                "eyJ.{}.{}",
            ] {
                let text = around.replace("{}", &key);
                assert!(contains_key(text.as_bytes()), "{text}");
            }
            let cut = &key[..key.len() - 1];
            assert!(!contains_key(cut.as_bytes()));
            assert!(has_word_with_prefix(format!("x&{cut}").as_bytes()));
            assert!(!has_word_with_prefix(format!("xyz{cut}").as_bytes()));
        }
        for other in ["", "kg", "sk-1", "bkg_x", "a-kg_b", "KG_a"] {
            let other = other.as_bytes();
            assert!(
                !contains_key(other) && !has_word_with_prefix(other),
                "{other:?}"
            );
        }
    }

    #[test]
    fn two_generated_keys_differ() {
        assert_ne!(*generate("a").unwrap(), *generate("a").unwrap());
    }
}
