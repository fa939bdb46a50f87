//! Tests: what the scanner finds is what a parser finds, wherever the bytes are cut.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Looks for `a`, `a.b`, `c`, and in each of `l` for `b`.
#[derive(Default, Debug, PartialEq)]
struct Found(Vec<(u8, String)>);

impl Interest for Found {
    const ROOT: Node = Node(0);

    fn child(&self, of: Node, name: &[u8]) -> Option<Node> {
        match (of.0, name) {
            (0, b"a") => Some(Node(1)),
            (1, b"b") => Some(Node(2)),
            (0, b"c") => Some(Node(3)),
            (0, b"l") => Some(Node(4)),
            (4, b"b") => Some(Node(5)),
            _ => None,
        }
    }

    fn is_list(&self, at: Node) -> bool {
        at == Node(4)
    }

    fn begins(&mut self, _: Node) {}

    fn number(&mut self, at: Node, written: &[u8]) {
        self.text(at, written);
    }

    fn text(&mut self, at: Node, text: &[u8]) {
        self.0
            .push((at.0, String::from_utf8_lossy(text).into_owned()));
    }
}

fn scan(text: &str, cut: usize) -> Vec<(u8, String)> {
    let (mut scanner, mut found) = (Scanner::default(), Found::default());
    for chunk in text.as_bytes().chunks(cut) {
        scanner.feed(chunk, &mut found);
    }
    // A number ends with the byte behind it.
    scanner.feed(b" ", &mut found);
    found.0
}

