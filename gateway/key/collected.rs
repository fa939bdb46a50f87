//! The keys of a file in its order. Finds ids that are taken, and secrets that a key has already.

use ahash::RandomState;

use super::client_key::KeyEntry;
use super::earlier::Earlier;
use crate::document::{Document, Problems};

/// The length of the shortest text of a key: a file has no more keys than fit into it.
const SHORTEST_KEY: usize = "[[key]]\nid=''\nhashes=''\n".len() + "sha256:".len() + 64;

/// The keys of a document that were read so far.
pub(super) struct CollectedKeys<'d> {
    document: &'d Document,
    problems: &'d Problems,
    entries: Vec<KeyEntry>,
    /// Where each entry begins in the text.
    starts: Vec<usize>,
    hasher: RandomState,
    ids: Earlier,
    digests: Earlier,
}

impl<'d> CollectedKeys<'d> {
    /// No keys of `document`. Has room for all of them: growing a collection of a million moves it in one step, which
    /// keeps others waiting.
    pub(super) fn of(document: &'d Document, problems: &'d Problems) -> Self {
        let most = document.text().len() / SHORTEST_KEY;
        Self {
            document,
            problems,
            entries: Vec::with_capacity(most),
            starts: Vec::with_capacity(most),
            hasher: RandomState::new(),
            ids: Earlier::with_room_for(most),
            digests: Earlier::with_room_for(most),
        }
    }

    /// Adds the key that begins at `start`. Returns false, and reports it, if its id is taken.
    pub(super) fn add(&mut self, entry: KeyEntry, start: usize) -> bool {
        let place = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let hash = self.hasher.hash_one(&*entry.key.id);
        let entries = &self.entries;
        let is_same = |place: u32| {
            let other = entries.get(place as usize);
            other.is_some_and(|other| other.key.id == entry.key.id)
        };
        if let Some(first) = self.ids.find_or_add(hash, place, is_same) {
            self.report_taken(&entry.key.id, first, start);
            return false;
        }
        self.starts.push(start);
        self.entries.push(entry);
        self.report_shared_digests(place, start);
        true
    }

    /// All keys.
    pub(super) fn finish(self) -> Vec<KeyEntry> {
        self.entries
    }

    /// Reports a key whose id the key at the place `first` has. A third one is told the line of the second one.
    fn report_taken(&mut self, id: &str, first: u32, start: usize) {
        let Some(earlier) = self.starts.get_mut(first as usize) else {
            return;
        };
        let line = self
            .document
            .location(std::mem::replace(earlier, start))
            .line;
        let why = format!("key `{id}` is there already, in line {line}");
        self.problems.fatal(&self.document.location(start), why);
    }

    /// Reports the digests of the last key, at `place`, that it or another key has already.
    fn report_shared_digests(&mut self, place: u32, start: usize) {
        let entries = &self.entries;
        let Some(entry) = entries.last() else {
            return;
        };
        for (index, (digest, _)) in entry.digests.iter().enumerate() {
            let is_same = |other: u32| {
                let known = entries.get(other as usize).map(|other| &*other.digests);
                let before = if other == place { index } else { usize::MAX };
                let mut known = known.unwrap_or_default().iter().take(before);
                known.any(|(known, _)| known == digest)
            };
            let hash = self.hasher.hash_one(digest);
            if let Some(first) = self.digests.find_or_add(hash, place, is_same) {
                self.digests.replace(hash, first, place);
                let first = entries.get(first as usize).unwrap_or(entry);
                let why = shared_digest(&first.key.id, &entry.key.id);
                self.problems.fatal(&self.document.location(start), why);
            }
        }
    }
}

/// The problem of the key `id` with a digest of the key `first`.
fn shared_digest(first: &str, id: &str) -> String {
    if first == id {
        format!("key `{id}` has the same hash twice")
    } else {
        format!("keys `{first}` and `{id}` have the same hash: one secret, two names")
    }
}
