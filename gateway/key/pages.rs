//! The keys of a store, in pages that many keys share: one allocation and one reference count for all keys of a page.
//!
//! An exchange keeps its key, and with it one page, but not the store: a stream of an hour must not keep a million
//! replaced keys in memory.

use std::ops::Deref;
use std::sync::Arc;

use super::client_key::ClientKey;
use crate::runtime::background;

/// The number of keys in a page. An exchange that outlives its store keeps so many keys in memory.
const KEYS: usize = 64;

type Page = Arc<[ClientKey]>;

/// The keys of a store by their place. All pages but the last are full.
pub(super) struct Pages {
    pages: Vec<Page>,
    count: usize,
}

impl Pages {
    /// The key at `place`, with its page.
    pub(super) fn get(&self, place: usize) -> Option<PagedKey<'_>> {
        let page = self.pages.get(place / KEYS)?;
        let index = place % KEYS;
        let key = page.get(index)?;
        Some(PagedKey { key, page, index })
    }

    /// The key at `place`.
    pub(super) fn key(&self, place: usize) -> Option<&ClientKey> {
        self.pages.get(place / KEYS)?.get(place % KEYS)
    }

    /// All keys, by their place.
    pub(super) fn iter(&self) -> impl Iterator<Item = &ClientKey> {
        self.pages.iter().flat_map(|page| page.iter())
    }

    /// The number of keys.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Frees the keys that no exchange holds, yielding to other work of the process.
    pub(super) fn free(self) {
        for page in self.pages {
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
        let count = self.count();
        if !self.last.is_empty() {
            self.pages.push(self.last.into());
        }
        Pages {
            pages: self.pages,
            count,
        }
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::key::Labels;

    fn key(place: usize) -> ClientKey {
        ClientKey {
            id: place.to_string().into(),
            labels: Labels::default(),
            metadata: BTreeMap::new(),
            not_before: None,
            expires: None,
            disabled: false,
            counted: true,
        }
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
