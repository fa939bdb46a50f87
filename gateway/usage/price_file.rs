//! One `[[price]]` of a price file, read and checked.

use std::sync::Arc;

use jiff::civil::Date;

use super::cost::{Cost, MediumRates, Price, Rates};
use super::tariff::{Tariff, Tier};
use super::tokens::ServiceTier;
use crate::document::{Located, Location, OneOrMany, Problems, Section, enumerate};

/// The names of the prices for tokens, in the order of [`given`].
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

/// Which of [`NAMES`] a table says.
type Said = [bool; NAMES.len()];

/// What one `[[price]]` says.
pub(super) struct PriceEntry {
    /// Its line.
    pub(super) at: Location,
    /// The models that it is for, as they are written; one that ends with `*` is the beginning of names.
    pub(super) models: Vec<String>,
    pub(super) provider: Option<Arc<str>>,
    pub(super) from: Option<Date>,
    pub(super) tariff: Tariff,
}

impl PriceEntry {
    /// Reads one. `None` where anything in it is wrong, which goes to `problems`: a model whose price cannot be read has
    /// none, and is not free.
    pub(super) fn read(mut section: Section<'_>, problems: &Problems) -> Option<Self> {
        let at = section.at().clone();
        let models = section.require::<OneOrMany>("model");
        let provider = section.take::<String>("provider");
        let from = section.take::<Date>("from");
        let rates = rates(&mut section, problems);
        let per_request = one(section.take("per_request"), "request", problems);
        let per_search = one(section.take("per_search"), "search", problems);
        let tiers = section.list("tier");
        section.finish();
        let tiers = all_tiers(tiers, rates.as_ref().map(|(_, said)| said), problems);
        let models = names(models?, problems);
        let tariff = Tariff {
            rates: rates?.0,
            tiers: tiers?,
            per_request: per_request.ok()?.unwrap_or_default(),
            per_search: per_search.ok()?,
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

/// The names of models, each of them one.
fn names(models: Located<OneOrMany>, problems: &Problems) -> Option<Vec<String>> {
    let is_name = |model: &String| {
        !model.is_empty() && !model.trim_end_matches('*').contains('*') && !model.ends_with("**")
    };
    if models.value.0.is_empty() || !models.value.0.iter().all(is_name) {
        let why = "a model is a name, or the beginning of names with a `*` behind it";
        problems.fatal(&models.at, why);
        return None;
    }
    Some(models.value.0)
}

/// The prices for tokens of a table, and which of them it says.
fn rates(section: &mut Section<'_>, problems: &Problems) -> Option<(Rates, Said)> {
    let given = given(section);
    let said = given.each_ref().map(Option::is_some);
    let price = |given: Option<Located<String>>| price(given, problems);
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
    ] = given.map(price)
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
        output: output.unwrap_or(Price::FREE),
        reasoning,
        audio: medium(audio_input, audio_cache_read, audio_output),
        image: medium(image_input, image_cache_read, image_output),
        video: medium(video_input, video_cache_read, video_output),
    };
    Some((rates, said))
}

/// What is written under each of [`NAMES`].
fn given(section: &mut Section<'_>) -> [Option<Located<String>>; NAMES.len()] {
    NAMES.map(|name| match name {
        "input" => section.require(name),
        _ => section.take(name),
    })
}

/// A price that was complained of.
struct Complained;

fn price(given: Option<Located<String>>, problems: &Problems) -> Result<Option<Price>, Complained> {
    let price = given.map(|given| {
        given.value.parse::<Price>().map_err(|why| {
            problems.fatal(&given.at, format!("a price for a million tokens {why}"));
            Complained
        })
    });
    price.transpose()
}

/// The price of one request, or of one search.
fn one(
    given: Option<Located<String>>,
    what: &str,
    problems: &Problems,
) -> Result<Option<Cost>, Complained> {
    let cost = given.map(|given| {
        given.value.parse::<Cost>().map_err(|why| {
            problems.fatal(&given.at, format!("the price of one {what} {why}"));
            Complained
        })
    });
    cost.transpose()
}

/// The tiers of a price that says `base` itself; `None` where anything is wrong with one of them.
fn all_tiers(
    sections: Vec<Section<'_>>,
    base: Option<&Said>,
    problems: &Problems,
) -> Option<Vec<Tier>> {
    let mut all: Vec<(Tier, usize)> = Vec::new();
    let mut sound = true;
    for section in sections {
        let at = section.at().clone();
        let Some(tiers) = tiers(section, base, problems) else {
            sound = false;
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
                sound = false;
            }
            all.push((tier, at.line));
        }
    }
    sound.then(|| all.into_iter().map(|(tier, _)| tier).collect())
}

/// What one `[[price.tier]]` says: a tier for each service that it names.
fn tiers(mut section: Section<'_>, base: Option<&Said>, problems: &Problems) -> Option<Vec<Tier>> {
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
    let (rates, said) = rates?;
    if base.is_some_and(|base| lacks(*base, said, &at, problems)) {
        return None;
    }
    let tier = |service| Tier {
        service,
        above,
        rates,
    };
    Some(services.into_iter().map(tier).collect())
}

/// Whether a tier does not say a price that `base` says, which is complained of.
fn lacks(base: Said, tier: Said, at: &Location, problems: &Problems) -> bool {
    let both = NAMES.iter().zip(base.iter().zip(tier));
    let lacking: Vec<&str> = both
        .filter(|(_, (base, tier))| **base && !*tier)
        .map(|(name, _)| *name)
        .collect();
    if !lacking.is_empty() {
        let why = format!(
            "the tier does not say `{}`, as its price does: a tier says all of them anew",
            lacking.join("`, `")
        );
        problems.fatal(at, why);
    }
    !lacking.is_empty()
}

/// The services of these names. `standard` is one only for longer requests: else it is what the price itself says.
fn services(
    named: &Located<OneOrMany>,
    long: bool,
    problems: &Problems,
) -> Option<Vec<ServiceTier>> {
    let known = ServiceTier::PRICED.iter().copied();
    let standard = long.then_some(("standard", ServiceTier::Standard));
    let known: Vec<(&str, ServiceTier)> = standard.into_iter().chain(known).collect();
    let services = named.value.0.iter().map(|name| {
        let found = known.iter().find(|(known, _)| known == name);
        found.map(|(_, service)| *service)
    });
    let services: Option<Vec<ServiceTier>> = services.collect();
    let services = services.filter(|services| !services.is_empty());
    if services.is_none() {
        let all = enumerate(known.iter().map(|(name, _)| *name));
        let why = format!("`service` is one of {all}; the standard service has the price itself");
        problems.fatal(&named.at, why);
    }
    services
}
