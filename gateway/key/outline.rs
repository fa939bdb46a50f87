//! What is remembered of the text of a key file, to recognise in its next version the chunks that have not changed.
//!
//! Keyed hashes only: neither a key nor a comment can be recovered from them.

use std::sync::Arc;

use ahash::RandomState;

/// The chunks of a key file, in its order.
pub(super) struct Outline {
    pub(super) hashers: Hashers,
    pub(super) chunks: Vec<Arc<Chunk>>,
}

/// A run of whole tables, whose keys have one page.
pub(super) struct Chunk {
    /// The length of its text, in bytes.
    pub(super) length: usize,
    /// The hash of its text.
    pub(super) hash: [u64; 2],
    /// The hash of the text of its first table.
    pub(super) first: u64,
    /// The number of its page.
    pub(super) page: u32,
    /// The hashes of the ids of its keys.
    pub(super) ids: Box<[u64]>,
}

/// Two hash functions with random keys of this process. Texts with the same two hashes are taken for the same: as far as
/// the functions act like random ones, a changed chunk passes for the old one with a probability of 2^-128.
#[derive(Clone)]
pub(super) struct Hashers([RandomState; 2]);

impl Hashers {
    pub(super) fn new() -> Self {
        Self([RandomState::new(), RandomState::new()])
    }

    /// The hash of the text of a chunk.
    pub(super) fn chunk(&self, text: &[u8]) -> [u64; 2] {
        self.0.each_ref().map(|hasher| hasher.hash_one(text))
    }

    /// The hash of a table or of an id.
    pub(super) fn part(&self, text: &[u8]) -> u64 {
        let [hasher, _] = &self.0;
        hasher.hash_one(text)
    }
}
