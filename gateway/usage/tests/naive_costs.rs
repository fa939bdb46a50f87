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
struct Plain {
    base: Written,
    tiers: Vec<(&'static str, u64, Written)>,
    per_request: Option<String>,
    per_search: Option<String>,
}

impl Plain {
    fn text(&self) -> String {
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

    /// The cost, computed the way a person would.
    fn cost(&self, service: Option<&str>, usage: &Usage) -> Option<Fraction> {
        let service = service.unwrap_or("standard");
        let crossed = self.tiers.iter().map(|tier| tier.1);
        let crossed = crossed.filter(|above| usage.input > *above).max();
        let crossed = crossed.unwrap_or(0);
        let written = if service == "standard" && crossed == 0 {
            &self.base
        } else {
            let mut tiers = self.tiers.iter();
            &tiers.find(|tier| tier.0 == service && tier.1 == crossed)?.2
        };
        let [input, read, minutes, hour, output, reasoning, media @ ..] = written
            .each_ref()
            .map(|price| price.as_deref().map(Fraction::read));
        let input = input.unwrap();
        let output = output.unwrap_or(Fraction(0, 1));
        let hours = usage.cache_creation_hour;
        if hours > 0 && minutes.is_some() && hour.is_none() {
            return None;
        }
        let mut plain = usage.input - usage.cache_read - usage.cache_creation;
        let (mut cached, mut made) = (usage.cache_read, usage.output - usage.reasoning);
        let mut of_media = Fraction(0, 1);
        let Media {
            audio,
            image,
            video,
            unclear,
        } = usage.media;
        for (at, tokens) in [audio, image, video].into_iter().enumerate() {
            let [in_price, cache_price, out_price] =
                [media[3 * at], media[3 * at + 1], media[3 * at + 2]];
            let is_audio = at == 0;
            let fresh = tokens.input - tokens.cache_read;
            let has_input_price = in_price.is_some() || cache_price.is_some();
            let own = (has_input_price || is_audio) && tokens.input > 0 || tokens.output > 0;
            if own && unclear {
                return None;
            }
            if tokens.output > 0 {
                of_media = of_media.plus(out_price?.times(tokens.output));
                made -= tokens.output;
            }
            if !has_input_price && !is_audio {
                continue;
            }
            if fresh > 0 {
                let price = if is_audio {
                    in_price?
                } else {
                    in_price.unwrap_or(input)
                };
                of_media = of_media.plus(price.times(fresh));
                plain -= fresh;
            }
            if tokens.cache_read > 0 {
                of_media = of_media.plus(cache_price?.times(tokens.cache_read));
                cached -= tokens.cache_read;
            }
        }
        let million = of_media
            .plus(input.times(plain))
            .plus(read.unwrap_or(input).times(cached))
            .plus(minutes.unwrap_or(input).times(usage.cache_creation - hours))
            .plus(hour.unwrap_or(input).times(hours))
            .plus(output.times(made))
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

fn plain() -> impl Strategy<Value = Plain> {
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

fn usage() -> impl Strategy<Value = (Option<&'static str>, Usage)> {
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
    let share = || 0_u64..=100;
    (
        input,
        0_u64..100_000,
        proptest::array::uniform4(share()),
        0_u64..4,
        service,
        media_shares(),
    )
        .prop_map(
            |(
                input,
                output,
                [read, written, hour, reasoning],
                searches,
                service,
                (shares, unclear),
            )| {
                let cache_read = input * read / 100;
                let cache_creation = (input - cache_read) * written / 100;
                let reasoning = output * reasoning / 100;
                let fresh = input - cache_read - cache_creation;
                // At most a third for each, so that all of them fit.
                let [audio, image, video] = shares.map(|[of_fresh, of_cached, of_made]| {
                    let cache_read = cache_read * of_cached / 300;
                    MediumTokens {
                        input: fresh * of_fresh / 300 + cache_read,
                        cache_read,
                        output: (output - reasoning) * of_made / 300,
                    }
                });
                let usage = Usage {
                    input,
                    output,
                    cache_read,
                    cache_creation,
                    media: Media {
                        audio,
                        image,
                        video,
                        unclear,
                    },
                    cache_creation_hour: cache_creation * (hour / 50) / 2,
                    reasoning,
                    searches: searches / 2,
                    service_tier: service.and_then(|name| ServiceTier::named(name.as_bytes())),
                    ..Usage::default()
                };
                (service, usage)
            },
        )
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
