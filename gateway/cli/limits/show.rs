//! `keygate limits show`: one limit, and what operators did to it.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::standing::Standing;
use super::{list, which, words};
use crate::admin::limits::{Wanted, counts_word};
use crate::cli::config_path::ConfigPath;
use crate::cli::output::{eprint, print};
use crate::config::{Purpose, Resolved};
use crate::error::Error;
use crate::ledger::{Done, done};
use crate::runtime::printable;

/// How many rows are shown of a limit at most.
const ROWS: usize = 10_000;

#[derive(Args)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    config: ConfigPath,
    /// The limit's name
    name: String,
    /// Whose use: a key's id, a label's value, a route's or provider's name [default: all]
    scope: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Show) -> Result<(), Error> {
    let path = options.config.find()?;
    let config = Resolved::load(&path, Purpose::Explain)?;
    let standing = Standing::of(&path, config)?;
    let snapshot = standing.live.snapshot();
    which::check_name(&snapshot, &options.name)?;
    let scope = match &options.scope {
        Some(scope) => Some(which::scope(&snapshot, &options.name, Some(scope))?.scope),
        None => None,
    };
    let report = standing.report(&Wanted {
        name: Some(options.name.clone()),
        scope: scope.as_deref().map(str::to_owned),
        rows: Some(ROWS),
        ..Wanted::default()
    })?;
    let file = standing.ledger.as_deref().filter(|path| path.exists());
    let history = match file {
        Some(path) => done(path, &options.name, scope.as_deref())
            .map_err(|error| Error::Failed(error.to_string()))?,
        None => Vec::new(),
    };
    if options.json {
        let history: Vec<_> = history.iter().map(in_json).collect();
        let limits = &report.limits;
        return print(&list::json(&json!({"limits": limits, "history": history}))?);
    }
    let mut text = match report.limits.as_slice() {
        [] => "Nothing was used of it.".to_owned(),
        rows => list::rows(rows),
    };
    for it in &history {
        text.push('\n');
        text.push_str(&printable::line(&in_words(it)));
    }
    print(&text)?;
    if let Some(source) = standing.source() {
        eprint(&source);
    }
    Ok(())
}

/// What an operator did, in a line.
fn in_words(it: &Done) -> String {
    let account = &it.account;
    let amount = words::units(account.counts, it.units);
    let scope = if account.scope.is_empty() {
        String::new()
    } else {
        format!(" of {}", account.scope)
    };
    let what = match (it.is_raise, it.units) {
        (false, _) => format!("reset {amount}"),
        (true, ..=-1) => format!("lowered by {}", amount.trim_start_matches('-')),
        (true, _) => format!("raised by {amount}"),
    };
    let until = if it.until == Timestamp::MAX {
        String::new()
    } else {
        format!(" until {}", it.until)
    };
    format!(
        "{:.0}  {what}{scope}, period {} from {}{until}, by {}",
        it.at,
        account.period.name(),
        account.start,
        it.who
    )
}

fn in_json(it: &Done) -> serde_json::Value {
    let until = (it.until != Timestamp::MAX).then(|| it.until.to_string());
    json!({
        "at": it.at.to_string(),
        "who": it.who,
        "what": if it.is_raise { "raise" } else { "reset" },
        "units": it.units,
        "until": until,
        "scope": &*it.account.scope,
        "counts": counts_word(it.account.counts),
        "per": it.account.period.name(),
        "period_began": it.account.start.to_string(),
    })
}
