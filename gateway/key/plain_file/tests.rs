//! A key file that is read chunk by chunk, beside the store of its last version, gives the store of a full load.

use std::io::{Seek, Write};
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::load;
use crate::document::PrefixHash;
use crate::key::file::{self, KeyFile};
use crate::key::pages::KEYS;
use crate::key::plain_tests::written;
use crate::key::store::KeyStore;
use crate::key::window::Window;
use crate::key::{ClientKey, KeyDigest};

/// Holds a chunk, and a file of several chunks does not fit.
const WINDOW: usize = 32 << 10;

/// The tables of a file of 400 keys as `keygate keys` writes it.
static TABLES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let text = written(400);
    let tables = text.split_inclusive("\n\n").map(str::to_owned);
    tables.collect()
});

/// A window over a file with this text, of at most `largest` bytes.
fn window(text: &str, largest: usize) -> Window {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    Window::with_size(WINDOW, file, text.len() as u64, largest as u64)
}

/// The store of a file with this text, if it can be read chunk by chunk.
fn read(text: &str, before: Option<&KeyStore>) -> Option<KeyStore> {
    assert!(text.is_empty() || load(window(text, text.len() - 1), before).is_none());
    let (store, hash) = load(window(text, text.len()), before)?;
    assert!(hash == PrefixHash::of(text));
    Some(store)
}

/// A table of the key `id` with the digest of `word`.
fn table(id: &str, word: &str) -> String {
    let hash = KeyDigest::of(word.as_bytes());
    format!("[[key]]\nid = \"{id}\"\nhashes = [\"{hash}\"]\n\n")
}

fn describe(key: &ClientKey) -> String {
    let ClientKey {
        id,
        labels,
        metadata,
        not_before,
        expires,
        disabled,
        counted,
        limits,
        slot: _,
    } = key;
    let names: Vec<_> = metadata.keys().collect();
    format!("{id} {labels:?} {names:?} {not_before:?} {expires:?} {disabled} {counted} {limits:?}")
}

fn keys(store: &KeyStore) -> Vec<String> {
    store.keys().map(describe).collect()
}

/// All digests with what the table knows of each, and the id of its key.
fn digests(store: &KeyStore) -> Vec<String> {
    let mut all: Vec<_> = store
        .table()
        .iter()
        .map(|(digest, entry)| {
            let id = &store.pages().key(entry.key as usize).unwrap().id;
            let (from, until) = (entry.valid_from, entry.valid_until);
            assert!(store.table().find(&digest) == Some(entry));
            format!("{digest} {id} {from} {until} {}", entry.disabled)
        })
        .collect();
    assert_eq!(all.len(), store.table().count());
    all.sort();
    all
}

/// The store of a full load, in which `counted` keys have metrics of their own; `None` if anything is wrong with the
/// file.
fn read_all(text: &str, counted: usize) -> Option<KeyStore> {
    let (KeyFile { entries, .. }, problems) = file::read(text);
    let mut store = KeyStore::build(entries).ok()?;
    store.count_first(counted);
    problems.is_empty().then_some(store)
}

/// Asserts that a file beside `before` is read as by a full load, and returns its store.
fn assert_alike(text: &str, before: Option<&KeyStore>, counted: usize) -> Option<KeyStore> {
    let (expected, alone) = (read_all(text, counted), read(text, None));
    let serving = before.map(keys);
    let store = read(text, before);
    assert_eq!(store.is_some(), alone.is_some());
    for mut store in [alone, store].into_iter().flatten() {
        store.count_first(counted);
        let expected = expected.as_ref().expect("a file without problems");
        assert_eq!(store.count(), expected.count());
        assert_eq!(keys(&store), keys(expected));
        assert_eq!(digests(&store), digests(expected));
    }
    assert_eq!(
        before.map(keys),
        serving,
        "the store that serves has changed"
    );
    let mut store = read(text, before)?;
    store.count_first(counted);
    Some(store)
}

