//! What people may see of a key: everything but its secrets, of whose metadata there are the names alone.

use std::collections::BTreeMap;

use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::key::file::Note;
use crate::key::{KeyDigest, KeyEntry};

/// A key of the key file, with what it says for people.
pub(super) struct Shown {
    /// The key.
    pub(super) entry: KeyEntry,
    /// Its comment and its creation.
    pub(super) note: Note,
}

/// Whether a key opens, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    /// It opens.
    Valid,
    /// Somebody disabled it.
    Disabled,
    /// Its end, or the end of the last of its secrets, is over.
    Expired,
    /// Its beginning is yet to come.
    NotYetValid,
}

impl State {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::NotYetValid => "not yet valid",
        }
    }
}

impl Shown {
    /// Whether it opens at `now`.
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

    /// From when on it opens nothing: its end, or that of the last of its secrets; none if there is none.
    pub(super) fn end(&self) -> Option<Timestamp> {
        let ends = self.entry.digests.iter().map(|(_, end)| *end);
        // Of the secrets, one without an end is later than any.
        let last = ends.collect::<Option<Vec<_>>>();
        let last = last.and_then(|ends| ends.into_iter().max());
        match (self.entry.key.expires, last) {
            (Some(key), Some(last)) => Some(key.min(last)),
            (key, last) => key.or(last),
        }
    }

    /// Until when a secret other than `newest` opens, if the key is not disabled; nothing if none does at `now`.
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

    /// How many of its secrets are not over at `now`: two while a rotation overlaps.
    pub(super) fn secrets(&self, now: Timestamp) -> usize {
        let digests = self.entry.digests.iter();
        digests
            .filter(|(_, end)| end.is_none_or(|end| now < end))
            .count()
    }

    /// Its labels as selectors have them.
    pub(super) fn labels(&self) -> String {
        let labels = self.entry.key.labels.iter();
        let labels: Vec<_> = labels.map(|(n, v)| format!("{n}={v}")).collect();
        labels.join(",")
    }

    /// All of it for programs.
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
            "created": time(self.note.created),
            "comment": self.note.comment,
            "hashes": hashes.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::document::{Document, Problems};
    use crate::key::file::KeyFile;
    use crate::secret::LocalSecrets;

    const NOW: &str = "2026-06-01T00:00:00Z";

    fn shown(hashes: &[(&str, &str)], more: &str) -> Shown {
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
        Shown {
            entry,
            note: notes.into_iter().next().unwrap(),
        }
    }

    #[test]
    fn a_key_is_as_good_as_the_last_of_its_secrets() {
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
