//! `keygate keys create`: creates a key, and prints it once.

use std::collections::BTreeMap;

use clap::{ArgGroup, Args};
use jiff::Timestamp;
use serde_json::json;

use super::key_file::{KeyFileArgs, edit_key_file};
use super::limits::LimitArgs;
use super::pair::parse_pair;
use super::secret::{check_not_past, check_order, new_secret, whole_seconds};
use crate::cli::output::{eprint, print};
use crate::cli::wait::{Effect, Waiting};
use crate::error::Error;
use crate::key::edit::{self, NewKey};
use crate::key::{KeyDigest, is_key_id, time};
use crate::runtime::folder::base_of;

#[derive(Args)]
#[command(group = ArgGroup::new("name").required(true).args(["id", "named"]))]
pub(in crate::cli) struct Create {
    #[command(flatten)]
    key_file: KeyFileArgs,
    #[command(flatten)]
    waiting: Waiting,
    /// The key's name in logs and metrics; it cannot be changed later
    #[arg(long)]
    id: Option<String>,
    /// The same as --id
    #[arg(value_name = "ID")]
    named: Option<String>,
    /// A label for the selectors of routes; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    label: Vec<(String, String)>,
    /// A secret that belongs to the key, such as `huggingface-api-key=env:HF_API_TOKEN`
    #[arg(long, value_name = "NAME=REFERENCE", value_parser = parse_pair)]
    metadata: Vec<(String, String)>,
    /// When the key expires: `30d` from now, a day like 2027-01-31 (until 23:59:59 UTC), or
    /// 2027-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = time::parse_end)]
    expires: Option<Timestamp>,
    /// When the key becomes valid, in the same formats; a day means 00:00 UTC
    #[arg(long, value_name = "WHEN", value_parser = time::parse_start)]
    not_before: Option<Timestamp>,
    #[command(flatten)]
    limits: LimitArgs,
    /// A note for people
    #[arg(long)]
    comment: Option<String>,
}

pub(super) fn run(options: &Create) -> Result<(), Error> {
    let id = options
        .id
        .as_ref()
        .or(options.named.as_ref())
        .map_or("", String::as_str);
    if !is_key_id(id) {
        let why = "--id must have 1 to 64 letters, digits and `.`, `_`, `-`, `@`";
        return Err(Error::Usage(why.to_owned()));
    }
    check_not_past(options.expires)?;
    check_order(options.not_before, options.expires)?;
    let expires = options.expires.map(whole_seconds);
    let path = options.key_file.path()?;
    for (name, reference) in &options.metadata {
        let folder = base_of(&path);
        crate::secret::SecretRef::parse(reference, folder)
            .map_err(|error| Error::Usage(format!("--metadata {name}: {error}")))?;
    }
    let key = new_secret(id)?;
    let entry = NewKey {
        id: id.to_owned(),
        digest: KeyDigest::of(key.as_bytes()),
        labels: options.label.iter().cloned().collect(),
        metadata: options.metadata.iter().cloned().collect::<BTreeMap<_, _>>(),
        not_before: options.not_before,
        expires,
        disabled: false,
        limits: options.limits.of_new_key()?,
        created: Timestamp::now(),
        comment: options.comment.clone(),
    };
    let unconfirmed = edit_key_file(&path, || edit::add(&path, &[entry]))?;
    if options.key_file.json {
        let expires = expires.map(|end| end.to_string());
        print(&json!({"id": id, "key": *key, "expires": expires}).to_string())?;
    } else {
        eprint(&format!(
            "Key `{id}` is in {}{}. This is the only time it is shown:",
            path.display(),
            expires.map_or_else(String::new, |end| format!(" and ends at {end}"))
        ));
        print(&key)?;
    }
    options
        .waiting
        .finish(&options.key_file.config, &path, Effect::Opens, unconfirmed)
}
