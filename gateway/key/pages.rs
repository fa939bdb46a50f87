//! The keys of a store, in pages that many keys share: one allocation and one reference count for all keys of a page.
//!
//! An exchange keeps its key, and with it one page, but not the store: a stream of an hour must not keep a million
//! replaced keys in memory.

use std::ops::Deref;
use std::sync::Arc;

use super::client_key::ClientKey;
use crate::document::TABLES_A_CHUNK;
use crate::runtime::background;

/// The number of keys in a page. An exchange that outlives its store keeps so many keys in memory.
pub(super) const KEYS: usize = TABLES_A_CHUNK;

/// The number of pages after which a loop over their keys yields to other work of the process.
const PAGES_A_STEP: usize = 64;

pub(super) type Page = Arc<[ClientKey]>;

/// The keys of a store by their place: the number of the page times 64, and the index in the page. A page that was made
/// anew has the number of one that was removed, so that the places in all other pages stay the same.
pub(super) struct Pages {
    by_number: Vec<Page>,
    /// The numbers of the pages in the order of the keys at their source.
    order: Vec<u32>,
    count: usize,
}

impl Pages {
    /// Pages by their numbers. `order` has each number in use once.
    pub(super) fn new(pages: Vec<Page>, order: Vec<u32>) -> Self {
        let mut all = Self {
            by_number: pages,
            order,
            count: 0,
        };
        all.count = all.in_order().map(|page| page.len()).sum();
        all
    }

    /// The pages by their numbers.
    pub(super) fn by_number(&self) -> &[Page] {
        &self.by_number
    }

    fn in_order(&self) -> impl Iterator<Item = &Page> {
        let page = |number: &u32| self.by_number.get(*number as usize);
        self.order.iter().filter_map(page)
    }

    /// Lets the first `counted` keys have metrics of their own, and no other key. Copies the pages that differ, which
    /// another store may have as well.
    pub(super) fn count_first(&mut self, counted: usize) {
        let mut begin = 0;
        for (count, number) in self.order.iter().enumerate() {
            if count.is_multiple_of(PAGES_A_STEP) {
                background::yield_to_others();
            }
            let Some(page) = self.by_number.get_mut(*number as usize) else {
                continue;
            };
            // Of the keys in a page, the counted ones are the first.
            let here = counted.saturating_sub(begin).min(page.len());
            if page.partition_point(|key| key.counted) != here {
                for (index, key) in Arc::make_mut(page).iter_mut().enumerate() {
                    key.counted = index < here;
                }
            }
            begin += page.len();
        }
    }

    /// The key at `place`, with its page.
    pub(super) fn get(&self, place: usize) -> Option<PagedKey<'_>> {
        let page = self.by_number.get(place / KEYS)?;
        let index = place % KEYS;
        let key = page.get(index)?;
        Some(PagedKey { key, page, index })
    }

    /// The key at `place`.
    pub(super) fn key(&self, place: usize) -> Option<&ClientKey> {
        self.by_number.get(place / KEYS)?.get(place % KEYS)
    }

    /// All keys, in the order of their source.
    pub(super) fn iter(&self) -> impl Iterator<Item = &ClientKey> {
        self.in_order().flat_map(|page| page.iter())
    }

    /// The number of keys.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Frees the keys that no exchange holds, yielding to other work of the process.
    pub(super) fn free(self) {
        for page in self.by_number {
            drop(page);
            background::yield_to_others();
        }
    }
}

/// Pages that are being filled.
pub(super) struct PagesBuilder {
    pages: Vec<Page>,
    last: Vec<ClientKey>,
}

impl PagesBuilder {
    /// No pages, with room for about this many keys.
    pub(super) fn with_room_for(keys: usize) -> Self {
        Self {
            pages: Vec::with_capacity(keys.div_ceil(KEYS)),
            last: Vec::with_capacity(KEYS),
        }
    }

