//! The amounts of the limits of a key, or of a `[[limits]]` table.

use std::collections::BTreeMap;

use crate::limit::amount::{self, write_amount};
use crate::limit::terms::{Amount, Counts, Period, Tokens, Window};

/// The settings of tokens of a `[[limits]]` table, with the tokens that each counts.
pub(super) const TOKENS: [(&str, Tokens); 3] = [
    ("tokens", tokens(true, true)),
    ("input_tokens", tokens(true, false)),
    ("output_tokens", tokens(false, true)),
];

/// Tokens as other gateways count them: the input that the provider read from its cache is part of
/// the input.
const fn tokens(input: bool, output: bool) -> Tokens {
    Tokens {
        input,
        output,
        cached: input,
    }
}

/// Amounts of several settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlannedAmounts {
    /// What is counted, and how much of it: of each, at most one amount for each period.
    pub(super) counted: BTreeMap<Counts, Vec<Amount>>,
    /// The percentage of the budget at which a warning is given.
    pub(super) soft: Option<u8>,
}

impl PlannedAmounts {
    /// Adds an amount. Of two amounts for the same period, both of which apply, the lower one stays.
    pub(super) fn add(&mut self, counts: Counts, amount: Amount) {
        let known = self.counted.entry(counts).or_default();
        match known
            .iter_mut()
            .find(|known| has_same_period(known, &amount))
        {
            Some(known) if units(known) <= units(&amount) => {}
            Some(known) => *known = amount,
            None => known.push(amount),
        }
    }

    /// Adds the amounts of `other`. The percentage stays only if it is of the one budget.
    pub(super) fn merge(&mut self, other: Self) {
        for (counts, amounts) in other.counted {
            for amount in amounts {
                self.add(counts, amount);
            }
        }
        self.soft = self.soft.or(other.soft).filter(|_| self.budgets() == 1);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counted.is_empty()
    }

    /// Whether there is an amount of a period of the calendar.
    pub(super) fn is_of_calendar(&self) -> bool {
        let mut all = self.counted.values().flatten();
        all.any(|amount| matches!(amount, Amount::Budget { units: 1.., .. }))
    }

    /// The number of budgets.
    pub(super) fn budgets(&self) -> usize {
        self.counted.get(&Counts::Money).map_or(0, Vec::len)
    }

    /// Takes the amounts of everything that `counts` accepts.
    pub(super) fn split_off(&mut self, counts: impl Fn(Counts) -> bool) -> Self {
        let all = std::mem::take(&mut self.counted);
        let (taken, rest) = all.into_iter().partition(|(counted, _)| counts(*counted));
        self.counted = rest;
        let soft = self.soft.filter(|_| counts(Counts::Money));
        self.soft = self.soft.filter(|_| soft.is_none());
        Self {
            counted: taken,
            soft,
        }
    }

    /// The texts of all amounts of `counts`, as settings have them.
    pub(super) fn texts(&self, counts: Counts) -> Vec<String> {
        let amounts = self.counted.get(&counts).into_iter().flatten();
        amounts.map(|amount| write_amount(counts, amount)).collect()
    }

    /// The number of requests at once.
    pub(super) fn parallel(&self) -> Option<u32> {
        let mut amounts = self.counted.get(&Counts::Parallel).into_iter().flatten();
        amounts.find_map(|amount| match amount {
            Amount::AtOnce(most) => Some(*most),
            _ => None,
        })
    }

    /// Whether all amounts of `counts` are per minute.
    pub(super) fn is_per_minute(&self, counts: Counts) -> bool {
        let mut amounts = self.counted.get(&counts).into_iter().flatten();
        amounts.all(|amount| matches!(amount, Amount::Rate(rate) if rate.window == Window::Minute))
    }

    /// The units per minute of `counts`.
    pub(super) fn per_minute(&self, counts: Counts) -> Option<u64> {
        let mut amounts = self.counted.get(&counts).into_iter().flatten();
        amounts.find_map(|amount| match amount {
            Amount::Rate(rate) if rate.window == Window::Minute => Some(rate.units),
            _ => None,
        })
    }
}

/// An amount of nothing: every request is refused. A rate cannot be zero, an amount of the calendar
/// can.
pub(super) fn nothing() -> Amount {
    Amount::Budget {
        units: 0,
        period: Period::Day,
    }
}

/// `units` in each `window`, or nothing.
pub(super) fn rate(units: u64, window: Window) -> Option<Amount> {
    match units {
        0 => Some(nothing()),
        units => amount::rate(units, window).ok(),
    }
}

fn has_same_period(a: &Amount, b: &Amount) -> bool {
    match (a, b) {
        (Amount::Rate(a), Amount::Rate(b)) => a.window == b.window,
        (Amount::Budget { period: a, .. }, Amount::Budget { period: b, .. }) => a == b,
        (Amount::AtOnce(_), Amount::AtOnce(_)) => true,
        _ => false,
    }
}

fn units(amount: &Amount) -> u64 {
    match amount {
        Amount::Rate(rate) => rate.units,
        Amount::Budget { units, .. } => units.unsigned_abs(),
        Amount::AtOnce(most) => (*most).into(),
    }
}
