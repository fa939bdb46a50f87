//! Counts as APIs write them: `10`, `10.0`, `1e1`, and the same as texts.

/// The whole number that a decimal number is; `None` where it is negative, has a fraction, or is no number. One that
/// is too large is the largest there is.
pub(super) fn whole(written: &[u8]) -> Option<u64> {
    let written = written.trim_ascii();
    let (negative, written) = match written.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, written),
    };
    let at = written.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = written.split_at(at.unwrap_or(written.len()));
    let exponent = exponent.get(1..).map_or(Some(0), signed)?;
    let at = mantissa.iter().position(|byte| *byte == b'.');
    let (before, after) = mantissa.split_at(at.unwrap_or(mantissa.len()));
    let after = match after.get(1..) {
        // There is a point, and nothing behind it.
        Some([]) => return None,
        digits => digits.unwrap_or_default(),
    };
    if before.is_empty() || !before.iter().chain(after).all(u8::is_ascii_digit) {
        return None;
    }
    let value = shifted(before, after, exponent)?;
    (!negative || value == 0).then_some(value)
}

/// An exponent.
fn signed(written: &[u8]) -> Option<i32> {
    let digits = written
        .strip_prefix(b"+")
        .or_else(|| written.strip_prefix(b"-"));
    if digits.is_some_and(|digits| !digits.first().is_some_and(u8::is_ascii_digit)) {
        return None;
    }
    std::str::from_utf8(written).ok()?.parse().ok()
}

/// The digits before and behind the point, with the point `exponent` places further right.
fn shifted(before: &[u8], after: &[u8], exponent: i32) -> Option<u64> {
    let digits = before.iter().chain(after).map(|digit| digit - b'0');
    let point = i64::try_from(before.len()).ok()? + i64::from(exponent);
    let (mut value, mut at) = (0_u64, 0_i64);
    for digit in digits {
        if at >= point {
            // Behind the point.
            if digit != 0 {
                return None;
            }
        } else {
            value = value.saturating_mul(10).saturating_add(u64::from(digit));
        }
        at += 1;
    }
    // A number has no more than twenty digits: more zeros change nothing.
    for _ in 0..(point - at).clamp(0, 20) {
        value = value.saturating_mul(10);
    }
    Some(value)
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
}
