//! The hash table of a key store: digests with the validity of each, in slots of one cache line, in memory that is mapped
//! in huge pages and made read-only once the table is complete.
//!
//! Open addressing with linear probing. A third of the slots is empty, so the first slot is the right one in most
//! lookups: in a table larger than the caches, a lookup costs one cache miss, and seldom a second one in the next line.
//! Huge pages avoid the TLB miss.

use std::io;

use ahash::RandomState;
use memmap2::{Advice, Mmap, MmapMut};
use subtle::{Choice, ConstantTimeEq};

use super::digest::KeyDigest;
use crate::runtime::background;

/// The number of slots per two digests.
const SLOTS_FOR_TWO: usize = 3;
/// The smallest number of slots.
const LEAST_SLOTS: usize = 4;
/// The size of a slot in bytes: one cache line.
const SLOT: usize = 64;
/// The number of slots after which a growing table yields to other work of the process.
const SLOTS_A_STEP: usize = 256;

/// The validity of one digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableEntry {
    /// The index of its key in the store.
    pub(super) key: u32,
    /// The start of validity, in microseconds since 1970.
    pub(super) valid_from: i64,
    /// The end of validity, in microseconds since 1970.
    pub(super) valid_until: i64,
    /// A disabled digest is never valid.
    pub(super) disabled: bool,
}

/// The offsets within a slot: the digest at 0, then the times, the index of the key plus 1 (a slot of zeros is empty), and
/// whether it is disabled.
const VALID_FROM: usize = 32;
const VALID_UNTIL: usize = 40;
const KEY: usize = 48;
const DISABLED: usize = 52;

/// The bytes of a slot.
struct Slot<'t>(&'t [u8; SLOT]);

impl Slot<'_> {
    fn part<const N: usize>(&self, at: usize) -> [u8; N] {
        let part = self.0.get(at..).and_then(<[u8]>::first_chunk);
        part.copied().unwrap_or([0; N])
    }

    fn key(&self) -> Option<u32> {
        u32::from_ne_bytes(self.part(KEY)).checked_sub(1)
    }

    /// Whether the slot has this digest. Takes the same steps whichever bytes differ.
    fn holds(&self, digest: &KeyDigest) -> Choice {
        let ours = digest.0.as_chunks::<8>().0;
        let there = self.0.as_chunks::<8>().0;
        let differ = ours.iter().zip(there).fold(0, |differ, (a, b)| {
            differ | (u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b))
        });
        differ.ct_eq(&0)
    }

    fn entry(&self, key: u32) -> TableEntry {
        TableEntry {
            key,
            valid_from: i64::from_ne_bytes(self.part(VALID_FROM)),
            valid_until: i64::from_ne_bytes(self.part(VALID_UNTIL)),
            disabled: self.part(DISABLED) != [0],
        }
    }
}

/// The slots of a table, complete or not, for reading.
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

    /// The slot at which the search for a digest starts.
    fn first_place(&self, digest: &KeyDigest) -> usize {
        let hash = u128::from(self.hasher.hash_one(digest));
        // Multiply and shift: a number below the slot count, distributed as evenly as the hash.
        usize::try_from((hash * self.count() as u128) >> 64).unwrap_or_default()
    }

    /// The entry of a digest, or the index of the empty slot at which the search ended.
    fn find(&self, digest: &KeyDigest) -> Result<TableEntry, usize> {
        let mut place = self.first_place(digest);
        loop {
            let Some((slot, key)) = self.slot(place).and_then(|s| s.key().map(|key| (s, key)))
            else {
                return Err(place);
            };
            if slot.holds(digest).into() {
                return Ok(slot.entry(key));
            }
            place += 1;
            if place == self.count() {
                place = 0;
            }
        }
    }
}

/// A table that is being built.
pub(super) struct TableBuilder {
    memory: MmapMut,
    hasher: RandomState,
    digests: usize,
}

