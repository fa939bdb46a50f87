//! Reads key tables that are written as `keygate keys` writes them, line by line, without a TOML parser: a key takes a
//! tenth of the instructions.
//!
//! Knows one spelling of each setting. Whatever else stands in a chunk (another spelling, a setting that it does not know,
//! a mistake), it reads nothing of that chunk, and the TOML parser reads it: problems are found and worded there alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ahash::RandomState;
use jiff::Timestamp;

use super::client_key::{ClientKey, is_key_id};
use super::digest::KeyDigest;
use super::known::Known;
use super::labels::Labels;
use super::metadata::KeyMetadata;
use super::plain_limits::LimitText;
use super::plain_reader::Reader;
use crate::document::{TABLES_A_CHUNK, is_header};
use crate::limit::of_key::KeyLimits;
use crate::limit::slot::KeySlot;

/// The most labels of a key that are read here: each is compared with those before it.
const MOST_LABELS: usize = 8;

/// A `[[key]]` that nothing is wrong with, borrowed from the text.
#[derive(Default)]
pub(super) struct PlainKey<'t> {
    /// Where its header begins, counted from the begin of the chunk.
    pub(super) start: usize,
    pub(super) id: &'t str,
    pub(super) digests: Vec<(KeyDigest, Option<Timestamp>)>,
    pub(super) labels: Labels,
    /// The labels as they are written, between the braces; nothing if there are none.
    label_text: &'t str,
    pub(super) limits: Option<Arc<KeyLimits>>,
    /// The settings of its limits as they are written; `None` if there are none.
    limit_text: Option<LimitText<'t>>,
    pub(super) not_before: Option<Timestamp>,
    pub(super) expires: Option<Timestamp>,
    pub(super) disabled: bool,
    pub(super) comment: Option<&'t str>,
    pub(super) created: Option<Timestamp>,
}

/// The keys of a chunk.
#[derive(Default)]
pub(super) struct PlainChunk<'t> {
    keys: Vec<PlainKey<'t>>,
    /// Labels by their text, as they stand between the braces: a million keys have few of them.
    labels: HashMap<&'t str, Labels, RandomState>,
    /// Limits by the text of their settings.
    limits: HashMap<LimitText<'t>, Arc<KeyLimits>, RandomState>,
}

impl PlainKey<'_> {
    /// The key without its digests and notes.
    pub(super) fn client_key(&self) -> ClientKey {
        ClientKey {
            id: Arc::from(self.id),
            labels: self.labels.clone(),
            metadata: KeyMetadata::default(),
            not_before: self.not_before,
            expires: self.expires,
            disabled: self.disabled,
            counted: true,
            limits: self.limits.clone(),
            slot: KeySlot::default(),
        }
    }
}

impl<'t> PlainChunk<'t> {
    /// Reads the chunk at the begin of `text`, and returns its length; `None` if the parser of TOML has to read it.
    pub(super) fn read(&mut self, text: &'t str, known: &mut Known) -> Option<usize> {
        self.keys.clear();
        let mut reader = Reader::new(text);
        reader.skip_comments()?;
        while self.keys.len() < TABLES_A_CHUNK && !reader.rest.is_empty() {
            let mut key = reader.table()?;
            key.labels = self.labels(key.label_text, known)?;
            if let Some(text) = key.limit_text {
                key.limits = Some(self.limits(text, known)?);
            }
            self.keys.push(key);
        }
        let is_end = reader.rest.is_empty() || is_header(reader.rest, "key");
        (is_end && !self.keys.is_empty()).then_some(reader.place())
    }

    /// How many keys were read.
    pub(super) fn count(&self) -> usize {
        self.keys.len()
    }

    /// The keys that were read.
    pub(super) fn keys(&self) -> &[PlainKey<'t>] {
        &self.keys
    }

    /// Takes the keys that were read.
    pub(super) fn take(&mut self) -> impl Iterator<Item = PlainKey<'t>> {
        self.keys.drain(..)
    }

    /// The labels that are written as `text`.
    fn labels(&mut self, text: &'t str, known: &mut Known) -> Option<Labels> {
        if text.is_empty() {
            return Some(Labels::default());
        }
        if let Some(labels) = self.labels.get(text) {
            return Some(labels.clone());
        }
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let labels = read_labels(text)?.into_iter().map(owned);
        let labels = known
            .labels
            .share(Labels::from(labels.collect::<BTreeMap<_, _>>()));
        self.labels.insert(text, labels.clone());
        Some(labels)
    }

    /// The limits whose settings are written as `text`.
    fn limits(&mut self, text: LimitText<'t>, known: &mut Known) -> Option<Arc<KeyLimits>> {
        if let Some(limits) = self.limits.get(&text) {
            return Some(limits.clone());
        }
        let limits = known.limits.share(text.limits()?);
        self.limits.insert(text, limits.clone());
        Some(limits)
    }
}

