//! `keygate usage`: sums of the ledger's history, or of access lines.

mod access_line;
mod counted;
mod export;
mod history;
mod log_line;
mod reading;
mod source;
mod sum;
mod table;
mod when;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;

use self::reading::Reading;
use self::source::Source;
use self::sum::{GroupBy, Row, Sort, Sums, sorted};
use self::table::Table;
use self::when::When;
use super::config_path::ConfigPath;
use super::output::{eprint, print};
use super::terminal;
use crate::config::load_prices;
use crate::error::Error;

/// The unit of the package.
const UNIT: &str = "keygate";

/// Sum up what was used by key, route, provider, model or day: who used how much, at what cost.
#[derive(Args)]
#[command(after_help = "Examples: keygate usage --since 7d --top 10\n          \
                        keygate usage --by model,day --csv access.log access.log.*.gz\n          \
                        docker logs keygate | keygate usage --since 2027-01-31 -\n\
                        Reads the history of the ledger that the configuration names ([ledger] store), by quarters of an \
                        hour and with the days of usage.timezone. Where files or a unit are named, or there is no ledger, \
                        reads access lines as keygate writes them, as journalctl prints them (also -o json), and as \
                        Docker, Kubernetes and syslog store them; plain or compressed with gzip or zstd. A line that occurs \
                        twice counts once. If a file cannot be read, or not to its end, everything that was read counts, and \
                        the exit code is 74. Their days are UTC. The table leaves out columns of zeros and rounds costs; CSV and \
                        JSON are complete. With --prices, access lines are read, and the costs in them are ignored, except those that a provider \
                        reported itself. In CSV, a name that a spreadsheet would read as a formula starts with an apostrophe.")]
pub(super) struct Usage {
    /// Files of access lines; `-` is standard input. By default, the ledger of the configuration, or else the journal of
    /// the unit
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The systemd unit whose journal is read instead [default: keygate, if there is no ledger]
    #[arg(long, value_name = "UNIT", conflicts_with = "files")]
    unit: Option<String>,
    /// The ledger that is read instead of the configuration's
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "unit", "prices"])]
    ledger: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigPath,
    /// The fields to sum up by
    #[arg(long, value_enum, value_delimiter = ',', default_value = "key")]
    by: Vec<GroupBy>,
    /// Only requests since this time: `7d` ago, a day like 2027-01-31 (from 00:00 UTC), or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    since: Option<When>,
    /// Only requests until this time, in the same formats; a day means its end
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    until: Option<When>,
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

pub(super) fn run(options: &Usage) -> Result<(), Error> {
    let names: Vec<&str> = options.by.iter().map(|by| by.name()).collect();
    if let Some(source) = options.ledger()? {
        let since = options.since.map(|since| since.start(&source.zone));
        let until = options.until.map(|until| until.end(&source.zone));
        let sums = source.sums(&options.by, since, until)?;
        if sums.is_empty() {
            let path = source.ledger.display();
            eprint(&format!("The ledger {path} has no requests of this time."));
        }
        return options.show(&names, sums);
    }
    let prices = options.prices.as_deref().map(load_prices).transpose()?;
    let since = options.since.map(|since| since.start(&TimeZone::UTC));
    let range = (since, options.until.map(|until| until.end(&TimeZone::UTC)));
    let mut reading = Reading::new(&options.by, range, prices.as_ref());
    if options.files.is_empty() {
        reading.take(Source::journal(options.unit(), since));
    }
    for file in &options.files {
        reading.take(Source::open(file));
    }
    let partial = reading.report_unread()?;
    reading.report_repeated();
    if !reading.has_counted() {
        options.report_nothing(&reading)?;
    }
    options.show(&names, reading.sums)?;
    partial.map_or(Ok(()), Err)
}

impl Usage {
    /// The ledger that is read; `None` for access lines.
    fn ledger(&self) -> Result<Option<history::Source>, Error> {
        let wants_lines = !self.files.is_empty() || self.unit.is_some() || self.prices.is_some();
        if wants_lines && self.ledger.is_none() {
            return Ok(None);
        }
        history::Source::find(&self.config, self.ledger.as_deref())
    }

    fn unit(&self) -> &str {
        self.unit.as_deref().unwrap_or(UNIT)
    }

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
                self.unit()
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