    /// The number of keys so far: the place of the next one.
    pub(super) fn count(&self) -> usize {
        self.pages.len() * KEYS + self.last.len()
    }

    /// The key at `place`.
    pub(super) fn get(&self, place: usize) -> Option<&ClientKey> {
        let page = self
            .pages
            .get(place / KEYS)
            .map_or(&*self.last, |page| page);
        page.get(place % KEYS)
    }

    /// Adds a key. Yields to other work of the process now and then.
    pub(super) fn push(&mut self, key: ClientKey) {
        self.last.push(key);
        if self.last.len() == KEYS {
            self.pages.push(self.last.drain(..).collect());
            background::yield_to_others();
        }
    }

    /// The complete pages.
    pub(super) fn finish(mut self) -> Pages {
        if !self.last.is_empty() {
            self.pages.push(self.last.into());
        }
        let count = u32::try_from(self.pages.len()).unwrap_or(u32::MAX);
        Pages::new(self.pages, (0..count).collect())
    }
}

/// A key within the pages of its store.
#[derive(Clone, Copy)]
pub struct PagedKey<'s> {
    key: &'s ClientKey,
    page: &'s Page,
    index: usize,
}

impl PagedKey<'_> {
    /// The key for as long as the caller needs it, without its store.
    pub(crate) fn keep(&self) -> KeptKey {
        KeptKey {
            page: self.page.clone(),
            index: self.index,
        }
    }
}

impl Deref for PagedKey<'_> {
    type Target = ClientKey;

    fn deref(&self) -> &ClientKey {
        self.key
    }
}

/// A key that outlives its store. It keeps its page in memory.
#[derive(Clone)]
pub(crate) struct KeptKey {
    page: Page,
    index: usize,
}

impl KeptKey {
    /// The key. Never `None`: the type has no other way to say that the index is within the page.
    pub(crate) fn get(&self) -> Option<&ClientKey> {
        self.page.get(self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(place: usize) -> ClientKey {
        ClientKey::new(place.to_string().into())
    }

    #[test]
    fn every_key_is_at_its_place_whatever_their_number() {
        for count in [0, 1, KEYS - 1, KEYS, KEYS + 1, 3 * KEYS, 3 * KEYS + 5] {
            let mut builder = PagesBuilder::with_room_for(count / 2);
            for place in 0..count {
                assert_eq!(builder.count(), place);
                builder.push(key(place));
                assert_eq!(&*builder.get(place).unwrap().id, place.to_string());
                assert!(builder.get(place + 1).is_none());
            }
            let pages = builder.finish();
            assert_eq!(pages.count(), count);
            assert!(pages.get(count).is_none() && pages.key(count).is_none());
            for place in 0..count {
                let found = pages.get(place).unwrap();
                assert_eq!(&*found.id, place.to_string());
                assert_eq!(&*found.keep().get().unwrap().id, place.to_string());
                assert_eq!(&*pages.key(place).unwrap().id, place.to_string());
            }
            let ids: Vec<_> = pages.iter().map(|key| key.id.to_string()).collect();
            let expected: Vec<_> = (0..count).map(|place| place.to_string()).collect();
            assert_eq!(ids, expected);
        }
    }

    #[test]
    fn a_kept_key_keeps_its_page_and_no_other() {
        let mut builder = PagesBuilder::with_room_for(0);
        (0..3 * KEYS).for_each(|place| builder.push(key(place)));
        let pages = builder.finish();
        let ids: Vec<_> = pages.iter().map(|key| key.id.clone()).collect();
        let kept = pages.get(KEYS + 7).unwrap().keep();
        pages.free();
        let in_memory = |place: &usize| Arc::strong_count(&ids[*place]) == 2;
        let left: Vec<_> = (0..3 * KEYS).filter(in_memory).collect();
        assert_eq!(left, (KEYS..2 * KEYS).collect::<Vec<_>>());
        assert_eq!(&*kept.get().unwrap().id, (KEYS + 7).to_string());
    }
}
