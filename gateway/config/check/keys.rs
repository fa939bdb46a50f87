//! `[keys]`: where client keys come from, and where clients put them.

use std::path::PathBuf;

use http::HeaderName;

use super::super::file::KeysFile;
use super::super::meant::KeysConfig;
use super::super::names::CANNOT_HOLD_KEY;
use super::checker::Checker;
use crate::document::{Located, Location};

/// How many keys have metrics of their own, unless the configuration says otherwise.
const METRIC_KEYS: usize = 1000;

impl Checker<'_> {
    pub(super) fn keys(&self, file: KeysFile, are_needed: bool) -> KeysConfig {
        KeysConfig {
            file: self.key_file(file.file),
            are_needed,
            metric_keys: file.metric_keys.map_or(METRIC_KEYS, |given| given.value),
        }
    }

    /// The key file, `keys.toml` unless the configuration names another.
    pub(super) fn key_file(&self, given: Option<Located<String>>) -> Located<PathBuf> {
        given.map_or_else(
            || {
                let path = self.folder.join("keys.toml");
                Located {
                    at: Location::of_file(&path),
                    value: path,
                }
            },
            |given| self.path(given),
        )
    }

    pub(super) fn cut_revoked(&self, file: &KeysFile) -> bool {
        let given = file.revoked_streams.as_ref();
        match given.map(|given| (given.value.as_str(), &given.at)) {
            None | Some(("finish", _)) => false,
            Some(("cut", _)) => true,
            Some((_, at)) => {
                self.fatal(at, "keys.revoked_streams is `finish` or `cut`");
                false
            }
        }
    }

    pub(super) fn key_headers(&self, file: &KeysFile) -> Vec<HeaderName> {
        let Some(given) = &file.headers else {
            return ["authorization", "api-key", "x-api-key", "x-goog-api-key"]
                .map(HeaderName::from_static)
                .to_vec();
        };
        if given.value.0.is_empty() {
            self.fatal(
                &given.at,
                "keys.headers is empty: a client could not show its key",
            );
        }
        given
            .value
            .0
            .iter()
            .filter_map(|name| self.header_name(name, &given.at))
            .inspect(|name| {
                if CANNOT_HOLD_KEY.contains(&name.as_str()) {
                    self.fatal(
                        &given.at,
                        format!("`{name}` is for the provider: a key cannot stand there"),
                    );
                }
            })
            .collect()
    }
}
