//! `keygate keys list`: prints keys of the key file, and whether the running gateway serves the file.

use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::json;

use super::key_file::KeyFileArgs;
use super::pair::parse_pair;
use super::served::Served;
use super::view::{KeyView, State};
use crate::cli::output::{eprint, print};
use crate::document::{FileStamp, parse_duration};
use crate::error::Error;
use crate::key::time;
use crate::runtime::printable;

const HEADINGS: [&str; 7] = [
    "ID", "STATE", "EXPIRES", "LABELS", "LIMITS", "CREATED", "COMMENT",
];
/// The place of the limits, a column that is left out if no key has any.
const LIMITS: usize = 4;
/// The greatest width of a column in characters. A longer cell shifts the rest of its own row only.
const WIDEST: usize = 64;
/// The number of blanks between two columns.
const GAP: usize = 2;

#[derive(Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    key_file: KeyFileArgs,
    /// Only keys in this state; may be repeated
    #[arg(long, value_name = "STATE", value_enum)]
    state: Vec<State>,
    /// Only keys with this label; if repeated, with all of them
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    label: Vec<(String, String)>,
    /// Only keys that expire within this time from now, and have not expired
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    expires_within: Option<Duration>,
    /// The order; keys without an end or a creation time come last
    #[arg(long, value_name = "BY", value_enum, default_value_t = Sort::File)]
    sort: Sort,
    /// The output format: `-o json` is `--json`
    #[arg(
        long,
        short,
        value_name = "FORMAT",
        value_enum,
        conflicts_with = "json"
    )]
    output: Option<Output>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// The order of the key file
    File,
    /// The id
    Id,
    /// The end, earliest first
    Expires,
    /// The creation time, oldest first
    Created,
}

impl Sort {
    fn apply(self, keys: &mut [&KeyView]) {
        let last = |time: Option<Timestamp>| time.unwrap_or(Timestamp::MAX);
        match self {
            Self::File => {}
            Self::Id => keys.sort_by(|a, b| a.entry.key.id.cmp(&b.entry.key.id)),
            Self::Expires => keys.sort_by_key(|key| last(key.end())),
            Self::Created => keys.sort_by_key(|key| last(key.note.created)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table for people
    Table,
    /// JSON for programs
    Json,
}

pub(super) fn run(options: &List) -> Result<(), Error> {
    let now = Timestamp::now();
    let stamp = FileStamp::take(options.key_file.path()?);
    let all = options.key_file.read()?;
    let wanted = options.filter(now)?;
    let mut keys: Vec<&KeyView> = all.iter().filter(|key| wanted(key)).collect();
    options.sort.apply(&mut keys);
    let served = Served::find(&options.key_file, &stamp);
    if options.key_file.json || options.output == Some(Output::Json) {
        let keys: Vec<_> = keys.iter().map(|key| key.json(now)).collect();
        return print(&json!({"keys": keys, "served": served}).to_string());
    }
    print(&table(&keys, now))?;
    if keys.len() < all.len() {
        eprint(&format!("{} of {} keys.", keys.len(), all.len()));
    }
    if let Some(served) = served {
        eprint(&served.describe());
    }
    Ok(())
}

impl List {
    /// The filter of the options at the time `now`.
    fn filter(&self, now: Timestamp) -> Result<impl Fn(&KeyView) -> bool, Error> {
        let until = self.expires_within.map(|within| {
            let far = "--expires-within is further than any calendar goes";
            time::from_now(within).ok_or_else(|| Error::Usage(far.to_owned()))
        });
        let until = until.transpose()?;
        Ok(move |key: &KeyView| {
            let labels = &key.entry.key.labels;
            let mut required = self.label.iter();
            let ends = |until| key.end().is_some_and(|end| now < end && end <= until);
            (self.state.is_empty() || self.state.contains(&key.state(now)))
                && required.all(|(name, value)| labels.get(name) == Some(value))
                && until.is_none_or(ends)
        })
    }
}

/// The keys as a table. Each column is as wide as its widest cell, up to [`WIDEST`].
fn table(keys: &[&KeyView], now: Timestamp) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(keys.iter().map(|key| cells(key, now)));
    let has_limits = keys.iter().any(|key| key.entry.key.limits.is_some());
    let columns: Vec<usize> = (0..HEADINGS.len())
        .filter(|column| has_limits || *column != LIMITS)
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
            .min(WIDEST)
    };
    let widths: Vec<_> = columns.into_iter().map(|it| (it, width(it))).collect();
    let lines = rows.iter().map(|row| line(row, &widths));
    lines.collect::<Vec<_>>().join("\n")
}

/// A row with the cells of these columns, padded to their widths. Not padded by `format!`, which panics for widths over 65,535.
fn line(row: &[String], columns: &[(usize, usize)]) -> String {
    let mut line = String::new();
    for (column, width) in columns {
        let Some(cell) = row.get(*column) else {
            continue;
        };
        line.push_str(cell);
        let blanks = width.saturating_sub(cell.chars().count()) + GAP;
        line.extend(std::iter::repeat_n(' ', blanks));
    }
    line.truncate(line.trim_end().len());
    line
}

fn cells(shown: &KeyView, now: Timestamp) -> [String; HEADINGS.len()] {
    let time = |time: Option<Timestamp>, none: &str| {
        time.map_or_else(|| none.to_owned(), |time| time.to_string())
    };
    let state = shown.state(now).word();
    let state = match shown.secrets(now) {
        0 | 1 => state.to_owned(),
        secrets => format!("{state} ({secrets} secrets)"),
    };
    let comment = shown.note.comment.as_deref().unwrap_or_default();
    [
        shown.entry.key.id.to_string(),
        state,
        time(shown.end(), "never"),
        printable::line(&shown.labels()).into_owned(),
        shown.limits(),
        time(shown.note.created, "-"),
        printable::line(comment).into_owned(),
    ]
}
