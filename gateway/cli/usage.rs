//! `keygate usage`: what was used, summed up from access lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::config::load_prices;
use crate::error::Error;
use crate::printable;
use crate::usage::{Cost, CostSource, PriceList, ServiceTier, Usage as Tokens};

/// Sum up access lines by key, provider, model and day.
#[derive(Args)]
#[command(
    after_help = "Example: journalctl -u keygate -o cat | keygate usage --by key,day --csv -\n\
                        Days are UTC. What is no access line is skipped, and said. With --prices, what the lines \
                        say of cost is not asked, but for what a provider said itself. In CSV, a name that a spreadsheet would take for a formula \
                        begins with an apostrophe."
)]
pub(super) struct Usage {
    /// Files of access lines; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What to sum up by
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "key,provider,model,day"
    )]
    by: Vec<By>,
    /// Reckon costs by this price file, and not by what the lines say
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Key,
    Route,
    Provider,
    Model,
    Day,
}

/// Of an access line, what is summed up.
#[derive(Deserialize)]
struct Line {
    time: String,
    // What tells an access line from anything else.
    #[serde(rename = "request_id")]
    _request_id: String,
    key: Option<String>,
    route: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    refused_by: Option<String>,
    #[serde(default)]
    aborted: bool,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_tokens: Option<u64>,
    cache_creation_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
    cache_creation_1h_tokens: Option<u64>,
    searches: Option<u64>,
    service_tier: Option<String>,
    #[serde(default)]
    estimated: bool,
    cost: Option<String>,
    currency: Option<String>,
    cost_source: Option<String>,
}

impl Line {
    fn usage(&self) -> Option<Tokens> {
        let metered = self.input_tokens.is_some() || self.output_tokens.is_some();
        metered.then(|| Tokens {
            input: self.input_tokens.unwrap_or_default(),
            output: self.output_tokens.unwrap_or_default(),
            cache_read: self.cache_read_tokens.unwrap_or_default(),
            cache_creation: self.cache_creation_tokens.unwrap_or_default(),
            reasoning: self.reasoning_tokens.unwrap_or_default(),
            cache_creation_hour: self.cache_creation_1h_tokens.unwrap_or_default(),
            searches: self.searches.unwrap_or_default(),
            service_tier: self.tier(),
            reported_cost: None,
        })
    }

    fn tier(&self) -> Option<ServiceTier> {
        ServiceTier::named(self.service_tier.as_ref()?.as_bytes())
    }

    /// Whether the provider itself has said what it cost: no price file knows better.
    fn is_reported(&self) -> bool {
        self.cost_source.as_deref() == Some(CostSource::Provider.name())
    }

    /// What it cost, and in which currency, as far as that is known.
    fn cost(&self, prices: Option<&PriceList>) -> Option<(String, Cost)> {
        let Some(prices) = prices.filter(|_| !self.is_reported()) else {
            let cost = self.cost.as_ref()?.parse().ok()?;
            return Some((self.currency.clone().unwrap_or_default(), cost));
        };
        let day = self.time.get(..10)?.parse().ok()?;
        let provider = self.provider.as_deref().unwrap_or_default();
        let model = self.model.as_deref().unwrap_or_default();
        let cost = prices.cost(provider, model, day, &self.usage()?)?;
        Some((prices.currency.to_string(), cost))
    }
}

/// The sums of some lines.
#[derive(Default)]
struct Sum {
    requests: u64,
    refused: u64,
    aborted: u64,
    /// Those whose answer said what it took.
    metered: u64,
    input_tokens: u64,
    output_tokens: u64,
    cache_read_tokens: u64,
    cache_creation_tokens: u64,
    reasoning_tokens: u64,
    /// Of those metered, the ones that were estimated.
    estimated: u64,
    /// By currency.
    costs: BTreeMap<String, Cost>,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Route => "route",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Day => "day",
        }
    }

    fn of(self, line: &Line) -> String {
        let said = match self {
            Self::Key => line.key.as_deref(),
            Self::Route => line.route.as_deref(),
            Self::Provider => line.provider.as_deref(),
            Self::Model => line.model.as_deref(),
            Self::Day => line.time.get(..10),
        };
        said.unwrap_or_default().to_owned()
    }
}

const SUMS: [&str; 10] = [
    "requests",
    "refused",
    "aborted",
    "metered",
    "estimated",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_creation_tokens",
    "reasoning_tokens",
];

impl Sum {
    fn add(&mut self, line: &Line, prices: Option<&PriceList>) {
        let grow = |sum: &mut u64, by: u64| *sum = sum.saturating_add(by);
        grow(&mut self.requests, 1);
        grow(&mut self.refused, line.refused_by.is_some().into());
        grow(&mut self.aborted, line.aborted.into());
        grow(&mut self.metered, line.usage().is_some().into());
        grow(&mut self.estimated, line.estimated.into());
        if let Some((currency, cost)) = line.cost(prices) {
            let sum = self.costs.entry(currency).or_default();
            *sum = sum.plus(cost);
        }
        for (sum, tokens) in [
            (&mut self.input_tokens, line.input_tokens),
            (&mut self.output_tokens, line.output_tokens),
            (&mut self.cache_read_tokens, line.cache_read_tokens),
            (&mut self.cache_creation_tokens, line.cache_creation_tokens),
            (&mut self.reasoning_tokens, line.reasoning_tokens),
        ] {
            grow(sum, tokens.unwrap_or_default());
        }
    }

    fn cost(&self, currency: &str) -> String {
        let cost = self.costs.get(currency).copied();
        cost.unwrap_or_default().to_string()
    }