impl TableBuilder {
    /// An empty table with room for about this many digests.
    pub(super) fn with_room_for(digests: usize) -> io::Result<Self> {
        Ok(Self {
            memory: empty(digests)?,
            hasher: RandomState::new(),
            digests: 0,
        })
    }

    /// An empty table with room for about this many digests, which keeps those of `other` in the same order: adding them
    /// in that order writes the memory from its beginning to its end.
    pub(super) fn like(other: &Table, digests: usize) -> io::Result<Self> {
        Ok(Self {
            memory: empty(digests)?,
            hasher: other.hasher.clone(),
            digests: 0,
        })
    }

    fn slots(&self) -> Slots<'_> {
        Slots {
            memory: &self.memory,
            hasher: &self.hasher,
        }
    }

    /// Adds a digest. If the table has it already, returns its entry and changes nothing.
    pub(super) fn add(
        &mut self,
        digest: &KeyDigest,
        entry: TableEntry,
    ) -> io::Result<Option<TableEntry>> {
        if self.slots().count() < slots_for(self.digests + 1) {
            self.grow()?;
        }
        match self.slots().find(digest) {
            Ok(known) => Ok(Some(known)),
            Err(place) => {
                self.put(place, digest, entry);
                self.digests += 1;
                Ok(None)
            }
        }
    }

    fn put(&mut self, place: usize, digest: &KeyDigest, entry: TableEntry) {
        let slot = self.memory.get_mut(place * SLOT..).unwrap_or_default();
        let parts: [(usize, &[u8]); 5] = [
            (0, &digest.0),
            (VALID_FROM, &entry.valid_from.to_ne_bytes()),
            (VALID_UNTIL, &entry.valid_until.to_ne_bytes()),
            // Four billion keys would need a terabyte before this saturates.
            (KEY, &entry.key.saturating_add(1).to_ne_bytes()),
            (DISABLED, &[u8::from(entry.disabled)]),
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
                    self.put(place, &digest, slot.entry(key));
                }
            }
        }
        Ok(())
    }

    /// The complete table, in read-only memory.
    pub(super) fn finish(self) -> io::Result<Table> {
        Ok(Table {
            memory: self.memory.make_read_only()?,
            hasher: self.hasher,
            digests: self.digests,
        })
    }
}

/// A complete table.
pub(super) struct Table {
    memory: Mmap,
    hasher: RandomState,
    digests: usize,
}

impl Table {
    /// The number of digests.
    pub(super) fn count(&self) -> usize {
        self.digests
    }

    /// All digests, in the order of their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (KeyDigest, TableEntry)> {
        let slots = self.memory.as_chunks().0.iter().map(Slot);
        slots.filter_map(|slot| Some((KeyDigest(slot.part(0)), slot.entry(slot.key()?))))
    }

    /// The entry of a digest.
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
    // Best effort: without huge pages, the table works with small ones.
    let _ = memory.advise(Advice::HugePage);
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u32) -> KeyDigest {
        KeyDigest::of(&number.to_be_bytes())
    }

    fn entry(key: u32) -> TableEntry {
        TableEntry {
            key,
            valid_from: i64::MIN + i64::from(key),
            valid_until: i64::MAX - i64::from(key),
            disabled: key % 2 == 1,
        }
    }

    #[test]
    fn a_table_that_grows_finds_every_digest_as_it_was_added_and_no_other() {
        for room in [0, 10, 5_000] {
            let mut builder = TableBuilder::with_room_for(room).unwrap();
            for key in 0..2_000 {
                let added = builder.add(&digest(key), entry(key)).unwrap();
                assert_eq!(added, None);
            }
            assert_eq!(builder.add(&digest(7), entry(8)).unwrap(), Some(entry(7)));
            let table = builder.finish().unwrap();
            for key in 0..2_000 {
                assert_eq!(table.find(&digest(key)), Some(entry(key)));
                assert_eq!(table.find(&digest(key + 2_000)), None);
            }
        }
    }
}
