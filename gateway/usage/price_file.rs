//! Reads and checks one `[[price]]` of a price file.

use std::sync::Arc;

use jiff::civil::Date;

use super::money::{Cost, Rate};
use super::rates::{MediumRates, Rates};
use super::tariff::{Tariff, Tier};
use super::tokens::ServiceTier;
use crate::document::{Located, Location, OneOrMany, Problems, Section, enumerate};

/// The names of the token prices, in the order that [`rates`] expects.
const NAMES: [&str; 15] = [
    "input",
    "cache_read",
    "cache_creation",
    "cache_creation_1h",
    "output",
    "reasoning",
    "audio_input",
    "audio_cache_read",
    "audio_output",
    "image_input",
    "image_cache_read",
    "image_output",
    "video_input",
    "video_cache_read",
    "video_output",
];

/// Which of [`NAMES`] a table contains.
type Present = [bool; NAMES.len()];

/// A valid `[[price]]`.
pub(super) struct PriceEntry {
    /// The line of the `[[price]]`.
    pub(super) at: Location,
    /// The models as written; a name that ends with `*` is a prefix.
    pub(super) models: Vec<String>,
    pub(super) provider: Option<Arc<str>>,
    pub(super) from: Option<Date>,
    pub(super) tariff: Tariff,
}

impl PriceEntry {
    /// Reads a `[[price]]` and reports everything wrong with it to `problems`. Returns `None` if
    /// anything is wrong: a model with an invalid price has no price, rather than being free.
    pub(super) fn read(mut section: Section<'_>, problems: &Problems) -> Option<Self> {
        let at = section.at().clone();
        let models = section.require::<OneOrMany>("model");
        let provider = section.take::<String>("provider");
        let from = section.take::<Date>("from");
        let rates = rates(&mut section, problems);
        let per_request = unit_price(section.take("per_request"), "request", problems);
        let per_search = unit_price(section.take("per_search"), "search", problems);
        let max_output = section.take::<usize>("max_output");
        let tiers = section.list("tier");
        section.finish();
        let tiers = all_tiers(tiers, rates.as_ref().map(|(_, present)| present), problems);
        let models = model_names(models?, problems);
        let tariff = Tariff {
            rates: rates?.0,
            tiers: tiers?,
            per_request: per_request.ok()?.unwrap_or_default(),
            per_search: per_search.ok()?,
            max_output: max_output.and_then(|given| u64::try_from(given.value).ok()),
        };
        Some(Self {
            at,
            models: models?,
            provider: provider.map(|given| Arc::from(given.value)),
            from: from.map(|given| given.value),
            tariff,
        })
    }
}

/// Checks the model names.
fn model_names(models: Located<OneOrMany>, problems: &Problems) -> Option<Vec<String>> {
    let is_name = |model: &String| {
        !model.is_empty() && !model.trim_end_matches('*').contains('*') && !model.ends_with("**")
    };
    if models.value.0.is_empty() || !models.value.0.iter().all(is_name) {
        let why = "a model is a name, or a prefix of names with a `*` behind it";
        problems.fatal(&models.at, why);
        return None;
    }
    Some(models.value.0)
}

/// Reads the token prices of a table. Also returns which prices the table contains.
fn rates(section: &mut Section<'_>, problems: &Problems) -> Option<(Rates, Present)> {
    let written = written_rates(section);
    let present = written.each_ref().map(Option::is_some);
    let rate = |given: Option<Located<String>>| rate(given, problems);
    let [
        Ok(Some(input)),
        Ok(cache_read),
        Ok(cache_creation),
        Ok(cache_creation_hour),
        Ok(output),
        Ok(reasoning),
        Ok(audio_input),
        Ok(audio_cache_read),
        Ok(audio_output),
        Ok(image_input),
        Ok(image_cache_read),
        Ok(image_output),
        Ok(video_input),
        Ok(video_cache_read),
        Ok(video_output),
    ] = written.map(rate)
    else {
        return None;
    };
    let medium = |input, cache_read, output| MediumRates {
        input,
        cache_read,
        output,
    };
    let rates = Rates {
        input,
        cache_read,
        cache_creation,
        cache_creation_hour,
        // Embeddings have no output.
        output: output.unwrap_or(Rate::FREE),
        reasoning,
        audio: medium(audio_input, audio_cache_read, audio_output),
        image: medium(image_input, image_cache_read, image_output),
        video: medium(video_input, video_cache_read, video_output),
    };
    Some((rates, present))
}

/// Reads the text of each price in [`NAMES`].
fn written_rates(section: &mut Section<'_>) -> [Option<Located<String>>; NAMES.len()] {
    NAMES.map(|name| match name {
        "input" => section.require(name),
        _ => section.take(name),
    })
}

/// The problem was already reported to `problems`.
struct AlreadyReported;

