//! The parts of a key file that was read beside the store of an earlier version.

use std::sync::Arc;

use jiff::Timestamp;

use crate::key::digest::KeyDigest;
use crate::key::outline::{Chunk, Hashers};
use crate::key::pages::Page;

/// What was read of a file.
pub(super) struct Parts {
    /// The parts in the order of the file.
    pub(super) all: Vec<Part>,
    pub(super) new: NewKeys,
    pub(super) hashers: Hashers,
}

/// A part of the new file.
pub(super) enum Part {
    /// A chunk of the file before.
    Kept(Arc<Chunk>),
    /// A chunk that is not in the file before. The number of its page is one in [`NewKeys`].
    New(Chunk),
}

/// The keys of chunks that are new.
#[derive(Default)]
pub(super) struct NewKeys {
    pub(super) pages: Vec<Page>,
    /// The digests of the keys of each page.
    pub(super) digests: Vec<Vec<NewDigest>>,
    pub(super) count: usize,
}

pub(super) struct NewDigest {
    pub(super) digest: KeyDigest,
    /// The index of its key in the page.
    pub(super) index: u32,
    pub(super) end: Option<Timestamp>,
}
