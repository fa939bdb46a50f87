//! The printable part of a key: everything but its secrets. Of its metadata, that is the names only.

use std::collections::BTreeMap;

use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::key::file::Note;
use crate::key::{KeyDigest, KeyEntry};
use crate::limit::amount::write_amount;
use crate::limit::of_key::{
    LimitSettings, MAX_BUDGET, MAX_PARALLEL, RPM_LIMIT, SOFT_BUDGET, TPM_LIMIT,
};
use crate::limit::terms::Counts;

/// A key of the key file, with its note for people.
pub(super) struct KeyView {
    /// The key.
    pub(super) entry: KeyEntry,
    /// The comment and the creation time.
    pub(super) note: Note,
}

/// Whether a key is valid, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    /// The key is valid.
    Valid,
    /// The key is disabled.
    Disabled,
    /// The key has ended, or the last of its secrets has.
    Expired,
    /// The key's validity has not started.
    NotYetValid,
}

impl State {
    /// The name of the state in the output.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::NotYetValid => "not yet valid",
        }
    }
}

impl KeyView {
    /// The state at the time `now`.
    pub(super) fn state(&self, now: Timestamp) -> State {
        let key = &self.entry.key;
        if key.disabled {
            State::Disabled
        } else if key.not_before.is_some_and(|start| now < start) {
            State::NotYetValid
        } else if self.end().is_some_and(|end| now >= end) {
            State::Expired
        } else {
            State::Valid
        }
    }

    /// The time from which the key is not valid: its end, or that of the last of its secrets if that is earlier.
    pub(super) fn end(&self) -> Option<Timestamp> {
        let ends = self.entry.digests.iter().map(|(_, end)| *end);
        // `None` if a secret has no end: it is valid longer than any other.
        let last = ends
            .collect::<Option<Vec<_>>>()
            .and_then(|ends| ends.into_iter().max());
        match (self.entry.key.expires, last) {
            (Some(key), Some(last)) => Some(key.min(last)),
            (key, last) => key.or(last),
        }
    }

    /// The end of the last secret other than `newest`, if the key is not disabled; `None` if no other secret is valid at `now`.
    pub(super) fn old_end(&self, newest: &KeyDigest, now: Timestamp) -> Option<Timestamp> {
        let key = &self.entry.key;
        let old = self
            .entry
            .digests
            .iter()
            .filter(|(digest, _)| digest != newest);
        let last = old.filter_map(|(_, end)| *end).max()?;
        let end = key.expires.map_or(last, |expires| last.min(expires));
        (now < end).then_some(end)
    }

    /// The number of secrets that have not ended at `now`: two while a rotation overlaps.
    pub(super) fn secrets(&self, now: Timestamp) -> usize {
        let digests = self.entry.digests.iter();
        digests
            .filter(|(_, end)| end.is_none_or(|end| now < end))
            .count()
    }

    /// The labels as `name=value`, separated by commas.
    pub(super) fn labels(&self) -> String {
        let labels: Vec<_> = self
            .entry
            .key
            .labels
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        labels.join(",")
    }

    /// The limits that its entry sets, as a list for people; empty if it sets none.
    pub(super) fn limits(&self) -> String {
        let limits: Vec<_> = self.limit_words().collect();
        limits.join(", ")
    }

    /// Each limit that its entry sets, with its name.
    pub(super) fn limit_words(&self) -> impl Iterator<Item = String> {
        let limits = self
            .entry
            .key
            .limits
            .iter()
            .flat_map(|limits| limits.words());
        limits.map(|(name, amount)| format!("{name} {amount}"))
    }

    /// The percentages of its budgets at which keygate warns; empty if there are none.
    pub(super) fn soft_budget(&self) -> String {
        let soft = soft_texts(&self.limit_settings());
        soft.join(", ")
    }

    fn limit_settings(&self) -> LimitSettings {
        let limits = self.entry.key.limits.as_ref();
        limits.map_or_else(LimitSettings::default, |limits| limits.settings())
    }

