//! Reads the prices of a deployment: `input_cost_per_token` and the like, in `model_info` or in
//! `litellm_params` (<https://docs.litellm.ai/docs/proxy/custom_pricing>).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::import::fields::{Fields, text_of};
use crate::import::plan::Plan;
use crate::import::planned::{PlannedPrice, PlannedRates, Unpriced};
use crate::usage::{Cost, Rate};

/// The prices of one token, by their names there and in a price file.
const TOKENS: [(&str, &str); 14] = [
    ("cache_creation_input_token_cost", "cache_creation"),
    (
        "cache_creation_input_token_cost_above_1hr",
        "cache_creation_1h",
    ),
    ("cache_read_input_token_cost", "cache_read"),
    ("input_cost_per_token", "input"),
    ("output_cost_per_reasoning_token", "reasoning"),
    ("output_cost_per_token", "output"),
    ("input_cost_per_audio_token", "audio_input"),
    ("cache_read_input_audio_token_cost", "audio_cache_read"),
    ("output_cost_per_audio_token", "audio_output"),
    ("input_cost_per_image_token", "image_input"),
    ("cache_read_input_image_token_cost", "image_cache_read"),
    ("output_cost_per_image_token", "image_output"),
    ("input_cost_per_video_token", "video_input"),
    ("output_cost_per_video_token", "video_output"),
];

/// A price that nothing here uses: no response reports how much audio was written into the cache,
/// and the cost of one with audio and cache writes is unknown.
const CACHED_AUDIO: &str = "cache_creation_input_audio_token_cost";

/// Suffixes for service tiers, and the tiers.
const SERVICES: [(&str, &str); 3] = [
    ("_batches", "batch"),
    ("_flex", "flex"),
    ("_priority", "priority"),
];

/// Prices in other forms: by ranges of lengths, and multipliers.
const OTHERS: [&str; 2] = ["provider_specific_entry", "tiered_pricing"];

const REQUEST: &str = "input_cost_per_request";

const SEARCH: &str = "search_context_cost_per_query";

/// The values of `mode` for models without output tokens.
pub(super) const WITHOUT_OUTPUT: [&str; 2] = ["embedding", "rerank"];

/// What responses of a model contain.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Outputs {
    /// Tokens, which need a price.
    #[default]
    Tokens,
    /// No tokens: embeddings, for instance.
    None,
}

/// Models that a price applies to.
pub(super) struct PricedModels<'p> {
    /// Their names in responses.
    pub(super) names: Vec<String>,
    /// The name of their provider here.
    pub(super) provider: &'p str,
    pub(super) outputs: Outputs,
}

/// The prices of a deployment by name, each with the object that contains it.
#[derive(Default)]
pub(super) struct DeploymentPrices(BTreeMap<String, (Value, &'static str)>);

impl DeploymentPrices {
    /// Takes the prices out of `fields`, which belong to the object `holder`.
    pub(super) fn take(fields: &mut Fields<'_>, holder: &'static str) -> Self {
        let names: Vec<String> = fields
            .unread()
            .filter(|name| is_price(name))
            .cloned()
            .collect();
        let taken = names.into_iter().filter_map(|name| {
            let value = fields.value(&[&name])?;
            Some((name, (value, holder)))
        });
        Self(taken.collect())
    }

    /// Adds the prices of `others` that are missing here.
    pub(super) fn or(mut self, others: Self) -> Self {
        for (name, value) in others.0 {
            self.0.entry(name).or_insert(value);
        }
        self
    }

    /// Plans the price of `models`. If a price cannot be carried over, `entry` gets a note and the
    /// models have no price: a part of the price would be wrong, and so would the price of another
    /// model.
    pub(super) fn plan(&self, models: PricedModels<'_>, entry: &Fields<'_>, plan: &mut Plan) {
        let exact = models.names.iter().filter(|model| !model.contains('*'));
        let exact: Vec<String> = exact.cloned().collect();
        let provider = models.provider;
        let Some(price) = self.price(models, entry) else {
            plan.unpriced
                .extend(exact.into_iter().map(|model| Unpriced {
                    provider: provider.to_owned(),
                    model,
                    title: entry.title().to_owned(),
                }));
            return;
        };
        let others = plan.add_price(price);
        if !others.is_empty() {
            entry.lost("model_name", format!(
                "another entry has another price for `{}` at the provider `{provider}`: that one applies",
                others.join("`, `")
            ));
        }
    }

    /// The price of `models`; `None` if they have none, with a note if the entry says one.
    fn price(&self, models: PricedModels<'_>, entry: &Fields<'_>) -> Option<PlannedPrice> {
        if self.0.is_empty() {
            return None;
        }
        let mut price = PlannedPrice {
            models: models.names,
            provider: models.provider.to_owned(),
            ..PlannedPrice::default()
        };
        for (name, (value, holder)) in &self.0 {
            if let Err(why) = add(&mut price, name, value) {
                let field = format!("{holder}.{name}");
                let why = format!("{why}: the model has no price here; write one into prices.toml");
                entry.lost(&field, why);
                return None;
            }
        }
        let is_name =
            |model: &String| !model.is_empty() && !model.trim_end_matches('*').contains('*');
        if !price.models.iter().all(is_name) {
            entry.lost("model_name", "a model of this name can have no price here");
            return None;
        }
        if let Some(lacking) = lacking(&price.rates, models.outputs) {
            entry.lost("model_info", format!(
                "its prices lack `{lacking}`: the model has no price here; write one into prices.toml"
            ));
            return None;
        }
        complete(&mut price.rates);
        Some(price)
    }
}

/// Returns whether a field is a price.
fn is_price(name: &str) -> bool {
    name.contains("cost_per_") || name.contains("_cost") || OTHERS.contains(&name)
}

/// Adds one price. The error says why it is not supported.
fn add(price: &mut PlannedPrice, name: &str, value: &Value) -> Result<(), &'static str> {
    if name == CACHED_AUDIO {
        return Ok(());
    }
    if name == SEARCH {
        price.per_search = Some(search(value)?);
        return Ok(());
    }
    let cost = cost(value)?;
    if name == REQUEST {
        price.per_request = Some(cost);
        return Ok(());
    }
    let Some((above, service, name)) = place(name) else {
        // Something that is free needs no price.
        return if cost == Cost::default() {
            Ok(())
        } else {
            Err("is a price of a unit that keygate does not count")
        };
    };
    let rate = text_of(value).and_then(|text| Rate::of_one_token(&text));
    let rate = rate.ok_or("is too large")?;
    let rates = price.rates.entry((above, service)).or_default();
    rates.insert(name, rate);
    Ok(())
}

/// The length above which a price applies, its service, and its name in a price file.
fn place(name: &str) -> Option<(u64, Option<&'static str>, &'static str)> {
    let services = SERVICES.iter();
    let mut named = services.filter_map(|(end, service)| Some((name.strip_suffix(end)?, *service)));
    let (name, service) = match named.next() {
        Some((name, service)) => (name, Some(service)),
        None => (name, None),
    };
    let long = name.strip_suffix("k_tokens").and_then(|name| {
        let (name, thousands) = name.rsplit_once("_above_")?;
        Some((name, thousands.parse::<u64>().ok()?.checked_mul(1000)?))
    });
    let (name, above) = long.unwrap_or((name, 0));
    let known = TOKENS.iter().find(|(known, _)| *known == name);
    known.map(|(_, name)| (above, service, *name))
}

fn cost(value: &Value) -> Result<Cost, &'static str> {
    let text = text_of(value).ok_or("is no price")?;
    Cost::read(&text).ok_or("is no price, or has more than twelve decimals")
}

