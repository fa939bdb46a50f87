//! The price list: the prices of each model by provider and start date.

mod bound;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ahash::RandomState;
use jiff::civil::Date;

use super::model_name::{bare, normal};
use super::money::Cost;
use super::price_file::PriceEntry;
use super::tariff::Tariff;
use super::tokens::Usage;
use crate::document::{Document, Location, Problems};

/// The largest number of prices in one file.
const MAX_PRICES: usize = 100_000;

/// The prices of a configuration.
pub enum Prices {
    /// No price file is configured.
    Absent,
    /// The price file is valid.
    Listed(PriceList),
    /// The price file cannot be read: the prices of the previous configuration stay in use.
    Unreadable,
}

/// The prices of models, by exact name and by prefix. Both are normalized by `model_name::normal`.
#[derive(Debug)]
pub struct PriceList {
    /// The currency of all prices, such as `USD`.
    pub(crate) currency: Arc<str>,
    exact: HashMap<Box<str>, Vec<ModelPrice>, RandomState>,
    /// Prices by prefix of the model name, and the lengths of the prefixes, the longest first.
    by_prefix: HashMap<Box<str>, Vec<ModelPrice>, RandomState>,
    prefix_lengths: Vec<usize>,
    /// The providers that some prices are limited to, and where each is named first.
    providers: BTreeMap<Arc<str>, Location>,
}

/// A price of one model, valid for one provider or all, from a day on.
#[derive(Clone, Debug)]
struct ModelPrice {
    /// The provider that the price is limited to.
    provider: Option<Arc<str>>,
    /// The first day of the price.
    from: Option<Date>,
    tariff: Arc<Tariff>,
}

/// The line that set the price of a model, by name, provider and first day.
type Lines = HashMap<(String, Option<Arc<str>>, Option<Date>), usize>;

impl PriceList {
    /// Reads `document` and reports everything wrong with it to `problems`.
    pub(crate) fn read(document: &Document, problems: &Problems) -> Self {
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
            exact: HashMap::default(),
            by_prefix: HashMap::default(),
            prefix_lengths: Vec::new(),
            providers: BTreeMap::new(),
        };
        if sections.len() > MAX_PRICES {
            problems.fatal(
                &document.whole(),
                format!("has more than {MAX_PRICES} prices"),
            );
        }
        let mut lines = Lines::new();
        let entries = sections.into_iter().take(MAX_PRICES);
        for entry in entries.filter_map(|section| PriceEntry::read(section, problems)) {
            list.add(entry, &mut lines, problems);
        }
        list.prefix_lengths
            .sort_unstable_by_key(|length| std::cmp::Reverse(*length));
        list.prefix_lengths.dedup();
        list
    }

    /// The providers that some prices are limited to, and where each is named first.
    pub(crate) fn providers(&self) -> impl Iterator<Item = (&str, &Location)> {
        self.providers.iter().map(|(name, at)| (&**name, at))
    }

    fn add(&mut self, entry: PriceEntry, lines: &mut Lines, problems: &Problems) {
        if let Some(provider) = &entry.provider {
            let place = self.providers.entry(provider.clone());
            place.or_insert_with(|| entry.at.clone());
        }
        let price = ModelPrice {
            provider: entry.provider,
            from: entry.from,
            tariff: Arc::new(entry.tariff),
        };
        for model in entry.models {
            let name = normal(&model).into_owned();
            if name == "*" && model != "*" {
                let why =
                    format!("`{model}` would be any model of anybody: say `*` if it is meant");
                problems.fatal(&entry.at, why);
            }
            let place = (name.clone(), price.provider.clone(), price.from);
            if let Some(line) = lines.insert(place, entry.at.line) {
                report_duplicate(&model, line, &entry.at, problems);
            }
            self.insert(&name, price.clone());
        }
    }

    fn insert(&mut self, model: &str, price: ModelPrice) {
        let prices = match model.strip_suffix('*') {
            Some(prefix) => {
                self.prefix_lengths.push(prefix.len());
                self.by_prefix.entry(prefix.into()).or_default()
            }
            None => self.exact.entry(model.into()).or_default(),
        };
        prices.push(price);
    }

    /// The cost of a response of `model` from `provider` on this day. Returns `None` if the model,
    /// or something in `usage`, has no price.
    pub fn cost(&self, provider: &str, model: &str, day: Date, usage: &Usage) -> Option<Cost> {
        self.tariff(provider, model, day)?.cost(usage)
    }

    /// Finds the price of a model. An exact name beats a prefix, and a longer prefix a shorter one;
    /// then a price of the provider beats one for all providers, and a newer one an older one. A
    /// name with a maker's prefix is looked up in full first, where a prefix must include the
    /// maker, and then without the maker.
    fn tariff(&self, provider: &str, model: &str, day: Date) -> Option<&Tariff> {
        let full = normal(model);
        let bare = bare(&full);
        let maker = full.len() - bare.len();
        let find = |name: &str, shortest| self.find(name, shortest, provider, day);
        let found = find(&full, maker.max(1)).or_else(|| find(bare, 1).filter(|_| maker > 0));
        found.or_else(|| find(&full, 0))
    }

    /// Finds the price of the exact `name`, else of the longest prefix of at least `shortest`
    /// bytes.
    fn find(&self, name: &str, shortest: usize, provider: &str, day: Date) -> Option<&Tariff> {
        let lengths = self
            .prefix_lengths
            .iter()
            .filter(|length| **length >= shortest);
        let prefixes = lengths.filter_map(|length| name.get(..*length));
        let by_prefix = prefixes.filter_map(|prefix| self.by_prefix.get(prefix));
        let mut all = self.exact.get(name).into_iter().chain(by_prefix);
        all.find_map(|prices| best(prices, provider, day))
    }
}

