//! The format of a made key: `kg_<name>_<secret><checksum>`.
//!
//! The secret is 43 base62 digits from the system's generator (over 256 bits); the checksum is the
//! CRC-32 of everything before it in 6 base62 digits, as `GitHub`'s tokens have it, so that typos and
//! foreign keys are told apart offline and scanners can find leaks. Letters, digits and underscores
//! only: a double click selects all of it.

use zeroize::Zeroizing;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
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
            key.push(digit(u32::from(*byte)));
            made += 1;
        }
    }
    let sum = checksum(key.as_bytes());
    key.push_str(&sum);
    Ok(key)
}

/// What the format says about a presented key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Made by keygate, and its checksum holds.
    Made,
    /// Begins like one of ours and isn't: cut off, mistyped or invented.
    Broken,
    /// Chosen by someone else.
    Foreign,
}

/// Tells which [`Form`] `presented` has.
pub fn form(presented: &[u8]) -> Form {
    if !presented.starts_with(PREFIX.as_bytes()) {
        return Form::Foreign;
    }
    let Some(end) = presented.len().checked_sub(CHECKSUM_LEN) else {
        return Form::Broken;
    };
    let (body, sum) = presented.split_at(end);
    let long_enough = body.len() > PREFIX.len() + SECRET_LEN;
    if long_enough && checksum(body).as_bytes() == sum {
        Form::Made
    } else {
        Form::Broken
    }
}

fn checksum(body: &[u8]) -> String {
    let mut rest = crc32fast::hash(body);
    let mut digits = [b'0'; CHECKSUM_LEN];
    for place in digits.iter_mut().rev() {
        *place = digit(rest) as u8;
        rest /= 62;
    }
    String::from_utf8_lossy(&digits).into_owned()
}

fn digit(number: u32) -> char {
    char::from(DIGITS.get(number as usize % 62).copied().unwrap_or(b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_key_is_recognised_and_any_change_breaks_it() {
        let key = generate("ci-bot").unwrap();
        assert!(key.starts_with("kg_ci_bot_"));
        assert_eq!(key.len(), "kg_ci_bot_".len() + SECRET_LEN + CHECKSUM_LEN);
        assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        assert_eq!(form(key.as_bytes()), Form::Made);
        for at in 0..key.len() {
            let mut changed = key.as_bytes().to_vec();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            assert_ne!(form(&changed), Form::Made, "changed at {at}");
            assert_ne!(form(&key.as_bytes()[..at]), Form::Made, "cut at {at}");
        }
        assert_eq!(form(b"mysecretkey"), Form::Foreign);
    }

    #[test]
    fn two_keys_are_never_alike() {
        assert_ne!(*generate("a").unwrap(), *generate("a").unwrap());
    }
}
