//! The amounts of a limit: each makes a limit of its own.

use std::time::Duration;

use super::super::super::file::LimitFile;
use super::super::checker::Checker;
use super::Counted;
use crate::document::{Located, OneOrMany};
use crate::limit::amount::{self, AmountError};
use crate::limit::terms::{Amount, Counts, RateAmount, Tokens};

/// The longest time of `burst`, the longest window.
const LONGEST_BURST: Duration = Duration::from_secs(3600);

impl Checker<'_> {
    /// The amounts of `file`; `None` if one is wrong, or there is none.
    pub(super) fn amounts(&self, file: &LimitFile) -> Option<Vec<Counted>> {
        let cached = file.cached_tokens.as_ref().is_some_and(|given| given.value);
        let tokens = |input, output| {
            Counts::Tokens(Tokens {
                input,
                output,
                cached: cached && input,
            })
        };
        let lists = [
            ("requests", &file.requests, Counts::Requests),
            ("tokens", &file.tokens, tokens(true, true)),
            ("input_tokens", &file.input_tokens, tokens(true, false)),
            ("output_tokens", &file.output_tokens, tokens(false, true)),
            ("budget", &file.budget, Counts::Money),
        ];
        let given = lists
            .into_iter()
            .filter_map(|(setting, given, counts)| Some((setting, given.as_ref()?, counts)));
        // All of them are read, so that all problems come at once.
        let read: Vec<Option<Vec<Counted>>> = given
            .map(|(setting, given, counts)| self.list(setting, given, counts))
            .chain(file.parallel.as_ref().map(|given| self.parallel(given)))
            .collect();
        if read.is_empty() {
            let why = "a limit without an amount counts nothing: give it requests, tokens, input_tokens, output_tokens, \
                       budget or parallel";
            self.fatal(&file.at, why);
            return None;
        }
        let read: Option<Vec<Vec<Counted>>> = read.into_iter().collect();
        let mut amounts: Vec<Counted> = read?.into_iter().flatten().collect();
        if let Some(burst) = &file.burst {
            self.burst(burst, &mut amounts);
        }
        Some(amounts)
    }

    fn list(
        &self,
        setting: &str,
        given: &Located<OneOrMany>,
        counts: Counts,
    ) -> Option<Vec<Counted>> {
        if given.value.0.is_empty() {
            let why = format!("{setting} has no amount: leave it out for any");
            self.fatal(&given.at, why);
            return None;
        }
        let parse = match counts {
            Counts::Money => amount::money,
            _ => amount::counted,
        };
        let parse = |text: &String| {
            let refuse = |why: AmountError| {
                self.fatal(&given.at, format!("{setting}: `{text}` {why}"));
            };
            parse(text).map_err(refuse).ok()
        };
        let read: Vec<Option<Amount>> = given.value.0.iter().map(parse).collect();
        let amounts: Vec<Amount> = read.into_iter().collect::<Option<_>>()?;
        self.different_periods(setting, given, &amounts);
        Some(amounts.into_iter().map(|amount| (counts, amount)).collect())
    }

    /// Of two amounts in the same period, the larger one would have no effect.
    fn different_periods(&self, setting: &str, given: &Located<OneOrMany>, amounts: &[Amount]) {
        let periods = || amounts.iter().map(|amount| period(*amount));
        for (at, name) in periods().enumerate() {
            if periods().take(at).any(|before| before == name) {
                let why = format!("{setting} has two amounts per {name}: which is meant?");
                self.fatal(&given.at, why);
            }
        }
    }

    fn parallel(&self, given: &Located<usize>) -> Option<Vec<Counted>> {
        match u32::try_from(given.value) {
            Ok(0) => self.fatal(
                &given.at,
                "with parallel = 0, every request would be refused: give 1 or more",
            ),
            Ok(most) => return Some(vec![(Counts::Parallel, Amount::AtOnce(most))]),
            Err(_) => self.fatal(&given.at, format!("parallel is at most {}", u32::MAX)),
        }
        None
    }

    /// Lets each rate among `amounts` have its burst.
    fn burst(&self, given: &Located<Duration>, amounts: &mut [Counted]) {
        if given.value.is_zero() || given.value > LONGEST_BURST {
            let why = "burst is a time from \"1ms\" to \"1h\": what the rate permits in it may come at once";
            self.fatal(&given.at, why);
            return;
        }
        for (_, amount) in amounts {
            if let Amount::Rate(rate) = amount {
                *rate = RateAmount {
                    burst: amount::burst(given.value, rate),
                    ..*rate
                };
            }
        }
    }

    /// The percentages of `soft_budget`, in ascending order.
    pub(super) fn soft_budget(&self, given: Option<&Located<OneOrMany>>) -> Box<[u8]> {
        let Some(given) = given else {
            return Box::default();
        };
        let parse = |text: &String| {
            let refuse =
                |why: AmountError| self.fatal(&given.at, format!("soft_budget: `{text}` {why}"));
            amount::percent(text).map_err(refuse).ok()
        };
        let mut percents: Vec<u8> = given.value.0.iter().filter_map(parse).collect();
        percents.sort_unstable();
        percents.dedup();
        percents.into()
    }
}

/// The name of the period of `amount`.
fn period(amount: Amount) -> &'static str {
    match amount {
        Amount::Rate(rate) => rate.window.name(),
        Amount::Budget { period, .. } => period.name(),
        Amount::AtOnce(_) => "moment",
    }
}
