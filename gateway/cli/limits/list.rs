//! `keygate limits list`: what limits have left.

use std::net::SocketAddr;

use clap::Args;

use super::standing::Standing;
use super::table::table;
use super::{which, words};
use crate::admin::limits::{LimitRow, LimitsReport, Wanted};
use crate::cli::admin_client::read_limits;
use crate::cli::config_path::ConfigPath;
use crate::cli::output::{eprint, print};
use crate::config::{Purpose, Resolved};
use crate::error::Error;
use crate::runtime::printable;

const HEADINGS: [&str; 7] = [
    "LIMIT", "SCOPE", "AMOUNT", "USED", "RESERVED", "LEFT", "RESETS",
];

#[derive(Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    config: ConfigPath,
    /// Only this limit
    name: Option<String>,
    /// Only the use of this key, value of a label, route or provider
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
    /// At most so many rows
    #[arg(long, value_name = "N", default_value_t = 100)]
    rows: usize,
    /// The admin listener; if given, the configuration is not read
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Print the JSON of /limits
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &List) -> Result<(), Error> {
    let wanted = Wanted {
        name: options.name.clone(),
        scope: options.scope.clone(),
        rows: Some(options.rows),
        ..Wanted::default()
    };
    let report = match options.admin {
        Some(admin) => read_limits(admin, &wanted)?.0,
        None => of_configuration(options, &wanted)?,
    };
    if options.json {
        return print(&json(&report)?);
    }
    if report.limits.is_empty() {
        eprint("There are no such limits.");
        return Ok(());
    }
    print(&rows(&report.limits))?;
    let shown = report.limits.len();
    if shown < report.total {
        eprint(&format!(
            "{shown} of {}: --rows shows more, --scope one.",
            report.total
        ));
    }
    Ok(())
}

fn of_configuration(options: &List, wanted: &Wanted) -> Result<LimitsReport, Error> {
    let path = options.config.find()?;
    let config = Resolved::load(&path, Purpose::Explain)?;
    let standing = Standing::of(&path, config)?;
    if let Some(name) = &options.name {
        which::check_name(&standing.live.snapshot(), name)?;
    }
    if let Some(source) = standing.source() {
        eprint(&source);
    }
    standing.report(wanted)
}

/// The report as JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string_pretty(value).map_err(|error| Error::failed("write JSON", error))
}

/// The rows as a table.
pub(super) fn rows(all: &[LimitRow]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(all.iter().map(|row| {
        let cells = [
            row.name.clone(),
            words::scope_of_row(row),
            words::amount(row),
            words::of_row(row, row.used),
            words::of_row(row, row.reserved),
            words::of_row(row, row.left),
            row.resets.clone().unwrap_or_else(|| "-".to_owned()),
        ];
        cells.map(|cell| printable::line(&cell).into_owned())
    }));
    table(&rows)
}
