//! Writes a plan as files: `gateway.toml`, `keys.toml`, `prices.toml` and a folder of secrets,
//! readable by their owner only.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::{fs, io};

use toml_edit::{InlineTable, Value};

use crate::import::plan::{DEFAULT_KEY_HEADERS, Plan};
use crate::import::planned::{PlannedExtractor, PlannedRoute};
use crate::import::planned_limit::write_own;
use crate::import::provider::PlannedProvider;

/// Writes the plan into `folder`, which must be missing or empty. Writes everything or nothing:
/// `check` is called with the complete folder before it is moved into place.
pub fn write<E: From<io::Error>>(
    plan: &Plan,
    folder: &Path,
    check: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let there = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if there || fs::symlink_metadata(folder).is_ok_and(|about| !about.is_dir()) {
        let why = format!("{} is there already: nothing was written", folder.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why).into());
    }
    let beside = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(beside)?;
    // The folder is readable by its owner only, as is everything in it.
    let new = tempfile::Builder::new()
        .prefix(".import-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(beside)?;
    let secrets = new.path().join("secrets");
    DirBuilder::new().mode(0o700).create(&secrets)?;
    for (name, secret) in &plan.secrets {
        new_file(&secrets.join(name), 0o600, secret)?;
    }
    new_file(&new.path().join("keys.toml"), 0o600, &keys(plan))?;
    new_file(&new.path().join("gateway.toml"), 0o600, &gateway(plan))?;
    let prices = super::prices(plan);
    if !prices.is_empty() {
        new_file(&new.path().join("prices.toml"), 0o600, &prices)?;
    }
    check(new.path())?;
    fs::rename(new.path(), folder)?;
    // The folder was moved, so there is nothing to delete.
    let _ = new.keep();
    Ok(())
}

fn new_file(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The text of `gateway.toml`.
pub fn gateway(plan: &Plan) -> String {
    let mut text = String::from(
        "# Made by `keygate import`. Every setting with its default: docs/settings.md, conf/gateway.toml; for editors: `keygate schema`.\n",
    );
    // Writing to a String cannot fail.
    if !plan.key_headers.is_empty() {
        let others = plan.key_headers.iter().map(String::as_str);
        let others = others.filter(|name| !DEFAULT_KEY_HEADERS.contains(name));
        let all = DEFAULT_KEY_HEADERS.into_iter().chain(others);
        let _ = writeln!(text, "\n[keys]\nheaders = {}", all.collect::<Value>());
    }
    write_usage(&mut text, plan);
    for provider in &plan.providers {
        write_provider(&mut text, provider);
    }
    for route in &plan.routes {
        write_route(&mut text, route);
    }
    for limit in &plan.limits {
        limit.write(&mut text);
    }
    text
}

/// Writes what concerns the metering of requests.
fn write_usage(text: &mut String, plan: &Plan) {
    let prices = plan.has_prices().then_some("prices.toml");
    let settings = [("prices", prices), ("timezone", plan.timezone.as_deref())];
    if settings.iter().any(|(_, value)| value.is_some()) {
        text.push_str("\n[usage]\n");
    }
    for (name, value) in settings {
        if let Some(value) = value {
            let _ = writeln!(text, "{name} = {}", string(value));
        }
    }
}

fn write_provider(text: &mut String, provider: &PlannedProvider) {
    let _ = writeln!(
        text,
        "\n[providers.{}]\nkind = \"{}\"",
        key(&provider.name),
        provider.kind
    );
    if !provider.token.is_empty() {
        let _ = writeln!(text, "token = {}", string(&provider.token));
    }
    for (name, value) in &provider.settings {
        // These settings are not strings but a table and a boolean.
        let value = if ["headers", "plain_http"].contains(name) {
            value.clone()
        } else {
            string(value)
        };
        let _ = writeln!(text, "{name} = {value}");
    }
}

fn write_route(text: &mut String, route: &PlannedRoute) {
    text.push_str("\n[[routes]]\n");
    if !route.comment.is_empty() {
        let _ = writeln!(text, "# {}", route.comment);
    }
    let _ = writeln!(text, "name = {}", string(&route.name));
    write_hosts(text, &route.hosts);
    let _ = writeln!(
        text,
        "path = {}\nprovider = {}",
        string(&route.path),
        string(&route.provider)
    );
    write_access(text, route.keys.as_ref());
    if route.exact_streams {
        text.push_str("meter_streams = \"exact\"\n");
    }
    write_transform(text, route);
}

fn write_hosts(text: &mut String, hosts: &[String]) {
    match hosts {
        [] => {}
        [host] => {
            let _ = writeln!(text, "host = {}", string(host));
        }
        hosts => {
            let _ = writeln!(
                text,
                "host = {}",
                hosts.iter().map(String::as_str).collect::<Value>()
            );
        }
    }
}

/// Writes which keys may use a route.
fn write_access(text: &mut String, keys: Option<&BTreeMap<String, String>>) {
    match keys {
        None => {
            text.push_str("# Nothing asked for a key where this comes from.\nauth = \"none\"\n");
        }
        Some(labels) if labels.is_empty() => {}
        Some(labels) => {
            let _ = writeln!(text, "keys = {}", labels.iter().collect::<InlineTable>());
        }
    }
}

fn write_transform(text: &mut String, route: &PlannedRoute) {
    for (name, extractor) in &route.extractors {
        let mut table = InlineTable::new();
        match extractor {
            PlannedExtractor::Metadata(entry) => {
                table.insert("metadata", entry.as_str().into());
            }
            PlannedExtractor::Header { name, regex, group } => {
                table.insert("header", name.as_str().into());
                table.insert("regex", regex.as_str().into());
                table.insert("group", i64::try_from(*group).unwrap_or(i64::MAX).into());
            }
        }
        let _ = writeln!(text, "transform.extractors.{} = {table}", key(name));
    }
    for (name, template) in &route.headers {
        let _ = writeln!(
            text,
            "transform.headers.{} = {}",
            key(name),
            string(template)
        );
    }
}

/// The text of `keys.toml`.
pub fn keys(plan: &Plan) -> String {
    let mut text = String::from("# Client keys: digests only. Edit with `keygate keys`.\n");
    for planned in &plan.keys {
        let _ = writeln!(
            text,
            "\n[[key]]\nid = {}\nhashes = [\"{}\"]",
            string(&planned.id),
            planned.digest
        );
        for (name, map) in [("labels", &planned.labels), ("metadata", &planned.metadata)] {
            if !map.is_empty() {
                let _ = writeln!(text, "{name} = {}", map.iter().collect::<InlineTable>());
            }
        }
        write_own(&planned.limits, &mut text);
        if let Some(end) = planned.expires {
            let _ = writeln!(text, "expires = {end}");
        }
        if planned.disabled {
            text.push_str("disabled = true\n");
        }
        let _ = writeln!(text, "comment = {}", string(&planned.comment));
    }
    text
}

fn string(text: &str) -> String {
    Value::from(text).to_string()
}

fn key(text: &str) -> String {
    toml_edit::Key::new(text).to_string()
}
