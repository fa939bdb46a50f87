//! `keygate keys rotate`: a new secret for a key, told this once.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::change::Named;
use super::key_file::edit_key_file;
use super::secret::{check_not_past, new_secret, whole_seconds};
use crate::cli::output::{eprint, print};
use crate::cli::wait::Effect;
use crate::document::parse_duration;
use crate::error::Error;
use crate::key::edit::{self, Rotation};
use crate::key::{KeyDigest, time};

/// How long the old secret opens, unless somebody says so.
const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Args)]
pub(in crate::cli) struct Rotate {
    #[command(flatten)]
    named: Named,
    /// How long the old secret still opens; left out, 24h, or not at all if the key is disabled or has expired
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    overlap: Option<Duration>,
    /// When the key itself ends from now on: `90d` from now, a day like 2027-01-31 (until 23:59:59 UTC),
    /// or 2027-01-31T12:00:00Z; left out, as before
    #[arg(long, value_name = "WHEN", value_parser = time::parse_end)]
    expires: Option<Timestamp>,
}

pub(super) fn run(options: &Rotate) -> Result<(), Error> {
    let Named {
        key_file,
        waiting,
        id,
    } = &options.named;
    check_not_past(options.expires)?;
    let end = time::from_now(options.overlap.unwrap_or(OVERLAP))
        .ok_or_else(|| Error::Usage("--overlap is further than any calendar goes".to_owned()))?;
    let path = key_file.path()?;
    let key = new_secret(id)?;
    let digest = KeyDigest::of(key.as_bytes());
    let rotation = Rotation {
        digest,
        overlap_end: end,
        drop_old_if_invalid: options.overlap.is_none(),
        expires: options.expires,
        now: Timestamp::now(),
    };
    let unconfirmed = edit_key_file(&path, || edit::rotate(&path, id, &rotation))?;
    let expires = options.expires.map(whole_seconds);
    // As it is now in the file: what was over before does not open for another day.
    let rotated = key_file.read().unwrap_or_default();
    let rotated = rotated.iter().find(|key| *key.entry.key.id == **id);
    let end = rotated.and_then(|key| key.old_end(&digest, rotation.now));
    let disabled = rotated.is_some_and(|key| key.entry.key.disabled);
    if key_file.json {
        let text = json!({
            "id": id,
            "key": *key,
            "old_ends": end.map(|end| end.to_string()),
            "expires": expires.map(|end| end.to_string()),
        })
        .to_string();
        print(&text)?;
    } else {
        if disabled {
            eprint(&format!(
                "warning: key `{id}` is disabled, and opens nothing until `keygate keys enable {id}`"
            ));
        }
        let old = end.map_or_else(
            || "no older one opens any more".to_owned(),
            |end| format!("the old one opens until {end}"),
        );
        eprint(&format!(
            "Key `{id}` has a new secret; {old}{}. This is the only time it is shown:",
            expires.map_or_else(String::new, |end| format!(", and the key ends at {end}"))
        ));
        print(&key)?;
    }
    waiting.finish(&key_file.config, &path, Effect::Opens, unconfirmed)
}
