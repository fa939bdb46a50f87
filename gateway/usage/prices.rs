//! The price file: what the tokens of each model cost, from which day on.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use jiff::civil::Date;

use super::cost::{Price, Rates};
use crate::document::{Document, Located, OneOrMany, Problems, Section};

/// The most models of one file.
const MOST: usize = 100_000;

/// What a configuration says of prices.
pub enum Prices {
    /// Nothing.
    Absent,
    /// These.
    Listed(PriceList),
    /// Some that cannot be read: those of before go on.
    Unreadable,
}

/// The prices of models, by name and by the beginning of a name.
#[derive(Debug)]
pub struct PriceList {
    /// What they are in, such as `USD`.
    pub currency: Arc<str>,
    named: HashMap<Box<str>, Vec<Offer>, RandomState>,
    /// By the beginnings of names; the lengths that there are, the longest first.
    begun: HashMap<Box<str>, Vec<Offer>, RandomState>,
    lengths: Vec<usize>,
}

/// A price at one time.
#[derive(Clone, Debug)]
struct Offer {
    /// Of this provider only.
    provider: Option<Arc<str>>,
    /// From this day on.
    from: Option<Date>,
    rates: Rates,
}

impl PriceList {
    /// Reads `document`; whatever is wrong with it goes to `problems`.
    pub fn read(document: &Document, problems: &Problems) -> Self {
        let mut root = document.root(problems);
        let currency = root.take::<String>("currency");
        let sections = root.list("price");
        root.finish();
        let currency = match &currency {
            None => "USD",
            Some(given) => {
                let code = given.value.as_str();
                if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
                    problems.fatal(&given.at, "a currency is a code such as \"USD\"");
                }
                code
            }
        };
        let mut list = Self {
            currency: Arc::from(currency),
            named: HashMap::default(),
            begun: HashMap::default(),
            lengths: Vec::new(),
        };
        if sections.len() > MOST {
            problems.fatal(&document.whole(), format!("has more than {MOST} prices"));
        }
        let mut seen = HashMap::new();
        for section in sections.into_iter().take(MOST) {
            let at = section.at().clone();
            let Some((models, offer)) = offer(section, problems) else {
                continue;
            };
            for model in models {
                let place = (model.clone(), offer.provider.clone(), offer.from);
                if let Some(line) = seen.insert(place, at.line) {
                    let why =
                        format!("`{model}` has a price from that day on already, in line {line}");
                    problems.fatal(&at, why);
                }
                list.insert(&model, offer.clone());
            }
        }
        list.lengths
            .sort_unstable_by_key(|length| std::cmp::Reverse(*length));
        list.lengths.dedup();
        list
    }

    fn insert(&mut self, model: &str, offer: Offer) {
        let offers = match model.strip_suffix('*') {
            Some(beginning) => {
                self.lengths.push(beginning.len());
                self.begun.entry(beginning.into()).or_default()
            }
            None => self.named.entry(model.into()).or_default(),
        };
        offers.push(offer);
    }

    /// What this model costs at this provider on this day: by the whole name if it is there, else by the
    /// longest beginning; of the provider's own prices rather than of all; of the newest that holds.
    pub fn rates(&self, provider: &str, model: &str, day: Date) -> Option<Rates> {
        let best = |offers: &Vec<Offer>| {
            let holds = |offer: &&Offer| {
                offer
                    .provider
                    .as_deref()
                    .is_none_or(|only| only == provider)
                    && offer.from.is_none_or(|from| from <= day)
            };
            let offers = offers.iter().filter(holds);
            let best = offers.max_by_key(|offer| (offer.provider.is_some(), offer.from));
            best.map(|offer| offer.rates)
        };
        let named = self.named.get(model).and_then(best);
        named.or_else(|| {
            let beginnings = self
                .lengths
                .iter()
                .filter_map(|length| model.get(..*length));
            beginnings
                .filter_map(|beginning| self.begun.get(beginning))
                .find_map(best)
        })
    }
}

