//! A key file read line by line is the same as one that the parser of TOML has read, whatever is wrong with it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::KeyDigest;
use super::client_key::KeyEntry;
use super::edit::{NewKey, add};
use super::file::{KeyFile, Note};
use super::known::Known;
use super::plain::PlainChunk;
use crate::document::{Document, Problems};
use crate::limit::amount::budgets;
use crate::limit::of_key::LimitSettings;
use crate::secret::LocalSecrets;

/// Everything that a file says and everything that is wrong with it.
fn read(text: &str) -> (Vec<String>, Vec<Note>, Vec<String>) {
    let document = Document::new(Path::new("keys.toml"), text.to_owned());
    let problems = Problems::default();
    let (file, notes) =
        KeyFile::read_with_notes(&document, Path::new("."), &LocalSecrets, &problems);
    let problems = problems.into_sorted();
    (
        file.entries.iter().map(describe).collect(),
        notes,
        problems.iter().map(ToString::to_string).collect(),
    )
}

fn describe(entry: &KeyEntry) -> String {
    let key = &entry.key;
    let digests = entry.digests.iter();
    let digests: Vec<_> = digests
        .map(|(digest, end)| (digest.to_string(), *end))
        .collect();
    format!(
        "{} {:?} {:?} {:?} {:?} {} {} {:?} {digests:?}",
        key.id,
        key.labels,
        key.metadata.keys().collect::<Vec<_>>(),
        key.not_before,
        key.expires,
        key.disabled,
        key.counted,
        key.limits,
    )
}

/// The same file in a spelling that is read by the parser of TOML alone: with a space behind each header.
fn for_the_parser(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| match line {
        "[[key]]\n" => "[[key]] \n",
        other => other,
    });
    lines.collect()
}

#[test]
fn what_a_rotation_writes_is_read_without_a_parser() {
    let digest = |word: &str| KeyDigest::of(word.as_bytes());
    let text = format!(
        "[[key]]\nid = \"a\"\nhashes = [\"{}\", {{ hash = \"{}\", expires = 2027-01-31T12:00:00Z }}]\n",
        digest("new"),
        digest("old"),
    );
    assert!(is_plain(&text));
    assert_alike(&text);
    let end = "2027-01-31T12:00:00Z".parse().unwrap();
    let file = super::file::read(&text).0;
    let ends: Vec<_> = file.entries[0].digests.iter().map(|it| it.1).collect();
    assert_eq!(ends, [None, Some(end)]);
}

fn is_plain(text: &str) -> bool {
    let length = PlainChunk::default().read(text, &mut Known::default());
    length == Some(text.len())
}

fn assert_alike(text: &str) {
    let parsed = for_the_parser(text);
    assert!(!is_plain(&parsed));
    // A header within a multi-line string has the space as well.
    let of = |text: &str| format!("{:?}", read(text)).replace("[[key]] ", "[[key]]");
    assert_eq!(of(text), of(&parsed), "{text}");
}

/// A key as the command line makes it, with the settings that the bits of `settings` stand for.
pub(super) fn new_key(number: usize, settings: usize) -> NewKey {
    let has = |bit: usize| settings >> bit & 1 == 1;
    let time = |text: &str| text.parse().unwrap();
    let label = |name: &str| (name.to_owned(), format!("\u{fc}ber {}", number % 3));
    let labels = ["team", "a-b_c"].map(label);
    NewKey {
        id: format!("client-{number}"),
        digest: KeyDigest::of(number.to_string().as_bytes()),
        labels: labels.into_iter().skip(settings % 3).collect(),
        metadata: BTreeMap::default(),
        not_before: has(2).then(|| time("2024-02-29T23:59:59Z")),
        expires: has(3).then(|| time("2031-12-31T00:00:00Z")),
        disabled: has(4),
        limits: limits(number % 8),
        created: time("2026-11-28T06:00:00Z"),
        comment: has(5).then(|| "# it's a [[key]]".to_owned()),
    }
}

/// Limits with the settings that the bits of `which` stand for.
fn limits(which: usize) -> LimitSettings {
    let has = |bit: usize| which >> bit & 1 == 1;
    let texts = ["5.00 per day", "0.000000001 for ever"];
    LimitSettings {
        rpm_limit: has(0).then_some(600),
        tpm_limit: has(1).then_some(2_000_000),
        max_parallel_requests: has(1).then_some(20),
        max_budget: match which {
            4.. => budgets(texts.into_iter().skip(which % 2)).unwrap(),
            _ => Vec::new(),
        },
        soft_budget: [80, 95].into_iter().take(which.saturating_sub(4)).collect(),
    }
}

