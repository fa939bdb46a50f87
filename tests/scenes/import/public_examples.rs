//! Ten realistic configurations, modelled on public ones. `docs/imports.md` lists the results.

use std::path::Path;

use keygate::testing::import::gloo;
use keygate::testing::import::{self, Plan, litellm};

use super::{input, section, sections, variable, write_and_load};

/// The files, in the order of the table.
const EXAMPLES: [&str; 10] = [
    "litellm-stranger-1-agents",
    "litellm-stranger-2-free-tiers",
    "litellm-stranger-3-authority",
    "litellm-stranger-4-anything",
    "litellm-stranger-5-database",
    "litellm-stranger-6-house",
    "41-stranger-gloo-workshop",
    "42-stranger-gloo-portal",
    "43-stranger-kgateway",
    "44-stranger-agentgateway-enterprise",
];

fn imported(text: &str) -> Plan {
    let parts = sections(text);
    let manifests = section(&parts, "manifests");
    if !manifests.is_empty() {
        return gloo::read(&input("manifests", manifests), &[], false).unwrap();
    }
    let set = |name: &str| variable(section(&parts, "environment"), name);
    let keys = section(&parts, "tokens.csv");
    let tables = litellm::Tables {
        keys: (!keys.is_empty()).then_some(("tokens.csv", keys)),
        ..litellm::Tables::default()
    };
    litellm::read_in("config.yaml", section(&parts, "config.yaml"), &tables, &set).unwrap()
}

/// The numbers of routes with a key, other routes, enabled keys, prices, and notes.
fn counts(plan: &Plan) -> [usize; 5] {
    let enabled: Vec<_> = plan.keys.iter().filter(|key| !key.disabled).collect();
    let is_open = |route: &&import::PlannedRoute| {
        route.keys.as_ref().is_none_or(|labels| {
            enabled.iter().any(|key| {
                labels
                    .iter()
                    .all(|(name, value)| key.labels.get(name) == Some(value))
            })
        })
    };
    let open = plan.routes.iter().filter(is_open).count();
    let listed = plan.notes.iter().filter(|note| note.lost).count();
    [
        open,
        plan.routes.len() - open,
        enabled.len(),
        plan.prices.len(),
        listed,
    ]
}

#[test]
fn ten_public_examples_have_the_results_that_docs_imports_lists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("docs/imports.md")).unwrap();
    let mut missing = Vec::new();
    for name in EXAMPLES {
        let path = root.join(format!("tests/import/{name}.golden"));
        let plan = imported(&std::fs::read_to_string(path).unwrap());
        let [open, closed, keys, prices, listed] = counts(&plan);
        let row = format!(
            "](../tests/import/{name}.golden) | {open} | {closed} | {keys} | {prices} | {listed} |"
        );
        if !table.contains(&row) {
            missing.push(row);
        }
        // Every route needs a key, and `check` accepts the result.
        assert!(
            plan.routes.iter().all(|route| route.keys.is_some()),
            "{name}"
        );
        let folder = tempfile::tempdir().unwrap();
        let (_, loaded) = write_and_load(&plan, folder.path());
        loaded.unwrap_or_else(|errors| panic!("{name}: {errors}"));
    }
    let missing = missing.join("\n");
    assert!(
        missing.is_empty(),
        "docs/imports.md has no rows with\n{missing}"
    );
}

#[test]
fn each_note_names_the_object_and_the_line() {
    for name in EXAMPLES {
        let path = format!("{}/tests/import/{name}.golden", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let parts = sections(&text);
        let lines = section(&parts, "manifests")
            .lines()
            .count()
            .max(section(&parts, "config.yaml").lines().count());
        for note in imported(&text).notes {
            let place = note.object.trim_end_matches(')').rsplit_once(':');
            let line = place.and_then(|(_, line)| line.parse::<usize>().ok());
            assert!(
                line.is_some_and(|line| (1..=lines).contains(&line)),
                "{name}: {note}"
            );
            assert!(!note.what.is_empty(), "{name}: {note}");
        }
    }
}
