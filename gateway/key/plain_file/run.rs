//! Reads chunks of tables that are not known.

use super::parts::{NewDigest, Part, Parts};
use crate::key::known::Known;
use crate::key::outline::Chunk;
use crate::key::pages::KEYS;
use crate::key::plain::{PlainChunk, PlainKey};
use crate::runtime::background;

/// A text of whole tables that are not known.
pub(super) struct Run<'t> {
    pub(super) text: &'t str,
    /// More tables follow, which the last chunk can take in.
    pub(super) is_cut: bool,
}

impl Run<'_> {
    /// Reads the chunks of the text, and returns the length of what was read: more than nothing.
    pub(super) fn read(&self, known: &mut Known, to: &mut Parts) -> Option<usize> {
        let mut plain = PlainChunk::default();
        let mut at = 0;
        while let Some(rest) = self.text.get(at..).filter(|rest| !rest.is_empty()) {
            let length = plain.read(rest, known)?;
            if self.is_cut && length == rest.len() && plain.count() < KEYS {
                break;
            }
            let chunk = take_chunk(rest.get(..length)?, &plain, to)?;
            to.all.push(Part::New(chunk));
            at += length;
            background::yield_to_others();
        }
        (at > 0).then_some(at)
    }
}

/// The chunk with this text, whose keys are in `plain`.
fn take_chunk(text: &str, plain: &PlainChunk<'_>, to: &mut Parts) -> Option<Chunk> {
    let Parts { new, hashers, .. } = to;
    let page = u32::try_from(new.pages.len()).ok()?;
    let keys = plain.keys();
    let first = keys.first()?.start;
    let second = keys.get(1).map_or(text.len(), |key| key.start);
    let hash_id = |key: &PlainKey<'_>| hashers.part(key.id.as_bytes());
    let chunk = Chunk {
        length: text.len(),
        hash: hashers.chunk(text.as_bytes()),
        first: hashers.part(text.as_bytes().get(first..second)?),
        page,
        ids: keys.iter().map(hash_id).collect(),
    };
    let count = keys.iter().map(|key| key.digests.len()).sum();
    let mut digests = Vec::with_capacity(count);
    for (index, key) in (0..).zip(keys) {
        let of_key = key.digests.iter();
        digests.extend(of_key.map(|(digest, end)| NewDigest {
            digest: *digest,
            index,
            end: *end,
        }));
    }
    new.digests.push(digests);
    new.count += keys.len();
    new.pages
        .push(keys.iter().map(PlainKey::client_key).collect());
    Some(chunk)
}
