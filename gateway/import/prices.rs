//! The prices of an import, and the price file.

use std::fmt::Write as _;

use toml_edit::Value;

use crate::import::notes::Notes;
use crate::import::plan::Plan;
use crate::import::planned::{PlannedPrice, Unpriced};
use crate::usage::normal;

impl Unpriced {
    /// Returns whether the prefix `model` matches this model.
    fn is_matched_by(&self, model: &str) -> bool {
        let name = normal(&self.model);
        let beginning = normal(model);
        let beginning = beginning.strip_suffix('*');
        beginning.is_some_and(|beginning| name.starts_with(beginning))
    }
}

impl PlannedPrice {
    /// Returns whether both prices are the same, apart from the models.
    fn has_same_prices(&self, other: &Self) -> bool {
        (self.per_request, self.per_search, &self.rates)
            == (other.per_request, other.per_search, &other.rates)
    }

    fn write(&self, text: &mut String) {
        let models: Value = self.models.iter().map(String::as_str).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "\n[[price]]\nmodel = {models}\nprovider = {}",
            Value::from(&self.provider)
        );
        for (name, cost) in [
            ("per_request", self.per_request),
            ("per_search", self.per_search),
        ] {
            if let Some(cost) = cost {
                let _ = writeln!(text, "{name} = \"{cost}\"");
            }
        }
        for ((above, service), rates) in &self.rates {
            if (*above, *service) != (0, None) {
                text.push_str("[[price.tier]]\n");
            }
            if *above > 0 {
                let _ = writeln!(text, "above = {above}");
            }
            if let Some(service) = service {
                let _ = writeln!(text, "service = \"{service}\"");
            }
            for (name, price) in rates {
                let _ = writeln!(text, "{name} = \"{price}\"");
            }
        }
    }
}

impl Plan {
    /// Adds a price for those of its models that have none at this provider. Returns the models
    /// that have a different price already.
    pub(super) fn add_price(&mut self, mut price: PlannedPrice) -> Vec<String> {
        let mut others = Vec::new();
        let known = self.prices.iter();
        let known: Vec<&PlannedPrice> = known
            .filter(|known| known.provider == price.provider)
            .collect();
        let wanted = std::mem::take(&mut price.models);
        for model in wanted {
            // Price files compare names in normal form.
            let same = |other: &String| normal(other) == normal(&model);
            match known.iter().find(|known| known.models.iter().any(same)) {
                Some(known) if known.has_same_prices(&price) => {}
                Some(_) => others.push(model),
                None => price.models.push(model),
            }
        }
        if !price.models.is_empty() {
            self.prices.push(price);
        }
        others
    }

    /// Removes prices by prefix that would also apply to a model whose own price is not known.
    pub(super) fn remove_inapplicable_prices(&mut self, notes: &Notes) {
        let is_named = |unpriced: &Unpriced, price: &PlannedPrice| {
            let mut models = price.models.iter();
            price.provider == unpriced.provider
                && models.any(|model| normal(model) == normal(&unpriced.model))
        };
        for unpriced in std::mem::take(&mut self.unpriced) {
            if self.prices.iter().any(|price| is_named(&unpriced, price)) {
                continue;
            }
            let theirs = self.prices.iter_mut();
            for price in theirs.filter(|price| price.provider == unpriced.provider) {
                let models = std::mem::take(&mut price.models).into_iter();
                let (others, kept): (Vec<String>, Vec<String>) =
                    models.partition(|model| unpriced.is_matched_by(model));
                price.models = kept;
                for other in others {
                    let why = format!(
                        "`{}` has no price in the file, and would get that of `{other}`, which is left out: write both \
                         into prices.toml",
                        unpriced.model
                    );
                    notes.lost(&unpriced.title, "model_info", why);
                }
            }
        }
        self.prices.retain(|price| !price.models.is_empty());
    }

    /// Whether there is a price file. Budgets need one, even if no price is known.
    pub(super) fn has_prices(&self) -> bool {
        !self.prices.is_empty() || self.has_budget()
    }
}

/// The text of `prices.toml`; empty if there are no prices.
pub fn prices(plan: &Plan) -> String {
    let mut text = String::new();
    if !plan.has_prices() {
        return text;
    }
    text.push_str(
        "# Made by `keygate import`. What may stand here: conf/prices.toml. A name with `-20*` behind it is for the dated\n\
         # snapshots that a provider names in its responses: where one of them costs something else, give it its own price.\n\
         currency = \"USD\"\n",
    );
    for price in &plan.prices {
        price.write(&mut text);
    }
    text
}