/// Chooses among the prices of one name: one of the provider before one for all, then the newest
/// that has begun.
fn best<'o>(prices: &'o [ModelPrice], provider: &str, day: Date) -> Option<&'o Tariff> {
    let holds = |price: &&ModelPrice| {
        let only = price.provider.as_deref();
        only.is_none_or(|only| only == provider) && price.from.is_none_or(|from| from <= day)
    };
    let prices = prices.iter().filter(holds);
    let best = prices.max_by_key(|price| (price.provider.is_some(), price.from));
    best.map(|price| &*price.tariff)
}

fn report_duplicate(model: &str, line: usize, at: &Location, problems: &Problems) {
    let why = format!(
        "`{model}` has a price from that day on already, in line {line} (upper and lower case are one)"
    );
    problems.fatal(at, why);
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

    /// The cost of a million input tokens.
    fn input(list: &PriceList, provider: &str, model: &str, day: &str) -> Option<String> {
        let million = Usage {
            input: 1_000_000,
            ..Usage::default()
        };
        let cost = list.cost(provider, model, day.parse().unwrap(), &million)?;
        Some(cost.to_string())
    }

    #[test]
    fn the_valid_price_is_found() {
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
        // Before the first day, the next longest prefix holds.
        assert_eq!(find("openai", "gpt-5-mini", "2026-12-31"), some("3"));
        assert_eq!(find("openai", "gpt-5-mini", "2027-01-01"), some("6"));
        assert_eq!(find("openai", "o3", "2026-01-01"), some("3"));
        assert_eq!(find("openai", "o3-mini", "2026-01-01"), None);
        assert_eq!(find("openai", "gpt\u{e9}", "2026-01-01"), None);
        assert_eq!(find("openai", "", "2026-01-01"), None);
    }

    #[test]
    fn a_model_is_found_by_each_of_its_names_and_by_no_other() {
        let (list, problems) = read(
            "[[price]]\nmodel = \"gpt-5\"\ninput = \"1\"\n\
             [[price]]\nmodel = [\"Claude-Opus-*\", \"models/gemini-3\"]\ninput = \"2\"\n\
             [[price]]\nmodel = \"openai/o3\"\ninput = \"3\"\n\
             [[price]]\nmodel = \"o3\"\ninput = \"4\"\n\
             [[price]]\nmodel = \"x-ai/*\"\ninput = \"5\"\n\
             [[price]]\nmodel = \"grok-4\"\ninput = \"6\"\n\
             [[price]]\nmodel = \"o*\"\ninput = \"7\"\n",
        );
        assert!(problems.is_empty(), "{problems:?}");
        for (model, price) in [
            ("gpt-5", "1"),
            ("GPT-5", "1"),
            ("openai/gpt-5", "1"),
            ("OpenAI/Gpt-5", "1"),
            ("models/gpt-5", "1"),
            ("claude-opus-5", "2"),
            ("anthropic/CLAUDE-opus-5", "2"),
            ("gemini-3", "2"),
            ("google/gemini-3", "2"),
            // A price for a name with its maker holds for that name only.
            ("openai/o3", "3"),
            ("o3", "4"),
            ("x-ai/grok-4", "5"),
            ("grok-4", "6"),
            ("xai/grok-4", "6"),
            // A prefix of the maker's name is used only if nothing else matches.
            ("openai/gpt-6", "7"),
        ] {
            assert_eq!(
                input(&list, "p", model, "2027-01-01").as_deref(),
                Some(price),
                "{model}"
            );
        }
        for none in [
            "gpt-5-2025-08-07",
            "acme/gpt-5",
            "gpt-5:free",
            "ft:gpt-5:a",
            "",
            "gpt",
        ] {
            assert_eq!(input(&list, "p", none, "2027-01-01"), None, "{none}");
        }
        let (all, _) = read(
            "[[price]]\nmodel = \"*\"\ninput = \"1\"\n[[price]]\nmodel = \"m\"\ninput = \"2\"\n",
        );
        for (model, price) in [("openai/m", "2"), ("m", "2"), ("", "1"), ("openai/n", "1")] {
            assert_eq!(
                input(&all, "p", model, "2027-01-01").as_deref(),
                Some(price)
            );
        }
    }

    #[test]
    fn every_problem_is_reported_with_its_line() {
        let (_, problems) = read(
            "currency = \"dollars\"\n\
             [[price]]\nmodel = \"a\"\ninput = 2.5\n\
             [[price]]\nmodel = \"b\"\ninput = \"2,5\"\n\
             [[price]]\nmodel = \"c\"\ninput = \"1\"\n\
             [[price]]\nmodel = \"c\"\ninput = \"2\"\n\
             [[price]]\nmodel = \"d*e\"\ninput = \"2\"\n\
             [[price]]\nmodel = \"f\"\ninput = \"2\"\noutputs = \"3\"\n\
             [[price]]\nmodel = \"g\"\noutput = \"2\"\nfrom = \"soon\"\n\
             [[price]]\nmodel = \"C\"\ninput = \"1\"\nper_search = \"1%\"\n\
             [[price]]\nmodel = \"C\"\ninput = \"1\"\n\
             [[price]]\nmodel = \"h\"\ninput = \"1\"\ncache_read = \"1\"\n\
             [[price.tier]]\ninput = \"1\"\ncache_read = \"1\"\n\
             [[price.tier]]\nabove = 200000\ninput = \"1\"\n\
             [[price.tier]]\nservice = \"flecks\"\ninput = \"1\"\ncache_read = \"1\"\n\
             [[price.tier]]\nservice = \"standard\"\ninput = \"1\"\ncache_read = \"1\"\n\
             [[price.tier]]\nabove = 0\ninput = \"1\"\ncache_read = \"1\"\n\
             [[price.tier]]\nservice = [\"flex\", \"batch\"]\ninput = \"1\"\ncache_read = \"1\"\n\
             [[price.tier]]\nservice = \"batch\"\ninput = \"1\"\ncache_read = \"1\"\nper_request = \"1\"\n\
             [[price.tier]]\nabove = \"200k\"\ninput = \"1\"\ncache_read = \"x\"\n\
             [[price]]\nmodel = \"Publishers/google/models/*\"\ninput = \"1\"\n\
             [[price]]\nmodel = \"i\"\ninput = \"1\"\naudio_output = \"2,5\"\n\
             [[price]]\nmodel = \"j\"\ninput = \"1\"\naudio_input = \"2\"\nvideo_output = \"2\"\n\
             [[price.tier]]\nservice = \"flex\"\ninput = \"1\"\naudio_inputs = \"2\"\n",
        );
        let all = problems.join("\n");
        for expected in [
            "prices.toml:1: a currency is a code",
            "prices.toml:4: price[0].input: expected a string, found a number with a fraction",
            "prices.toml:7: a price for a million tokens is a decimal number",
            "prices.toml:11: `c` has a price from that day on already, in line 8",
            "prices.toml:28: the price of one search is a decimal number",
            "prices.toml:29: `C` has a price from that day on already, in line 11 (upper and lower case are one)",
            "prices.toml:36: a tier says what it is for: `above = 200000` (tokens that went in), `service = \"flex\"`",
            "prices.toml:39: the tier does not say `cache_read`, as its price does: a tier says all of them anew",
            "prices.toml:43: `service` is one of flex, priority, batch, fast and other; the standard service has the price",
            "prices.toml:47: `service` is one of flex",
            "prices.toml:51: `above` is a number of tokens such as 200000",
            "prices.toml:58: the tier of `batch` above 0 is there already, in line 54",
            "prices.toml:62: unknown key `price[9].tier[6].per_request`",
            "prices.toml:64: price[9].tier[7].above: expected",
            "prices.toml:66: a price for a million tokens is a decimal number",
            "prices.toml:67: `Publishers/google/models/*` would be any model of anybody",
            "prices.toml:73: a price for a million tokens is a decimal number",
            "prices.toml:79: the tier does not say `audio_input`, `video_output`, as its price does",
            "prices.toml:82: unknown key `price[12].tier[0].audio_inputs`",
        ] {
            assert!(all.contains(expected), "{expected}\nnot in\n{all}");
        }
    }
}