#[test]
fn a_changed_key_makes_its_page_anew_and_no_other() {
    let text = TABLES.concat();
    let before = read(&text, None).unwrap();
    let place = 3 * KEYS + 5;
    let mut tables = TABLES.clone();
    tables[place] = tables[place].replace("[[key]]\n", "[[key]]\n# changed\n");
    let mut without = TABLES.clone();
    without.remove(place);
    let mut more = TABLES.clone();
    more.insert(place, table("new", "new"));
    for tables in [tables, without, more] {
        let store = assert_alike(&tables.concat(), Some(&before), 1000).unwrap();
        let pages = before.pages().by_number().iter();
        let is_shared = pages.map(|page| {
            let mut there = store.pages().by_number().iter();
            there.any(|other| Arc::ptr_eq(page, other))
        });
        let is_shared: Vec<_> = is_shared.collect();
        let expected: Vec<_> = (0..is_shared.len()).map(|page| page != 3).collect();
        assert_eq!(is_shared, expected);
    }
}

#[test]
fn a_line_behind_a_chunk_belongs_to_its_last_table() {
    let text = TABLES.concat();
    let before = read(&text, None).unwrap();
    for chunk in [1, 2, TABLES.len() / KEYS] {
        let mut tables = TABLES.clone();
        let last = tables.get_mut(chunk * KEYS - 1).unwrap();
        assert!(!last.contains("not_before"));
        *last += "not_before = 2024-02-29T23:59:59Z\n";
        let store = assert_alike(&tables.concat(), Some(&before), 1000).unwrap();
        let key = store.keys().nth(chunk * KEYS - 1).unwrap();
        assert!(key.not_before.is_some());
    }
}

#[test]
fn chunks_that_were_moved_are_read_and_repeated_ones_are_not() {
    let chunks: Vec<_> = TABLES.chunks(KEYS).map(<[String]>::concat).collect();
    let before = read(&chunks.concat(), None).unwrap();
    for from in 0..chunks.len() {
        for to in 0..chunks.len() {
            let mut moved = chunks.clone();
            let chunk = moved.remove(from);
            moved.insert(to, chunk.clone());
            assert!(assert_alike(&moved.concat(), Some(&before), 70).is_some());
            for new in [String::new(), table("new", "new")] {
                let mut repeated = chunks.clone();
                repeated.insert(to, new + &chunk);
                assert!(assert_alike(&repeated.concat(), Some(&before), 70).is_none());
            }
        }
    }
}

#[test]
fn pages_do_not_become_ever_more() {
    let mut tables = vec![TABLES[0].clone()];
    let mut store = read(&tables.concat(), None).unwrap();
    for number in 0..3 * KEYS {
        let id = format!("new-{number}");
        tables.push(table(&id, &id));
        store = assert_alike(&tables.concat(), Some(&store), 9).unwrap();
        assert_eq!(store.pages().by_number().len(), tables.len().div_ceil(KEYS));
    }
    // A key before a full chunk gets a page of its own, until there are too many of them.
    let is_refused = (0..10 * KEYS).any(|number| {
        let id = format!("before-{number}");
        tables.insert(number * (KEYS + 1) % tables.len(), table(&id, &id));
        let next = read(&tables.concat(), Some(&store));
        let is_refused = next.is_none();
        store = next.unwrap_or_else(|| read(&tables.concat(), None).unwrap());
        is_refused
    });
    let pages = store.pages().by_number().len();
    assert!(is_refused || pages <= store.count() / KEYS * 5 / 4 + KEYS);
}