fn offer(mut section: Section<'_>, problems: &Problems) -> Option<(Vec<String>, Offer)> {
    let models = section.require::<OneOrMany>("model");
    let provider = section.take::<String>("provider");
    let from = section.take::<Date>("from");
    let input = section.require::<String>("input");
    let cache_read = section.take::<String>("cache_read");
    let cache_creation = section.take::<String>("cache_creation");
    let output = section.take::<String>("output");
    let reasoning = section.take::<String>("reasoning");
    section.finish();

    let models = models?;
    let is_name = |model: &&String| {
        !model.is_empty() && !model.trim_end_matches('*').contains('*') && !model.ends_with("**")
    };
    if models.value.0.is_empty() || !models.value.0.iter().all(|model| is_name(&model)) {
        let why = "a model is a name, or the beginning of names with a `*` behind it";
        problems.fatal(&models.at, why);
        return None;
    }
    let price = |given: Option<Located<String>>| {
        let price = given.map(|given| {
            let price = given.value.parse::<Price>();
            price.map_err(|why| {
                problems.fatal(&given.at, format!("a price for a million tokens {why}"));
            })
        });
        price.transpose()
    };
    let prices = [input, cache_read, cache_creation, output, reasoning].map(price);
    // With one that cannot be read, the model has no price: it is not free.
    let [
        Ok(Some(input)),
        Ok(cache_read),
        Ok(cache_creation),
        Ok(output),
        Ok(reasoning),
    ] = prices
    else {
        return None;
    };
    let rates = Rates {
        input,
        cache_read,
        cache_creation,
        // Embeddings have no output.
        output: output.unwrap_or(Price::FREE),
        reasoning,
    };
    let offer = Offer {
        provider: provider.map(|given| Arc::from(given.value)),
        from: from.map(|given| given.value),
        rates,
    };
    Some((models.value.0, offer))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::usage::Usage;

    fn read(text: &str) -> (PriceList, Vec<String>) {
        let document = Document::new(Path::new("prices.toml"), text.to_owned());
        let problems = Problems::default();
        let list = PriceList::read(&document, &problems);
        let problems = problems.into_sorted();
        (list, problems.iter().map(ToString::to_string).collect())
    }

    /// What a million tokens in cost, or nothing.
    fn input(list: &PriceList, provider: &str, model: &str, day: &str) -> Option<String> {
        let million = Usage {
            input: 1_000_000,
            ..Usage::default()
        };
        let rates = list.rates(provider, model, day.parse().unwrap())?;
        Some(rates.cost(&million).to_string())
    }

    #[test]
    fn the_price_that_holds_is_found() {
        let (list, problems) = read(
            "currency = \"EUR\"\n\
             [[price]]\nmodel = \"gpt-4o\"\ninput = \"1\"\n\
             [[price]]\nmodel = \"gpt-4o\"\nfrom = 2026-06-01\ninput = \"2\"\n\
             [[price]]\nmodel = [\"gpt-*\", \"o3\"]\ninput = \"3\"\n\
             [[price]]\nmodel = \"gpt-4o-*\"\ninput = \"4\"\noutput = \"0.5\"\n\
             [[price]]\nmodel = \"gpt-4o\"\nprovider = \"azure\"\ninput = \"5\"\n\
             [[price]]\nmodel = \"gpt-5*\"\nfrom = 2027-01-01\ninput = \"6\"\n",
        );
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(&*list.currency, "EUR");
        let find = |provider, model, day| input(&list, provider, model, day);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(find("openai", "gpt-4o", "2026-05-31"), some("1"));
        assert_eq!(find("openai", "gpt-4o", "2026-06-01"), some("2"));
        assert_eq!(find("azure", "gpt-4o", "2026-06-01"), some("5"));
        assert_eq!(find("openai", "gpt-4o-2024-08-06", "2026-01-01"), some("4"));
        assert_eq!(find("openai", "gpt-3.5", "2026-01-01"), some("3"));
        // Before its day, the next longest holds.
        assert_eq!(find("openai", "gpt-5-mini", "2026-12-31"), some("3"));
        assert_eq!(find("openai", "gpt-5-mini", "2027-01-01"), some("6"));
        assert_eq!(find("openai", "o3", "2026-01-01"), some("3"));
        assert_eq!(find("openai", "o3-mini", "2026-01-01"), None);
        assert_eq!(find("openai", "gpt\u{e9}", "2026-01-01"), None);
        assert_eq!(find("openai", "", "2026-01-01"), None);
    }

    #[test]
    fn everything_wrong_with_it_is_said_with_its_line() {
        let (_, problems) = read(
            "currency = \"dollars\"\n\
             [[price]]\nmodel = \"a\"\ninput = 2.5\n\
             [[price]]\nmodel = \"b\"\ninput = \"2,5\"\n\
             [[price]]\nmodel = \"c\"\ninput = \"1\"\n\
             [[price]]\nmodel = \"c\"\ninput = \"2\"\n\
             [[price]]\nmodel = \"d*e\"\ninput = \"2\"\n\
             [[price]]\nmodel = \"f\"\ninput = \"2\"\noutputs = \"3\"\n\
             [[price]]\nmodel = \"g\"\noutput = \"2\"\nfrom = \"soon\"\n",
        );
        let all = problems.join("\n");
        for expected in [
            "prices.toml:1: a currency is a code",
            "prices.toml:4: price[0].input: expected a string, found a number with a fraction",
            "prices.toml:7: a price for a million tokens is a decimal number",
            "prices.toml:11: `c` has a price from that day on already, in line 8",
            "prices.toml:15: a model is a name",
            "prices.toml:20: unknown key `price[5].outputs`: did you mean `output`?",
            "prices.toml:24: price[6].from: expected a day",
        ] {
            assert!(all.contains(expected), "{expected}\nnot in\n{all}");
        }
    }
}
