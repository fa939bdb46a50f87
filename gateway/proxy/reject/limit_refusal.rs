//! What a refusal by a limit says beside its reason: which limit, of whom, and when it opens again.
//!
//! It holds what the refused client is or brings, and nothing that others have used.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::limit::notice::BudgetStatus;
use crate::limit::terms::Counts;
use crate::proxy::reject::reason::Reason;
use crate::proxy::reject::retry_after::{next_second, whole_seconds};

/// The shortest and the longest wait for a place among the requests in flight.
const PLACE_WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// A refusal by a limit, beside its [`Reason`].
#[derive(Clone, Debug)]
pub(crate) struct LimitRefusal {
    /// The limit's name.
    pub(crate) name: Arc<str>,
    /// What the limit counts.
    pub(crate) counts: Counts,
    /// The limit's amount in words: `600 requests per minute`, `20 requests at once`, `2000.00 per month`.
    pub(crate) terms: Box<str>,
    /// Whose use is counted together; `None` where the name says enough.
    pub(crate) scope: Option<Scope>,
    /// The time until the same request is likely to pass, if that is known. Not for budgets.
    pub(crate) wait: Option<Duration>,
    /// When that is: the end of a budget's period, or of a long wait. `None` for a budget without an end.
    pub(crate) resets: Option<Timestamp>,
    /// The status if a budget is spent.
    pub(crate) budget_status: BudgetStatus,
}

/// Whose use is counted together, in words for one of them: none of the others is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The client's own key.
    Key,
    /// All clients of the route.
    Route,
    /// All clients whose requests go to the provider.
    Provider,
    /// All clients.
    Gateway,
    /// The keys with the same value of a label as the client's own.
    Label {
        /// The label's name.
        name: Arc<str>,
        /// The value that the client's own key has.
        value: Arc<str>,
    },
}

impl Display for Scope {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("this key"),
            Self::Route => f.write_str("this route"),
            Self::Provider => f.write_str("this route's provider"),
            Self::Gateway => f.write_str("the whole gateway"),
            Self::Label { name, value } => write!(f, "{name} `{value}`"),
        }
    }
}

impl LimitRefusal {
    /// The sentence for people.
    pub(super) fn message(&self, reason: Reason) -> String {
        let limit = self.limit(reason);
        match reason {
            Reason::RequestsLimit | Reason::TokensLimit => match self.wait {
                Some(wait) => {
                    let seconds = whole_seconds(wait).max(1);
                    format!("{limit} is reached; try again in {seconds} s.")
                }
                None => format!("{limit} is reached."),
            },
            Reason::ParallelLimit => {
                format!("{limit} is reached; try again when one of them is over.")
            }
            Reason::BudgetExceeded => match self.resets {
                Some(resets) => format!("{limit} is spent; it resets at {}.", next_second(resets)),
                None => format!("{limit} is spent."),
            },
            Reason::RequestExceedsLimit => {
                format!(
                    "{limit} never admits as much as this request may use: ask for less output, or send less."
                )
            }
            Reason::LimitsUnavailable => format!("{limit} cannot be checked now."),
            Reason::UnpricedModel => {
                format!("{limit} applies, and this model has no price in the gateway's price list.")
            }
            Reason::UnmeteredEndpoint => {
                format!(
                    "{limit} applies, and this endpoint bills later, so that the gateway cannot count it."
                )
            }
            Reason::UnboundedRequest => format!(
                "{limit} takes only requests whose largest use is known in advance: send a plain body, and refer to no \
                 files, images or earlier responses."
            ),
            other => other.message().to_owned(),
        }
    }

    /// The limit, as the beginning of a sentence.
    fn limit(&self, reason: Reason) -> String {
        let noun = match reason {
            Reason::BudgetExceeded | Reason::UnpricedModel => "Budget",
            _ => "Limit",
        };
        let (name, terms) = (&self.name, &self.terms);
        match &self.scope {
            Some(scope) => format!("{noun} `{name}` of {terms} for {scope}"),
            None => format!("{noun} `{name}` of {terms}"),
        }
    }
}