    /// In the order of [`SUMS`].
    fn values(&self) -> [u64; 10] {
        [
            self.requests,
            self.refused,
            self.aborted,
            self.metered,
            self.estimated,
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_creation_tokens,
            self.reasoning_tokens,
        ]
    }
}

type Sums = BTreeMap<Vec<String>, Sum>;

pub(super) fn run(options: &Usage) -> Result<(), Error> {
    let prices = options.prices.as_deref();
    let prices = prices.map(load_prices).transpose()?;
    let mut sums = Sums::new();
    let mut skipped: u64 = 0;
    for file in &options.files {
        let reading = |error| Error::failed(format_args!("read {}", file.display()), error);
        skipped += if file == Path::new("-") {
            read(
                std::io::stdin().lock(),
                &options.by,
                prices.as_ref(),
                &mut sums,
            )
            .map_err(reading)?
        } else {
            let opened = File::open(file).map_err(reading)?;
            read(
                BufReader::new(opened),
                &options.by,
                prices.as_ref(),
                &mut sums,
            )
            .map_err(reading)?
        };
    }
    if skipped > 0 {
        super::mention(&format!("skipped: {skipped} lines are no access lines"));
    }
    let names: Vec<&str> = options.by.iter().map(|by| by.name()).collect();
    super::say(&if options.json {
        json(&names, &sums)?
    } else if options.csv {
        csv(&names, &sums)?
    } else {
        table(&names, &sums)
    })
}

/// Adds the lines up; gives how many are no access lines.
fn read(
    mut lines: impl BufRead,
    by: &[By],
    prices: Option<&PriceList>,
    sums: &mut Sums,
) -> std::io::Result<u64> {
    let (mut skipped, mut bytes) = (0, Vec::new());
    loop {
        bytes.clear();
        if lines.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(skipped);
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice::<Line>(&bytes) {
            Ok(line) => {
                let group = by.iter().map(|by| by.of(&line)).collect();
                sums.entry(group).or_default().add(&line, prices);
            }
            Err(_) => skipped += 1,
        }
    }
}

fn json(names: &[&str], sums: &Sums) -> Result<String, Error> {
    let rows: Vec<serde_json::Map<String, serde_json::Value>> = sums
        .iter()
        .map(|(group, sum)| {
            let group = names
                .iter()
                .zip(group)
                .map(|(name, value)| ((*name).to_owned(), value.as_str().into()));
            let values = SUMS
                .iter()
                .zip(sum.values())
                .map(|(name, value)| ((*name).to_owned(), value.into()));
            let costs = sum.costs.iter();
            let costs: serde_json::Map<String, serde_json::Value> = costs
                .map(|(currency, cost)| (currency.clone(), cost.to_string().into()))
                .collect();
            let costs = ("cost".to_owned(), costs.into());
            group.chain(values).chain([costs]).collect()
        })
        .collect();
    let text = serde_json::to_string_pretty(&rows);
    Ok(text.map_err(|error| Error::failed("write JSON", error))? + "\n")
}

fn csv(names: &[&str], sums: &Sums) -> Result<String, Error> {
    let failed = |error: csv::Error| Error::failed("write CSV", error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let currencies = currencies(sums);
    let costs = currencies.iter().map(|currency| cost_in(currency));
    let head = names.iter().chain(&SUMS).map(|name| (*name).to_owned());
    writer.write_record(head.chain(costs)).map_err(failed)?;
    for (group, sum) in sums {
        let values = sum.values().map(|value| value.to_string());
        let costs = currencies.iter().map(|currency| sum.cost(currency));
        let row = group
            .iter()
            .map(|value| cell(value))
            .chain(values)
            .chain(costs);
        writer.write_record(row).map_err(failed)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Error::failed("write CSV", error.into_error()))?;
    String::from_utf8(bytes).map_err(|error| Error::failed("write CSV", error))
}

/// A text as a cell that spreadsheets take for a text: one that begins like a formula gets an apostrophe in front, and
/// so does what stands behind a semicolon, at which many a country's spreadsheets end a cell.
fn cell(text: &str) -> String {
    /// With the wide forms that some take for the same.
    const FORMULA: [char; 8] = [
        '=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ];
    let marked = text.split(';').map(|part| {
        let is_formula = part.trim_start_matches(' ').starts_with(FORMULA);
        let mark = if is_formula { "'" } else { "" };
        format!("{mark}{}", printable::line(part))
    });
    marked.collect::<Vec<_>>().join(";")
}

/// The currencies in which something cost something.
fn currencies(sums: &Sums) -> BTreeSet<&str> {
    let all = sums.values().flat_map(|sum| sum.costs.keys());
    all.map(String::as_str).collect()
}

fn cost_in(currency: &str) -> String {
    format!("cost_{}", printable::line(currency))
}

fn table(names: &[&str], sums: &Sums) -> String {
    let mut text = String::new();
    let short = |name: &'static str| name.trim_end_matches("_tokens");
    // Writing to a String cannot fail.
    for name in names {
        let _ = write!(text, "{name:<24} ");
    }
    for name in SUMS {
        let _ = write!(text, "{:>14} ", short(name));
    }
    let currencies = currencies(sums);
    for currency in &currencies {
        let _ = write!(text, "{:>20} ", cost_in(currency));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    for (group, sum) in sums {
        for value in group {
            let value = if value.is_empty() { "-" } else { value };
            // A model is as a provider names it.
            let _ = write!(text, "{:<24} ", printable::line(value));
        }
        for value in sum.values() {
            let _ = write!(text, "{value:>14} ");
        }
        for currency in &currencies {
            let _ = write!(text, "{:>20} ", sum.cost(currency));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}