/// A file of so many keys as `keygate keys` writes it.
pub(super) fn written(count: usize) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    let keys: Vec<_> = (0..count).map(|i| new_key(i, i * 7 % 64)).collect();
    add(&path, &keys).unwrap();
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn what_keygate_keys_writes_is_read_without_a_parser() {
    let text = written(64);
    assert!(is_plain(&text));
    let (entries, _, problems) = read(&text);
    assert_eq!((entries.len(), problems.len()), (64, 0));
    let commented = format!("# first\n\n{text}\n# l\u{e4}st\n");
    assert!(is_plain(&commented));
    for text in [text, commented, written(200)] {
        assert_alike(&text);
    }
}

#[test]
fn a_plain_key_file_with_any_byte_changed_is_read_as_by_the_parser() {
    let text = written(2);
    for at in 0..text.len() {
        for byte in "\"\\#[}=, \n\t9a\0".chars() {
            let Some((before, after)) = text.split_at_checked(at) else {
                continue;
            };
            let behind = after.chars().next().map_or(0, char::len_utf8);
            assert_alike(&format!("{before}{byte}{}", &after[behind..]));
        }
        if text.is_char_boundary(at) {
            assert_alike(&text[..at]);
        }
    }
}

/// Asserts that keys with these lines are read as by the parser, alone, beside others, and in other spellings.
fn assert_unusual(more: &str) {
    let key = |more: &str| {
        let hash = KeyDigest::of(more.as_bytes());
        format!("[[key]]\nid = \"a\"\nhashes = [\"{hash}\"]\n{more}\n")
    };
    let hash = KeyDigest::of(b"x");
    let with_end = |text: &str, end: &str| {
        let table = format!("\", {{ hash = \"{hash}\", expires = {end} }}]");
        text.replace("\"]", &table)
    };
    let one = key(more);
    for text in [
        one.clone(),
        key("") + &one,
        one.clone() + &key("disabled = true"),
        one.clone() + &one + &one,
        one.replace("\"]", &format!("\", \"{hash}\"]")),
        one.replace("\"]", &format!("\", \"{hash}\", \"{hash}\"]")),
        one.replace("\"]", "\",]"),
        with_end(&one, "2027-01-31T12:00:00Z"),
        with_end(&one, "2027-02-30T12:00:00Z"),
        with_end(&one, "\"2027-01-31T12:00:00Z\""),
        with_end(&one, "1"),
        with_end(&one, "2027-01-31T12:00:00Z, a = 1"),
        one.replace("[\"", "\"").replace("\"]", "\""),
        one.replace(':', ":A"),
        one.replace("\"a\"", "\"a b\""),
        one.replace("\"a\"", "\"\""),
        one.replace('\n', "\r\n"),
        format!("\u{feff}{one}"),
        format!("x = 1\n{one}"),
    ] {
        assert_alike(&text);
    }
}

#[test]
fn unusual_settings_of_plain_keys_are_read_as_by_the_parser() {
    for more in [
        "expires = 2023-02-29T00:00:00Z",
        "expires = 2024-02-30T00:00:00Z",
        "expires = 9999-12-31T23:59:59Z",
        "expires = 0000-01-01T00:00:00Z",
        "expires = 0999-01-01T00:00:00Z",
        "expires = 2026-06-30T23:59:60Z",
        "expires = 2026-06-30T24:00:00Z",
        "expires = 2026-13-01T00:00:00Z",
        "expires = 2026-06-30 23:59:59Z",
        "expires = 2026-06-30T23:59:59+00:00",
        "expires = 2026-06-30T23:59:59.5Z",
        "expires = \"2026-06-30T23:59:59Z\"",
        "expires = 2026-01-01T00:00:00Z\nnot_before = 2026-01-01T00:00:00Z",
        "expires = 2026-01-01T00:00:01Z\nnot_before = 2026-01-01T00:00:00Z",
        "labels = {}",
        "labels = { }",
        "labels = {  }",
        "labels = { a = \"1\", a = \"2\" }",
        "labels = { a.b = \"1\" }",
        "labels = { \"a\" = \"1\" }",
        "labels = { 1 = \"1\", - = \"2\", _ = \"\" }",
        "labels = { b = \"1\", a = \"2\", }",
        "labels = { a = \"} }\" }",
        "labels = { a = \"\u{85}\u{2028}\u{1f980}\" }",
        "[key.labels]\na = \"b\"",
        "disabled = true\ndisabled = true",
        "disabled = 1",
        "disabled = false",
        "comment = \"a\\u0041\"",
        "comment = \"a\tb\"",
        "comment = 'it is'",
        "comment = \"'''\"",
        "id = \"b\"",
        "created = 1",
        "metadata = { t = \"inline:x\" }",
        "label = { a = \"b\" }",
        "expires = 2027-01-31T12:00:00Z",
        "# [[key]]\n  [[ key ]]\nid = \"b\"",
        "[[keys]]",
    ] {
        assert_unusual(more);
    }
}

