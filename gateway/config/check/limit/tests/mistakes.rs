//! Mistakes in one table of `[[limits]]`.

use super::{limits, problems, read};

/// Checks that each table, whose second line is 26, has this problem.
fn expect(cases: &[(String, &str)]) {
    for (rest, expected) in cases {
        let found = problems(rest).join("\n");
        assert!(
            found.contains(expected),
            "wanted\n  {expected}\ngot\n{found}\nfor\n{rest}"
        );
    }
}

#[test]
fn a_mistake_in_a_setting_of_a_limit_is_reported_with_its_line_and_a_remedy() {
    let requests = |rest: &str| format!("of = \"gateway\"\nrequests = \"9 per minute\"\n{rest}");
    expect(&[
        (String::new(), "g.toml:24: limits[0].of is missing"),
        (
            requests("routs = []"),
            "g.toml:28: unknown key `limits[0].routs`: did you mean `routes`?",
        ),
        (
            requests("routes = \"chatt\""),
            "g.toml:28: there is no route `chatt`: did you mean `chat`?",
        ),
        (
            requests("routes = \"elsewhere\""),
            "g.toml:28: there is no route `elsewhere`: `routes` has the names of",
        ),
        (
            requests("routes = []"),
            "g.toml:28: a limit of no route would count nothing",
        ),
        (
            requests("models = []"),
            "g.toml:28: a limit of no model would count nothing",
        ),
        (
            requests("models = [\"gpt-*-mini\"]"),
            "g.toml:28: models: `gpt-*-mini`: a model is a name, or a prefix",
        ),
        (
            requests("models = \"\""),
            "g.toml:28: models: ``: a model is a name",
        ),
        (
            requests("mode = \"watch\""),
            "g.toml:28: mode is one of enforce and observe",
        ),
        (
            requests("burst = \"0s\""),
            "g.toml:28: burst is a time from \"1ms\" to \"1h\"",
        ),
        (
            requests("burst = \"2h\""),
            "g.toml:28: burst is a time from \"1ms\" to \"1h\"",
        ),
        (
            requests("burst = 10"),
            "g.toml:28: limits[0].burst: expected a duration with its unit",
        ),
    ]);
}

#[test]
fn a_mistake_in_whose_use_a_limit_counts_is_reported_with_its_line_and_a_remedy() {
    let of = |given: &str| format!("of = {given}\nparallel = 1");
    expect(&[
        (
            of("\"keys\""),
            "g.toml:26: of: `keys` is none of key, route, provider and gateway, and a label is { label = \"team\", each = true }; did you mean `key`?",
        ),
        (of("\"team\""), "g.toml:26: of: `team` is none of key,"),
        (
            of("1"),
            "g.toml:26: limits[0].of: expected \"key\", \"route\",",
        ),
        (
            of("{ labels = \"team\" }"),
            "g.toml:26: limits[0].of: unknown key `labels`: did you mean `label`?",
        ),
        (
            of("{ value = \"a\" }"),
            "g.toml:26: limits[0].of: expected \"key\"",
        ),
        (
            of("{ label = 1 }"),
            "g.toml:26: limits[0].of: label: expected a string, found a whole number",
        ),
        (
            of("{ label = \"team\" }"),
            "g.toml:26: of has a label alone: add `value = \"...\"`",
        ),
        (
            of("{ label = \"team\", each = false }"),
            "g.toml:26: of has a label alone",
        ),
        (
            of("{ label = \"team\", value = \"a\", each = true }"),
            "g.toml:26: of has `value` and `each`",
        ),
        (
            of("\"key\"\nroutes = \"open\""),
            "g.toml:26: a limit of keys counts nothing on routes with `auth = \"none\"`",
        ),
        (
            of("{ label = \"team\", each = true }\nroutes = \"open\""),
            "g.toml:26: a limit of keys counts nothing",
        ),
    ]);
}

