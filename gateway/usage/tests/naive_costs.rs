//! Tests: costs are the same as those of a naive implementation that uses fractions.

use proptest::prelude::*;

use super::costs::list;
use crate::usage::{Media, MediumTokens, ServiceTier, Usage};

/// A fraction in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fraction(u128, u128);

impl Fraction {
    fn new(above: u128, below: u128) -> Self {
        let (mut a, mut b) = (above, below);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        Self(above / a.max(1), below / a.max(1))
    }

    /// Parses `1.25` as 125/100.
    fn read(text: &str) -> Self {
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        let below = 10_u128.pow(u32::try_from(rest.len()).unwrap());
        Self::new(format!("{whole}{rest}").parse().unwrap(), below)
    }

    fn plus(self, other: Self) -> Self {
        Self::new(self.0 * other.1 + other.0 * self.1, self.1 * other.1)
    }

    fn times(self, number: u64) -> Self {
        Self::new(self.0 * u128::from(number), self.1)
    }

    fn over(self, number: u128) -> Self {
        Self::new(self.0, self.1 * number)
    }
}

/// The prices of a table as written, in the order of [`NAMES`].
type Written = [Option<String>; 15];

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

/// A `[[price]]` as written: the rates, the tiers by service and length, and the prices of one
/// request and one search.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    base: Written,
    tiers: Vec<(&'static str, u64, Written)>,
    per_request: Option<String>,
    per_search: Option<String>,
}

impl Plain {
    pub(super) fn text(&self) -> String {
        let table = |written: &Written| {
            let lines = NAMES.iter().zip(written);
            let lines = lines.filter_map(|(name, price)| Some((name, price.as_ref()?)));
            lines.fold(String::new(), |text, (name, price)| {
                text + name + " = \"" + price + "\"\n"
            })
        };
        let one = |name: &str, price: &Option<String>| {
            let line = price
                .as_ref()
                .map(|price| format!("{name} = \"{price}\"\n"));
            line.unwrap_or_default()
        };
        let mut text = format!("[[price]]\nmodel = \"m\"\n{}", table(&self.base));
        text += &one("per_request", &self.per_request);
        text += &one("per_search", &self.per_search);
        for (service, above, written) in &self.tiers {
            text += "[[price.tier]]\n";
            if *service != "standard" {
                text = text + "service = \"" + service + "\"\n";
            }
            if *above > 0 {
                text = text + "above = " + &above.to_string() + "\n";
            }
            text += &table(written);
        }
        text
    }

    /// The prices of the tier that applies.
    fn tier(&self, service: Option<&str>, usage: &Usage) -> Option<&Written> {
        let service = service.unwrap_or("standard");
        let crossed = self.tiers.iter().map(|tier| tier.1);
        let crossed = crossed.filter(|above| usage.input > *above).max();
        let crossed = crossed.unwrap_or(0);
        if service == "standard" && crossed == 0 {
            return Some(&self.base);
        }
        let mut tiers = self.tiers.iter();
        Some(&tiers.find(|tier| tier.0 == service && tier.1 == crossed)?.2)
    }

    /// The cost, computed the way a person would.
    fn cost(&self, service: Option<&str>, usage: &Usage) -> Option<Fraction> {
        let [input, read, minutes, hour, output, reasoning, media @ ..] = self
            .tier(service, usage)?
            .each_ref()
            .map(|price| price.as_deref().map(Fraction::read));
        let input = input.unwrap();
        let output = output.unwrap_or(Fraction(0, 1));
        let hours = usage.cache_creation_hour;
        if hours > 0 && minutes.is_some() && hour.is_none() {
            return None;
        }
        let media = media_cost(&media, input, &usage.media)?;
        let plain = usage.input - usage.cache_read - usage.cache_creation - media.fresh;
        let million = media
            .cost
            .plus(input.times(plain))
            .plus(read.unwrap_or(input).times(usage.cache_read - media.cached))
            .plus(minutes.unwrap_or(input).times(usage.cache_creation - hours))
            .plus(hour.unwrap_or(input).times(hours))
            .plus(output.times(usage.output - usage.reasoning - media.output))
            .plus(reasoning.unwrap_or(output).times(usage.reasoning));
        let mut all = million.over(1_000_000);
        if let Some(price) = &self.per_request {
            all = all.plus(Fraction::read(price));
        }
        if usage.searches > 0 {
            all = all.plus(Fraction::read(self.per_search.as_ref()?).times(usage.searches));
        }
        Some(all)
    }
}

