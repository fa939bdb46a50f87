//! Limits that the keys or the machine do not fit: what `check` says, and what a reload does.

use keygate::testing::config::{Purpose, Resolved};

use super::URL;
use crate::support::Scene;
use crate::support::gateway::simple;

/// A gateway with one key of the team `a`, and this behind the route, in line 13.
fn scene(rest: &str) -> Scene {
    Scene::new(&simple(URL, "", rest)).key("alice", "secret", "labels = { team = \"a\" }")
}

/// A limit of what `of` says.
fn limit(name: &str, of: &str) -> String {
    format!("[[limits]]\nname = \"{name}\"\nof = {of}\nrequests = \"9 per minute\"\n")
}

#[test]
fn a_limit_of_a_label_that_no_key_has_is_refused_by_check_and_taken_over_by_a_reload() {
    let b = limit("b", "{ label = \"team\", value = \"b\" }");
    let each = limit("each", "{ label = \"customer\", each = true }");
    let good = limit("good", "{ label = \"team\", value = \"a\" }");
    let all = limit("all", "{ label = \"team\", each = true }");
    let key = limit("key", "\"key\"");
    assert_eq!(scene(&format!("{good}{all}{key}")).problems(), "");
    let scene = scene(&format!("{good}{b}{all}{each}"));
    let found = scene.problems();
    for expected in [
        "gateway.toml:17: no key has the label of the limit `b` (team = b): nobody would be limited; make one with \
         `keygate keys create --id NAME --label team=b`",
        "gateway.toml:25: no key has the label of the limit `each` (customer): nobody would be limited; make one with \
         `keygate keys create --id NAME --label customer=VALUE`",
    ] {
        assert!(found.contains(expected), "{found}");
    }
    assert_eq!(found.lines().count(), 2, "{found}");
    // A reload may revoke a key: the same problems are warnings.
    let reloaded = Resolved::load(&scene.path("gateway.toml"), Purpose::Reload);
    let warnings = reloaded
        .unwrap_or_else(|errors| panic!("{errors}"))
        .warnings;
    assert_eq!(warnings.len(), 2);
}

#[test]
fn a_time_zone_that_is_not_known_is_refused_with_the_name_that_was_meant() {
    let with = |zone: &str| scene(&format!("[usage]\ntimezone = \"{zone}\"\n")).problems();
    for good in ["UTC", "utc", "Europe/Berlin", "america/new_york"] {
        assert_eq!(with(good), "", "{good}");
    }
    for (bad, expected) in [
        ("Europe/Berln", "did you mean `Europe/Berlin`?"),
        ("Berlin", "did you mean `Europe/Berlin`?"),
        ("nowhere", "names are those of the IANA database"),
        ("", "names are those of the IANA database"),
        ("../etc/passwd", "names are those of the IANA database"),
    ] {
        let found = with(bad);
        let why =
            format!("gateway.toml:14: usage.timezone: there is no time zone `{bad}`: {expected}");
        assert!(found.contains(&why), "{found}");
    }
}

#[test]
fn a_budget_of_a_key_needs_prices_unless_the_providers_that_it_may_use_report_their_cost() {
    let scene = |kind: &str, more: &str| {
        let provider = "token = \"inline:t\"\nbase_url = \"https://p.test/v1\"";
        let route =
            "[[routes]]\nname = \"r\"\npath = \"/r\"\nprovider = \"p\"\nkeys = { team = \"a\" }";
        let open =
            "[[routes]]\nname = \"o\"\npath = \"/o\"\nprovider = \"p\"\nkeys = { team = \"b\" }";
        let text = format!("[providers.p]\nkind = \"{kind}\"\n{provider}\n{route}\n{open}\n{more}");
        let budget =
            |team: &str| format!("max_budget = \"5.00 per day\"\nlabels = {{ team = \"{team}\" }}");
        Scene::new(&text)
            .key("alice", "secret", &budget("a"))
            .key("bob", "other", &budget("b"))
            .key("carol", "third", "labels = { team = \"a\" }")
            .key("dave", "fourth", &budget("none"))
    };
    let found = scene("openai", "").problems();
    let expected = "keys.toml: the budget of alice and bob needs prices, because not all of its providers report the \
                    cost themselves: name a price file in usage.prices";
    assert!(found.contains(expected), "{found}");
    assert!(
        !found.contains("carol") && !found.contains("dave"),
        "{found}"
    );
    assert_eq!(scene("openrouter", "").problems(), "");
    let found = scene("custom", "").problems();
    let expected = "keys.toml: warning: the budget of alice and bob has no price file: unless its providers report";
    assert!(found.contains(expected), "{found}");
    let priced = scene("openai", "[usage]\nprices = \"prices.toml\"");
    priced.write("prices.toml", "");
    assert_eq!(priced.problems(), "");
    let reloaded = Resolved::load(&scene("openai", "").path("gateway.toml"), Purpose::Reload);
    assert_eq!(reloaded.ok().unwrap().warnings.len(), 1);
}
