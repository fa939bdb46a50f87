//! Ten realistic configurations, modelled on public ones. `docs/imports.md` lists the results.

use std::path::Path;

use keygate::testing::config::{Purpose, Resolved};
use keygate::testing::import::gloo::{self, Input};
use keygate::testing::import::{self, Plan, litellm};

/// The files, in the order of the table.
const STRANGERS: [&str; 10] = [
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

/// The section of a golden file; empty if there is none.
fn section<'t>(text: &'t str, name: &str) -> &'t str {
    let start = format!("=== {name}\n");
    let found = text.split_once(&start).map_or("", |(_, rest)| rest);
    found.split("\n=== ").next().unwrap()
}

fn imported(text: &str) -> Plan {
    let manifests = section(text, "manifests");
    if !manifests.is_empty() {
        let input = Input {
            name: "manifests".to_owned(),
            text: manifests.to_owned(),
        };
        return gloo::read(&[input], &[], false).unwrap();
    }
    let environment = section(text, "environment");
    let set = |name: &str| {
        let mut lines = environment.lines().filter_map(|line| line.split_once('='));
        lines
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.to_owned())
    };
    let keys = section(text, "tokens.csv");
    let tables = litellm::Tables {
        keys: (!keys.is_empty()).then_some(("tokens.csv", keys)),
        ..litellm::Tables::default()
    };
    litellm::read_in("config.yaml", section(text, "config.yaml"), &tables, &set).unwrap()
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
fn ten_configurations_of_strangers_become_what_the_table_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("docs/imports.md")).unwrap();
    let mut missing = Vec::new();
    for name in STRANGERS {
        let path = root.join(format!("tests/import/{name}.golden"));
        let plan = imported(&std::fs::read_to_string(path).unwrap());
        let [open, closed, keys, prices, listed] = counts(&plan);
        let row = format!(
            "](../tests/import/{name}.golden) | {open} | {closed} | {keys} | {prices} | {listed} |"
        );
        if !table.contains(&row) {
            missing.push(row);
        }
        // None is open to anybody, and `check` takes each.
        assert!(
            plan.routes.iter().all(|route| route.keys.is_some()),
            "{name}"
        );
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        import::write(&plan, &out, |_| Ok::<_, std::io::Error>(())).unwrap();
        let loaded = Resolved::load(&out.join("gateway.toml"), Purpose::Start);
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
    for name in STRANGERS {
        let path = format!("{}/tests/import/{name}.golden", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let lines = section(&text, "manifests")
            .lines()
            .count()
            .max(section(&text, "config.yaml").lines().count());
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
