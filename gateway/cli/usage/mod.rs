//! `keygate usage`: sums of access lines.

mod access_line;
mod counted;
mod export;
mod log_line;
mod reading;
mod source;
mod sum;
mod table;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use self::reading::Reading;
use self::source::Source;
use self::sum::{GroupBy, Row, Sort, Sums, sorted};
use self::table::Table;
use super::output::{eprint, print};
use super::terminal;
use crate::config::load_prices;
use crate::document::parse_duration;
use crate::error::Error;
use crate::key::time;

/// Sum up access lines by key, route, provider, model or day: who used how much, at what cost.
#[derive(Args)]
#[command(after_help = "Examples: keygate usage --since 7d --top 10\n          \
                        keygate usage --by model,day --csv access.log access.log.*.gz\n          \
                        docker logs keygate | keygate usage --since 2027-01-31 -\n\
                        Reads access lines as keygate writes them, as journalctl prints them (also -o json), and as \
                        Docker, Kubernetes and syslog store them; plain or compressed with gzip or zstd. A line that occurs \
                        twice counts once. If a file cannot be read, or not to its end, everything that was read counts, and \
                        the exit code is 74. Days are UTC. The table leaves out columns of zeros and rounds costs; CSV and \
                        JSON are complete. With --prices, the costs in the lines are ignored, except those that a provider \
                        reported itself. In CSV, a name that a spreadsheet would read as a formula starts with an apostrophe.")]
pub(super) struct Usage {
    /// Files of access lines; `-` is standard input. By default, the journal of the unit
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The systemd unit whose journal is read if no file is named
    #[arg(
        long,
        value_name = "UNIT",
        default_value = "keygate",
        conflicts_with = "files"
    )]
    unit: String,
    /// The fields to sum up by
    #[arg(long, value_enum, value_delimiter = ',', default_value = "key")]
    by: Vec<GroupBy>,
    /// Only requests since this time: `7d` ago, a day like 2027-01-31 (from 00:00 UTC), or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// Only requests until this time, in the same formats; a day means its end
    #[arg(long, value_name = "WHEN", value_parser = until)]
    until: Option<Timestamp>,
    /// The order [default: cost; name if the sums are by day, and in CSV and JSON]
    #[arg(long, value_name = "BY", value_enum)]
    sort: Option<Sort>,
    /// Only the first N rows, and all others in one row
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Compute costs with this price file instead of taking them from the lines
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// The output format: `-o csv` is `--csv`, `-o json` is `--json`
    #[arg(long, short, value_name = "FORMAT", value_enum, conflicts_with_all = ["csv", "json"])]
    output: Option<Output>,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table for people
    Table,
    /// CSV for spreadsheets
    Csv,
    /// JSON for programs
    Json,
}

/// Why a text on the command line is no time.
#[derive(Debug, thiserror::Error)]
enum WhenError {
    /// The text has none of the accepted forms.
    #[error(
        "expected a time before now such as 7d, a day such as 2027-01-31, or a moment such as 2027-01-31T12:00:00Z"
    )]
    Form,
    /// The time is before the calendar begins.
    #[error("is further back than any calendar goes")]
    TooFarBack,
}

/// Reads a start: a duration before now, a day (from midnight), or a time.
fn since(text: &str) -> Result<Timestamp, WhenError> {
    ago(text).unwrap_or_else(|| time::parse_start(text).map_err(|_| WhenError::Form))
}

fn until(text: &str) -> Result<Timestamp, WhenError> {
    ago(text).unwrap_or_else(|| time::parse_end(text).map_err(|_| WhenError::Form))
}

fn ago(text: &str) -> Option<Result<Timestamp, WhenError>> {
    let before = parse_duration(text).ok()?;
    let time = Timestamp::now().checked_sub(before);
    Some(time.map_err(|_| WhenError::TooFarBack))
}

pub(super) fn run(options: &Usage) -> Result<(), Error> {
    let prices = options.prices.as_deref().map(load_prices).transpose()?;
    let range = (options.since, options.until);
    let mut reading = Reading::new(&options.by, range, prices.as_ref());
    if options.files.is_empty() {
        reading.take(Source::journal(&options.unit, options.since));
    }
    for file in &options.files {
        reading.take(Source::open(file));
    }
    let partial = reading.report_unread()?;
    reading.report_repeated();
    if !reading.has_counted() {
        options.report_nothing(&reading)?;
    }
    let names: Vec<&str> = options.by.iter().map(|by| by.name()).collect();
    options.show(&names, reading.sums)?;
    partial.map_or(Ok(()), Err)
}

impl Usage {
    fn format(&self) -> Output {
        match self.output {
            Some(output) => output,
            None if self.csv => Output::Csv,
            None if self.json => Output::Json,
            None => Output::Table,
        }
    }

    fn sort(&self) -> Sort {
        let by_name = self.by.contains(&GroupBy::Day) || self.format() != Output::Table;
        match self.sort {
            Some(sort) => sort,
            None if by_name && self.top.is_none() => Sort::Name,
            None => Sort::Cost,
        }
    }

    /// Reports that no access line was counted. Fails if nothing that was read is keygate's.
    fn report_nothing(&self, reading: &Reading<'_>) -> Result<(), Error> {
        if reading.is_foreign() {
            return Err(Error::Failed(
                "none of these lines is an access line: read what `keygate run` writes to its standard output, or what \
                 journalctl, Docker, Kubernetes or syslog make of it. Is `access_log` off?"
                    .to_owned(),
            ));
        }
        let is_all_time = self.since.is_none() && self.until.is_none();
        if self.files.is_empty() && reading.has_no_events() && is_all_time {
            return Err(Error::Failed(format!(
                "the journal of the unit `{}` is empty, or this user may not read it (sudo, or the group \
                 systemd-journal). --unit names another one; files of access lines can be named instead",
                self.unit
            )));
        }
        eprint("There are no access lines.");
        Ok(())
    }

    fn show(&self, names: &[&str], sums: Sums) -> Result<(), Error> {
        let rows = sorted(sums, self.sort());
        let top = self.top.unwrap_or(rows.len()).min(rows.len());
        let (first, others): (&[Row], &[Row]) = rows.split_at(top);
        match self.format() {
            Output::Json => print(&export::json(names, first)?),
            Output::Csv => print(&export::csv(names, first)?),
            Output::Table => {
                let table = Table::of(names, first, others, terminal::width());
                print(&table.text)?;
                if !table.left_out.is_empty() {
                    let left_out = table.left_out.join(", ");
                    eprint(&format!("No room for {left_out}: --csv has all columns."));
                }
                Ok(())
            }
        }
    }
}
