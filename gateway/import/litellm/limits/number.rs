//! Numbers as `LiteLLM` has them, in YAML, in JSON, and as PostgreSQL writes them: `10`, `0.5`,
//! `1e-05`, `Infinity`.

/// A number, in units of a power of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// No number.
    Unclear,
    /// Less than zero.
    Negative,
    /// From zero.
    Units {
        /// The units.
        units: u64,
        /// Whether a fraction of a unit was cut off.
        is_cut: bool,
    },
    /// More than fits.
    TooLarge,
    /// Infinite.
    Endless,
}

impl Number {
    /// Parses a number into units of 10^-`decimals`.
    pub(super) fn parse(text: &str, decimals: usize) -> Self {
        let text = text.trim();
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let name = text.trim_start_matches('.').to_ascii_lowercase();
        let number = match name.as_str() {
            "inf" | "infinity" => Self::Endless,
            _ => magnitude(text, decimals).unwrap_or(Self::Unclear),
        };
        match number {
            Self::Units {
                units: 0,
                is_cut: false,
            }
            | Self::Unclear => number,
            _ if is_negative => Self::Negative,
            _ => number,
        }
    }
}

/// Parses a number without its sign.
fn magnitude(text: &str, decimals: usize) -> Option<Number> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(Number::Units {
            units: 0,
            is_cut: false,
        });
    }
    let length = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    let shift = length(decimals) + i64::from(exponent) - length(fraction.len());
    let kept = length(digits.len()).saturating_add(shift);
    if kept > 20 {
        return Some(Number::TooLarge);
    }
    let kept = usize::try_from(kept).unwrap_or(0);
    let (units, rest) = digits.split_at(kept.min(digits.len()));
    let units = match units {
        "" => Ok(0),
        units => format!("{units:0<kept$}").parse(),
    };
    Some(units.map_or(Number::TooLarge, |units| Number::Units {
        units,
        is_cut: rest.bytes().any(|byte| byte != b'0'),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_exact_or_it_says_what_is_missing() {
        let units = |units, is_cut| Number::Units { units, is_cut };
        for (text, wanted) in [
            ("0", units(0, false)),
            ("-0.0", units(0, false)),
            ("10", units(10_000, false)),
            ("0.5", units(500, false)),
            (".5", units(500, false)),
            ("5.", units(5_000, false)),
            ("1e-3", units(1, false)),
            ("1E+2", units(100_000, false)),
            ("1.2345", units(1_234, true)),
            ("1e-9", units(0, true)),
            ("0.10000", units(100, false)),
            ("1e15", units(1_000_000_000_000_000_000, false)),
            ("18446744073709551616", Number::TooLarge),
            ("1e300", Number::TooLarge),
            ("0e300", units(0, false)),
            ("-1", Number::Negative),
            ("-1e-9", Number::Negative),
            ("Infinity", Number::Endless),
            (".inf", Number::Endless),
            ("-inf", Number::Negative),
            ("NaN", Number::Unclear),
            ("", Number::Unclear),
            (".", Number::Unclear),
            ("1_000", Number::Unclear),
            ("1e", Number::Unclear),
            ("1e99999999999", Number::Unclear),
            ("10 USD", Number::Unclear),
            ("true", Number::Unclear),
        ] {
            assert_eq!(Number::parse(text, 3), wanted, "{text}");
        }
    }
}
