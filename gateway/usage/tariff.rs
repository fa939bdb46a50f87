//! The tariff of one model: rates by context length and service tier, and prices per request and
//! per search.

use super::money::Cost;
use super::rates::Rates;
use super::tokens::{ServiceTier, Usage};

/// All prices of one model.
///
/// A tier replaces the rates for all tokens of a response: providers bill a long request at the
/// higher rates as a whole (<https://ai.google.dev/gemini-api/docs/pricing>,
/// <https://docs.claude.com/en/docs/about-claude/pricing>,
/// <https://platform.openai.com/docs/pricing>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tariff {
    /// The rates of the standard service for requests of a length that no tier covers.
    pub(super) rates: Rates,
    /// The rates of other services and of longer requests.
    pub(super) tiers: Vec<Tier>,
    /// The price of each request, or of each response over a WebSocket.
    pub(super) per_request: Cost,
    /// The price of each web search. `None` if unknown.
    pub(super) per_search: Option<Cost>,
    /// The most output tokens that the model makes in one output. `None` if unknown.
    pub(super) max_output: Option<u64>,
}

/// Rates that apply under a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tier {
    /// The service that the tier applies to.
    pub(super) service: ServiceTier,
    /// The tier applies if the input, cached tokens included, is larger than this number; 0 for any
    /// input.
    pub(super) above: u64,
    /// The rates for all tokens of the response.
    pub(super) rates: Rates,
}

impl Tariff {
    /// The cost of a response, or `None` if a price that it needs is unknown.
    pub(super) fn cost(&self, usage: &Usage) -> Option<Cost> {
        let tokens = self.rates(usage)?.cost(usage)?;
        let searches = match (usage.searches, self.per_search) {
            (0, _) => Cost::default(),
            (searches, price) => Cost(price?.0.saturating_mul(searches.into())),
        };
        let requests = usage.responses.max(1);
        let requests = Cost(self.per_request.0.saturating_mul(requests.into()));
        Some(tokens.plus(requests).plus(searches))
    }

    /// The most that one response can cost with so many input and output tokens, and without searches: at the dearest
    /// rates of any service, and of any length up to this input. One response has the rates of one tier for all its tokens.
    pub(super) fn most(&self, input: u64, output: u64) -> Cost {
        let tiers = self.tiers.iter().filter(|tier| tier.above < input);
        let rates = std::iter::once(&self.rates).chain(tiers.map(|tier| &tier.rates));
        let most = rates.map(|rates| rates.most(input, output)).max();
        most.unwrap_or_default().plus(self.per_request)
    }

