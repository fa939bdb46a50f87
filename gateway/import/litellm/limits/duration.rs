//! `LiteLLM`'s durations of budgets, and the periods that they are here.
//!
//! `1d` and `24h` end at midnight, `7d` and `1w` when Monday begins, `30d` and `1mo` when a month
//! begins: `litellm/litellm_core_utils/duration_parser.py`. Others have no period here.

use crate::limit::terms::Period;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The least lengths of periods, in seconds.
const LENGTHS: [(Period, u64); 6] = [
    (Period::Hour, HOUR),
    (Period::Day, DAY),
    (Period::Week, 7 * DAY),
    (Period::Month, 28 * DAY),
    (Period::Quarter, 90 * DAY),
    (Period::Year, 365 * DAY),
];

/// What a duration is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duration {
    /// The same.
    Exact(Period),
    /// No period has this length. This one is longer, so that the same amount in it is less.
    Within(Period),
    /// It is not a duration.
    Unclear,
}

impl Duration {
    /// Parses a duration.
    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim().to_ascii_lowercase();
        let period = match text.as_str() {
            "hourly" | "1h" | "60m" => Period::Hour,
            "daily" | "1d" | "24h" => Period::Day,
            "weekly" | "1w" | "7d" => Period::Week,
            "monthly" | "1mo" | "30d" => Period::Month,
            other => return Self::other(other),
        };
        Self::Exact(period)
    }

    fn other(text: &str) -> Self {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.strip_prefix(digits) {
            Some("s") => 1,
            Some("m") => MINUTE,
            Some("h") => HOUR,
            Some("d") => DAY,
            Some("w") => 7 * DAY,
            Some("mo") => 31 * DAY,
            _ => return Self::Unclear,
        };
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let length = match digits.parse::<u64>() {
            Ok(number @ 1..) if is_number => number.saturating_mul(unit),
            _ => return Self::Unclear,
        };
        let mut longer = LENGTHS.iter().filter(|(_, least)| *least >= length);
        Self::Within(longer.next().map_or(Period::Ever, |(period, _)| *period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_days_are_a_month_and_what_has_no_period_becomes_a_longer_one() {
        use Duration::{Exact, Unclear, Within};
        for (text, wanted) in [
            ("1d", Exact(Period::Day)),
            ("24h", Exact(Period::Day)),
            (" Daily ", Exact(Period::Day)),
            ("7d", Exact(Period::Week)),
            ("1w", Exact(Period::Week)),
            ("weekly", Exact(Period::Week)),
            ("30d", Exact(Period::Month)),
            ("1mo", Exact(Period::Month)),
            ("monthly", Exact(Period::Month)),
            ("1h", Exact(Period::Hour)),
            ("30s", Within(Period::Hour)),
            ("30m", Within(Period::Hour)),
            ("61m", Within(Period::Day)),
            ("30h", Within(Period::Week)),
            ("14d", Within(Period::Month)),
            ("28d", Within(Period::Month)),
            ("29d", Within(Period::Quarter)),
            ("31d", Within(Period::Quarter)),
            ("2mo", Within(Period::Quarter)),
            ("12mo", Within(Period::Ever)),
            ("365d", Within(Period::Year)),
            ("99999999999999999d", Within(Period::Ever)),
            ("0d", Unclear),
            ("-1d", Unclear),
            ("1y", Unclear),
            ("30", Unclear),
            ("1.5d", Unclear),
            ("d", Unclear),
            ("a month", Unclear),
            ("", Unclear),
        ] {
            assert_eq!(Duration::parse(text), wanted, "{text}");
        }
    }
}
