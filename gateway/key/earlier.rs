//! Finds what earlier keys of a file have in common with a key: its id, or a digest. In 8 bytes for each, because a
//! million keys are compared while requests are served.

/// The number of slots per two entries.
const SLOTS_FOR_TWO: usize = 3;

/// A set of places, by the hash of what stands there. An open hash table: a slot has the upper half of the hash and the
/// place plus 1; an empty slot is 0.
pub(super) struct Earlier {
    slots: Vec<u64>,
    count: usize,
}

impl Earlier {
    /// An empty set with room for about this many entries.
    pub(super) fn with_room_for(entries: usize) -> Self {
        Self {
            slots: vec![0; slots_for(entries)],
            count: 0,
        }
    }

    /// The place where the same stands as at `place`, by `is_same`; if there is none, adds `place`. `hash` is that of what
    /// stands there.
    pub(super) fn find_or_add(
        &mut self,
        hash: u64,
        place: u32,
        is_same: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        if self.slots.len() < slots_for(self.count + 1) {
            self.grow();
        }
        let slot = self.slot(hash, is_same)?;
        if let Some(known) = place_in(*slot) {
            return Some(known);
        }
        *slot = with_tag(hash, place);
        self.count += 1;
        None
    }

    /// Whether some place is in the set for which `is_same` is true. `hash` is that of what stands there.
    pub(super) fn has(&mut self, hash: u64, is_same: impl Fn(u32) -> bool) -> bool {
        self.slot(hash, is_same).is_some_and(|slot| *slot != 0)
    }

    /// Replaces the place `known`, which was found by `hash`.
    pub(super) fn replace(&mut self, hash: u64, known: u32, place: u32) {
        if let Some(slot) = self.slot(hash, |there| there == known) {
            *slot = with_tag(hash, place);
        }
    }

    /// The slot with this hash whose place `is_same`, or the empty slot at which the search ends.
    fn slot(&mut self, hash: u64, is_same: impl Fn(u32) -> bool) -> Option<&mut u64> {
        let mut at = self.first(hash);
        loop {
            let slot = *self.slots.get(at)?;
            let is_found = |place| slot >> 32 == hash >> 32 && is_same(place);
            if place_in(slot).is_none_or(is_found) {
                return self.slots.get_mut(at);
            }
            at = (at + 1) % self.slots.len();
        }
    }

    /// The slot at which the search begins. Depends on the upper half of `hash` alone, which the slot keeps.
    fn first(&self, hash: u64) -> usize {
        // Multiply and shift: a number below the slot count, distributed as evenly as the hash.
        let first = u128::from(hash >> 32 << 32) * self.slots.len() as u128;
        usize::try_from(first >> 64).unwrap_or_default()
    }

    fn grow(&mut self) {
        let larger = vec![0; slots_for(2 * self.count + 1)];
        for slot in std::mem::replace(&mut self.slots, larger) {
            if slot == 0 {
                continue;
            }
            let mut at = self.first(slot);
            while self.slots.get(at).is_some_and(|there| *there != 0) {
                at = (at + 1) % self.slots.len();
            }
            if let Some(there) = self.slots.get_mut(at) {
                *there = slot;
            }
        }
    }
}

fn slots_for(entries: usize) -> usize {
    (entries * SLOTS_FOR_TWO / 2).max(4)
}

/// A slot. Four billion keys would need more memory than there is before the place saturates.
fn with_tag(hash: u64, place: u32) -> u64 {
    hash >> 32 << 32 | u64::from(place.saturating_add(1))
}

fn place_in(slot: u64) -> Option<u32> {
    u32::try_from(slot & u64::from(u32::MAX))
        .ok()?
        .checked_sub(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_last_place_of_the_same_is_found_whatever_the_hashes_are() {
        // Hashes that spread, that are all alike, and that meet at the end of the table.
        let hashes: [fn(u32) -> u64; 3] = [
            |word| u64::from(word).wrapping_mul(0x9E37_79B9_7F4A_7C15),
            |_| 0,
            |_| u64::MAX,
        ];
        for hash in hashes {
            for room in [0, 3, 1_000] {
                let mut earlier = Earlier::with_room_for(room);
                let mut model = HashMap::new();
                let words: Vec<u32> = (0..900).map(|i| i * i % 701).collect();
                for (place, word) in (0..).zip(&words) {
                    let is_same = |other: u32| words[other as usize] == *word;
                    let found = earlier.find_or_add(hash(*word), place, is_same);
                    assert_eq!(found, model.insert(*word, place));
                    if let Some(found) = found {
                        earlier.replace(hash(*word), found, place);
                    }
                }
            }
        }
    }
}
