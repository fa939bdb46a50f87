//! What a request is expected to use, and the most that it can use, by its body. Plain functions of what was read.

use jiff::civil::Date;

use crate::limit::applied::{Amounts, Ask, Most};
use crate::usage::{Asked, Cost, PriceList};

/// The tokens that a provider adds to a prompt itself, at most: a chat template, the instructions for tools.
const PROVIDERS_OWN: u64 = 2048;

/// The prices of a request's model.
#[derive(Clone, Copy)]
pub(in crate::proxy) struct Prices<'p> {
    pub(in crate::proxy) list: Option<&'p PriceList>,
    pub(in crate::proxy) provider: &'p str,
    /// The model, if the request names one.
    pub(in crate::proxy) model: Option<&'p str>,
    /// Whether the provider reports the cost of each response itself.
    pub(in crate::proxy) is_reported: bool,
    /// The day on which the request came.
    pub(in crate::proxy) day: Date,
}

impl Prices<'_> {
    /// Whether the cost will not be known: there is no price for the model, or there are no prices at all.
    pub(in crate::proxy) fn lack_model(&self) -> bool {
        if self.is_reported {
            return false;
        }
        let Some(list) = self.list else {
            return true;
        };
        let Some(model) = self.model else {
            return false;
        };
        list.estimate(self.provider, model, self.day, 1, 1)
            .is_none()
    }

    fn max_output(&self) -> Option<u64> {
        self.list?.max_output(self.provider, self.model?, self.day)
    }

    fn estimate(&self, input: u64, output: u64) -> Option<u64> {
        let cost = self
            .list?
            .estimate(self.provider, self.model?, self.day, input, output);
        cost.map(whole_billionths)
    }

    fn most(&self, input: u64, output: u64) -> Option<u64> {
        let cost = self
            .list?
            .most(self.provider, self.model?, self.day, input, output);
        cost.map(whole_billionths)
    }
}

/// What a request whose body was read asks of its limits. `learnt` is what requests like it used before.
pub(in crate::proxy) fn of_body(asked: &Asked<'_>, learnt: Amounts, prices: Prices<'_>) -> Ask {
    let cap = asked.output_cap.or_else(|| prices.max_output());
    let cap = cap.map(|cap| cap.saturating_mul(asked.outputs.max(1)));
    // The average has the usual number of outputs in it: more of them make more tokens.
    let output = learnt.output.max(1).saturating_mul(asked.outputs.max(1));
    let estimate = Amounts {
        input: learnt.input,
        cached: 0,
        output: cap.map_or(output, |cap| output.min(cap)),
        money: None,
    };
    let money = prices.estimate(estimate.input, estimate.output);
    Ask {
        estimate: Amounts {
            money: money.or(learnt.money),
            ..estimate
        },
        most: most(asked, cap, prices),
        is_learnt: cap.is_none_or(|cap| cap > output),
    }
}

/// The most that a request can use: a token of text is at least a byte.
fn most(asked: &Asked<'_>, cap: Option<u64>, prices: Prices<'_>) -> Most {
    let is_text = asked.is_readable && !asked.media;
    let is_bounded = is_text && !asked.by_reference && !asked.background && !asked.two_models;
    let (true, Some(output)) = (is_bounded, cap) else {
        return Most::Unbounded;
    };
    let input = asked.bytes.saturating_add(PROVIDERS_OWN);
    Most::Known(Amounts {
        input,
        cached: 0,
        output,
        money: if prices.lack_model() {
            Some(0)
        } else {
            prices.most(input, output)
        },
    })
}

/// An amount in billionths, rounded up: sums of what is reserved and used are never too small.
pub(in crate::proxy) fn whole_billionths(cost: Cost) -> u64 {
    u64::try_from(cost.0.div_ceil(1000)).unwrap_or(u64::MAX)
}