/// How long a client should wait for a place among the requests in flight, if one gets free in about `learnt`. `random`,
/// any number, spreads clients that were refused at the same time over half to one and a half of that. From 100 ms to
/// 2 s.
pub(crate) fn wait_for_a_place(learnt: Duration, random: u64) -> Duration {
    let (shortest, longest) = PLACE_WAITS;
    let likely = learnt.clamp(shortest, longest);
    let from = (likely / 2).max(shortest);
    let to = (likely + likely / 2).min(longest);
    let span = u64::try_from(to.saturating_sub(from).as_micros()).unwrap_or_default();
    from + Duration::from_micros(random % (span + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_limit_its_terms_and_whose_it_is() {
        let label = |name: &str, value: &str| Scope::Label {
            name: name.into(),
            value: value.into(),
        };
        let cases = [
            (
                Reason::BudgetExceeded,
                ("search-team", "2000.00 per month", None),
                "Budget `search-team` of 2000.00 per month is spent; it resets at 2026-12-01T00:00:00Z.",
            ),
            (
                Reason::BudgetExceeded,
                (
                    "customers",
                    "10.00 per day",
                    Some(label("customer", "acme")),
                ),
                "Budget `customers` of 10.00 per day for customer `acme` is spent; it resets at 2026-12-01T00:00:00Z.",
            ),
            (
                Reason::RequestsLimit,
                ("rpm_limit", "600 requests per minute", Some(Scope::Key)),
                "Limit `rpm_limit` of 600 requests per minute for this key is reached; try again in 12 s.",
            ),
            (
                Reason::ParallelLimit,
                ("all", "20 requests at once", Some(Scope::Gateway)),
                "Limit `all` of 20 requests at once for the whole gateway is reached; try again when one of them is over.",
            ),
        ];
        for (reason, (name, terms, scope), message) in cases {
            let refusal = LimitRefusal {
                name: name.into(),
                counts: Counts::Money,
                terms: terms.into(),
                scope,
                wait: Some(Duration::from_millis(11_001)),
                resets: Some("2026-12-01T00:00:00Z".parse().unwrap()),
                budget_status: BudgetStatus::default(),
            };
            assert_eq!(refusal.message(reason), message);
        }
    }

    #[test]
    fn a_budget_without_an_end_names_no_time() {
        let refusal = LimitRefusal {
            name: "trial".into(),
            counts: Counts::Money,
            terms: "5.00".into(),
            scope: Some(Scope::Key),
            wait: None,
            resets: None,
            budget_status: BudgetStatus::default(),
        };
        assert_eq!(
            refusal.message(Reason::BudgetExceeded),
            "Budget `trial` of 5.00 for this key is spent."
        );
        let message = refusal.message(Reason::TokensLimit);
        assert_eq!(message, "Limit `trial` of 5.00 for this key is reached.");
    }

    #[test]
    fn clients_that_wait_for_a_place_come_back_at_different_times() {
        for (learnt, from, to) in [
            (0, 100, 150),
            (100, 100, 150),
            (400, 200, 600),
            (2_000, 1_000, 2_000),
            (3_600_000, 1_000, 2_000),
        ] {
            let wait = |random| wait_for_a_place(Duration::from_millis(learnt), random);
            let span = (to - from) * 1_000;
            assert_eq!(wait(0), Duration::from_millis(from));
            assert_eq!(wait(span), Duration::from_millis(to));
            let spread = Duration::from_millis(from)..=Duration::from_millis(to);
            assert!(spread.contains(&wait(u64::MAX)) && wait(1) > wait(0));
        }
    }

    #[test]
    fn a_scope_names_nobody_but_the_client() {
        for (scope, words) in [
            (Scope::Key, "this key"),
            (Scope::Route, "this route"),
            (Scope::Provider, "this route's provider"),
            (Scope::Gateway, "the whole gateway"),
        ] {
            assert_eq!(scope.to_string(), words);
        }
    }
}