fn rate(
    given: Option<Located<String>>,
    problems: &Problems,
) -> Result<Option<Rate>, AlreadyReported> {
    let price = given.map(|given| {
        given.value.parse::<Rate>().map_err(|why| {
            problems.fatal(&given.at, format!("a price for a million tokens {why}"));
            AlreadyReported
        })
    });
    price.transpose()
}

/// Parses the price of one `unit`: a request or a search.
fn unit_price(
    given: Option<Located<String>>,
    unit: &str,
    problems: &Problems,
) -> Result<Option<Cost>, AlreadyReported> {
    let cost = given.map(|given| {
        given.value.parse::<Cost>().map_err(|why| {
            problems.fatal(&given.at, format!("the price of one {unit} {why}"));
            AlreadyReported
        })
    });
    cost.transpose()
}

/// Reads the tiers of a price that contains the rates `base`. Returns `None` if anything is wrong
/// with one of them.
fn all_tiers(
    sections: Vec<Section<'_>>,
    base: Option<&Present>,
    problems: &Problems,
) -> Option<Vec<Tier>> {
    let mut all: Vec<(Tier, usize)> = Vec::new();
    let mut is_valid = true;
    for section in sections {
        let at = section.at().clone();
        let Some(tiers) = tiers(section, base, problems) else {
            is_valid = false;
            continue;
        };
        for tier in tiers {
            let same = |(other, _): &&(Tier, usize)| {
                (other.service, other.above) == (tier.service, tier.above)
            };
            if let Some((_, line)) = all.iter().find(same) {
                let why = format!(
                    "the tier of `{}` above {} is there already, in line {line}",
                    tier.service.name(),
                    tier.above
                );
                problems.fatal(&at, why);
                is_valid = false;
            }
            all.push((tier, at.line));
        }
    }
    is_valid.then(|| all.into_iter().map(|(tier, _)| tier).collect())
}

/// Reads one `[[price.tier]]`, which is a tier for each service that it names.
fn tiers(
    mut section: Section<'_>,
    base: Option<&Present>,
    problems: &Problems,
) -> Option<Vec<Tier>> {
    let at = section.at().clone();
    let is_conditional = section.has("service") || section.has("above");
    let named = section.take::<OneOrMany>("service");
    let above = section.take::<usize>("above");
    let rates = rates(&mut section, problems);
    section.finish();
    if !is_conditional {
        let why = "a tier says what it is for: `above = 200000` (tokens that went in), \
                   `service = \"flex\"`, or both";
        problems.fatal(&at, why);
        return None;
    }
    let services = match named {
        Some(named) => services(&named, above.is_some(), problems)?,
        None => vec![ServiceTier::Standard],
    };
    let above = match above {
        Some(above) if above.value == 0 => {
            problems.fatal(&above.at, "`above` is a number of tokens such as 200000");
            return None;
        }
        above => above.map_or(0, |above| above.value as u64),
    };
    let (rates, present) = rates?;
    if base.is_some_and(|base| reports_missing_rates(*base, present, &at, problems)) {
        return None;
    }
    let tier = |service| Tier {
        service,
        above,
        rates,
    };
    Some(services.into_iter().map(tier).collect())
}

/// Returns whether `tier` lacks a price that `base` contains, and reports that.
fn reports_missing_rates(base: Present, tier: Present, at: &Location, problems: &Problems) -> bool {
    let both = NAMES.iter().zip(base.iter().zip(tier));
    let missing: Vec<&str> = both
        .filter(|(_, (base, tier))| **base && !*tier)
        .map(|(name, _)| *name)
        .collect();
    if !missing.is_empty() {
        let why = format!(
            "the tier does not say `{}`, as its price does: a tier says all of them anew",
            missing.join("`, `")
        );
        problems.fatal(at, why);
    }
    !missing.is_empty()
}

/// Parses the names of services. `standard` is valid only in a tier for long requests: otherwise
/// the price itself holds for it.
fn services(
    named: &Located<OneOrMany>,
    for_long_requests: bool,
    problems: &Problems,
) -> Option<Vec<ServiceTier>> {
    let known = ServiceTier::PRICED.iter().copied();
    let standard = for_long_requests.then_some(("standard", ServiceTier::Standard));
    let known: Vec<(&str, ServiceTier)> = standard.into_iter().chain(known).collect();
    let services = named.value.0.iter().map(|name| {
        let found = known.iter().find(|(known, _)| known == name);
        found.map(|(_, service)| *service)
    });
    let services = services
        .collect::<Option<Vec<ServiceTier>>>()
        .filter(|services| !services.is_empty());
    if services.is_none() {
        let all = enumerate(known.iter().map(|(name, _)| *name));
        let why = format!("`service` is one of {all}; the standard service has the price itself");
        problems.fatal(&named.at, why);
    }
    services
}