    /// The settings of its limits that are set, as JSON. Amounts are as in the key file.
    pub(super) fn limits_json(&self) -> Value {
        let settings = self.limit_settings();
        let budgets = settings.max_budget.iter();
        let budgets: Vec<_> = budgets
            .map(|amount| write_amount(Counts::Money, amount))
            .collect();
        let soft = soft_texts(&settings);
        let is_set =
            |value: &Value| !value.is_null() && value.as_array().is_none_or(|all| !all.is_empty());
        let all = [
            (RPM_LIMIT, json!(settings.rpm_limit)),
            (TPM_LIMIT, json!(settings.tpm_limit)),
            (MAX_PARALLEL, json!(settings.max_parallel_requests)),
            (MAX_BUDGET, json!(budgets)),
            (SOFT_BUDGET, json!(soft)),
        ];
        let all = all.into_iter().filter(|(_, value)| is_set(value));
        all.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The key as JSON, for programs.
    pub(super) fn json(&self, now: Timestamp) -> Value {
        let key = &self.entry.key;
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let hashes = self.entry.digests.iter();
        let hashes =
            hashes.map(|(digest, end)| json!({"hash": digest.to_string(), "expires": time(*end)}));
        json!({
            "id": &*key.id,
            "state": self.state(now).word(),
            "labels": key.labels.iter().collect::<BTreeMap<_, _>>(),
            "metadata": key.metadata.keys().collect::<Vec<_>>(),
            "not_before": time(key.not_before),
            "expires": time(key.expires),
            "limits": self.limits_json(),
            "created": time(self.note.created),
            "comment": self.note.comment,
            "hashes": hashes.collect::<Vec<_>>(),
        })
    }
}

fn soft_texts(settings: &LimitSettings) -> Vec<String> {
    let soft = settings.soft_budget.iter();
    soft.map(|percent| format!("{percent}%")).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::document::{Document, Problems};
    use crate::key::file::KeyFile;
    use crate::secret::LocalSecrets;

    const NOW: &str = "2026-06-01T00:00:00Z";

    fn shown(hashes: &[(&str, &str)], more: &str) -> KeyView {
        let hash = |(secret, end): &(&str, &str)| {
            let end = if end.is_empty() {
                String::new()
            } else {
                format!(", expires = {end}")
            };
            format!("{{ hash = \"{}\"{end} }}", KeyDigest::of(secret.as_bytes()))
        };
        let hashes: Vec<_> = hashes.iter().map(hash).collect();
        let text = format!(
            "[[key]]\nid = \"a\"\nhashes = [{}]\n{more}\n",
            hashes.join(", ")
        );
        let document = Document::new(Path::new("keys.toml"), text);
        let (file, notes) = KeyFile::read_with_notes(
            &document,
            Path::new("."),
            &LocalSecrets,
            &Problems::default(),
        );
        let entry = file.entries.into_iter().next().unwrap();
        KeyView {
            entry,
            note: notes.into_iter().next().unwrap(),
        }
    }

    #[test]
    fn a_key_is_valid_as_long_as_one_of_its_secrets() {
        let (over, soon) = ("2026-05-31T00:00:00Z", "2026-06-02T00:00:00Z");
        let later = "expires = 2026-07-01T00:00:00Z";
        for (hashes, more, state, secrets, end) in [
            (&[("a", "")][..], "", State::Valid, 1, None),
            (&[("a", ""), ("b", soon)], "", State::Valid, 2, None),
            (&[("a", ""), ("b", over)], "", State::Valid, 1, None),
            (&[("a", soon), ("b", over)], "", State::Valid, 1, Some(soon)),
            (&[("a", soon)], later, State::Valid, 1, Some(soon)),
            (&[("a", over)], later, State::Expired, 0, Some(over)),
            (
                &[("a", "")],
                later,
                State::Valid,
                1,
                Some("2026-07-01T00:00:00Z"),
            ),
            (
                &[("a", "")],
                "not_before = 2026-07-01T00:00:00Z",
                State::NotYetValid,
                1,
                None,
            ),
            (
                &[("a", over)],
                "disabled = true",
                State::Disabled,
                0,
                Some(over),
            ),
        ] {
            let (shown, now) = (shown(hashes, more), NOW.parse().unwrap());
            let end = end.map(|end| end.parse().unwrap());
            assert_eq!(
                (shown.state(now), shown.secrets(now), shown.end()),
                (state, secrets, end),
                "{hashes:?} {more}"
            );
        }
    }
}
