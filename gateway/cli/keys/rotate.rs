//! `keygate keys rotate`: gives a key a new secret, and prints it once.

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

/// The time for which the old secret stays valid by default.
const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Args)]
pub(in crate::cli) struct Rotate {
    #[command(flatten)]
    named: Named,
    /// How long the old secret stays valid; by default 24h, or not at all if the key is disabled or has expired
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    overlap: Option<Duration>,
    /// The new end of the key: `90d` from now, a day like 2027-01-31 (until 23:59:59 UTC), or
    /// 2027-01-31T12:00:00Z; by default unchanged
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
    // Read from the file: an old secret that had ended before does not get the overlap.
    let keys = key_file.read().unwrap_or_default();
    let rotated = keys.iter().find(|key| *key.entry.key.id == **id);
    let outcome = Outcome {
        old_end: rotated.and_then(|key| key.old_end(&digest, rotation.now)),
        expires: options.expires.map(whole_seconds),
        disabled: rotated.is_some_and(|key| key.entry.key.disabled),
    };
    if key_file.json {
        print(&outcome.json(id, &key))?;
    } else {
        eprint(&outcome.describe(id));
        print(&key)?;
    }
    waiting.finish(&key_file.config, &path, Effect::Opens, unconfirmed)
}

/// The state of a key after its rotation.
struct Outcome {
    /// The end of the old secret, if it is still valid.
    old_end: Option<Timestamp>,
    /// The new end of the key, if it has one.
    expires: Option<Timestamp>,
    disabled: bool,
}

impl Outcome {
    fn json(&self, id: &str, key: &str) -> String {
        json!({
            "id": id,
            "key": key,
            "old_ends": self.old_end.map(|end| end.to_string()),
            "expires": self.expires.map(|end| end.to_string()),
        })
        .to_string()
    }

    fn describe(&self, id: &str) -> String {
        let warning = if self.disabled {
            format!(
                "warning: key `{id}` is disabled, and stays so until `keygate keys enable {id}`\n"
            )
        } else {
            String::new()
        };
        let old = self.old_end.map_or_else(
            || "no older one is valid any more".to_owned(),
            |end| format!("the old one is valid until {end}"),
        );
        let expires = self
            .expires
            .map_or_else(String::new, |end| format!(", and the key ends at {end}"));
        format!(
            "{warning}Key `{id}` has a new secret; {old}{expires}. This is the only time it is shown:"
        )
    }
}
