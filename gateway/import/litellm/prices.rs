//! What `LiteLLM` says that a deployment's tokens cost, in `model_info` and `litellm_params`: by the token, in USD.
//!
//! The names are those of its `ModelInfoBase` (`litellm/types/utils.py`): a base, then what it holds for.

use std::collections::BTreeMap;

use super::super::Plan;
use super::super::fields::{Fields, text_of};
use super::super::prices::{PlannedPrice, PlannedTariff, TierOf};

/// The bases of names, and the price file's names.
const BASES: [(&str, &str); 6] = [
    // Before the one that it begins with.
    (
        "cache_creation_input_token_cost_above_1hr",
        "cache_creation_1h",
    ),
    ("cache_creation_input_token_cost", "cache_creation"),
    ("cache_read_input_token_cost", "cache_read"),
    ("output_cost_per_reasoning_token", "reasoning"),
    ("output_cost_per_token", "output"),
    ("input_cost_per_token", "input"),
];
/// What follows for other services, and the price file's names.
const SERVICES: [(&str, &str); 3] = [
    ("_priority", "priority"),
    ("_flex", "flex"),
    ("_batches", "batch"),
];

/// What has been read of a deployment's prices.
#[derive(Default)]
pub(super) struct Prices {
    tariff: PlannedTariff,
    /// Whether something of them cannot be said here: then none of them is.
    unclear: bool,
    /// Whether nothing comes out that is paid for.
    pub no_output: bool,
}

/// What `mode` says of models out of which no tokens come.
pub(super) const WITHOUT_OUTPUT: [&str; 2] = ["embedding", "rerank"];

/// What a field says the price of.
#[derive(Debug, PartialEq, Eq)]
enum Priced {
    /// Tokens, by the price file's name, of the responses of a tier.
    Tokens(&'static str, TierOf),
    Request,
}

impl Priced {
    fn of(name: &str) -> Option<Self> {
        if name == "input_cost_per_request" {
            return Some(Self::Request);
        }
        let (ours, mut rest) = BASES
            .iter()
            .find_map(|(theirs, ours)| Some((*ours, name.strip_prefix(theirs)?)))?;
        let mut tier: TierOf = (None, 0);
        if let Some((service, ours)) = SERVICES.iter().find(|(end, _)| rest.ends_with(end)) {
            rest = rest.strip_suffix(service)?;
            tier.0 = Some(*ours);
        }
        if let Some(above) = rest.strip_prefix("_above_") {
            let thousands = above.strip_suffix("k_tokens")?;
            tier.1 = thousands.parse::<u64>().ok()?.checked_mul(1000)?;
            rest = "";
        }
        rest.is_empty().then_some(Self::Tokens(ours, tier))
    }
}

/// Whether a field says what something costs.
fn is_price(name: &str) -> bool {
    name.contains("cost_per_") || name.contains("_cost")
}

impl Prices {
    /// Takes the prices that stand among fields. What was said before stays.
    pub(super) fn take(&mut self, fields: &mut Fields<'_>) {
        let names: Vec<String> = fields
            .unread()
            .filter(|name| is_price(name))
            .cloned()
            .collect();
        for name in names {
            let said = fields.value(&[&name]);
            if let Err(why) = self.read(&name, &said.unwrap_or_default()) {
                self.unclear = true;
                fields.lost(&name, format!(
                    "{why}: the prices of this model are not written, so that it gets no wrong one"
                ));
            }
        }
    }

    fn read(&mut self, name: &str, said: &serde_json::Value) -> Result<(), String> {
        if name == "search_context_cost_per_query" {
            let sizes = said
                .as_object()
                .into_iter()
                .flat_map(|sizes| sizes.values());
            let costs: Option<Vec<String>> = sizes.map(|cost| decimal(cost, 1.0, 12)).collect();
            let mut costs = costs.filter(|costs| !costs.is_empty()).unwrap_or_default();
            costs.dedup();
            let [cost] = costs.as_slice() else {
                return Err("keygate has one price for a search, whatever its size".to_owned());
            };
            self.tariff.per_search.get_or_insert_with(|| cost.clone());
            return Ok(());
        }
        let priced = Priced::of(name)
            .ok_or_else(|| "keygate has prices of tokens, requests and searches only".to_owned())?;
        let not_a_price = || format!("`{}` is no price", text_of(said).unwrap_or_default());
        match priced {
            Priced::Request => {
                let cost = decimal(said, 1.0, 12).ok_or_else(not_a_price)?;
                self.tariff.per_request.get_or_insert(cost);
            }
            Priced::Tokens(ours, tier) => {
                let rate = decimal(said, 1e6, 6).ok_or_else(not_a_price)?;
                let rates = if tier == (None, 0) {
                    &mut self.tariff.rates
                } else {
                    self.tariff.tiers.entry(tier).or_default()
                };
                rates.entry(ours).or_insert(rate);
            }
        }
        Ok(())
    }