/// The price of a search, which must be the same for all sizes of context.
fn search(value: &Value) -> Result<Cost, &'static str> {
    let all = value.as_object().map(|sizes| sizes.values().map(cost));
    let mut all = all.ok_or("is no price")?.collect::<Result<Vec<_>, _>>()?;
    all.dedup();
    match all.as_slice() {
        [one] => Ok(*one),
        _ => Err("differs by the search's context size, which responses do not report"),
    }
}

/// The missing token price. `LiteLLM` then uses its built-in list, which is not in the file; the
/// price is not zero.
fn lacking(
    rates: &BTreeMap<(u64, Option<&'static str>), PlannedRates>,
    outputs: Outputs,
) -> Option<&'static str> {
    let says = |name| {
        rates
            .get(&(0, None))
            .is_some_and(|base| base.contains_key(name))
    };
    if rates.is_empty() {
        return None;
    }
    if !says("input") {
        return Some("input_cost_per_token");
    }
    (outputs == Outputs::Tokens && !says("output")).then_some("output_cost_per_token")
}

/// Completes each tier with the prices that the base has: in `LiteLLM`, a tier inherits what it
/// leaves out.
fn complete(rates: &mut BTreeMap<(u64, Option<&'static str>), PlannedRates>) {
    let base = rates.entry((0, None)).or_default();
    base.entry("input").or_insert(Rate::FREE);
    let base = base.clone();
    // By default, batches cost half there. A tier for batches that has only some prices would be
    // wrong here.
    rates.retain(|(_, service), tier| {
        *service != Some("batch") || base.keys().all(|name| tier.contains_key(name))
    });
    for tier in rates.values_mut() {
        for (name, price) in &base {
            tier.entry(name).or_insert(*price);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_changes_what_is_paid_is_a_price() {
        for name in [
            "input_cost_per_token",
            "tiered_pricing",
            "provider_specific_entry",
        ] {
            assert!(is_price(name), "{name}");
        }
        assert!(!is_price("max_tokens") && !is_price("mode"));
    }

    #[test]
    fn a_price_is_for_a_length_and_a_service() {
        for (name, expected) in [
            ("input_cost_per_token", Some((0, None, "input"))),
            (
                "output_cost_per_token_above_200k_tokens",
                Some((200_000, None, "output")),
            ),
            (
                "cache_read_input_token_cost_above_272k_tokens_priority",
                Some((272_000, Some("priority"), "cache_read")),
            ),
            (
                "cache_creation_input_token_cost_above_1hr_above_200k_tokens",
                Some((200_000, None, "cache_creation_1h")),
            ),
            (
                "output_cost_per_token_batches",
                Some((0, Some("batch"), "output")),
            ),
            ("input_cost_per_token_above_k_tokens", None),
            ("input_cost_per_audio_token", Some((0, None, "audio_input"))),
            (
                "input_cost_per_audio_token_priority",
                Some((0, Some("priority"), "audio_input")),
            ),
            (
                "output_cost_per_image_token",
                Some((0, None, "image_output")),
            ),
            ("input_cost_per_audio_per_second", None),
            ("output_cost_per_image", None),
            ("input_cost_per_token_cache_hit", None),
        ] {
            assert_eq!(place(name), expected, "{name}");
        }
    }
}