#[test]
fn a_mistake_in_an_amount_is_reported_with_its_line_and_a_remedy() {
    let amount = |given: &str| format!("of = \"gateway\"\n{given}");
    expect(&[
        (
            amount(""),
            "g.toml:24: a limit without an amount counts nothing: give it requests,",
        ),
        (
            amount("requests = []"),
            "g.toml:27: requests has no amount: leave it out for any",
        ),
        (
            amount("requests = \"60\""),
            "g.toml:27: requests: `60` needs a period",
        ),
        (
            amount("requests = \"-1 per minute\""),
            "g.toml:27: requests: `-1 per minute` must not be negative",
        ),
        (
            amount("requests = \"0 per minute\""),
            "g.toml:27: requests: `0 per minute` must not be zero",
        ),
        (
            amount("tokens = \"9 per parsec\""),
            "g.toml:27: tokens: `9 per parsec` has an unknown period",
        ),
        (
            amount("tokens = [\"9 per day\", \"many\"]"),
            "g.toml:27: tokens: `many` must be an amount",
        ),
        (
            amount("output_tokens = \"1.5 per day\""),
            "g.toml:27: output_tokens: `1.5 per day` must be a whole number",
        ),
        (
            amount("input_tokens = \"99999999999G per day\""),
            "g.toml:27: input_tokens: `99999999999G per day` is too large",
        ),
        (
            amount("budget = \"$5 per day\""),
            "g.toml:27: budget: `$5 per day` must be written without a currency",
        ),
        (
            amount("budget = 5"),
            "g.toml:27: limits[0].budget: expected a string or a list of strings",
        ),
        (
            amount("budget = [\"1 per day\", \"2/day\"]"),
            "g.toml:27: budget has two amounts per day: which is meant?",
        ),
        (
            amount("requests = [\"1 per minute\", \"1 per hour\", \"2 per minute\"]"),
            "g.toml:27: requests has two amounts per minute",
        ),
        (
            amount("parallel = 0"),
            "g.toml:27: with parallel = 0, every request would be refused",
        ),
        (
            amount("parallel = 5000000000"),
            "g.toml:27: parallel is at most 4294967295",
        ),
        (
            amount("budget = \"1 per day\"\nsoft_budget = \"80\""),
            "g.toml:28: soft_budget: `80` must be a percentage",
        ),
        (
            amount("budget = \"1 per day\"\nsoft_budget = [\"80%\", \"120%\"]"),
            "g.toml:28: soft_budget: `120%` must be a percentage",
        ),
        (
            amount("budget = \"1 per day\"\nreserve = \"most\""),
            "g.toml:28: reserve is one of none, estimate and max",
        ),
        (
            amount("budget = \"1 per day\"\nunpriced = \"pass\""),
            "g.toml:28: unpriced is one of refuse and allow",
        ),
    ]);
}

#[test]
fn names_of_limits_are_different_and_none_is_a_setting_of_keys() {
    let named =
        |name: &str| format!("[[limits]]\nname = \"{name}\"\nof = \"gateway\"\nparallel = 1\n");
    let twice = named("a") + &named("b") + &named("a");
    let expected = "g.toml:33: the limit `a` is there already, in line 25";
    assert_eq!(read(&twice).1, [expected]);
    for (name, expected) in [
        (
            "rpm_limit",
            "g.toml:25: `rpm_limit` is the name of the limit that this setting of a key makes",
        ),
        ("max_budget", "g.toml:25: `max_budget` is the name"),
        ("a b", "g.toml:25: a limit's name has letters, digits"),
        ("", "g.toml:25: a limit's name has letters"),
    ] {
        let found = read(&named(name)).1;
        assert!(found[0].starts_with(expected), "{found:?}");
    }
}

#[test]
fn a_setting_that_nothing_in_the_limit_uses_is_refused_and_its_default_is_not() {
    let all = [
        (
            "burst = \"10s\"",
            "",
            "parallel = 1",
            "requests = \"9 per minute\"",
        ),
        (
            "burst = \"10s\"",
            "",
            "requests = \"9 per day\"",
            "tokens = \"9 per second\"",
        ),
        (
            "reserve = \"max\"",
            "reserve = \"estimate\"",
            "requests = \"9 per day\"",
            "budget = \"1 per day\"",
        ),
        (
            "over_budget_streams = \"cut\"",
            "over_budget_streams = \"finish\"",
            "tokens = \"9 per minute\"",
            "tokens = \"9 per day\"",
        ),
        (
            "soft_budget = \"80%\"",
            "",
            "requests = \"9 per minute\"",
            "requests = \"9 per day\"",
        ),
        (
            "cached_tokens = true",
            "cached_tokens = false",
            "output_tokens = \"9 per day\"",
            "input_tokens = \"9 per day\"",
        ),
        (
            "unpriced = \"allow\"",
            "unpriced = \"refuse\"",
            "tokens = \"9 per day\"",
            "budget = \"1 per day\"",
        ),
        (
            "unmetered = \"allow\"",
            "unmetered = \"refuse\"",
            "requests = \"9 per day\"",
            "tokens = \"9 per day\"",
        ),
        (
            "unbounded = \"refuse\"",
            "unbounded = \"estimate\"",
            "budget = \"1 per day\"",
            "reserve = \"max\"\nbudget = \"1 per day\"",
        ),
    ];
    for (setting, default, useless, useful) in all {
        let name = setting.split(' ').next().unwrap();
        let found = problems(&format!("of = \"route\"\n{setting}\n{useless}")).join("\n");
        let expected = format!("g.toml:27: {name} has no effect in a limit without ");
        assert!(
            found.contains(&expected),
            "{setting} beside {useless}: {found}"
        );
        limits(&format!("of = \"route\"\n{default}\n{useless}"));
        limits(&format!("of = \"route\"\n{setting}\n{useful}"));
    }
}
