//! The tables of a ledger's file, and the texts that stand for limits in them.
//!
//! All amounts are in the units of their limit, but for `history.cost`: millionths of a millionth of the currency. All
//! times are microseconds since 1970, but for `history.quarter`: quarters of an hour since 1970.

use crate::limit::terms::{Counts, Period, Tokens, Window};

/// `PRAGMA application_id` of a ledger: `kgld`.
pub(super) const APPLICATION: i32 = 0x6b67_6c64;
/// `PRAGMA user_version` of a ledger: its format.
pub(super) const VERSION: i64 = 1;
/// The holder in `share` that stands for all processes that have ended.
pub(super) const PAST: i64 = 0;

/// Creates the tables in an empty file.
///
/// * `holder`: the processes that live; each has a lock file of the name `<ledger>-holder-<name>`.
/// * `account`: the budgets by period.
/// * `share`: what each holder has been issued of an account, and what it has used of that. Totals of the period.
/// * `correction`: what operators did. `raise`: units that come to the amount. `reset`: units that no longer count as
///   spent.
/// * `rate`: the state of limits by time: when each is unused again if nothing more is taken.
/// * `history`: sums by quarter of an hour.
/// * `note`: single values, by name.
pub(super) const CREATE: &str = "
CREATE TABLE holder (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, pid INTEGER NOT NULL, started INTEGER NOT NULL
) STRICT;
CREATE TABLE account (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, scope TEXT NOT NULL, counts TEXT NOT NULL, period TEXT NOT NULL,
    start INTEGER NOT NULL, ends INTEGER NOT NULL, UNIQUE (name, scope, counts, period, start)
) STRICT;
CREATE TABLE share (
    account INTEGER NOT NULL, holder INTEGER NOT NULL, issued INTEGER NOT NULL, used INTEGER NOT NULL,
    PRIMARY KEY (account, holder)
) STRICT, WITHOUT ROWID;
CREATE TABLE correction (
    id INTEGER PRIMARY KEY, account INTEGER NOT NULL, kind TEXT NOT NULL, units INTEGER NOT NULL,
    until INTEGER NOT NULL, who TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE TABLE rate (
    name TEXT NOT NULL, scope TEXT NOT NULL, counts TEXT NOT NULL, span TEXT NOT NULL, full_at INTEGER NOT NULL,
    saved_at INTEGER NOT NULL, holder INTEGER NOT NULL, PRIMARY KEY (name, scope, counts, span)
) STRICT, WITHOUT ROWID;
CREATE TABLE history (
    quarter INTEGER NOT NULL, key TEXT NOT NULL, route TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
    currency TEXT NOT NULL, requests INTEGER NOT NULL, refusals INTEGER NOT NULL, aborted INTEGER NOT NULL,
    metered INTEGER NOT NULL, estimated INTEGER NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL,
    cached INTEGER NOT NULL, cache_creation INTEGER NOT NULL, reasoning INTEGER NOT NULL, cost INTEGER NOT NULL,
    input_audio INTEGER NOT NULL, cached_audio INTEGER NOT NULL, output_audio INTEGER NOT NULL,
    input_image INTEGER NOT NULL, cached_image INTEGER NOT NULL, output_image INTEGER NOT NULL,
    input_video INTEGER NOT NULL, cached_video INTEGER NOT NULL, output_video INTEGER NOT NULL,
    PRIMARY KEY (quarter, key, route, provider, model, currency)
) STRICT, WITHOUT ROWID;
CREATE TABLE note (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// The text that stands for `counts`.
pub(super) fn counts_text(counts: Counts) -> &'static str {
    match counts {
        Counts::Requests => "requests",
        Counts::Money => "money",
        Counts::Parallel => "parallel",
        Counts::Tokens(tokens) => match (tokens.input, tokens.output, tokens.cached) {
            (false, false, false) => "tokens",
            (true, false, false) => "tokens+input",
            (false, true, false) => "tokens+output",
            (true, true, false) => "tokens+input+output",
            (false, false, true) => "tokens+cached",
            (true, false, true) => "tokens+input+cached",
            (false, true, true) => "tokens+output+cached",
            (true, true, true) => "tokens+input+output+cached",
        },
    }
}

/// What the text stands for.
pub(super) fn counts_of(text: &str) -> Option<Counts> {
    let tokens = |bits: u8| {
        Counts::Tokens(Tokens {
            input: bits & 1 != 0,
            output: bits & 2 != 0,
            cached: bits & 4 != 0,
        })
    };
    let others = [Counts::Requests, Counts::Money, Counts::Parallel];
    let mut all = others.into_iter().chain((0..8).map(tokens));
    all.find(|counts| counts_text(*counts) == text)
}

/// The period of this name.
pub(super) fn period_of(text: &str) -> Option<Period> {
    let mut all = Period::ALL.into_iter().chain([Period::Ever]);
    all.find(|period| period.name() == text)
}

/// The window of this name.
pub(super) fn window_of(text: &str) -> Option<Window> {
    Window::ALL.into_iter().find(|window| window.name() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_stands_for_one_kind_of_count() {
        let texts = ["requests", "money", "parallel", "tokens", "tokens+output"];
        for text in texts {
            assert_eq!(counts_text(counts_of(text).unwrap()), text);
        }
        assert_eq!(counts_of("tokens+nothing"), None);
        for window in Window::ALL {
            assert_eq!(window_of(window.name()), Some(window));
        }
    }
}
