//! The limits in a key's entry: every edit keeps them, a gateway loads them, and a wrong one is refused with its line.

use super::*;

const LIMITS: [&str; 12] = [
    "--rpm-limit",
    "600",
    "--tpm-limit",
    "2M",
    "--max-parallel-requests",
    "20",
    "--max-budget",
    "50 per month",
    "--max-budget",
    "5/day",
    "--soft-budget",
    "80%",
];

fn limits(keys: &Keys, id: &str) -> serde_json::Value {
    let shown = keys.run(&["show", id, "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    shown["limits"].clone()
}

#[test]
fn limits_of_a_key_are_served_and_survive_every_edit() {
    let provider = Provider::start();
    let keys = Keys::before(&provider);
    let made = keys.run(&[&["create", "alice", "--wait"], &LIMITS[..]].concat());
    let secret = text(&made.stdout).trim().to_owned();
    assert!(keys.accepts(&secret));
    let all = serde_json::json!({
        "rpm_limit": 600,
        "tpm_limit": 2_000_000,
        "max_parallel_requests": 20,
        "max_budget": ["50.00 per month", "5.00 per day"],
        "soft_budget": ["80%"],
    });
    assert_eq!(limits(&keys, "alice"), all);
    assert_eq!(limits(&keys, "first"), serde_json::json!({}));

    keys.run(&["create", "bob"]);
    keys.run(&["disable", "alice"]);
    keys.run(&["enable", "alice"]);
    let rotated = keys.run(&["rotate", "alice", "--wait"]);
    assert!(keys.accepts(text(&rotated.stdout).trim()));
    keys.run(&["delete", "bob"]);
    assert_eq!(limits(&keys, "alice"), all);

    let show = keys.run(&["show", "alice"]);
    for line in [
        "limit        rpm_limit 600 per minute",
        "limit        tpm_limit 2000000 per minute",
        "limit        max_parallel_requests 20 at once",
        "limit        max_budget 50.00 per month",
        "limit        max_budget 5.00 per day",
        "soft budget  80%",
    ] {
        let shown = text(&show.stdout);
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    let list = keys.run(&["list"]);
    let list = text(&list.stdout);
    assert!(list.contains("LIMITS") && list.contains("rpm_limit 600 per minute, tpm_"));
}

#[test]
fn limits_are_changed_and_removed_one_by_one() {
    let provider = Provider::start();
    let keys = Keys::before(&provider);
    keys.run(&[&["create", "alice"], &LIMITS[..]].concat());
    let changed = keys.run(&[
        "limit",
        "alice",
        "--rpm-limit",
        "none",
        "--tpm-limit",
        "1000",
        "--max-budget",
        "none",
        "--soft-budget",
        "none",
        "--wait",
    ]);
    let printed = text(&changed.stdout);
    assert!(
        printed.ends_with(": tpm_limit 1000 per minute, max_parallel_requests 20 at once.\n"),
        "{printed}"
    );
    let left = serde_json::json!({"tpm_limit": 1000, "max_parallel_requests": 20});
    assert_eq!(limits(&keys, "alice"), left);
    let removed = [
        "--tpm-limit",
        "none",
        "--max-parallel-requests",
        "none",
        "--json",
    ];
    let removed = keys.run(&[&["limit", "alice"], &removed[..]].concat());
    assert_eq!(text(&removed.stdout), "{\"id\":\"alice\",\"limits\":{}}\n");
    assert!(!text(&keys.run(&["list"]).stdout).contains("LIMITS"));
}

#[test]
fn a_limit_that_cannot_be_meant_changes_nothing_and_states_why() {
    let provider = Provider::start();
    let keys = Keys::before(&provider);
    keys.run(&[
        "create",
        "alice",
        "--max-budget",
        "5",
        "--soft-budget",
        "80%",
    ]);
    let path = keys.gateway.scene.path("keys.toml");
    let before = std::fs::read_to_string(&path).unwrap();
    for (options, code, why) in [
        (&["--rpm-limit", "0"][..], 64, "it must not be zero"),
        (
            &["--rpm-limit", "600 per minute"],
            64,
            "it must be a whole number",
        ),
        (
            &["--max-parallel-requests", "0"],
            64,
            "it must be from 1 to",
        ),
        (
            &["--max-budget", "$50"],
            64,
            "it must be written without a currency",
        ),
        (
            &["--max-budget", "50 per moon"],
            64,
            "it has an unknown period",
        ),
        (
            &["--max-budget", "5", "--max-budget", "6"],
            64,
            "two amounts with the same period",
        ),
        (
            &["--max-budget", "5", "--max-budget", "none"],
            64,
            "cannot be combined",
        ),
        (&["--soft-budget", "100%"], 64, "it must be a percentage"),
        (&[], 64, "there is nothing to change"),
        (
            &["--max-budget", "none"],
            1,
            "has a soft_budget and no max_budget",
        ),
    ] {
        let all = [
            &["keys", "limit", "alice", "--config", &keys.config],
            options,
        ]
        .concat();
        let refused = keygate(&all);
        let printed = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(code), "{options:?}: {printed}");
        assert!(printed.contains(why), "{options:?}: {printed}");
    }
    let lone = [
        "keys",
        "create",
        "bob",
        "--soft-budget",
        "80%",
        "--config",
        &keys.config,
    ];
    let refused = keygate(&lone);
    assert!(text(&refused.stderr).contains("--soft-budget needs --max-budget"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
}

#[test]
fn a_wrong_limit_in_the_key_file_is_reported_with_its_line() {
    let provider = Provider::start();
    let keys = Keys::before(&provider);
    let path = keys.gateway.scene.path("keys.toml");
    let valid = std::fs::read_to_string(&path).unwrap();
    let valid = valid.trim_end();
    let line = valid.lines().count() + 1;
    for (setting, why) in [
        ("rpm_limit = 0", "key[0].rpm_limit: must not be zero"),
        (
            "tpm_limit = \"2M\"",
            "key[0].tpm_limit: expected a whole number",
        ),
        (
            "max_parallel_requests = 0",
            "key[0].max_parallel_requests: must be from 1",
        ),
        (
            "max_budget = 50.0",
            "key[0].max_budget: is a number with a fraction",
        ),
        (
            "max_budget = \"50 per moon\"",
            "key[0].max_budget: has an unknown period",
        ),
        (
            "soft_budget = \"80%\"",
            "has a soft_budget and no max_budget",
        ),
    ] {
        std::fs::write(&path, format!("{valid}\n{setting}\n")).unwrap();
        let refused = keygate(&["check", "--config", &keys.config]);
        let printed = [text(&refused.stdout), text(&refused.stderr)].concat();
        assert!(!refused.status.success(), "{setting}: {printed}");
        assert!(
            printed.contains(&format!("keys.toml:{line}: ")) && printed.contains(why),
            "{setting}: {printed}"
        );
    }
    assert!(keys.accepts("first-key"));
}
