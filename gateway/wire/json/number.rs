//! Numbers as APIs write them: `10`, `10.0`, `1e1`, also in strings. Exact, without floating point.

/// The number of digits that fit in a `u64`, whatever they are.
const DIGITS: usize = 19;

/// Reads a whole number. `None` if it is negative, has a fraction, or is no number; `u64::MAX` if it is too large.
pub(crate) fn whole(written: &[u8]) -> Option<u64> {
    if (1..=DIGITS).contains(&written.len()) {
        let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
        let value = |value: u64, byte: &u8| Some(value * 10 + digit(byte)?);
        if let Some(value) = written.iter().try_fold(0, value) {
            return Some(value);
        }
    }
    let (value, is_exact) = read(written, 0)?;
    let value = u64::try_from(value).unwrap_or(u64::MAX);
    is_exact.then_some(value)
}

/// Reads a decimal number in units of its `decimals`-th place, rounded. `None` if it is negative or no number.
pub(crate) fn scaled(written: &[u8], decimals: u8) -> Option<u128> {
    // One more place than wanted, by which to round.
    let (value, _) = read(written, decimals + 1)?;
    Some(value.saturating_add(5) / 10)
}

/// The same without rounding: `None` if the number has digits other than zero behind that place.
pub(crate) fn exact(written: &[u8], decimals: u8) -> Option<u128> {
    let (value, is_exact) = read(written, decimals)?;
    is_exact.then_some(value)
}

/// Reads a decimal number in units of its `decimals`-th place, and whether all digits behind that place are zero.
fn read(written: &[u8], decimals: u8) -> Option<(u128, bool)> {
    let trimmed = written.trim_ascii();
    let (negative, unsigned) = match trimmed.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, trimmed),
    };
    let (mantissa, power) = split_before(unsigned, |byte| matches!(byte, b'e' | b'E'));
    let exponent = power.get(1..).map_or(Some(0), signed)?;
    let (before, fraction) = split_before(mantissa, |byte| byte == b'.');
    let after = match fraction.get(1..) {
        // A point without digits behind it.
        Some([]) => return None,
        digits => digits.unwrap_or_default(),
    };
    if before.is_empty() || !before.iter().chain(after).all(u8::is_ascii_digit) {
        return None;
    }
    let point = i64::try_from(before.len()).ok()? + i64::from(exponent) + i64::from(decimals);
    let (value, is_exact) = shifted(before, after, point);
    (!negative || value == 0 && is_exact).then_some((value, is_exact))
}

/// `text` up to the first such byte, and the rest with that byte.
fn split_before(text: &[u8], is_it: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let at = text.iter().position(|byte| is_it(*byte));
    text.split_at(at.unwrap_or(text.len()))
}

/// Reads an exponent, with or without a sign.
fn signed(written: &[u8]) -> Option<i32> {
    let digits = written
        .strip_prefix(b"+")
        .or_else(|| written.strip_prefix(b"-"));
    if digits.is_some_and(|digits| !digits.first().is_some_and(u8::is_ascii_digit)) {
        return None;
    }
    std::str::from_utf8(written).ok()?.parse().ok()
}

/// The number of the first `point` digits, with zeros appended if there are fewer, and whether all others are zero.
fn shifted(before: &[u8], after: &[u8], point: i64) -> (u128, bool) {
    let digits = before.iter().chain(after).map(|digit| digit - b'0');
    let (mut value, mut at, mut is_exact) = (0_u128, 0_i64, true);
    for digit in digits {
        if at < point {
            value = value.saturating_mul(10).saturating_add(u128::from(digit));
        } else {
            is_exact &= digit == 0;
        }
        at += 1;
    }
    // `u128` has fewer than forty digits, so that more zeros change nothing.
    for _ in 0..(point - at).clamp(0, 40) {
        value = value.saturating_mul(10);
    }
    (value, is_exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_however_it_is_written() {
        for (written, value) in [
            ("10", 10),
            ("10.0", 10),
            ("10.000", 10),
            ("1e1", 10),
            ("1E+1", 10),
            ("1.5e1", 15),
            ("1000e-2", 10),
            ("0.1e2", 10),
            (" 10\n", 10),
            ("007", 7),
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("0e999999999", 0),
            ("18446744073709551615", u64::MAX),
            ("18446744073709551616", u64::MAX),
            ("1e999999999", u64::MAX),
        ] {
            assert_eq!(whole(written.as_bytes()), Some(value), "{written}");
        }
    }

    #[test]
    fn what_is_no_count_is_none() {
        for written in [
            "",
            "-",
            "-1",
            "1.5",
            "1.",
            ".5",
            "1e-1",
            "1e",
            "e1",
            "1e+",
            "1e+-1",
            "1e1.0",
            "many",
            "0x10",
            "1_000",
            "1,000",
            "+1",
            "NaN",
            "1 2",
            "1e99999999999999",
        ] {
            assert_eq!(whole(written.as_bytes()), None, "{written}");
        }
    }

    #[test]
    fn a_cost_is_rounded_to_its_last_place() {
        for (written, value) in [
            ("0.00095", 950_000_000),
            ("9.5e-05", 95_000_000),
            ("0.00014250000000000002", 142_500_000),
            ("0.0000000000005", 1),
            ("4.9e-13", 0),
            ("1", 1_000_000_000_000),
            ("0", 0),
            ("-0.0", 0),
        ] {
            assert_eq!(scaled(written.as_bytes(), 12), Some(value), "{written}");
        }
        assert_eq!(scaled(b"1e99", 12), Some(u128::MAX / 10));
        for written in ["-1", "-1e-20", "free", ""] {
            assert_eq!(scaled(written.as_bytes(), 12), None, "{written}");
        }
    }
}
