//! Makes a store of the parts of a key file: pages and digests that stay come from the store before.

use std::sync::Arc;

use super::parts::{NewDigest, NewKeys, Part, Parts};
use crate::key::earlier::Earlier;
use crate::key::outline::{Chunk, Outline};
use crate::key::pages::{KEYS, Page, Pages};
use crate::key::store::{KeyStore, table_entry};
use crate::key::table::{Table, TableBuilder};
use crate::runtime::background;

/// The number of digests that stay after which the loop yields to other work of the process.
const DIGESTS_A_STEP: usize = 4096;
/// The number of chunks after which a loop over ids does so.
const CHUNKS_A_STEP: usize = 32;

/// Makes a store of the parts of a file; `None` if two keys have the same id or digest, if there is no memory, or if the
/// pages have become too many for their keys.
pub(super) fn assemble(parts: Parts, before: Option<&KeyStore>) -> Option<KeyStore> {
    let Parts {
        all: parts,
        mut new,
        hashers,
    } = parts;
    if parts.is_empty() || !are_ids_unique(&parts, &new) {
        return None;
    }
    let numbers = Numbers::of(&parts, new.pages.len(), before)?;
    let table = build_table(&new, &numbers, before)?;
    let mut pages = before.map_or_else(Vec::new, |store| store.pages().by_number().to_vec());
    pages.resize_with(pages.len().max(numbers.pages), || Page::from([]));
    for number in &numbers.unused {
        *pages.get_mut(*number as usize)? = Page::from([]);
    }
    for (page, number) in new.pages.drain(..).zip(&numbers.new) {
        *pages.get_mut(*number as usize)? = page;
    }
    let renumbered = |part| match part {
        Part::Kept(chunk) => Some(chunk),
        Part::New(chunk) => {
            let page = *numbers.new.get(chunk.page as usize)?;
            Some(Arc::new(Chunk { page, ..chunk }))
        }
    };
    let chunks = parts
        .into_iter()
        .map(renumbered)
        .collect::<Option<Vec<_>>>()?;
    let order = chunks.iter().map(|chunk| chunk.page).collect();
    let pages = Pages::new(pages, order);
    let is_compact = before.is_none() || chunks.len() <= pages.count() / KEYS * 5 / 4 + KEYS;
    is_compact.then(|| KeyStore::with_outline(table, pages, Outline { hashers, chunks }))
}

/// Whether no new key has the id of another key. Compares hashes: two ids with one hash count as the same.
fn are_ids_unique(parts: &[Part], new: &NewKeys) -> bool {
    let mut ids = Vec::with_capacity(new.count);
    let mut known = Earlier::with_room_for(new.count);
    for (count, part) in parts.iter().enumerate() {
        if count.is_multiple_of(CHUNKS_A_STEP) {
            background::yield_to_others();
        }
        let Part::New(chunk) = part else { continue };
        for id in &chunk.ids {
            let place = u32::try_from(ids.len()).unwrap_or(u32::MAX);
            ids.push(*id);
            let is_same = |other: u32| other != place && ids.get(other as usize) == Some(id);
            if known.find_or_add(*id, place, is_same).is_some() {
                return false;
            }
        }
    }
    let mut is_known = |id: &u64| known.has(*id, |other| ids.get(other as usize) == Some(id));
    parts.iter().enumerate().all(|(count, part)| {
        if count.is_multiple_of(CHUNKS_A_STEP) {
            background::yield_to_others();
        }
        let Part::Kept(chunk) = part else { return true };
        !chunk.ids.iter().any(&mut is_known)
    })
}

/// The numbers of the pages of the new store.
struct Numbers {
    /// The number of each new page.
    new: Vec<u32>,
    /// Whether each page of the store before stays.
    is_kept: Vec<bool>,
    /// The numbers of pages of the store before that no page has now.
    unused: Vec<u32>,
    /// A number greater than all.
    pages: usize,
}

impl Numbers {
    fn of(parts: &[Part], new: usize, before: Option<&KeyStore>) -> Option<Self> {
        let known = before.map_or(0, |store| store.pages().by_number().len());
        let mut is_kept = vec![false; known];
        for part in parts {
            if let Part::Kept(chunk) = part {
                *is_kept.get_mut(chunk.page as usize)? = true;
            }
        }
        let free = (0..).zip(&is_kept).filter(|(_, is_kept)| !**is_kept);
        let mut free = free.map(|(number, _)| number);
        let last = u32::try_from(known).ok()?;
        let numbers: Vec<u32> = free.by_ref().chain(last..).take(new).collect();
        let pages = numbers
            .last()
            .map_or(0, |last| *last as usize + 1)
            .max(known);
        let unused = free.collect();
        Some(Self {
            new: numbers,
            is_kept,
            unused,
            pages,
        })
    }

    /// Whether the key at `place` in the store before stays there.
    fn keeps(&self, place: u32) -> bool {
        self.is_kept.get(place as usize / KEYS) == Some(&true)
    }
}

/// The table of the new store; `None` if two keys have the same digest, or if there is no memory.
fn build_table(new: &NewKeys, numbers: &Numbers, before: Option<&KeyStore>) -> Option<Table> {
    let count = new.digests.iter().map(Vec::len).sum();
    let mut table = match before.map(KeyStore::table) {
        None => TableBuilder::with_room_for(count).ok()?,
        Some(before) => kept_digests(before, numbers, count)?,
    };
    let pages = new.pages.iter().zip(&new.digests).zip(&numbers.new);
    for ((page, digests), number) in pages {
        for NewDigest { digest, index, end } in digests {
            let key = page.get(*index as usize)?;
            let place = u32::try_from(*number as usize * KEYS).ok()? + index;
            let taken = table.add(digest, table_entry(key, place, *end)).ok()?;
            if taken.is_some() {
                return None;
            }
        }
        background::yield_to_others();
    }
    table.finish().ok()
}

/// A table of the digests of `before` that stay, with room for so many new ones.
fn kept_digests(before: &Table, numbers: &Numbers, new: usize) -> Option<TableBuilder> {
    let mut kept = before.count();
    // Counted where it matters: a table of digests that nearly all change would have twice the size.
    if new > kept / 8 {
        kept = before
            .iter()
            .filter(|(_, it)| numbers.keeps(it.key))
            .count();
    }
    let mut table = TableBuilder::like(before, kept + new).ok()?;
    for (count, (digest, entry)) in before.iter().enumerate() {
        if count.is_multiple_of(DIGESTS_A_STEP) {
            background::yield_to_others();
        }
        if numbers.keeps(entry.key) {
            table.add(&digest, entry).ok()?;
        }
    }
    Some(table)
}
