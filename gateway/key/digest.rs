//! The digest of a client key: the only form of a key that keygate keeps, in memory and in files.

use std::fmt;

use sha2::{Digest, Sha256};

/// The SHA-256 of a whole key as it is presented; written as `sha256:<64 hex digits>` in files.
///
/// `LiteLLM` stores the same digest in its key table, so its keys can be imported without knowing them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest(pub(super) [u8; 32]);

impl KeyDigest {
    /// The digest of a presented key.
    pub fn of(presented: &[u8]) -> Self {
        Self(Sha256::digest(presented).into())
    }

    /// Reads `sha256:<64 hex digits>`.
    ///
    /// # Errors
    /// The format that was expected, without the text: it may be a key.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let expected = "expected `sha256:` and 64 hexadecimal digits";
        let hex = text.strip_prefix("sha256:").ok_or(expected)?;
        let hex = hex.as_bytes().try_into().ok().and_then(Self::from_hex);
        hex.ok_or(expected)
    }

    /// Reads 64 hexadecimal digits.
    pub(super) fn from_hex(hex: &[u8; 64]) -> Option<Self> {
        // Without an early exit, so that the compiler makes vectors of both loops.
        let are_digits = hex.iter().fold(true, |all, b| all & b.is_ascii_hexdigit());
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(hex.as_chunks().0) {
            *byte = nibble(*high) << 4 | nibble(*low);
        }
        are_digits.then_some(Self(bytes))
    }
}

/// The value of a hexadecimal digit: the low four bits of `0` to `9`, and those of a letter plus 9.
fn nibble(digit: u8) -> u8 {
    (digit & 15) + 9 * (digit >> 6)
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_back_as_it_is_written() {
        let digest = KeyDigest::of(b"mysecretkey");
        // From `printf mysecretkey | sha256sum`.
        let sum = "2afe16a6d630d94cd07c68d5e35568655bf5f60bef29c4f1321fc857816afec9";
        assert_eq!(digest.to_string(), format!("sha256:{sum}"));
        assert!(KeyDigest::parse(&digest.to_string()) == Ok(digest));
        assert!(KeyDigest::parse(&format!("sha256:{}", sum.to_uppercase())) == Ok(digest));
        for bad in [
            "",
            "sha256:",
            "sha256:zz",
            "md5:00",
            &format!("sha256:{}", "g".repeat(64)),
            &format!("sha256:{}", "+f".repeat(32)),
        ] {
            assert!(KeyDigest::parse(bad).is_err(), "{bad}");
        }
    }
}
