//! The format of a made key: `kg_<name>_<secret><checksum>`.
//!
//! The secret is 43 base62 digits from the system's generator (over 256 bits); the checksum is the
//! CRC-32 of everything before it in 6 base62 digits, as `GitHub`'s tokens have it, so that typos and
//! foreign keys are told apart offline and scanners can find leaks. Letters, digits and underscores
//! only: a double click selects all of it.

use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

const PREFIX: &str = "kg_";
const SECRET_LEN: usize = 43;
const CHECKSUM_LEN: usize = 6;

/// Makes a key for the client `id`. Fails only when the system's generator does.
pub fn generate(id: &str) -> Result<Zeroizing<String>, getrandom::Error> {
    // With room for all of it from the start, so that no copy stays behind in freed memory.
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
        // 248 = 4 * 62: what lies above would favour the first digits.
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

/// The longest key that [`generate`] makes: of an id of 64 characters.
const LONGEST: usize = PREFIX.len() + super::LONGEST_ID + 1 + SECRET_LEN + CHECKSUM_LEN;
/// The shortest: of an id of one.
const SHORTEST: usize = PREFIX.len() + 2 + SECRET_LEN + CHECKSUM_LEN;

/// Whether `presented` begins like a made key, and whether it is none: cut off, mistyped or invented.
///
/// Takes the same steps for all keys of one length, whatever their bytes are.
pub fn form(presented: &[u8]) -> Form {
    let prefix = presented.get(..PREFIX.len()).unwrap_or_default();
    let ours = equal(prefix, PREFIX.as_bytes());
    let whole = match presented.split_last_chunk::<CHECKSUM_LEN>() {
        Some((body, sum)) if (SHORTEST..=LONGEST).contains(&presented.len()) => {
            equal(&checksum(body), sum)
        }
        _ => Choice::from(0),
    };
    Form {
        ours,
        broken: ours & !whole,
    }
}

/// Whether two texts are equal, in the same steps whichever bytes differ.
fn equal(a: &[u8], b: &[u8]) -> Choice {
    let differ = a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b));
    differ.ct_eq(&0) & a.len().ct_eq(&b.len())
}

/// What the format says about a presented key, for code that must not branch on it.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// It begins like a key that keygate made.
    pub ours: Choice,
    /// And is none.
    pub broken: Choice,
}

/// The CRC-32 of `body` in base62. `body` is no longer than that of the longest key.
fn checksum(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc::of(body);
    let mut digits = [0; CHECKSUM_LEN];
    for place in digits.iter_mut().rev() {
        *place = digit(rest % 62);
        rest /= 62;
    }
    digits
}

/// A digit of base62, in ASCII's order. Computed, not looked up: an address is seen in the cache.
fn digit(number: u32) -> u8 {
    let above_nine = u32::from(number > 9) * 7;
    let above_upper = u32::from(number > 35) * 6;
    // At most 61 + 48 + 13.
    (number + u32::from(b'0') + above_nine + above_upper) as u8
}

/// CRC-32 (IEEE 802.3, as in zlib) without tables that its input chooses from.
///
/// The sum of a text is linear in its bits: what each bit adds depends on its distance from the end
/// only. So all of these are known beforehand, and every one is either added or masked away, the same
/// bit of sixteen bytes at a time.
mod crc {
    use super::{CHECKSUM_LEN, LONGEST};

    const POLYNOMIAL: u32 = 0xEDB8_8320;
    const BYTES: usize = 16;
    const BLOCKS: usize = (LONGEST - CHECKSUM_LEN).div_ceil(BYTES);
    const LEN: usize = BLOCKS * BYTES;

    /// What each bit of each byte of a block adds to the four bytes of the sum. The blocks count from
    /// the text's end.
    const ADDS: [[[[u8; BYTES]; 4]; 8]; BLOCKS] = adds();
    /// The sum of so many zeros.
    const ZEROS: [u32; LEN + 1] = zeros();

    const fn next(mut sum: u32) -> u32 {
        let mut bit = 0;
        while bit < 8 {
            sum = (sum >> 1) ^ (POLYNOMIAL & (sum & 1).wrapping_neg());
            bit += 1;
        }
        sum
    }