#[test]
fn a_file_without_keys_and_one_of_another_form_are_left_to_a_full_load() {
    for text in ["", "\n", "# none\n", "x = 1\n", "[[key]]\nid = 'a'\n"] {
        assert!(read(text, None).is_none(), "{text}");
    }
    let metadata = TABLES.concat() + "metadata = { a = \"inline:b\" }\n";
    assert!(read(&metadata, None).is_none());
    let twice = TABLES.concat() + &TABLES[3];
    let before = read(&TABLES.concat(), None).unwrap();
    let (last, first) = (TABLES.len() - 1, TABLES[0].clone());
    let begin = |more: String| first.clone() + &more + &TABLES[1..].concat();
    for text in [
        twice,
        begin(table(&format!("client-{last}"), "new")),
        begin(table("new", &last.to_string())),
        TABLES.concat() + &table("client-0", "new"),
        TABLES.concat() + &table("new", "0"),
    ] {
        for before in [None, Some(&before)] {
            assert!(assert_alike(&text, before, 9).is_none());
        }
    }
}

/// A change of the tables of a file; places are taken modulo their number.
#[derive(Clone, Debug)]
enum Change {
    Disable(usize),
    Rotate(usize),
    Remove(usize, usize),
    Insert(usize, usize),
    Repeat(usize),
    Move(usize, usize),
    Swap(usize),
    Byte(usize, u8),
    Comment(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<usize>;
    prop_oneof![
        3 => at().prop_map(Change::Disable),
        3 => at().prop_map(Change::Rotate),
        3 => (at(), 1..130_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        3 => (at(), 1..130_usize).prop_map(|(at, count)| Change::Insert(at, count)),
        1 => at().prop_map(Change::Repeat),
        2 => (at(), at()).prop_map(|(from, to)| Change::Move(from, to)),
        1 => at().prop_map(Change::Swap),
        1 => (at(), 0..127_u8).prop_map(|(at, byte)| Change::Byte(at, byte)),
        2 => at().prop_map(Change::Comment),
    ]
}

fn apply(tables: &mut Vec<String>, change: &Change, round: usize) {
    let count = tables.len().max(1);
    let new = |number: usize| {
        let word = format!("{round}-{number}");
        table(&format!("n-{word}"), &word)
    };
    let place = |at: usize| at % count;
    match *change {
        Change::Insert(at, more) => {
            let at = at % (tables.len() + 1);
            tables.splice(at..at, (0..more).map(new));
        }
        _ if tables.is_empty() => {}
        Change::Disable(at) => {
            let (old, line) = (&mut tables[place(at)], "disabled = true\n");
            *old = if old.contains(line) {
                old.replace(line, "")
            } else {
                old.clone() + line
            };
        }
        Change::Rotate(at) => {
            let hash = KeyDigest::of(format!("r{round}").as_bytes());
            let ending = format!("[{{ hash = \"{hash}\", expires = 2030-01-31T12:00:00Z }}, ");
            let old = &mut tables[place(at)];
            *old = old.replacen("hashes = [", &format!("hashes = {ending}"), 1);
        }
        Change::Remove(at, less) => {
            let at = place(at);
            tables.drain(at..count.min(at + less));
        }
        Change::Repeat(at) => tables.push(tables[place(at)].clone()),
        Change::Move(from, to) => {
            let moved = tables.remove(place(from));
            tables.insert(to % count, moved);
        }
        Change::Swap(at) => tables.rotate_left(place(at)),
        Change::Byte(at, byte) => {
            let old = &mut tables[place(at)];
            let byte_at = at / count % (old.len() + 1);
            if old.is_char_boundary(byte_at) {
                old.insert(byte_at, byte.into());
            }
        }
        Change::Comment(at) => tables[place(at)].insert_str(0, "# comment\n"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn versions_of_a_file_are_read_one_after_the_other_as_by_full_loads(
        count in 1_usize..400,
        versions in proptest::collection::vec((proptest::collection::vec(change(), 0..4), 0..500_usize), 1..6),
    ) {
        let mut tables = TABLES[..count].to_vec();
        let mut store = assert_alike(&tables.concat(), None, count / 2);
        for (round, (changes, counted)) in versions.iter().enumerate() {
            for change in changes {
                apply(&mut tables, change, round);
            }
            store = assert_alike(&tables.concat(), store.as_ref(), *counted);
        }
    }
}
