//! What a limit says: what it counts, how much of it, of whom, and for which requests.

use std::sync::Arc;
use std::time::Duration;

/// One limit. A `[[limits]]` table makes one of each amount in it; a key's own settings make limits too.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Limit {
    /// The name that operators and clients see: `search-team`, or the setting's own (`rpm_limit`) for a limit that a
    /// key's entry sets.
    pub(crate) name: Arc<str>,
    /// Whose use is counted together.
    pub(crate) of: Of,
    /// The names of the routes whose requests count; `None`: all.
    pub(crate) routes: Option<Box<[Arc<str>]>>,
    /// The models whose requests count; empty: all.
    pub(crate) models: Box<[ModelPattern]>,
    /// What is counted.
    pub(crate) counts: Counts,
    /// How much of it.
    pub(crate) amount: Amount,
    /// What is taken before a request is sent.
    pub(crate) reserve: Reserve,
    /// Whether requests are refused.
    pub(crate) mode: Mode,
    /// What happens to a stream that goes on when nothing is left.
    pub(crate) over_budget: OverBudget,
    /// The percentages of the amount at which a warning is given, in ascending order.
    pub(crate) soft: Box<[u8]>,
    /// Whether requests pass whose model has no price. Only for limits of money.
    pub(crate) unpriced: bool,
    /// Whether requests pass whose use cannot be metered here: batches and fine-tunings, which bill later.
    pub(crate) unmetered: bool,
    /// Whether requests are refused whose use has no bound that [`Reserve::Max`] could take. Only with that.
    pub(crate) unbounded: bool,
}

/// Whose use is counted together: each of these has a cell of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Of {
    /// Each key.
    Key,
    /// Each route.
    Route,
    /// Each provider.
    Provider,
    /// The gateway.
    Gateway,
    /// The keys with this value of a label; without a value, the keys of each value.
    Label {
        /// The label's name.
        name: Arc<str>,
        /// The one value.
        value: Option<Arc<str>>,
    },
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Counts {
    /// Requests.
    Requests,
    /// Tokens.
    Tokens(Tokens),
    /// Money, in billionths of the price list's currency.
    Money,
    /// Requests in flight.
    Parallel,
}

/// Which tokens are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tokens {
    /// Whether the input counts.
    pub(crate) input: bool,
    /// Whether the output counts.
    pub(crate) output: bool,
    /// Whether input counts that the provider read from its cache.
    pub(crate) cached: bool,
}

/// How much. Units are requests, tokens, or billionths of a currency unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Amount {
    /// So many in a window that slides.
    Rate(RateAmount),
    /// So many in a period of the calendar.
    Budget {
        /// The units.
        units: i64,
        /// The period.
        period: Period,
    },
    /// So many at once.
    AtOnce(u32),
}

/// A rate: `units` in each `window`, of which `burst` may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RateAmount {
    /// The units in a window, from 1 to [`RateAmount::MOST`].
    pub(crate) units: u64,
    /// The window.
    pub(crate) window: Window,
    /// How many may come at once after a pause, at least 1. By default those of a whole window.
    pub(crate) burst: u64,
}

impl RateAmount {
    /// The most units in a window: a minute's still have a resolution of a thousandth.
    pub(crate) const MOST: u64 = 1_000_000_000;
}

/// The window of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Window {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl Window {
    /// All windows, the shortest first.
    pub(crate) const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    /// The name in settings.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
        }
    }

    /// The length.
    pub(crate) fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        })
    }
}

/// The period of a budget, in the calendar of `[usage] timezone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Period {
    /// From a full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From the first day of the week to the next one.
    Week,
    /// From the first of the month to the next one.
    Month,
    /// From the first of January, April, July or October to the next of these.
    Quarter,
    /// From the first of January to the next one.
    Year,
    /// Without an end.
    Ever,
}

impl Period {
    /// All periods with an end, the shortest first.
    pub(crate) const ALL: [Self; 6] = [
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Quarter,
        Self::Year,
    ];

    /// The name in settings; `ever` for one without an end.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
            Self::Ever => "ever",
        }
    }
}

/// What is taken from a limit of tokens or money before a request is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Reserve {
    /// Nothing: what a request used is charged when it is over.
    None,
    /// What requests of this key or route have used so far, with a margin.
    #[default]
    Estimate,
    /// The most that the request can use.
    Max,
}

impl Reserve {
    /// All values with their names in the configuration.
    pub(crate) const NAMES: [(&str, Self); 3] = [
        ("none", Self::None),
        ("estimate", Self::Estimate),
        ("max", Self::Max),
    ];
}

/// Whether a limit refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    /// It does.
    #[default]
    Enforce,
    /// It counts, and the metrics show what it would have refused.
    Observe,
}

impl Mode {
    /// All values with their names in the configuration.
    pub(crate) const NAMES: [(&str, Self); 2] =
        [("enforce", Self::Enforce), ("observe", Self::Observe)];
}

/// What happens to a stream that goes on when nothing is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum OverBudget {
    /// It ends by itself; the debt is paid by later requests.
    #[default]
    Finish,
    /// It is cut.
    Cut,
}

impl OverBudget {
    /// All values with their names in the configuration.
    pub(crate) const NAMES: [(&str, Self); 2] = [("finish", Self::Finish), ("cut", Self::Cut)];
}

/// A model's name, or a prefix of names with `*` behind it. Upper and lower case are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ModelPattern(Box<str>);

impl ModelPattern {
    /// The pattern as it is written in the configuration. `None` if a `*` stands elsewhere than at its end, or there is
    /// nothing else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let name = text.strip_suffix('*').unwrap_or(text);
        let is_pattern = !text.is_empty() && !name.contains('*');
        is_pattern.then(|| Self(text.to_lowercase().into()))
    }

    /// Whether it is the pattern of `model`, in lower case.
    pub(crate) fn matches(&self, model: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => model.starts_with(prefix),
            None => *self.0 == *model,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_a_name_or_a_prefix_in_any_case() {
        let matches = |pattern: &str, model| ModelPattern::parse(pattern).unwrap().matches(model);
        assert!(matches("GPT-5*", "gpt-5-mini") && matches("gpt-5*", "gpt-5"));
        assert!(matches("o3", "o3") && !matches("o3", "o3-mini"));
        assert!(matches("*", "anything") && matches("*", ""));
        for none in ["", "a*b", "**"] {
            assert_eq!(ModelPattern::parse(none), None, "{none}");
        }
    }
}