/// The names and values of labels, from the text between the braces.
fn read_labels(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut labels: Vec<(&str, &str)> = Vec::new();
    let mut reader = Reader::new(text);
    while labels.is_empty() || reader.skip(", ").is_some() {
        let name = reader.bare_key()?;
        reader.skip(" = ")?;
        let value = reader.string()?;
        if labels.len() == MOST_LABELS || labels.iter().any(|(known, _)| *known == name) {
            return None;
        }
        labels.push((name, value));
    }
    reader.rest.is_empty().then_some(labels)
}

/// The lines that a table may have, each once.
#[derive(Clone, Copy)]
enum Line {
    Id,
    Hashes,
    Labels,
    NotBefore,
    Expires,
    Disabled,
    Comment,
    Created,
    RpmLimit,
    TpmLimit,
    MaxParallel,
    MaxBudget,
    SoftBudget,
}

/// Each line as it begins.
const LINES: [(&str, Line); 13] = [
    ("id = ", Line::Id),
    ("hashes = [", Line::Hashes),
    ("labels = { ", Line::Labels),
    ("not_before = ", Line::NotBefore),
    ("expires = ", Line::Expires),
    ("disabled = ", Line::Disabled),
    ("comment = ", Line::Comment),
    ("created = ", Line::Created),
    ("rpm_limit = ", Line::RpmLimit),
    ("tpm_limit = ", Line::TpmLimit),
    ("max_budget = ", Line::MaxBudget),
    ("max_parallel_requests = ", Line::MaxParallel),
    ("soft_budget = ", Line::SoftBudget),
];

impl<'t> Reader<'t> {
    /// A table, from its header to the next one or to the end of the text.
    fn table(&mut self) -> Option<PlainKey<'t>> {
        let mut key = PlainKey {
            start: self.place(),
            ..PlainKey::default()
        };
        let mut seen = 0_u16;
        self.skip("[[key]]\n")?;
        loop {
            self.skip_comments()?;
            if self.rest.is_empty() || self.rest.starts_with('[') {
                break;
            }
            // Two letters tell most lines apart.
            let two: &[u8; 2] = self.rest.as_bytes().first_chunk()?;
            let (begin, line) = LINES.iter().find(|(begin, _)| {
                begin.as_bytes().starts_with(two) && self.rest.starts_with(begin)
            })?;
            self.skip(begin)?;
            let bit = 1 << *line as u8;
            if seen & bit != 0 {
                return None;
            }
            seen |= bit;
            self.line(*line, &mut key)?;
            self.skip("\n")?;
        }
        let needed = 1 << Line::Id as u8 | 1 << Line::Hashes as u8;
        let ends = key.expires.zip(key.not_before);
        let is_whole = seen & needed == needed && ends.is_none_or(|(end, start)| start < end);
        is_whole.then_some(key)
    }

    /// The value of a line.
    fn line(&mut self, line: Line, key: &mut PlainKey<'t>) -> Option<()> {
        match line {
            Line::Id => key.id = self.string().filter(|id| is_key_id(id))?,
            Line::Hashes => key.digests = self.digests()?,
            Line::Labels => key.label_text = self.label_text()?,
            Line::NotBefore => key.not_before = Some(self.moment()?),
            Line::Expires => key.expires = Some(self.moment()?),
            Line::Disabled => key.disabled = self.flag()?,
            Line::Comment => key.comment = Some(self.string()?),
            Line::Created => key.created = Some(self.moment()?),
            limit => {
                let text = self.line_text()?;
                let limits = key.limit_text.get_or_insert_default();
                match limit {
                    Line::RpmLimit => limits.rpm_limit = text,
                    Line::TpmLimit => limits.tpm_limit = text,
                    Line::MaxParallel => limits.max_parallel_requests = text,
                    Line::MaxBudget => limits.max_budget = text,
                    _ => limits.soft_budget = text,
                }
            }
        }
        Some(())
    }
}
