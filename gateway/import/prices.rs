//! Prices that somebody's configuration says, as a price file.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml_edit::Value;

use super::Plan;
use crate::usage::normal;

/// The names of the prices of tokens in a price file, in the order in which they are written.
pub(super) const RATES: [&str; 6] = [
    "input",
    "cache_read",
    "cache_creation",
    "cache_creation_1h",
    "output",
    "reasoning",
];

/// For which responses a tier is: the service, and the tokens above which it begins.
pub(super) type TierOf = (Option<&'static str>, u64);

/// What the responses of a model cost, as decimal texts: tokens by the million.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PlannedTariff {
    /// By name, one of the price file's.
    pub(super) rates: BTreeMap<&'static str, String>,
    /// Other rates under a condition.
    pub(super) tiers: BTreeMap<TierOf, BTreeMap<&'static str, String>>,
    /// Of one request.
    pub(super) per_request: Option<String>,
    /// Of one search of the web.
    pub(super) per_search: Option<String>,
}

/// A price to be written.
pub struct PlannedPrice {
    /// The models, as the price file names them.
    pub models: Vec<String>,
    /// The name of the provider.
    pub provider: String,
    /// What their responses cost.
    pub tariff: PlannedTariff,
}

impl Plan {
    /// Adds a price. False if one of its models has another one at this provider already, which stays.
    pub(super) fn add_price(&mut self, mut price: PlannedPrice) -> bool {
        let known = self
            .prices
            .iter()
            .filter(|known| known.provider == price.provider);
        let known: Vec<(String, &PlannedTariff)> = known
            .flat_map(|known| {
                known
                    .models
                    .iter()
                    .map(|model| (normal(model).into_owned(), &known.tariff))
            })
            .collect();
        let other = |model: &String| {
            let mut known = known.iter();
            known.find(|(name, _)| *name == normal(model))
        };
        let is_new = price
            .models
            .iter()
            .filter_map(other)
            .all(|(_, tariff)| **tariff == price.tariff);
        if is_new {
            price.models = price
                .models
                .iter()
                .filter(|model| other(model).is_none())
                .cloned()
                .collect();
        }
        drop(known);
        if is_new && !price.models.is_empty() {
            self.prices.push(price);
        }
        is_new
    }
}

/// The text of `prices.toml`; `None` where there are no prices.
pub fn prices(plan: &Plan) -> Option<String> {
    if plan.prices.is_empty() {
        return None;
    }
    let mut text = String::from(
        "# Made by `keygate import`: prices of a million tokens. How they are written: conf/prices.toml.\ncurrency = \"USD\"\n",
    );
    for price in &plan.prices {
        let models = price.models.iter().map(String::as_str);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "\n[[price]]\nmodel = {}\nprovider = {}",
            models.collect::<Value>(),
            Value::from(price.provider.as_str())
        );
        let tariff = &price.tariff;
        write_rates(&mut text, &tariff.rates);
        for (name, cost) in [
            ("per_request", &tariff.per_request),
            ("per_search", &tariff.per_search),
        ] {
            if let Some(cost) = cost {
                let _ = writeln!(text, "{name} = \"{cost}\"");
            }
        }
        for ((service, above), rates) in &tariff.tiers {
            text.push_str("\n[[price.tier]]\n");
            if let Some(service) = service {
                let _ = writeln!(text, "service = \"{service}\"");
            }
            if *above > 0 {
                let _ = writeln!(text, "above = {above}");
            }
            write_rates(&mut text, rates);
        }
    }
    Some(text)
}

fn write_rates(text: &mut String, rates: &BTreeMap<&'static str, String>) {
    for name in RATES {
        if let Some(rate) = rates.get(name) {
            let _ = writeln!(text, "{name} = \"{rate}\"");
        }
    }
}
