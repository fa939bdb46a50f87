//! What a request may cost, before its response is known.

use jiff::civil::Date;

use super::PriceList;
use crate::usage::money::Cost;
use crate::usage::tokens::Usage;

impl PriceList {
    /// The most that one response of `model` can cost with at most so many input and output tokens. Returns `None` if
    /// the model has no price.
    ///
    /// Each token is taken at the dearest price that the file has for it: written into the cache for an hour, in a long
    /// context, in any service tier, as audio, image or video. The price of a request is included. Not bounded are web
    /// searches, further responses over the same WebSocket, another model that the provider calls, and a kind of token
    /// that the provider bills and the file has no price for: such a response has no [cost](Self::cost) either.
    pub(crate) fn most(
        &self,
        provider: &str,
        model: &str,
        day: Date,
        most_input: u64,
        most_output: u64,
    ) -> Option<Cost> {
        let tariff = self.tariff(provider, model, day)?;
        Some(tariff.most(most_input, most_output))
    }

    /// The most output tokens that `model` makes in one output, if the file says so.
    pub(crate) fn max_output(&self, provider: &str, model: &str, day: Date) -> Option<u64> {
        self.tariff(provider, model, day)?.max_output
    }

    /// The cost of a response of `model` with so many tokens of plain text, nothing of it cached, in the standard service.
    /// Returns `None` if the model, or a request of this length, has no price.
    pub(crate) fn estimate(
        &self,
        provider: &str,
        model: &str,
        day: Date,
        input: u64,
        output: u64,
    ) -> Option<Cost> {
        let usage = Usage {
            input,
            output,
            ..Usage::default()
        };
        self.cost(provider, model, day, &usage)
    }
}