    /// Adds what there is to the price file: for a model of a provider.
    pub(super) fn add(
        &self,
        entry: &Fields<'_>,
        provider: &str,
        models: Vec<String>,
        plan: &mut Plan,
    ) {
        let mut tariff = self.tariff.clone();
        if self.unclear || tariff == PlannedTariff::default() {
            return;
        }
        let lacks = |name: &str| !tariff.rates.contains_key(name);
        let lacking = match (lacks("input"), lacks("output")) {
            (true, _) => Some("input_cost_per_token"),
            // What LiteLLM's own list says then is not in the file, and nothing is not its price.
            (_, true) if !self.no_output => Some("output_cost_per_token"),
            _ => None,
        };
        if let Some(lacking) = lacking {
            let why = format!("its prices lack `{lacking}`, so none of them is written");
            return entry.lost("model_info", why);
        }
        // What LiteLLM makes of half a price for batches, keygate does not.
        tariff.tiers.retain(|(service, _), rates| {
            let whole = tariff.rates.keys().all(|name| rates.contains_key(name));
            whole || *service != Some("batch")
        });
        for rates in tariff.tiers.values_mut() {
            fill(rates, &tariff.rates);
        }
        if models.is_empty() {
            let why = "its prices are for models by a pattern that the price file has not: none of them is written";
            return entry.lost("model_info", why);
        }
        let name = models.join("`, `");
        let is_new = plan.add_price(PlannedPrice {
            models,
            provider: provider.to_owned(),
            tariff,
        });
        if !is_new {
            entry.lost(
                "model_info",
                format!(
                    "`{name}` has another price at `{provider}`, by an entry above: that one counts"
                ),
            );
        }
    }
}

/// What a tier does not say is as it is without it, as `LiteLLM` has it: here, a tier says all of it.
fn fill(rates: &mut BTreeMap<&'static str, String>, base: &BTreeMap<&'static str, String>) {
    for (name, rate) in base {
        rates.entry(name).or_insert_with(|| rate.clone());
    }
}

/// The names that responses give a model: its own, and those of its dated snapshots. None for a pattern that the
/// price file has not.
pub(super) fn models(kind: &str, model: &str) -> Vec<String> {
    if kind == "azure-openai" {
        // Such a provider has one deployment, whose responses name the model that is deployed.
        return vec!["*".to_owned()];
    }
    match model.split_once('*') {
        Some((beginning, "")) => vec![format!("{beginning}*")],
        Some(_) => Vec::new(),
        None if model.is_empty() => Vec::new(),
        // Begins like every date of this century.
        None if model.contains("-20") => vec![model.to_owned()],
        None => vec![model.to_owned(), format!("{model}-20*")],
    }
}

/// A number times `factor` as a decimal text, with at most so many decimals. `None` for what is no price, or has more
/// of them than the noise of a binary fraction.
fn decimal(said: &serde_json::Value, factor: f64, decimals: usize) -> Option<String> {
    let number = text_of(said)?.trim().parse::<f64>().ok()? * factor;
    if !(0.0..=1e12).contains(&number) {
        return None;
    }
    let text = format!("{number:.decimals$}");
    let written = text.parse::<f64>().ok()?;
    if (written - number).abs() > number * 1e-9 {
        return None;
    }
    let text = text.trim_end_matches('0').trim_end_matches('.');
    Some(if text.is_empty() { "0" } else { text }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_says_the_price_of_something() {
        let of = |name| Priced::of(name);
        let tokens = |ours, service, above| Some(Priced::Tokens(ours, (service, above)));
        assert_eq!(of("input_cost_per_token"), tokens("input", None, 0));
        assert_eq!(
            of("output_cost_per_token_above_200k_tokens"),
            tokens("output", None, 200_000)
        );
        assert_eq!(
            of("cache_creation_input_token_cost_above_1hr"),
            tokens("cache_creation_1h", None, 0)
        );
        assert_eq!(
            of("cache_creation_input_token_cost_above_1hr_above_200k_tokens"),
            tokens("cache_creation_1h", None, 200_000)
        );
        assert_eq!(
            of("cache_read_input_token_cost_above_272k_tokens_priority"),
            tokens("cache_read", Some("priority"), 272_000)
        );
        assert_eq!(
            of("output_cost_per_token_batches"),
            tokens("output", Some("batch"), 0)
        );
        for unknown in [
            "input_cost_per_token_above_200k_tokens_and_more",
            "input_cost_per_token_above_k_tokens",
            "input_cost_per_second",
            "input_cost_per_audio_token",
            "output_cost_per_image",
        ] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_price_of_a_token_is_one_of_a_million_exactly() {
        for (said, wanted) in [
            (json!(2.5e-6), Some("2.5")),
            (json!("0.00000015"), Some("0.15")),
            (json!(7.500_000_000_000_001e-8), Some("0.075")),
            (json!(0), Some("0")),
            (json!(0.000_01), Some("10")),
            (json!(1e-12), Some("0.000001")),
            (json!(1e-13), None),
            (json!(-1), None),
            (json!("nan"), None),
            (json!("os.environ/X"), None),
            (json!([1]), None),
        ] {
            assert_eq!(decimal(&said, 1e6, 6).as_deref(), wanted, "{said}");
        }
    }

    #[test]
    fn a_price_is_for_the_names_that_responses_give() {
        assert_eq!(models("openai", "gpt-4o"), ["gpt-4o", "gpt-4o-20*"]);
        assert_eq!(models("openai", "gpt-4o-2024-08-06"), ["gpt-4o-2024-08-06"]);
        assert_eq!(models("azure-openai", "eu"), ["*"]);
        assert_eq!(models("openai", "gpt-*"), ["gpt-*"]);
        assert!(models("openai", "ft:*:acme").is_empty());
    }
}
