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
        // Checked first, because `from_str_radix` also accepts a sign: `+f`.
        if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(expected);
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = hex
                .get(2 * i..2 * i + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or(expected)?;
        }
        Ok(Self(bytes))
    }
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
