//! Sums of access lines, grouped by some of their fields.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum;

use super::access_line::AccessLine;
use crate::ledger;
use crate::usage::{Cost, PriceList};

/// A field to group lines by.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum GroupBy {
    Key,
    Route,
    Provider,
    Model,
    Day,
}

impl GroupBy {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Route => "route",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Day => "day",
        }
    }

    pub(super) fn of(self, line: &AccessLine) -> String {
        let value = match self {
            Self::Key => line.key.as_deref(),
            Self::Route => line.route.as_deref(),
            Self::Provider => line.provider.as_deref(),
            Self::Model => line.model.as_deref(),
            Self::Day => line.time.get(..10),
        };
        value.unwrap_or_default().to_owned()
    }
}

/// The order of the rows.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Sort {
    /// The highest cost first; at equal cost, the most tokens first
    Cost,
    /// The most tokens first
    Tokens,
    /// The most requests first
    Requests,
    /// By name, or by day
    Name,
}

/// The sums of a group of lines.
#[derive(Clone, Default)]
pub(super) struct Sum {
    requests: u64,
    refused: u64,
    aborted: u64,
    /// The number of requests whose response reported its tokens.
    metered: u64,
    input_tokens: u64,
    output_tokens: u64,
    cache_read_tokens: u64,
    cache_creation_tokens: u64,
    reasoning_tokens: u64,
    /// The tokens of audio, images and video, in the order of `Media::by_type`.
    media: [u64; 9],
    /// The number of metered requests whose tokens are an estimate.
    estimated: u64,
    /// The costs by currency.
    pub(super) costs: BTreeMap<String, Cost>,
}

/// The number of [`SUMS`] that CSV and JSON always have; they have the others unless all rows are zero.
const ALWAYS: usize = 10;

/// The names of [`Sum::values`].
pub(super) const SUMS: [&str; 19] = [
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
    "input_audio_tokens",
    "cache_read_audio_tokens",
    "output_audio_tokens",
    "input_image_tokens",
    "cache_read_image_tokens",
    "output_image_tokens",
    "input_video_tokens",
    "cache_read_video_tokens",
    "output_video_tokens",
];

/// The indices in [`SUMS`] of the columns that CSV and JSON have for these rows.
pub(super) fn exported(rows: &[Row]) -> Vec<usize> {
    let totals = total(rows).values();
    let all = totals.iter().enumerate();
    let shown = all.filter(|(at, total)| *at < ALWAYS || **total > 0);
    shown.map(|(at, _)| at).collect()
}

impl Sum {
    /// The sums of a row of the history, whose cost is in `currency`; empty if nothing is known of it.
    pub(super) fn of_history(sums: &ledger::Sums, currency: &str) -> Self {
        let units = |units: i64| u64::try_from(units).unwrap_or_default();
        let cost = Cost(units(sums.cost).into());
        Self {
            requests: units(sums.requests),
            refused: units(sums.refusals),
            aborted: units(sums.aborted),
            metered: units(sums.metered),
            input_tokens: units(sums.input),
            output_tokens: units(sums.output),
            cache_read_tokens: units(sums.cached),
            cache_creation_tokens: units(sums.cache_creation),
            reasoning_tokens: units(sums.reasoning),
            media: sums.media.map(units),
            estimated: units(sums.estimated),
            costs: if currency.is_empty() {
                BTreeMap::new()
            } else {
                BTreeMap::from([(currency.to_owned(), cost)])
            },
        }
    }

    pub(super) fn add(&mut self, line: &AccessLine, prices: Option<&PriceList>) {
        let mut one = Self {
            requests: 1,
            refused: line.refused_by.is_some().into(),
            aborted: line.aborted.into(),
            metered: line.usage().is_some().into(),
            estimated: line.estimated.into(),
            input_tokens: line.input_tokens.unwrap_or_default(),
            output_tokens: line.output_tokens.unwrap_or_default(),
            cache_read_tokens: line.cache_read_tokens.unwrap_or_default(),
            cache_creation_tokens: line.cache_creation_tokens.unwrap_or_default(),
            reasoning_tokens: line.reasoning_tokens.unwrap_or_default(),
            media: line.media().by_type().map(|(_, count)| count),
            costs: BTreeMap::new(),
        };
        one.costs.extend(line.cost(prices));
        self.merge(&one);
    }

    /// Adds another sum, saturating.
    pub(super) fn merge(&mut self, other: &Self) {
        let numbers = self.counters().zip(other.values());
        for (sum, by) in numbers {
            *sum = sum.saturating_add(by);
        }
        for (currency, cost) in &other.costs {
            let sum = self.costs.entry(currency.clone()).or_default();
            *sum = sum.plus(*cost);
        }
    }

    /// The counters in the order of [`SUMS`], for writing.
    fn counters(&mut self) -> impl Iterator<Item = &mut u64> {
        let always = [
            &mut self.requests,
            &mut self.refused,
            &mut self.aborted,
            &mut self.metered,
            &mut self.estimated,
            &mut self.input_tokens,
            &mut self.output_tokens,
            &mut self.cache_read_tokens,
            &mut self.cache_creation_tokens,
            &mut self.reasoning_tokens,
        ];
        always.into_iter().chain(&mut self.media)
    }

    /// The counters in the order of [`SUMS`].
    pub(super) fn values(&self) -> [u64; SUMS.len()] {
        let mut all = self.clone();
        let mut numbers = all.counters();
        std::array::from_fn(|_| numbers.next().map_or(0, |number| *number))
    }

    pub(super) fn cost(&self, currency: &str) -> Cost {
        self.costs.get(currency).copied().unwrap_or_default()
    }

    fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// Compares two sums in an order; the one to be shown first is less.
    fn compare(&self, other: &Self, sort: Sort, currencies: &BTreeSet<String>) -> Ordering {
        let costs = |sum: &Self| currencies.iter().map(|it| sum.cost(it)).collect::<Vec<_>>();
        let cost = || costs(other).cmp(&costs(self));
        let tokens = || other.tokens().cmp(&self.tokens());
        let requests = || other.requests.cmp(&self.requests);
        match sort {
            Sort::Cost => cost().then_with(tokens).then_with(requests),
            Sort::Tokens => tokens().then_with(requests),
            Sort::Requests => requests(),
            Sort::Name => Ordering::Equal,
        }
    }
}

/// Sums by the values of the fields that they are grouped by.
pub(super) type Sums = BTreeMap<Vec<String>, Sum>;
/// The values of the fields, and the sum.
pub(super) type Row = (Vec<String>, Sum);

/// The currencies of all costs.
pub(super) fn currencies(rows: &[Row]) -> BTreeSet<String> {
    let all = rows.iter().flat_map(|(_, sum)| sum.costs.keys());
    all.cloned().collect()
}

/// The rows in this order.
pub(super) fn sorted(sums: Sums, sort: Sort) -> Vec<Row> {
    let mut rows: Vec<Row> = sums.into_iter().collect();
    let currencies = currencies(&rows);
    // The sort is stable: equal rows stay in the order of their names.
    rows.sort_by(|(_, a), (_, b)| a.compare(b, sort, &currencies));
    rows
}

/// The sum of all rows.
pub(super) fn total(rows: &[Row]) -> Sum {
    let mut total = Sum::default();
    for (_, sum) in rows {
        total.merge(sum);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Media;

    #[test]
    fn media_have_the_names_that_access_lines_have() {
        let types = Media::default().by_type();
        let names = types.map(|(kind, _)| format!("{kind}_tokens"));
        assert_eq!(SUMS[ALWAYS..], names);
    }
}
