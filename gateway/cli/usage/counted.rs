//! The set of requests that were counted, by id: a line that is in two files, or in a copied log, counts once.
//!
//! The ids of one process differ in their last digits only and are consecutive, so a bit per id is enough.

use std::collections::HashMap;

use ahash::RandomState;

/// The number of ids in a page.
const PAGE: u64 = 512;

/// The requests that were counted: bits by process and page.
#[derive(Default)]
pub(super) struct CountedRequests {
    pages: HashMap<(u64, u64), [u64; 8], RandomState>,
}

impl CountedRequests {
    /// Adds the request with this id and time. Returns `false` if it was in the set already.
    pub(super) fn insert(&mut self, id: &str, time: &str) -> bool {
        let (process, number) = numbers(id).unwrap_or_else(|| hashed(id, time));
        let page = self.pages.entry((process, number / PAGE)).or_default();
        let bit = number % PAGE;
        let word = usize::try_from(bit / 64).unwrap_or_default();
        let Some(word) = page.get_mut(word) else {
            return true;
        };
        let mask = 1 << (bit % 64);
        let is_new = *word & mask == 0;
        *word |= mask;
        is_new
    }
}

/// The parts of an id that keygate made: the process, and the number of the request in it.
fn numbers(id: &str) -> Option<(u64, u64)> {
    let (process, number) = id.split_at_checked(16).filter(|_| id.len() == 32)?;
    let read = |part: &str| u64::from_str_radix(part, 16).ok();
    Some((read(process)?, read(number)?))
}

/// Two numbers for an id that keygate did not make.
fn hashed(id: &str, time: &str) -> (u64, u64) {
    let hash = |seed| RandomState::with_seeds(seed, 2, 3, 4).hash_one((id, time));
    (hash(1), hash(5))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_id_is_inserted_once(ids in prop::collection::vec(("[0-9a-f]{1,2}", 0..2000_u64, any::<bool>()), 0..300)) {
            let (mut counted, mut model) = (CountedRequests::default(), HashSet::new());
            for (process, number, ours) in ids {
                let id = if ours {
                    format!("{process:0>16}{number:016x}")
                } else {
                    format!("{process}-{number}")
                };
                prop_assert_eq!(counted.insert(&id, "t"), model.insert(id));
            }
        }
    }

    #[test]
    fn a_million_ids_of_a_process_take_little_memory() {
        let mut counted = CountedRequests::default();
        for number in 0..1_000_000_u64 {
            assert!(counted.insert(&format!("00000000000000aa{number:016x}"), ""));
        }
        assert!(counted.pages.len() <= 1954, "{}", counted.pages.len());
    }
}