#[test]
fn unusual_limits_of_plain_keys_are_read_as_by_the_parser() {
    for more in [
        "rpm_limit = 600",
        "rpm_limit = 6_00\ntpm_limit = 1_000_000",
        "rpm_limit = 6__00",
        "rpm_limit = 600_",
        "rpm_limit = 0600",
        "rpm_limit = 0",
        "rpm_limit = +600",
        "rpm_limit = -600",
        "rpm_limit = 0x10",
        "rpm_limit = 600 # more",
        "rpm_limit = 600 ",
        "rpm_limit = ",
        "rpm_limit = 600.0",
        "rpm_limit = \"600\"",
        "rpm_limit = 1000000001",
        "rpm_limit = 9223372036854775808",
        "rpm_limit = 600\nrpm_limit = 600",
        "max_parallel_requests = 4294967295",
        "max_parallel_requests = 4294967296",
        "max_parallel_requests = 0",
        "max_budget = 50",
        "max_budget = 0",
        "max_budget = 1_000",
        "max_budget = 50.0",
        "max_budget = -1",
        "max_budget = \"50\"",
        "max_budget = '50'",
        "max_budget = \"50 per month\" ",
        "max_budget = \"50 per moon\"",
        "max_budget = [\"5 per day\", \"50 per month\"]",
        "max_budget = [\"5 per day\",\"50 per month\"]",
        "max_budget = [\"5 per day\", \"6 per days\"]",
        "max_budget = [\"5 per day\", \"\"]",
        "max_budget = [\"5 per day\"",
        "max_budget = [\n\"5 per day\"\n]",
        "max_budget = \"5 per day\", \"50 per month\"",
        "max_budget = []",
        "max_budget = [50]",
        "max_budget = \"\"\"50\"\"\"",
        "max_budgets = \"50\"",
        "max_ = 1",
        "max_budget = \"50\"\nsoft_budget = \"80%\"",
        "soft_budget = [\"95%\", \"80%\", \"80%\"]\nmax_budget = \"50\"",
        "max_budget = \"50\"\nsoft_budget = \"100%\"",
        "max_budget = \"50\"\nsoft_budget = []",
        "max_budget = \"50\"\nsoft_budget = 80",
        "max_budget = 50.0\nsoft_budget = \"80%\"",
        "soft_budget = \"80%\"",
    ] {
        assert_unusual(more);
    }
}

/// A change of a text at a place.
#[derive(Clone, Debug)]
enum Change {
    Put(usize, String),
    Cut(usize, usize),
    Repeat(usize, usize),
}

fn apply(text: &mut String, change: &Change) {
    let place = |at: usize| {
        let mut at = at % (text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    match change {
        Change::Put(at, what) => text.insert_str(place(*at), what),
        Change::Cut(at, length) => {
            let (from, to) = (place(*at), place((at % (text.len() + 1)) + length));
            text.replace_range(from.min(to)..from.max(to), "");
        }
        Change::Repeat(at, length) => {
            let (from, to) = (place(*at), place((at % (text.len() + 1)) + length));
            let part = text[from.min(to)..from.max(to)].to_owned();
            text.insert_str(from.min(to), &part);
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let part = prop_oneof![
        any::<char>().prop_map(String::from),
        "[\\[\\]{}\"'\n =#,.a0-]{1,3}",
        Just("[[key]]\n".to_owned()),
        Just("metadata = { a = \"inline:b\" }\n".to_owned()),
        Just("\"\"\"".to_owned()),
    ];
    prop_oneof![
        (any::<usize>(), part).prop_map(|(at, part)| Change::Put(at, part)),
        (any::<usize>(), 0..300_usize).prop_map(|(at, length)| Change::Cut(at, length)),
        (any::<usize>(), 0..600_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_file_of_several_chunks_is_read_as_by_the_parser(
        count in 60_usize..200,
        changes in proptest::collection::vec(change(), 0..4),
    ) {
        static WRITTEN: LazyLock<String> = LazyLock::new(|| written(200));
        let mut text = String::new();
        text.extend(WRITTEN.split_inclusive("\n\n").take(count));
        for change in &changes {
            apply(&mut text, change);
        }
        assert_alike(&text);
    }
}
