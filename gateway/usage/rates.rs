//! The rates of one model, and the cost of tokens at these rates.

use super::media::{Media, MediumTokens};
use super::money::{Cost, Rate};
use super::tokens::Usage;

/// The prices of one model's tokens, by type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Input tokens that no other rate covers.
    pub(crate) input: Rate,
    /// Input tokens read from the provider's cache. Defaults to `input`.
    pub(crate) cache_read: Option<Rate>,
    /// Input tokens written into the cache for minutes. Defaults to `input`.
    pub(crate) cache_creation: Option<Rate>,
    /// Input tokens written into the cache for an hour. If `cache_creation` is given without this
    /// rate, the price is unknown.
    pub(crate) cache_creation_hour: Option<Rate>,
    /// Output tokens that no other rate covers.
    pub(crate) output: Rate,
    /// Reasoning tokens. Defaults to `output`.
    pub(crate) reasoning: Option<Rate>,
    /// Audio tokens. A missing rate means that the price is unknown: no provider sells audio at the
    /// price of text.
    pub(crate) audio: MediumRates,
    /// Image tokens. If neither input rate is given, input costs the same as text. A missing output
    /// rate means that the price is unknown.
    pub(crate) image: MediumRates,
    /// Video tokens, with the same defaults as `image`.
    pub(crate) video: MediumRates,
}

/// The prices of the tokens of one medium.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MediumRates {
    /// Input tokens.
    pub(crate) input: Option<Rate>,
    /// Input tokens read from the provider's cache. If `input` is given without this rate, the
    /// price is unknown.
    pub(crate) cache_read: Option<Rate>,
    /// Output tokens.
    pub(crate) output: Option<Rate>,
}

impl MediumRates {
    /// Returns whether any input rate is given.
    fn has_input_rate(&self) -> bool {
        self.input.is_some() || self.cache_read.is_some()
    }

    /// The cost of these tokens, or `None` if a rate that they need is unknown.
    fn cost(&self, tokens: MediumTokens) -> Option<Cost> {
        let fresh = tokens.input.saturating_sub(tokens.cache_read);
        let mut parts = [
            (self.input, fresh),
            (self.cache_read, tokens.cache_read),
            (self.output, tokens.output),
        ]
        .into_iter()
        .filter(|(_, tokens)| *tokens > 0);
        parts.try_fold(Cost::default(), |all, (rate, tokens)| {
            Some(all.plus(rate?.of(tokens)))
        })
    }
}

impl Rates {
    /// The cost of these tokens, or `None` if a rate that they need is unknown.
    pub(crate) fn cost(&self, usage: &Usage) -> Option<Cost> {
        let (apart, media) = self.media(&usage.media)?;
        let cached = usage.cache_read.saturating_add(usage.cache_creation);
        // Input tokens that are cached or that belong to a medium with rates of its own, each
        // counted once.
        let separate = cached.saturating_add(apart.input.saturating_sub(apart.cache_read));
        let hour = usage.cache_creation_hour.min(usage.cache_creation);
        let parts = [
            (self.input, usage.input.saturating_sub(separate)),
            (
                self.cache_read.unwrap_or(self.input),
                usage.cache_read.saturating_sub(apart.cache_read),
            ),
            (
                self.cache_creation.unwrap_or(self.input),
                usage.cache_creation - hour,
            ),
            (self.hour(hour)?, hour),
            (
                self.output,
                usage
                    .output
                    .saturating_sub(usage.reasoning)
                    .saturating_sub(apart.output),
            ),
            (self.reasoning.unwrap_or(self.output), usage.reasoning),
        ];
        let costs = parts.iter().map(|(rate, tokens)| rate.of(*tokens));
        Some(costs.fold(media, Cost::plus))
    }

    /// The most that so many tokens can cost: all of them at the dearest of the rates that they may have.
    pub(super) fn most(&self, input: u64, output: u64) -> Cost {
        let media = [self.audio, self.image, self.video];
        let of_input = [
            self.cache_read,
            self.cache_creation,
            self.cache_creation_hour,
        ]
        .into_iter()
        .chain(media.map(|rates| rates.input))
        .chain(media.map(|rates| rates.cache_read));
        let of_output = std::iter::once(self.reasoning).chain(media.map(|rates| rates.output));
        let input_rate = of_input.flatten().fold(self.input, Rate::max);
        let output_rate = of_output.flatten().fold(self.output, Rate::max);
        input_rate.of(input).plus(output_rate.of(output))
    }

