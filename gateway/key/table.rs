//! The table of a key store: digests and what decides about each, in slots of one cache line, in
//! memory that is asked for in large pages and, once filled, cannot be written.
//!
//! A digest stands in the slot of its hash or in the next ones behind it, with no empty slot between.
//! A third of the slots is empty, so the first one that is looked at is the right one more often than
//! not: a lookup in a table that is larger than the caches costs one miss, and seldom a second in the
//! line beside. Large pages spare it the miss of the page table's entry.

use std::io;

use ahash::RandomState;
use memmap2::{Advice, Mmap, MmapMut};
use subtle::{Choice, ConstantTimeEq};

use super::KeyDigest;
use crate::runtime::background;

/// Slots for each two digests.
const SLOTS_FOR_TWO: usize = 3;
/// How many slots are made at least.
const LEAST_SLOTS: usize = 4;
/// Bytes of a slot: a line of the cache.
const SLOT: usize = 64;
/// After how many slots a growing table gives way to others.
const SLOTS_A_STEP: usize = 256;

/// One digest and what decides about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableEntry {
    /// The place of its key, from 0.
    pub(super) key: u32,
    /// When it begins to open, in microseconds since 1970.
    pub(super) begins: i64,
    /// When it ends.
    pub(super) ends: i64,
    /// It opens nothing at all.
    pub(super) disabled: bool,
}

/// Where in a slot its parts stand: the digest in front, then the times, the key's place from 1 (a
/// slot of zeros is empty), and whether it is disabled.
const BEGINS: usize = 32;
const ENDS: usize = 40;
const KEY: usize = 48;
const DISABLED: usize = 52;

/// A slot as it stands in memory.
struct Slot<'t>(&'t [u8; SLOT]);

impl Slot<'_> {
    fn part<const N: usize>(&self, at: usize) -> [u8; N] {
        let part = self.0.get(at..).and_then(<[u8]>::first_chunk);
        part.copied().unwrap_or([0; N])
    }

    fn key(&self) -> Option<u32> {
        u32::from_ne_bytes(self.part(KEY)).checked_sub(1)
    }

    /// In the same steps whichever bytes differ.
    fn holds(&self, digest: &KeyDigest) -> Choice {
        let ours = digest.0.as_chunks::<8>().0;
        let there = self.0.as_chunks::<8>().0;
        let differ = ours.iter().zip(there).fold(0, |differ, (a, b)| {
            differ | (u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b))
        });
        differ.ct_eq(&0)
    }

    fn opening(&self, key: u32) -> TableEntry {
        TableEntry {
            key,
            begins: i64::from_ne_bytes(self.part(BEGINS)),
            ends: i64::from_ne_bytes(self.part(ENDS)),
            disabled: self.part(DISABLED) != [0],
        }
    }
}

/// The slots, wherever they are: what reading them takes.
struct Slots<'t> {
    memory: &'t [u8],
    hasher: &'t RandomState,
}

impl Slots<'_> {
    fn count(&self) -> usize {
        self.memory.len() / SLOT
    }

    fn slot(&self, place: usize) -> Option<Slot<'_>> {
        let from = self.memory.get(place * SLOT..)?;
        from.first_chunk().map(Slot)
    }

    /// The slot where a digest stands unless others are in its way.
    fn first_place(&self, digest: &KeyDigest) -> usize {
        let hash = u128::from(self.hasher.hash_one(digest));
        // Less than the number of slots, and as even as the hash.
        usize::try_from((hash * self.count() as u128) >> 64).unwrap_or_default()
    }

    /// What the digest opens, or the place of the empty slot that says it opens nothing.
    fn find(&self, digest: &KeyDigest) -> Result<TableEntry, usize> {
        let mut place = self.first_place(digest);
        loop {
            let Some((slot, key)) = self.slot(place).and_then(|s| s.key().map(|key| (s, key)))
            else {
                return Err(place);
            };
            if slot.holds(digest).into() {
                return Ok(slot.opening(key));
            }
            place += 1;
            if place == self.count() {
                place = 0;
            }
        }
    }
}

/// A table that is being filled.
pub(super) struct TableBuilder {
    memory: MmapMut,
    hasher: RandomState,
    digests: usize,
}

