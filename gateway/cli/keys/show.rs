//! `keygate keys show`: prints one key, line by line.

use clap::Args;
use jiff::Timestamp;

use super::key_file::KeyFileArgs;
use super::view::KeyView;
use crate::cli::output::print;
use crate::config::{Purpose, Resolved, RouteSpec};
use crate::error::Error;
use crate::key::edit::EditError;
use crate::route::Access;
use crate::runtime::printable;

#[derive(Args)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    key_file: KeyFileArgs,
    /// The key's id
    id: String,
}

pub(super) fn run(options: &Show) -> Result<(), Error> {
    let all = options.key_file.read()?;
    let key = all.iter().find(|key| *key.entry.key.id == *options.id);
    let key =
        key.ok_or_else(|| Error::Failed(EditError::NoSuchKey(options.id.clone()).to_string()))?;
    let now = Timestamp::now();
    if options.key_file.json {
        return print(&key.json(now).to_string());
    }
    let mut lines = lines(key, now);
    if let Some(routes) = options.routes(key) {
        lines.insert(lines.len().min(2), ("routes", routes));
    }
    let lines: Vec<_> = lines
        .into_iter()
        .map(|(name, value)| format!("{name:<12} {}", printable::line(&value)))
        .collect();
    print(&lines.join("\n"))
}

impl Show {
    /// The names of the routes that the key may use; `None` without a valid configuration.
    fn routes(&self, shown: &KeyView) -> Option<String> {
        if self.key_file.file.is_some() {
            return None;
        }
        let path = self.key_file.config.find().ok()?;
        let config = Resolved::load(&path, Purpose::Reload).ok()?;
        let takes = |route: &&RouteSpec| match &route.access {
            Access::Keys(selector) => selector.takes(&shown.entry.key),
            Access::Open => false,
        };
        let names: Vec<_> = config
            .routes
            .iter()
            .filter(takes)
            .map(|route| &*route.name)
            .collect();
        Some(if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        })
    }
}

/// The properties of a key, by name.
fn lines(shown: &KeyView, now: Timestamp) -> Vec<(&'static str, String)> {
    let (key, note) = (&shown.entry.key, &shown.note);
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let metadata: Vec<_> = key.metadata.keys().map(String::as_str).collect();
    let mut lines = vec![
        ("id", Some(key.id.to_string())),
        ("state", Some(shown.state(now).word().to_owned())),
        ("labels", Some(shown.labels())),
        ("metadata", Some(metadata.join(", "))),
        ("created", time(note.created)),
        ("not before", time(key.not_before)),
        (
            "expires",
            Some(time(key.expires).unwrap_or_else(|| "never".to_owned())),
        ),
        ("comment", note.comment.clone()),
    ];
    lines.extend(shown.limit_words().map(|limit| ("limit", Some(limit))));
    let soft = shown.soft_budget();
    lines.push(("soft budget", Some(soft)));
    lines.extend(shown.entry.digests.iter().map(|(digest, end)| {
        let until = end.map_or_else(String::new, |end| {
            let word = if now < end {
                "valid until"
            } else {
                "expired since"
            };
            format!(", {word} {end}")
        });
        ("secret", Some(format!("{digest}{until}")))
    }));
    let lines = lines.into_iter();
    lines
        .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
        .collect()
}