    /// Selects the rates by service and length. The length class is the highest one among all tiers
    /// of this model: a service without a tier for it has no price, rather than the price of
    /// shorter requests.
    fn rates(&self, usage: &Usage) -> Option<&Rates> {
        let service = usage.service_tier.unwrap_or(ServiceTier::Standard);
        let lengths = self.tiers.iter().map(|tier| tier.above);
        let above = lengths
            .filter(|above| usage.input > *above)
            .max()
            .unwrap_or(0);
        // The price depends on the length of each call, of which only the sum is known, or on
        // another model.
        if usage.other_models || usage.calls > 1 && above > 0 {
            return None;
        }
        if (service, above) == (ServiceTier::Standard, 0) {
            return Some(&self.rates);
        }
        let holds = |tier: &&Tier| (tier.service, tier.above) == (service, above);
        self.tiers.iter().find(holds).map(|tier| &tier.rates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Rate;
    use crate::usage::rates::MediumRates;

    fn rates(input: &str, output: &str) -> Rates {
        Rates {
            input: input.parse().unwrap(),
            cache_read: None,
            cache_creation: None,
            cache_creation_hour: None,
            output: output.parse().unwrap(),
            reasoning: None,
            audio: MediumRates::default(),
            image: MediumRates::default(),
            video: MediumRates::default(),
        }
    }

    fn tier(service: ServiceTier, above: u64, input: &str, output: &str) -> Tier {
        let rates = rates(input, output);
        Tier {
            service,
            above,
            rates,
        }
    }

    fn cost(tariff: &Tariff, usage: &Usage) -> Option<String> {
        tariff.cost(usage).map(|cost| cost.to_string())
    }

    /// From an invoice: Gemini 3.1 Pro costs 2 and 12, and 4 and 18 above 200,000.
    #[test]
    fn all_tokens_of_a_long_request_have_the_higher_rates() {
        let tariff = Tariff {
            rates: rates("2", "12"),
            tiers: vec![
                tier(ServiceTier::Standard, 200_000, "4", "18"),
                tier(ServiceTier::Standard, 1_000_000, "8", "20"),
            ],
            per_request: Cost::default(),
            per_search: None,
            max_output: None,
        };
        for (input, expected) in [
            (1_000, "0.014"),
            (200_000, "0.412"),
            (200_001, "0.818004"),
            (250_000, "1.018"),
            (1_000_000, "4.018"),
            (1_000_001, "8.020008"),
        ] {
            let usage = Usage {
                input,
                output: 1_000,
                // The whole input counts, cached tokens included.
                cache_read: input / 2,
                ..Usage::default()
            };
            assert_eq!(cost(&tariff, &usage).as_deref(), Some(expected), "{input}");
        }
    }

    #[test]
    fn a_service_has_its_own_rates_or_none() {
        let tariff = Tariff {
            rates: rates("1.25", "10"),
            tiers: vec![
                tier(ServiceTier::Flex, 0, "0.625", "5"),
                tier(ServiceTier::Priority, 0, "2.5", "20"),
                tier(ServiceTier::Standard, 2_000_000, "2.5", "15"),
                tier(ServiceTier::Flex, 2_000_000, "1.25", "7.5"),
            ],
            per_request: Cost::default(),
            per_search: None,
            max_output: None,
        };
        let of = |service_tier, input| {
            let usage = Usage {
                input,
                service_tier,
                ..Usage::default()
            };
            cost(&tariff, &usage)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of(None, 1_000_000), some("1.25"));
        assert_eq!(of(Some(ServiceTier::Standard), 1_000_000), some("1.25"));
        assert_eq!(of(Some(ServiceTier::Flex), 1_000_000), some("0.625"));
        assert_eq!(of(Some(ServiceTier::Priority), 1_000_000), some("2.5"));
        assert_eq!(of(Some(ServiceTier::Batch), 1_000_000), None);
        assert_eq!(of(Some(ServiceTier::Other), 1_000_000), None);
        assert_eq!(of(None, 4_000_000), some("10"));
        assert_eq!(of(Some(ServiceTier::Flex), 4_000_000), some("5"));
        // No tier gives a price for this length.
        assert_eq!(of(Some(ServiceTier::Priority), 4_000_000), None);
    }

    #[test]
    fn calls_whose_lengths_or_models_are_not_known_have_no_price() {
        let tariff = Tariff {
            rates: rates("2", "12"),
            tiers: vec![tier(ServiceTier::Standard, 200_000, "4", "18")],
            per_request: Cost::default(),
            per_search: None,
            max_output: None,
        };
        for (input, calls, other_models, expected) in [
            (203_000, 0, false, Some("0.812")),
            (203_000, 1, false, Some("0.812")),
            (203_000, 2, false, None),
            (200_000, 2, false, Some("0.4")),
            (1_000, 2, true, None),
        ] {
            let usage = Usage {
                input,
                calls,
                other_models,
                ..Usage::default()
            };
            assert_eq!(cost(&tariff, &usage).as_deref(), expected, "{usage:?}");
        }
    }

    #[test]
    fn requests_and_searches_are_priced_besides_tokens() {
        let mut tariff = Tariff {
            rates: rates("3", "15"),
            tiers: Vec::new(),
            per_request: "0.005".parse().unwrap(),
            per_search: Some("0.01".parse().unwrap()),
            max_output: None,
        };
        let mut usage = Usage {
            input: 1_000,
            output: 100,
            searches: 3,
            ..Usage::default()
        };
        assert_eq!(cost(&tariff, &usage).as_deref(), Some("0.0395"));
        tariff.per_search = None;
        assert_eq!(cost(&tariff, &usage), None);
        usage.searches = 0;
        assert_eq!(cost(&tariff, &usage).as_deref(), Some("0.0095"));
        // Three responses over one WebSocket.
        let three = usage.plus(&usage).plus(&usage);
        assert_eq!(cost(&tariff, &three).as_deref(), Some("0.0285"));
        // False counts overflow nothing.
        let most = u64::MAX;
        (usage.searches, usage.input) = (most, most);
        tariff.per_search = Some(Cost(u128::MAX));
        assert_eq!(tariff.cost(&usage), Some(Cost(u128::MAX)));
        assert_eq!(tariff.rates.reasoning, None::<Rate>);
    }
}