impl TableBuilder {
    /// An empty table for about so many digests.
    pub(super) fn with_room_for(digests: usize) -> io::Result<Self> {
        Ok(Self {
            memory: empty(digests)?,
            hasher: RandomState::new(),
            digests: 0,
        })
    }

    fn slots(&self) -> Slots<'_> {
        Slots {
            memory: &self.memory,
            hasher: &self.hasher,
        }
    }

    /// Adds a digest, or gives what it opens already.
    pub(super) fn add(
        &mut self,
        digest: &KeyDigest,
        opening: TableEntry,
    ) -> io::Result<Option<TableEntry>> {
        if self.slots().count() < slots_for(self.digests + 1) {
            self.grow()?;
        }
        match self.slots().find(digest) {
            Ok(known) => Ok(Some(known)),
            Err(place) => {
                self.put(place, digest, opening);
                self.digests += 1;
                Ok(None)
            }
        }
    }

    fn put(&mut self, place: usize, digest: &KeyDigest, opening: TableEntry) {
        let slot = self.memory.get_mut(place * SLOT..).unwrap_or_default();
        let parts: [(usize, &[u8]); 5] = [
            (0, &digest.0),
            (BEGINS, &opening.begins.to_ne_bytes()),
            (ENDS, &opening.ends.to_ne_bytes()),
            // Four billion keys would need a terabyte before this saturates.
            (KEY, &opening.key.saturating_add(1).to_ne_bytes()),
            (DISABLED, &[u8::from(opening.disabled)]),
        ];
        for (at, part) in parts {
            if let Some(there) = slot.get_mut(at..at + part.len()) {
                there.copy_from_slice(part);
            }
        }
    }

    fn grow(&mut self) -> io::Result<()> {
        let larger = empty(self.digests + self.digests / 4 + 1)?;
        let old = std::mem::replace(&mut self.memory, larger);
        for (place, slot) in old.as_chunks().0.iter().map(Slot).enumerate() {
            if place.is_multiple_of(SLOTS_A_STEP) {
                background::yield_to_others();
            }
            if let Some(key) = slot.key() {
                let digest = KeyDigest(slot.part(0));
                if let Err(place) = self.slots().find(&digest) {
                    self.put(place, &digest, slot.opening(key));
                }
            }
        }
        Ok(())
    }

    /// The table, never to be written again.
    pub(super) fn finish(self) -> io::Result<Table> {
        Ok(Table {
            memory: self.memory.make_read_only()?,
            hasher: self.hasher,
        })
    }
}

/// A table that is filled.
pub(super) struct Table {
    memory: Mmap,
    hasher: RandomState,
}

impl Table {
    /// What the digest opens.
    pub(super) fn find(&self, digest: &KeyDigest) -> Option<TableEntry> {
        let slots = Slots {
            memory: &self.memory,
            hasher: &self.hasher,
        };
        slots.find(digest).ok()
    }
}

fn slots_for(digests: usize) -> usize {
    (digests * SLOTS_FOR_TWO / 2).max(LEAST_SLOTS)
}

fn empty(digests: usize) -> io::Result<MmapMut> {
    let memory = MmapMut::map_anon(slots_for(digests) * SLOT)?;
    // A wish: where the system has no large pages, small ones will do.
    let _ = memory.advise(Advice::HugePage);
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u32) -> KeyDigest {
        KeyDigest::of(&number.to_be_bytes())
    }

    fn opening(key: u32) -> TableEntry {
        TableEntry {
            key,
            begins: i64::MIN + i64::from(key),
            ends: i64::MAX - i64::from(key),
            disabled: key % 2 == 1,
        }
    }

    #[test]
    fn a_table_that_grows_finds_every_digest_as_it_was_added_and_no_other() {
        for room in [0, 10, 5_000] {
            let mut filling = TableBuilder::with_room_for(room).unwrap();
            for key in 0..2_000 {
                let added = filling.add(&digest(key), opening(key)).unwrap();
                assert_eq!(added, None);
            }
            assert_eq!(
                filling.add(&digest(7), opening(8)).unwrap(),
                Some(opening(7))
            );
            let table = filling.finish().unwrap();
            for key in 0..2_000 {
                assert_eq!(table.find(&digest(key)), Some(opening(key)));
                assert_eq!(table.find(&digest(key + 2_000)), None);
            }
        }
    }
}