/// The cost of a million times the tokens of media with prices of their own, and these tokens.
struct MediaCost {
    cost: Fraction,
    fresh: u64,
    cached: u64,
    output: u64,
}

/// The part of the cost for audio, images and video. `prices` are those of each medium for input,
/// cached input and output; `input` is that of text.
fn media_cost(prices: &[Option<Fraction>; 9], input: Fraction, media: &Media) -> Option<MediaCost> {
    let (mut fresh, mut cached, mut output) = (0, 0, 0);
    let mut cost = Fraction(0, 1);
    for (at, tokens) in [media.audio, media.image, media.video]
        .into_iter()
        .enumerate()
    {
        let [in_price, cache_price, out_price] =
            [prices[3 * at], prices[3 * at + 1], prices[3 * at + 2]];
        let is_audio = at == 0;
        let new = tokens.input - tokens.cache_read;
        let has_input_price = in_price.is_some() || cache_price.is_some();
        let own = (has_input_price || is_audio) && tokens.input > 0 || tokens.output > 0;
        if own && media.unclear {
            return None;
        }
        if tokens.output > 0 {
            cost = cost.plus(out_price?.times(tokens.output));
            output += tokens.output;
        }
        if !has_input_price && !is_audio {
            continue;
        }
        if new > 0 {
            let price = if is_audio {
                in_price?
            } else {
                in_price.unwrap_or(input)
            };
            cost = cost.plus(price.times(new));
            fresh += new;
        }
        if tokens.cache_read > 0 {
            cost = cost.plus(cache_price?.times(tokens.cache_read));
            cached += tokens.cache_read;
        }
    }
    Some(MediaCost {
        cost,
        fresh,
        cached,
        output,
    })
}

fn price() -> impl Strategy<Value = String> {
    (0_u32..200, 0_u32..1_000_000, 0_usize..7).prop_map(|(whole, rest, length)| {
        let rest = format!("{rest:06}");
        match length {
            0 => whole.to_string(),
            length => format!("{whole}.{}", &rest[..length]),
        }
    })
}

/// All prices except the input may be missing; a tier contains the same prices as its base.
fn written(there: [bool; 15]) -> impl Strategy<Value = Written> {
    proptest::array::uniform15(price()).prop_map(move |prices| {
        let mut there = there.into_iter();
        prices.map(|price| there.next().unwrap().then_some(price))
    })
}

pub(super) fn plain() -> impl Strategy<Value = Plain> {
    let there = proptest::array::uniform14(any::<bool>());
    let places = prop::sample::subsequence(
        vec![
            ("standard", 200_000),
            ("standard", 1_000_000),
            ("flex", 0),
            ("flex", 200_000),
            ("flex", 1_000_000),
            ("priority", 0),
            ("priority", 272_000),
            ("batch", 0),
        ],
        0..=8,
    );
    let one = || prop::option::of(price());
    (there, places, one(), one()).prop_flat_map(|(there, places, per_request, per_search)| {
        let there = std::array::from_fn(|at| at == 0 || there[at - 1]);
        let tables = prop::collection::vec(written(there), places.len() + 1);
        tables.prop_map(move |mut tables| {
            let base = tables.pop().unwrap();
            let tiers = places.iter().zip(tables);
            Plain {
                base,
                tiers: tiers
                    .map(|((service, above), table)| (*service, *above, table))
                    .collect(),
                per_request: per_request.clone(),
                per_search: per_search.clone(),
            }
        })
    })
}

pub(super) fn usage() -> impl Strategy<Value = (Option<&'static str>, Usage)> {
    let edges = prop::sample::select(vec![200_000_u64, 272_000, 1_000_000]);
    let near = (edges, 0_u64..3).prop_map(|(edge, beside)| edge + beside - 1);
    let input = prop_oneof![near, 0_u64..2_000_000];
    let service = prop::sample::select(vec![
        None,
        Some("standard"),
        Some("flex"),
        Some("priority"),
        Some("batch"),
        Some("other"),
    ]);
    let shares = proptest::array::uniform4(0_u64..=100);
    let searches = (0_u64..4).prop_map(|searches| searches / 2);
    let text = (input, 0_u64..100_000, shares).prop_map(text_usage);
    (text, searches, service, media_shares()).prop_map(
        |(text, searches, service, (shares, unclear))| {
            let usage = Usage {
                media: media_usage(&text, shares, unclear),
                searches,
                service_tier: service.and_then(|name| ServiceTier::named(name.as_bytes())),
                ..text
            };
            (service, usage)
        },
    )
}

