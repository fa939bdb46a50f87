//! What a refusal says about when to try again.
//!
//! The SDKs of OpenAI, Anthropic and Groq obey `x-should-retry` before anything else, then `retry-after-ms`, then
//! `retry-after`, and some wait as long as these say, for weeks. So a client that would have to wait for long is told not
//! to try again by itself, and for a budget, which may open in days, no time is named that it could wait for.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use jiff::Timestamp;

use crate::proxy::reject::reason::Reason;

/// The longest wait after which a client should try again by itself.
const LONGEST: Duration = Duration::from_secs(60);
/// What clients that can read no milliseconds wait for a place among the requests in flight, in seconds.
const FOR_A_PLACE: u64 = 1;

/// What a refusal says about when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryAfter {
    /// Nothing: the client's own rules for the status are right.
    Unsaid,
    /// After about so many seconds; nobody knows exactly.
    About(u64),
    /// After exactly this time.
    In(Duration),
    /// When a request in flight is over, probably after this time.
    Place(Duration),
    /// Not without a person.
    Never,
}

impl RetryAfter {
    /// What a refusal for `reason` says. `wait`: the time until the same request is likely to pass, if that is known.
    pub(super) fn of(reason: Reason, wait: Option<Duration>) -> Self {
        match reason {
            Reason::TooManyFailedKeys | Reason::TooManyConnections => Self::About(1),
            Reason::RequestsLimit | Reason::TokensLimit => wait.map_or(Self::About(1), Self::In),
            Reason::ParallelLimit => wait.map_or(Self::About(FOR_A_PLACE), Self::Place),
            Reason::LimitsUnavailable => Self::About(2),
            Reason::BudgetExceeded => Self::Never,
            _ => Self::Unsaid,
        }
    }

    /// Whether the client is told not to try again by itself.
    pub(super) fn is_final(self) -> bool {
        match self {
            Self::In(wait) => wait > LONGEST,
            Self::Never => true,
            Self::Unsaid | Self::About(_) | Self::Place(_) => false,
        }
    }

    /// The wait in milliseconds, rounded up, if it is known so exactly.
    pub(super) fn milliseconds(self) -> Option<u64> {
        match self {
            Self::In(wait) | Self::Place(wait) => Some(whole_milliseconds(wait).max(1)),
            Self::Unsaid | Self::About(_) | Self::Never => None,
        }
    }

    /// The wait in seconds, rounded up.
    fn seconds(self) -> Option<u64> {
        match self {
            Self::About(seconds) => Some(seconds),
            Self::In(wait) => Some(whole_seconds(wait).max(1)),
            Self::Place(_) => Some(FOR_A_PLACE),
            Self::Unsaid | Self::Never => None,
        }
    }

    /// The header `x-should-retry`, where the client's own rules for the status would be wrong.
    fn should_retry(self) -> Option<&'static str> {
        match self {
            Self::Place(_) => Some("true"),
            _ if self.is_final() => Some("false"),
            _ => None,
        }
    }

    /// The headers that say it.
    pub(super) fn headers(self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let number = |number: Option<u64>| number.map(HeaderValue::from);
        let flag = self.should_retry().map(HeaderValue::from_static);
        let milliseconds = HeaderName::from_static("retry-after-ms");
        [
            (RETRY_AFTER, number(self.seconds())),
            (milliseconds, number(self.milliseconds())),
            (HeaderName::from_static("x-should-retry"), flag),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

/// A time in seconds, rounded up.
pub(in crate::proxy) fn whole_seconds(time: Duration) -> u64 {
    let part = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(part)
}

/// A time in milliseconds, rounded up.
pub(in crate::proxy) fn whole_milliseconds(time: Duration) -> u64 {
    let milliseconds = time.as_nanos().div_ceil(1_000_000);
    u64::try_from(milliseconds).unwrap_or(u64::MAX)
}

/// The first whole second that is not before `moment`, as it is written in a header.
pub(in crate::proxy) fn next_second(moment: Timestamp) -> Timestamp {
    let part = i64::from(moment.subsec_nanosecond() > 0);
    let second = moment.as_second().saturating_add(part);
    Timestamp::from_second(second).unwrap_or(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reason: Reason, wait: Option<Duration>) -> Vec<String> {
        let headers = RetryAfter::of(reason, wait).headers();
        headers
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn a_wait_is_rounded_up_and_one_over_a_minute_is_left_to_people() {
        let second = Duration::from_secs(1);
        for (wait, expected) in [
            (Duration::ZERO, vec!["retry-after: 1", "retry-after-ms: 1"]),
            (
                Duration::from_nanos(1),
                vec!["retry-after: 1", "retry-after-ms: 1"],
            ),
            (second, vec!["retry-after: 1", "retry-after-ms: 1000"]),
            (
                second + Duration::from_nanos(1),
                vec!["retry-after: 2", "retry-after-ms: 1001"],
            ),
            (
                Duration::from_millis(59_500),
                vec!["retry-after: 60", "retry-after-ms: 59500"],
            ),
            (
                60 * second,
                vec!["retry-after: 60", "retry-after-ms: 60000"],
            ),
            (
                60 * second + Duration::from_nanos(1),
                vec![
                    "retry-after: 61",
                    "retry-after-ms: 60001",
                    "x-should-retry: false",
                ],
            ),
            (
                61 * second,
                vec![
                    "retry-after: 61",
                    "retry-after-ms: 61000",
                    "x-should-retry: false",
                ],
            ),
        ] {
            for reason in [Reason::RequestsLimit, Reason::TokensLimit] {
                assert_eq!(written(reason, Some(wait)), expected, "{wait:?}");
            }
        }
        let longest = written(Reason::TokensLimit, Some(Duration::MAX));
        assert_eq!(longest[2], "x-should-retry: false");
    }

    #[test]
    fn only_refusals_that_pass_by_themselves_name_a_time() {
        let wait = Some(Duration::from_millis(300));
        for (reason, expected) in [
            (
                Reason::ParallelLimit,
                vec![
                    "retry-after: 1",
                    "retry-after-ms: 300",
                    "x-should-retry: true",
                ],
            ),
            (Reason::BudgetExceeded, vec!["x-should-retry: false"]),
            (Reason::LimitsUnavailable, vec!["retry-after: 2"]),
            (Reason::TooManyFailedKeys, vec!["retry-after: 1"]),
            (Reason::TooManyConnections, vec!["retry-after: 1"]),
            (Reason::RequestExceedsLimit, vec![]),
            (Reason::UnpricedModel, vec![]),
            (Reason::UnmeteredEndpoint, vec![]),
            (Reason::UnboundedRequest, vec![]),
            (Reason::ProviderUnavailable, vec![]),
        ] {
            assert_eq!(written(reason, wait), expected, "{reason:?}");
        }
        assert_eq!(written(Reason::RequestsLimit, None), ["retry-after: 1"]);
        assert_eq!(written(Reason::ParallelLimit, None), ["retry-after: 1"]);
    }

    #[test]
    fn a_moment_is_written_in_whole_seconds_that_are_not_too_early() {
        for (moment, written) in [
            ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            ("2026-11-30T23:59:59.000000001Z", "2026-12-01T00:00:00Z"),
        ] {
            let moment: Timestamp = moment.parse().unwrap();
            assert_eq!(next_second(moment).to_string(), written);
        }
        assert!(next_second(Timestamp::MAX) <= Timestamp::MAX);
    }
}
