//! The files of `proxy`: decisions are below the exchange, adapters are above it, and `mod.rs` only delegates.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::{self, Source};

/// The modules of `proxy`, from the ground up. Those below `exchange` decide, without Pingora's session but for two
/// exceptions; those above it adapt the session to those decisions.
const PROXY_LAYERS: &[&[&str]] = &[
    &["dialect", "held_body", "reserved", "retry"],
    &["reject"],
    &[
        "client_address",
        "connection",
        "cors",
        "failure",
        "head",
        "header_map",
        "http10",
        "limit_headers",
        "spend",
    ],
    &["admit", "conversation"],
    &["attempt", "location"],
    &["inject", "response_headers", "stream_usage"],
    &["shared", "stats"],
    &["exchange"],
    &["consumption", "respond", "send"],
    &["limits"],
    &["body"],
    &["hold"],
    &["forward", "observe", "receive", "record"],
    &["mod"],
];

/// The modules beside it that a file of `proxy` names as `super::module`, or as `self::module` if it is `mod.rs`.
fn siblings(source: &Source, module: &str) -> Vec<String> {
    let marker = if module == "mod" { "self::" } else { "super::" };
    let mut found = Vec::new();
    for (at, _) in source.code.match_indices(marker) {
        let rest = &source.code[at + marker.len()..];
        let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
        found.push(rest.chars().take_while(is_name).collect());
    }
    found
}

#[test]
fn decisions_are_below_the_exchange_and_adapters_above_it() {
    let layers = PROXY_LAYERS.iter().enumerate();
    let layer: BTreeMap<&str, usize> = layers
        .flat_map(|(height, modules)| modules.iter().map(move |module| (*module, height)))
        .collect();
    let sources = sources::all();
    let files = sources
        .iter()
        .filter(|source| source.top_module() == "proxy");
    let mut seen = BTreeSet::new();
    for source in files {
        let inside = source.path.with_extension("");
        // `inject/mod.rs` is `inject`.
        let module = inside.iter().nth(1).unwrap().to_str().unwrap();
        seen.insert(module.to_owned());
        let height = layer[module];
        for import in siblings(source, module) {
            assert!(
                layer
                    .get(import.as_str())
                    .is_some_and(|other| *other < height),
                "proxy/{module} imports {import}, which does not stand below it"
            );
        }
        // The two exceptions set options of a session.
        let knows_session = ["http10", "connection"].contains(&module);
        let is_decision = height < layer["exchange"] && !knows_session;
        assert!(
            !is_decision || !source.code.contains("pingora_proxy"),
            "proxy/{module} decides, and uses a session"
        );
    }
    assert_eq!(
        seen.len(),
        layer.len(),
        "the layers name other files than there are"
    );
}

#[test]
fn proxy_mod_rs_is_short_and_names_no_timeout() {
    let source = include_str!("../../../gateway/proxy/mod.rs");
    assert!(
        source.lines().count() <= 200,
        "proxy/mod.rs is too long to be read at a glance"
    );
    for forbidden in ["watchdog", "deadline", "timeout"] {
        assert!(
            !source.contains(forbidden),
            "proxy/mod.rs contains `{forbidden}`"
        );
    }
}