#[test]
fn numbers_and_texts_are_found_where_they_are_looked_for() {
    for (text, found) in [
        (
            r#"{"a": {"b": 5, "x": {"b": 6}}, "c": 7}"#,
            &[(2, "5"), (3, "7")][..],
        ),
        (
            r#"{"x": {"a": {"b": 1}}, "y": [{"a": {"b": 1}}, "}]", "\"]"], "c": "t\"x"}"#,
            &[(3, "t\"x")],
        ),
        (r#"[{"c": 1}, {"c": 2}]"#, &[(3, "1"), (3, "2")]),
        ("{\"c\": 1}\n{\"c\": 2}\n", &[(3, "1"), (3, "2")]),
        (
            r#"{"a": 1, "c": -1, "a": {"b": 1.5}, "c": 1e3}"#,
            &[(1, "1"), (3, "-1"), (2, "1.5"), (3, "1e3")],
        ),
        (
            r#"{"c": 99999999999999999999999}"#,
            &[(3, "99999999999999999999999")],
        ),
        (r#"{"a": {"b": null}, "c": true, "c": [1]}"#, &[]),
        (
            r#"{"\u0063": 1, "\u0061": {"\u0062": 2}}"#,
            &[(3, "1"), (2, "2")],
        ),
        (
            r#"{"c": "mod\u00e8le \ud83d\ude00\n\\\/\"\ud83d\u00e8"}"#,
            &[(3, "mod\u{e8}le \u{1f600}\n\\/\"\u{e8}")],
        ),
        (
            r#"{"l": [{"b": 1}, {"x": [{"b": 2}]}, {"b": 3}], "c": 4}"#,
            &[(5, "1"), (5, "3"), (3, "4")],
        ),
        (r#"{"l": [], "c": 4}"#, &[(3, "4")]),
        (
            r#"[[{"c": 1}], {"x": [[{"b": 1}]]}, {"c": 2}]"#,
            &[(3, "2")],
        ),
        ("\x1e{\"c\": 1}\n\x1e{\"c\": 2}\n", &[(3, "1"), (3, "2")]),
        (r#"{"c": 1,, "c": 2}"#, &[(3, "1")]),
        ("[DONE]", &[]),
        ("{]", &[]),
        (r#"{"a": {}, "c": 3}"#, &[(3, "3")]),
    ] {
        let wanted: Vec<(u8, String)> = found
            .iter()
            .map(|(at, text)| (*at, (*text).to_owned()))
            .collect();
        for cut in 1..=text.len() {
            assert_eq!(scan(text, cut), wanted, "{text} cut at {cut}");
        }
    }
    let deep = format!(
        "{{\"x\": {}{}, \"c\": 1}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(scan(&deep, 1000), [(3, "1".to_owned())]);
    let long = format!("{{\"c\": \"{}\"}}", "x".repeat(10_000));
    assert_eq!(scan(&long, 7), [(3, "x".repeat(TEXT))]);
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[a-z\"\\\\{}\\[\\]:, \u{e9}]{0,12}".prop_map(Value::from),
    ];
    let any = leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[abcx]", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[abcx]", any, 0..5)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

fn expected(document: &Value) -> Vec<(u8, String)> {
    let text = |at: u8, value: Option<&Value>| match value {
        Some(Value::Number(number)) => Some((at, number.to_string())),
        Some(Value::String(text)) => Some((at, text.clone())),
        _ => None,
    };
    let mut found = Vec::new();
    // In the order in which maps are written: that of their names.
    for (name, value) in document.as_object().into_iter().flatten() {
        match name.as_str() {
            "a" => {
                found.extend(text(1, Some(value)));
                found.extend(text(2, value.get("b")));
            }
            "c" => found.extend(text(3, Some(value))),
            _ => {}
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_found_is_what_a_parser_finds(document in document(), cut in 1_usize..20, pretty in any::<bool>()) {
        let text = if pretty { format!("{document:#}") } else { document.to_string() };
        prop_assert_eq!(scan(&text, cut), expected(&document));
    }

    #[test]
    fn whatever_comes_is_no_reason_to_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 1_usize..20) {
        let (mut scanner, mut found) = (Scanner::default(), Found::default());
        for chunk in bytes.chunks(cut) {
            scanner.feed(chunk, &mut found);
        }
    }
}

#[test]
fn a_document_that_is_no_json_is_given_up_until_the_next() {
    let (mut scanner, mut found) = (Scanner::default(), Found::default());
    scanner.feed(b"[DONE] {\"c\": 1}", &mut found);
    assert_eq!(found.0, []);
    scanner.reset();
    scanner.feed(json!({"c": 2}).to_string().as_bytes(), &mut found);
    assert_eq!(found.0, [(3, "2".to_owned())]);
}

#[test]
fn one_document_ends_once_and_nothing_follows_it() {
    let ended = |text: &str, cut: usize| {
        let (mut scanner, mut found) = (Scanner::of_one_document(), Found::default());
        for chunk in text.as_bytes().chunks(cut) {
            scanner.feed(chunk, &mut found);
        }
        scanner.has_ended()
    };
    for cut in 1..10 {
        for text in ["{}", " {\"c\": 1} \n", "{\"x\": [{}, 1]}", "[1]", "\"a\" "] {
            assert!(ended(text, cut), "{text}");
        }
        for text in [
            "",
            "{",
            "{\"c\": 1",
            "{} {}",
            "{}1",
            "{}\"a\"",
            "{}]",
            "{},",
            "{]",
            "[DONE]",
        ] {
            assert!(!ended(text, cut), "{text}");
        }
    }
}

#[test]
fn a_value_too_deep_and_a_half_character_in_a_name_are_unclear() {
    let is_unclear = |text: &str, cut: usize| {
        let (mut scanner, mut found) = (Scanner::default(), Found::default());
        for chunk in text.as_bytes().chunks(cut) {
            scanner.feed(chunk, &mut found);
        }
        scanner.is_unclear()
    };
    let nested = |depth| format!("{{\"l\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    for cut in 1..10 {
        assert!(!is_unclear(&nested(DEPTH - 1), cut) && is_unclear(&nested(DEPTH), cut));
        assert!(is_unclear(r#"{"\ud83dc": 1}"#, cut) && is_unclear(r#"{"c\udbff": 1}"#, cut));
        assert!(!is_unclear(r#"{"c": "\ud83d", "\u0063": 1}"#, cut));
    }
}

#[test]
fn a_string_of_no_interest_ends_where_it_does_wherever_it_is_cut() {
    for (text, found) in [
        (r#"{"x": "a\"b\\", "c": 1}"#, &[(3, "1")][..]),
        (r#"{"x": "\u0022\ud83d\ude00\\\"\n", "c": 2}"#, &[(3, "2")]),
        // No JSON, and the same for all cuts.
        (r#"{"x": "\u12", "c": 3}"#, &[(3, "3")]),
        (r#"{"x": "\q\", "c": 4}"#, &[]),
    ] {
        let wanted: Vec<(u8, String)> = found
            .iter()
            .map(|(at, text)| (*at, (*text).to_owned()))
            .collect();
        for cut in 1..=text.len() {
            assert_eq!(scan(text, cut), wanted, "{text} cut at {cut}");
        }
    }
}
