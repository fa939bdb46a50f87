//! Reads a key file, and finds in it the chunks of an earlier version.

use std::collections::HashMap;

use ahash::RandomState;
use memchr::memmem;

use super::parts::{NewKeys, Part, Parts};
use super::run::Run;
use crate::document::PrefixHash;
use crate::key::known::Known;
use crate::key::outline::{Chunk, Hashers, Outline};
use crate::key::pages::KEYS;
use crate::key::window::Window;
use crate::runtime::background;

/// A header as it is written, with the end of the line before it.
const HEADER: &[u8] = b"\n[[key]]\n";
/// The number of tables after which the search yields to other work of the process.
const TABLES_A_STEP: usize = 512;
/// After how many chunks that are new the thread gets a low priority: what takes long must not compete with requests.
const PROMPT_CHUNKS: usize = 1024;

pub(super) struct Reader<'b> {
    window: Window,
    before: Option<&'b Outline>,
    /// The next chunk of the file before that can be in the rest of this one.
    at: usize,
    /// The chunks of the file before by the hash of their first table; made when it is needed.
    firsts: Option<HashMap<u64, usize, RandomState>>,
    known: Known,
    parts: Parts,
}

impl<'b> Reader<'b> {
    /// A reader of the file in `window`, of which `before` describes an earlier version.
    pub(super) fn new(window: Window, before: Option<&'b Outline>) -> Self {
        Self {
            window,
            before,
            at: 0,
            firsts: None,
            known: Known::default(),
            parts: Parts {
                all: Vec::new(),
                new: NewKeys::default(),
                hashers: before.map_or_else(Hashers::new, |outline| outline.hashers.clone()),
            },
        }
    }

    /// Reads the file; `None` if it has to be loaded as a whole, or cannot be read.
    pub(super) fn read(&mut self) -> Option<()> {
        // Yields to other work wherever it reads on in the file.
        loop {
            let chunks = self.before.map(|outline| &outline.chunks);
            let expected = chunks.and_then(|chunks| chunks.get(self.at));
            let length = expected.map_or(0, |chunk| chunk.length);
            self.window.fill(length + HEADER.len()).ok()?;
            if self.window.rest().is_empty() {
                return Some(());
            }
            if let Some(chunk) = expected.filter(|chunk| self.is_next(chunk)) {
                self.window.pass(chunk.length);
                self.parts.all.push(Part::Kept(chunk.clone()));
                self.at += 1;
            } else {
                self.changed()?;
            }
        }
    }

    /// What was read, and the hash of the file.
    pub(super) fn finish(self) -> (Parts, PrefixHash) {
        (self.parts, self.window.into_hash())
    }

    /// Whether the rest begins with `chunk`, the next one of the file before.
    fn is_next(&self, chunk: &Chunk) -> bool {
        let Some((text, behind)) = self.window.rest().split_at_checked(chunk.length) else {
            return false;
        };
        // What follows can belong to the last table of the chunk. A chunk that was the last one of the file can have
        // room for what was appended.
        let chunks = self.before.map_or(0, |outline| outline.chunks.len());
        let is_full = chunk.ids.len() == KEYS || self.at + 1 < chunks;
        let is_end = behind.is_empty() && self.window.is_end();
        let has_header = HEADER
            .strip_prefix(b"\n")
            .is_some_and(|it| behind.starts_with(it));
        (is_end || is_full && has_header) && self.parts.hashers.chunk(text) == chunk.hash
    }

    /// Reads what is in the window, up to the next chunk of the file before.
    fn changed(&mut self) -> Option<()> {
        self.window.fill_all().ok()?;
        let whole = self.whole_tables()?;
        let found = self.find_kept(whole);
        let end = found.map_or(whole, |(end, _)| end);
        let is_cut = found.is_none() && !self.window.is_end();
        let rest = self.window.rest().get(..end)?;
        let text = std::str::from_utf8(rest).ok()?;
        let run = Run { text, is_cut };
        let read = run.read(&mut self.known, &mut self.parts)?;
        if let Some((_, chunk)) = found {
            self.at = chunk;
        }
        self.window.pass(read);
        if self.parts.new.pages.len() > PROMPT_CHUNKS {
            background::lower_priority();
        }
        Some(())
    }

    /// The length of the tables in the window that are there as a whole.
    fn whole_tables(&self) -> Option<usize> {
        let rest = self.window.rest();
        if self.window.is_end() {
            return Some(rest.len());
        }
        memmem::rfind(rest, HEADER).map(|end| end + 1)
    }

    /// Where in the first `whole` bytes of the rest a later chunk of the file before seems to begin, and which. The first
    /// table is passed over: the chunk that begins with it has changed.
    fn find_kept(&mut self, whole: usize) -> Option<(usize, usize)> {
        let outline = self.before?;
        let hashers = &self.parts.hashers;
        let text = self.window.rest().get(..whole)?;
        let firsts = self.firsts.get_or_insert_with(|| {
            let chunks = outline.chunks.iter().enumerate();
            chunks.map(|(place, chunk)| (chunk.first, place)).collect()
        });
        let mut headers = memmem::find_iter(text, HEADER).map(|end| end + 1);
        let mut begin = headers.next()?;
        if text.starts_with(b"#") || text.starts_with(b"\n") {
            // The header of the first table.
            begin = headers.next()?;
        }
        for (count, end) in headers.chain([whole]).enumerate() {
            let table = text.get(begin..end)?;
            let chunk = firsts.get(&hashers.part(table)).copied();
            if let Some(chunk) = chunk.filter(|chunk| *chunk > self.at) {
                return Some((begin, chunk));
            }
            begin = end;
            if count.is_multiple_of(TABLES_A_STEP) {
                background::yield_to_others();
            }
        }
        None
    }
}
