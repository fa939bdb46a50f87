//! `keygate keys`: make and list client keys.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use crate::config::Config;
use crate::document::{Document, Problems, Severity, parse_duration};
use crate::error::Error;
use crate::key::edit::{NewKey, add};
use crate::key::file::KeyFile;
use crate::key::{ClientKey, KeyDigest, format, is_key_id};

/// Make and list client keys.
#[derive(Subcommand)]
pub(super) enum Keys {
    /// Make a key, print it this once, and keep its digest
    #[command(
        after_help = "Example: keygate keys create --id alice --label team=search --expires 30d"
    )]
    Create(Create),
    /// List the keys of the key file
    #[command(
        after_help = "Example: keygate keys list --json | jq '.[] | select(.state != \"valid\")'"
    )]
    List(List),
}

#[derive(Args)]
struct Place {
    /// The configuration file that names the key file
    #[arg(long, short, value_name = "FILE", default_value = "conf/gateway.toml")]
    config: PathBuf,
    /// The key file; the configuration is not read then
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct Create {
    #[command(flatten)]
    place: Place,
    /// The key's name in logs and metrics; cannot be changed later
    #[arg(long)]
    id: String,
    /// A label that selectors of routes look at; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// A secret that belongs to the key, such as `huggingface-api-key=env:HF_API_TOKEN`
    #[arg(long, value_name = "NAME=REFERENCE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// When the key ends: `30d` from now, or a date like 2027-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    expires: Option<Timestamp>,
    /// When the key begins, likewise
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    not_before: Option<Timestamp>,
    /// A note for people
    #[arg(long)]
    comment: Option<String>,
}

#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    place: Place,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let ahead: Duration = parse_duration(text).map_err(
        |_| "expected a time from now such as 30d, or a date such as 2027-01-31T12:00:00Z",
    )?;
    Timestamp::now()
        .checked_add(ahead)
        .map_err(|_| "that is further than any calendar goes".to_owned())
}

pub(super) fn run(command: &Keys) -> Result<(), Error> {
    match command {
        Keys::Create(options) => create(options),
        Keys::List(options) => list(options),
    }
}

impl Place {
    fn key_file(&self) -> Result<PathBuf, Error> {
        match &self.file {
            Some(file) => Ok(file.clone()),
            // Whatever else is wrong with the configuration, a missing key file is what this mends.
            None => Config::key_file(&self.config).map_err(Error::from),
        }
    }
}

fn create(options: &Create) -> Result<(), Error> {
    if !is_key_id(&options.id) {
        let why = "--id has 1 to 64 letters, digits and `.`, `_`, `-`, `@`";
        return Err(Error::Usage(why.to_owned()));
    }
    if options.expires.is_some_and(|end| end <= Timestamp::now()) {
        return Err(Error::Usage(
            "--expires is in the past: the key would open nothing".to_owned(),
        ));
    }
    let path = options.place.key_file()?;
    for (name, reference) in &options.metadata {
        let folder = path.parent().unwrap_or(Path::new(""));
        crate::secret::SecretRef::parse(reference, folder)
            .map_err(|error| Error::Usage(format!("--metadata {name}: {error}")))?;
    }
    let key = format::generate(&options.id)
        .map_err(|error| Error::failed("read random numbers from the system", error))?;
    let entry = NewKey {
        id: options.id.clone(),
        digest: KeyDigest::of(key.as_bytes()),
        labels: options.label.iter().cloned().collect(),
        metadata: options.metadata.iter().cloned().collect::<BTreeMap<_, _>>(),
        not_before: options.not_before,
        expires: options.expires,
        comment: options.comment.clone(),
    };
    add(&path, &[entry])
        .map_err(|error| Error::failed(format_args!("add a key to {}", path.display()), error))?;
    if options.place.json {
        let expires = options.expires.map(|end| end.to_string());
        return super::say(&json!({"id": options.id, "key": *key, "expires": expires}).to_string());
    }
    super::mention(&format!(
        "Key `{}` is in {}. This is the only time it is shown:",
        options.id,
        path.display()
    ));
    super::say(&key)
}

fn list(options: &List) -> Result<(), Error> {
    let path = options.place.key_file()?;
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error::failed(format_args!("read {}", path.display()), error))?;
    let problems = Problems::default();
    let folder = path.parent().unwrap_or(Path::new(""));
    let file = KeyFile::read(&Document::new(&path, text), folder, &problems);
    let problems = problems.into_sorted();
    if problems
        .iter()
        .any(|problem| problem.severity == Severity::Fatal)
    {
        return Err(Error::Config(crate::config::ConfigErrors {
            problems,
            files: Vec::new(),
        }));
    }
    let now = Timestamp::now();
    let keys = file.entries.iter().map(|entry| &entry.key);
    if options.place.json {
        let all: Vec<_> = keys
            .map(|key| {
                json!({
                    "id": &*key.id,
                    "state": state(key, now),
                    "labels": key.labels,
                    "metadata": key.metadata.keys().collect::<Vec<_>>(),
                    "not_before": key.not_before.map(|t| t.to_string()),
                    "expires": key.expires.map(|t| t.to_string()),
                })
            })
            .collect();
        return super::say(&serde_json::Value::from(all).to_string());
    }
    let mut text = format!("{:<24} {:<14} {:<24} LABELS\n", "ID", "STATE", "EXPIRES");
    for key in keys {
        let labels: Vec<_> = key.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let expires = key
            .expires
            .map_or_else(|| "never".to_owned(), |end| end.to_string());
        let _ = writeln!(
            text,
            "{:<24} {:<14} {:<24} {}",
            key.id,
            state(key, now),
            expires,
            labels.join(",")
        );
    }
    super::say(&text)
}

fn state(key: &ClientKey, now: Timestamp) -> &'static str {
    if key.disabled {
        "disabled"
    } else if key.not_before.is_some_and(|start| now < start) {
        "not yet valid"
    } else if key.expires.is_some_and(|end| now >= end) {
        "expired"
    } else {
        "valid"
    }
}
