//! A window over a file that is read once, from its beginning to its end: a file of hundreds of megabytes takes one of
//! memory.

use std::fs::File;
use std::io::{self, Read};

use crate::document::PrefixHash;
use crate::runtime::background;

/// The size of the window, in bytes, unless more is asked for.
const WINDOW: usize = 1 << 20;
/// How many reads fill a window. One reads a multiple of what a mark of [`PrefixHash`] stands for.
const STEPS: usize = 4;

/// The next bytes of a file.
pub(super) struct Window {
    file: File,
    bytes: Vec<u8>,
    size: usize,
    /// The begin of what was not passed.
    at: usize,
    is_end: bool,
    largest: u64,
    read: u64,
    hash: PrefixHash,
}

impl Window {
    /// A window over a file that has `size` bytes by its metadata. A file of more than `largest` bytes is not read.
    pub(super) fn new(file: File, size: u64, largest: u64) -> Self {
        Self::with_size(WINDOW, file, size, largest)
    }

    /// A window of another size: a multiple of 64 bytes.
    pub(super) fn with_size(window: usize, file: File, size: u64, largest: u64) -> Self {
        let expected = usize::try_from(size.min(largest)).unwrap_or_default();
        Self {
            file,
            bytes: Vec::with_capacity(window.min(expected) + window / STEPS),
            size: window,
            at: 0,
            is_end: false,
            largest,
            read: 0,
            hash: PrefixHash::with_room_for(expected),
        }
    }

    /// The bytes that were read and not passed.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Whether the file ends where [`rest`](Self::rest) ends.
    pub(super) fn is_end(&self) -> bool {
        self.is_end
    }

    /// Passes over so many bytes of the rest.
    pub(super) fn pass(&mut self, bytes: usize) {
        self.at = self.bytes.len().min(self.at + bytes);
    }

    /// Reads on, unless `least` bytes are there or the file has ended.
    ///
    /// # Errors
    /// The system's, and a file that is too large.
    pub(super) fn fill(&mut self, least: usize) -> io::Result<()> {
        if self.is_end || self.rest().len() >= least {
            return Ok(());
        }
        self.bytes.drain(..self.at);
        self.at = 0;
        while !self.is_end && self.bytes.len() < least.max(self.size) {
            self.step()?;
            background::yield_to_others();
        }
        Ok(())
    }

    /// Fills the window.
    ///
    /// # Errors
    /// Those of [`fill`](Self::fill).
    pub(super) fn fill_all(&mut self) -> io::Result<()> {
        self.fill(self.size)
    }

    fn step(&mut self) -> io::Result<()> {
        let (before, step) = (self.bytes.len(), self.size / STEPS);
        let read = (&self.file)
            .take(step as u64)
            .read_to_end(&mut self.bytes)?;
        self.is_end = read < step;
        self.hash.add(self.bytes.get(before..).unwrap_or_default());
        self.read += read as u64;
        if self.read > self.largest {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(())
    }

    /// The hash of what was read: of the whole file, once it has ended.
    pub(super) fn into_hash(self) -> PrefixHash {
        self.hash
    }
}