    /// The tokens of media that have rates of their own, and the cost of these tokens. Returns
    /// `None` if the cost is unknown.
    fn media(&self, media: &Media) -> Option<(MediumTokens, Cost)> {
        let (mut apart, mut cost) = (MediumTokens::default(), Cost::default());
        for (rates, tokens) in [
            (self.audio, media.audio),
            self.like_text(self.image, media.image),
            self.like_text(self.video, media.video),
        ] {
            apart = apart.plus(tokens);
            cost = cost.plus(rates.cost(tokens)?);
        }
        (apart.is_none() || !media.unclear).then_some((apart, cost))
    }

    /// The rates and tokens of a medium whose input costs the same as text unless a rate is given.
    fn like_text(&self, rates: MediumRates, tokens: MediumTokens) -> (MediumRates, MediumTokens) {
        if rates.has_input_rate() {
            let input = rates.input.or(Some(self.input));
            return (MediumRates { input, ..rates }, tokens);
        }
        let output = MediumTokens {
            output: tokens.output,
            ..MediumTokens::default()
        };
        (rates, output)
    }

    /// The rate for `tokens` written into the cache for an hour.
    fn hour(&self, tokens: u64) -> Option<Rate> {
        match (self.cache_creation_hour, self.cache_creation) {
            (Some(rate), _) => Some(rate),
            // An hour costs more than minutes, and the price file does not say how much.
            (None, Some(_)) if tokens > 0 => None,
            (None, _) => Some(self.input),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn a_cost_is_exact_and_reads_as_it_is_written() {
        let rates = Rates {
            input: rate("2.50"),
            cache_read: Some(rate("1.25")),
            cache_creation: None,
            cache_creation_hour: None,
            output: rate("10"),
            reasoning: None,
            audio: MediumRates::default(),
            image: MediumRates::default(),
            video: MediumRates::default(),
        };
        let usage = Usage {
            input: 1_000,
            output: 7,
            cache_read: 200,
            cache_creation: 100,
            reasoning: 3,
            ..Usage::default()
        };
        // (800 at 2.50 + 200 at 1.25 + 7 at 10) / 1,000,000
        assert_eq!(rates.cost(&usage).unwrap().to_string(), "0.00232");
        for text in ["0", "1", "0.000000000001", "12345678.9", "0.1"] {
            assert_eq!(text.parse::<Cost>().unwrap().to_string(), text);
        }
        let rounded = |text: &str| text.parse::<Cost>().unwrap().billionths();
        assert_eq!((rounded("0.0000000014"), rounded("0.0000000015")), (1, 2));
        // The sum of a million tenths is exact, unlike with floating point.
        let tenth: Cost = "0.1".parse().unwrap();
        let sum = (0..1_000_000).fold(Cost::default(), |sum, _| sum.plus(tenth));
        assert_eq!(sum.to_string(), "100000");
    }

    #[test]
    fn false_token_counts_do_not_overflow() {
        let dear = rate("18446744073709");
        let rates = Rates {
            input: dear,
            cache_read: None,
            cache_creation: None,
            cache_creation_hour: None,
            output: dear,
            reasoning: None,
            audio: MediumRates::default(),
            image: MediumRates::default(),
            video: MediumRates::default(),
        };
        let most = u64::MAX;
        let usage = Usage {
            input: most,
            output: most,
            cache_read: most,
            cache_creation: most,
            reasoning: most,
            ..Usage::default()
        };
        assert!(rates.cost(&usage).unwrap() > Cost(u128::from(most)));
    }

    #[test]
    fn one_hour_cache_writes_have_a_rate_of_their_own_or_no_price() {
        let of = |minutes: Option<&str>, hour: Option<&str>, tokens| {
            let rates = Rates {
                input: rate("5"),
                cache_read: None,
                cache_creation: minutes.map(rate),
                cache_creation_hour: hour.map(rate),
                output: rate("0"),
                reasoning: None,
                audio: MediumRates::default(),
                image: MediumRates::default(),
                video: MediumRates::default(),
            };
            let usage = Usage {
                input: 344_139,
                cache_creation: 344_139,
                cache_creation_hour: tokens,
                ..Usage::default()
            };
            rates.cost(&usage).map(|cost| cost.to_string())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of(Some("6.25"), Some("10"), 344_139), some("3.44139"));
        assert_eq!(of(Some("6.25"), Some("10"), 0), some("2.15086875"));
        assert_eq!(
            of(Some("6.25"), Some("10"), 100_000),
            some("2.52586875"),
            "244,139 at 6.25 and 100,000 at 10"
        );
        // The rate for minutes is not used for an hour.
        assert_eq!(of(Some("6.25"), None, 1), None);
        assert_eq!(of(Some("6.25"), None, 0), some("2.15086875"));
        // Without any cache rate, all tokens cost the same as input.
        assert_eq!(of(None, None, 344_139), some("1.720695"));
    }
}