/// Usage with this input and output. The shares, in hundredths, are those of the input that was
/// read from the cache, of the rest that was written into it, of what was written that stays an
/// hour, and of the output that is reasoning.
fn text_usage((input, output, [read, written, hour, reasoning]): (u64, u64, [u64; 4])) -> Usage {
    let cache_read = input * read / 100;
    let cache_creation = (input - cache_read) * written / 100;
    Usage {
        input,
        output,
        cache_read,
        cache_creation,
        cache_creation_hour: cache_creation * (hour / 50) / 2,
        reasoning: output * reasoning / 100,
        ..Usage::default()
    }
}

/// The media among the tokens of `usage`: at most a third for each, so that all of them fit.
fn media_usage(usage: &Usage, shares: [[u64; 3]; 3], unclear: bool) -> Media {
    let fresh = usage.input - usage.cache_read - usage.cache_creation;
    let [audio, image, video] = shares.map(|[of_fresh, of_cached, of_made]| {
        let cache_read = usage.cache_read * of_cached / 300;
        MediumTokens {
            input: fresh * of_fresh / 300 + cache_read,
            cache_read,
            output: (usage.output - usage.reasoning) * of_made / 300,
        }
    });
    Media {
        audio,
        image,
        video,
        unclear,
    }
}

/// The share of each medium, in thirds of a hundredth, of the input, the cached tokens and the
/// output; and whether the split is ambiguous.
fn media_shares() -> impl Strategy<Value = ([[u64; 3]; 3], bool)> {
    let share = prop_oneof![2 => Just(0_u64), 1 => 0_u64..=100];
    let shares = proptest::array::uniform3(proptest::array::uniform3(share));
    (shares, prop::bool::weighted(0.2))
}

/// Prices for names and prefixes of the letters `a` and `b`, each with a price of its own.
fn names() -> impl Strategy<Value = Vec<String>> {
    let name = prop::string::string_regex("[aAb]{1,3}\\*?").unwrap();
    prop::collection::vec(name, 1..8).prop_map(|mut names| {
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.to_lowercase()));
        names
    })
}

/// The price of `model` among `names`, looked up the way a person would: the whole name, else the
/// longest prefix.
fn named(names: &[String], model: &str) -> Option<String> {
    let price = |at: usize| Some((at + 1).to_string());
    let lower = |at: usize| names[at].to_lowercase();
    let whole = (0..names.len()).find(|at| lower(*at) == model);
    let begins = |at: &usize| {
        let name = lower(*at);
        name.strip_suffix('*')
            .is_some_and(|begin| model.starts_with(begin))
    };
    let longest = (0..names.len())
        .filter(begins)
        .max_by_key(|at| lower(*at).len());
    whole.or(longest).and_then(price)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lookup_by_model_name_equals_a_naive_lookup(names in names(), model in "[ab]{1,4}") {
        let entries = names.iter().zip(1..);
        let text: Vec<String> = entries
            .map(|(name, price)| format!("[[price]]\nmodel = \"{name}\"\ninput = \"{price}\"\n"))
            .collect();
        let prices = list(&text.concat());
        let usage = Usage { input: 1_000_000, ..Usage::default() };
        let day = "2026-11-27".parse().unwrap();
        let expected = named(&names, &model);
        for written in [
            model.clone(),
            model.to_uppercase(),
            format!("openai/{model}"),
            format!("OpenRouter/x-ai/{model}"),
            format!("models/{model}"),
            format!("publishers/google/models/{model}"),
        ] {
            let cost = prices.cost("p", &written, day, &usage).map(|cost| cost.to_string());
            prop_assert_eq!(&cost, &expected, "{} in {:?}", written, names);
        }
        let other = prices.cost("p", &format!("x{model}"), day, &usage);
        prop_assert_eq!(other, None);
    }

    #[test]
    fn costs_equal_those_of_a_naive_computation(plain in plain(), (service, usage) in usage()) {
        let prices = list(&plain.text());
        let cost = prices.cost("p", "m", "2026-11-27".parse().unwrap(), &usage);
        let cost = cost.map(|cost| Fraction::read(&cost.to_string()));
        prop_assert_eq!(cost, plain.cost(service, &usage), "{}{:?}", plain.text(), usage);
    }
}