    #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    const fn adds() -> [[[[u8; BYTES]; 4]; 8]; BLOCKS] {
        let mut table = [[[[0; BYTES]; 4]; 8]; BLOCKS];
        let mut bit = 0;
        while bit < 8 {
            let mut sum = 1 << bit;
            let mut behind = 0;
            while behind < LEN {
                sum = next(sum);
                let bytes = sum.to_le_bytes();
                let mut byte = 0;
                while byte < 4 {
                    table[behind / BYTES][bit][byte][BYTES - 1 - behind % BYTES] = bytes[byte];
                    byte += 1;
                }
                behind += 1;
            }
            bit += 1;
        }
        table
    }

    #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    const fn zeros() -> [u32; LEN + 1] {
        let mut table = [0; LEN + 1];
        let mut sum = u32::MAX;
        let mut len = 0;
        while len <= LEN {
            table[len] = !sum;
            sum = next(sum);
            len += 1;
        }
        table
    }

    /// The sum of `body`, which is no longer than any key's.
    #[allow(clippy::indexing_slicing, reason = "in arrays of one length")]
    pub(super) fn of(body: &[u8]) -> u32 {
        let mut blocks = [[0_u8; BYTES]; BLOCKS];
        let begin = LEN.saturating_sub(body.len());
        let end = blocks.as_flattened_mut().get_mut(begin..);
        if let Some(end) = end.filter(|end| end.len() == body.len()) {
            end.copy_from_slice(body);
        }
        let mut sums = [[0_u8; BYTES]; 4];
        let used = body.len().div_ceil(BYTES);
        for (block, adds) in blocks.iter().rev().zip(&ADDS).take(used) {
            for (bit, adds) in adds.iter().enumerate() {
                let masks = block.map(|byte| u8::from(byte & (1 << bit) != 0).wrapping_neg());
                for (sum, add) in sums.iter_mut().zip(adds) {
                    *sum = std::array::from_fn(|i| sum[i] ^ (add[i] & masks[i]));
                }
            }
        }
        u32::from_le_bytes(sums.map(fold)) ^ ZEROS.get(body.len()).copied().unwrap_or_default()
    }

    /// The sum of all bytes, in halves.
    fn fold(bytes: [u8; BYTES]) -> u8 {
        let all = u128::from_ne_bytes(bytes);
        let all = (all ^ (all >> 64)) as u64;
        let all = all ^ (all >> 32);
        let all = all ^ (all >> 16);
        (all ^ (all >> 8)) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_broken(key: &[u8]) -> bool {
        form(key).broken.into()
    }

    #[test]
    fn a_made_key_is_recognised_and_any_change_breaks_it() {
        for id in ["ci-bot", "a", &"x".repeat(64)] {
            let key = generate(id).unwrap();
            let begin = format!("kg_{}_", id.replace('-', "_"));
            assert!(key.starts_with(&begin));
            assert_eq!(key.len(), begin.len() + SECRET_LEN + CHECKSUM_LEN);
            assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            assert!(!is_broken(key.as_bytes()));
            for at in 3..key.len() {
                let mut changed = key.as_bytes().to_vec();
                changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
                assert!(is_broken(&changed), "changed at {at}");
                assert!(is_broken(&key.as_bytes()[..at]), "cut at {at}");
            }
            assert!(is_broken(&[key.as_bytes(), b"0"].concat()));
        }
        for foreign in [&b"mysecretkey"[..], b"", b"k", b"kg", b"KG_a_b"] {
            assert!(!bool::from(form(foreign).ours));
        }
    }

    #[test]
    fn the_checksum_is_the_crc_32_that_everybody_knows() {
        // The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
        assert_eq!(crc::of(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc::of(b""), 0);
        // By Python: zlib.crc32(b"kg_a_" + b"z" * 43), then in base62 by hand.
        let body = [b"kg_a_".as_slice(), &[b'z'; 43]].concat();
        assert_eq!(crc::of(&body), 0xAED9_9279);
        assert_eq!(&checksum(&body), b"3CWdth");
    }

    #[test]
    fn two_keys_are_never_alike() {
        assert_ne!(*generate("a").unwrap(), *generate("a").unwrap());
    }
}
