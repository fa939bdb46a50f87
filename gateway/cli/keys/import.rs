//! `keygate keys import`: imports keys of another system from standard input, all or none.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::key_file::{KeyFileArgs, edit_key_file};
use super::pair::parse_pair;
use crate::cli::output::{eprint, print};
use crate::cli::wait::{Effect, Waiting};
use crate::error::Error;
use crate::key::csv::{self, CsvKey};
use crate::key::edit::{self, NewKey};

#[derive(Args)]
pub(in crate::cli) struct Import {
    #[command(flatten)]
    key_file: KeyFileArgs,
    #[command(flatten)]
    waiting: Waiting,
    /// A label for each key; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    label: Vec<(String, String)>,
}

pub(super) fn run(options: &Import) -> Result<(), Error> {
    let path = options.key_file.path()?;
    let rows = csv::read(std::io::stdin().lock())
        .map_err(|why| Error::Failed(format!("{why}; nothing was taken")))?;
    let weak: BTreeSet<String> = rows
        .iter()
        .filter(|row| row.weak)
        .map(|row| row.id.clone())
        .collect();
    let labels: BTreeMap<String, String> = options.label.iter().cloned().collect();
    let now = Timestamp::now();
    let keys: Vec<NewKey> = rows
        .into_iter()
        .map(|row| new_key(row, &labels, now))
        .collect();
    let unconfirmed = edit_key_file(&path, || edit::add(&path, &keys))?;
    for id in &weak {
        eprint(&format!(
            "warning: key `{id}` is short enough to be guessed: rotate it soon"
        ));
    }
    if options.key_file.json {
        print(&json!({"imported": keys.len(), "weak": weak}).to_string())?;
    } else {
        let taken = match keys.len() {
            1 => "1 key is".to_owned(),
            many => format!("{many} keys are"),
        };
        print(&format!("{taken} in {} now.", path.display()))?;
    }
    options
        .waiting
        .finish(&options.key_file.config, &path, Effect::Opens, unconfirmed)
}

fn new_key(row: CsvKey, labels: &BTreeMap<String, String>, now: Timestamp) -> NewKey {
    // Destructured, so that a new field of the table cannot be forgotten here.
    let CsvKey {
        id,
        digest,
        weak: _,
        not_before,
        expires,
        disabled,
        limits,
        comment,
    } = row;
    NewKey {
        id,
        digest,
        labels: labels.clone(),
        metadata: BTreeMap::new(),
        not_before,
        expires,
        disabled,
        limits,
        created: now,
        comment,
    }
}
