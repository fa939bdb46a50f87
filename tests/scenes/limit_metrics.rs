//! What operators see of limits: metrics, access lines, warnings, and the history in the ledger.

use rusqlite::{Connection, OpenFlags};

use crate::support::gateway::simple;
use crate::support::provider::echo_json as echo;
use crate::support::{Client, Gateway, KEY, Provider, Response, Scene, eventually};

/// A million tokens of input are one unit of the currency.
const PRICES: &str = "[[price]]\nmodel = \"m*\"\ninput = \"1\"\noutput = \"1\"\n";
const PATH: &str = "/p/v1/chat/completions";

/// A gateway with prices, these `limits`, and one key with `more` in its entry.
fn scene(provider: &Provider, limits: &str, more: &str) -> Scene {
    let scene = Scene::new(&config(provider, limits)).key("alice", "secret", more);
    scene.write("prices.toml", PRICES);
    scene
}

fn config(provider: &Provider, limits: &str) -> String {
    let usage = "[usage]\nprices = \"prices.toml\"\nlimit_headers = \"all\"\n";
    simple(&provider.url(), "", &format!("{usage}{limits}"))
}

/// A request whose response reports `input` tokens of input.
fn ask(gateway: &Gateway, input: u64) -> Response {
    let body =
        format!(r#"{{"model":"m","usage":{{"prompt_tokens":{input},"completion_tokens":0}}}}"#);
    gateway.request("POST", PATH, &KEY, body.as_bytes())
}

fn refusals(gateway: &Gateway, limit: &str, counts: &str, mode: &str) -> u64 {
    gateway.count(&format!(
        "keygate_limit_refusals_total{{counts=\"{counts}\",limit=\"{limit}\",mode=\"{mode}\"}}"
    ))
}

/// The value of a series of a limit's use.
fn level(gateway: &Gateway, name: &str, limit: &str, counts: &str, per: &str) -> f64 {
    gateway.metric(&format!(
        "keygate_{name}{{counts=\"{counts}\",limit=\"{limit}\",per=\"{per}\"}}"
    ))
}

fn has_series(gateway: &Gateway, text: &str) -> bool {
    gateway.admin("/metrics").text().contains(text)
}

#[test]
fn a_refusal_is_counted_under_its_limit_and_the_access_line_names_it() {
    let provider = echo();
    let limits = "[[limits]]\nname = \"team\"\nof = \"key\"\nrequests = \"2 per hour\"\ntokens = \"1M per hour\"\n\
                  budget = \"5.00 per month\"\n";
    let gateway = scene(&provider, limits, "rpm_limit = 100").start();
    for expected in [200, 200, 429, 429] {
        assert_eq!(ask(&gateway, 1000).status, expected);
    }
    eventually("the refusals", || {
        refusals(&gateway, "team", "requests", "enforce") == 2
    });
    for other in ["tokens", "money"] {
        assert_eq!(refusals(&gateway, "team", other, "enforce"), 0);
    }
    assert_eq!(refusals(&gateway, "rpm_limit", "requests", "enforce"), 0);
    let lines = gateway.access_lines(4);
    assert!(lines[0].get("limit").is_none(), "{}", lines[0]);
    assert!(
        lines[0]["reserved_tokens"].as_i64().unwrap() > 0,
        "{}",
        lines[0]
    );
    let cost: f64 = lines[0]["reserved_cost"].as_str().unwrap().parse().unwrap();
    assert!(cost > 0.0 && cost < 0.01, "{cost}");
    assert_eq!(lines[2]["limit"], "team");
    assert!(lines[2].get("reserved_tokens").is_none(), "{}", lines[2]);
}

#[test]
fn without_limits_neither_access_lines_nor_metrics_name_any() {
    let provider = echo();
    let gateway = scene(&provider, "", "").start();
    assert_eq!(ask(&gateway, 5).status, 200);
    let line = gateway.access_lines(1)[0].to_string();
    assert!(
        !line.contains("limit") && !line.contains("reserved"),
        "{line}"
    );
    let text = gateway.admin("/metrics").text().to_owned();
    for absent in [
        "limit_refusals_total",
        "limit_used_ratio",
        "budget_spent",
        "budget_warnings_total",
    ] {
        assert!(!text.contains(&format!("\nkeygate_{absent}{{")), "{absent}");
    }
}

#[test]
fn an_observed_limit_is_counted_and_refuses_nothing() {
    let provider = echo();
    let limits = "[[limits]]\nname = \"trial\"\nof = \"gateway\"\nrequests = \"1 per hour\"\nmode = \"observe\"\n";
    let gateway = scene(&provider, limits, "").start();
    for _ in 0..3 {
        assert_eq!(ask(&gateway, 5).status, 200);
    }
    eventually("the count", || {
        refusals(&gateway, "trial", "requests", "observe") == 2
    });
    assert_eq!(refusals(&gateway, "trial", "requests", "enforce"), 0);
    assert!(
        gateway
            .access_lines(3)
            .iter()
            .all(|line| line.get("limit").is_none())
    );
}

#[test]
fn each_percentage_of_a_budget_is_warned_of_once_and_the_client_is_told_of_its_own() {
    let provider = echo();
    let limits = "[[limits]]\nname = \"all\"\nof = \"gateway\"\nbudget = \"1.00 per year\"\nsoft_budget = \"10%\"\nreserve = \"none\"\n\
                  [[limits]]\nname = \"each\"\nof = \"key\"\nbudget = \"1.00 per year\"\nsoft_budget = [\"50%\", \"80%\"]\n\
                  reserve = \"none\"\n";
    let gateway = scene(&provider, limits, "").start();
    let warnings = |limit: &str, step: &str| {
        gateway.count(&format!(
            "keygate_budget_warnings_total{{limit=\"{limit}\",step=\"{step}\"}}"
        ))
    };
    let mut lines = 0;
    let told = [200_000, 200_000, 200_000, 200_000, 1, 1].map(|input| {
        let response = ask(&gateway, input);
        assert_eq!(response.status, 200);
        // The line is written behind the settlement.
        lines += 1;
        gateway.access_lines(lines);
        let warning = response.header("x-keygate-limit-warning");
        warning.map(str::to_owned)
    });
    let [.., fourth, fifth, sixth] = &told;
    assert_eq!(told[..3], [None, None, None]);
    assert_eq!(fourth.as_deref(), Some("each 50%"));
    assert_eq!(fifth.as_deref(), Some("each 80%"));
    assert_eq!(sixth.as_deref(), Some("each 80%"));
    let counted = [
        warnings("each", "50"),
        warnings("each", "80"),
        warnings("all", "10"),
    ];
    assert_eq!(counted, [1, 1, 1]);
}

#[test]
fn the_use_of_limits_is_shown_until_a_reload_removes_them() {
    let provider = echo();
    let limits = "[[limits]]\nname = \"all\"\nof = \"gateway\"\nrequests = \"4 per hour\"\nbudget = \"2.00 per year\"\n";
    let gateway = scene(&provider, limits, "max_budget = \"8.00 per month\"").start();
    eventually("the first look", || {
        has_series(
            &gateway,
            "keygate_limit_used_ratio{counts=\"money\",limit=\"all\",per=\"year\"} 0",
        )
    });
    assert_eq!(ask(&gateway, 500_000).status, 200);
    eventually("the use", || {
        let is = |limit, counts, per, expected: f64| {
            (level(&gateway, "limit_used_ratio", limit, counts, per) - expected).abs() < 0.01
        };
        is("all", "requests", "hour", 0.25)
            && is("all", "money", "year", 0.25)
            && is("max_budget", "money", "month", 0.0625)
    });
    let budget = |name: &str, limit: &str, per: &str| {
        gateway.metric(&format!(
            "keygate_{name}{{limit=\"{limit}\",per=\"{per}\"}}"
        ))
    };
    assert!((budget("budget_spent", "all", "year") - 0.5).abs() < 1e-9);
    assert!((budget("budget_limit", "max_budget", "month") - 8.0).abs() < 1e-9);
    assert_eq!(
        level(&gateway, "limit_reserved", "all", "money", "year"),
        0.0
    );
    assert_eq!(gateway.count("keygate_limit_estimate_ratio_count"), 0);
    gateway.scene.configure("", &config(&provider, ""));
    gateway.running.reload();
    gateway.wait_for_generation(2);
    eventually("the series go away", || {
        !has_series(&gateway, "limit=\"all\"")
    });
    assert!(has_series(&gateway, "limit=\"max_budget\""));
}

#[test]
fn the_estimates_of_tokens_are_compared_with_what_was_used() {
    let provider = echo();
    let limits = "[[limits]]\nname = \"all\"\nof = \"gateway\"\ntokens = \"1M per hour\"\n";
    let gateway = scene(&provider, limits, "").start();
    for _ in 0..3 {
        assert_eq!(ask(&gateway, 2000).status, 200);
    }
    eventually("the ratios", || {
        gateway.count("keygate_limit_estimate_ratio_count") == 3
    });
    assert!(gateway.metric("keygate_limit_estimate_ratio_sum") > 0.0);
}

/// The history in the ledger: key, provider, model, currency, and the sums.
fn history(gateway: &Gateway) -> Vec<(String, i64, i64, i64, i64)> {
    let path = gateway.scene.path("ledger.db");
    let ledger = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sums = "sum(requests), sum(refusals), sum(input), sum(cost)";
    let text = format!(
        "SELECT key || ' ' || provider || ' ' || model || ' ' || currency, {sums} FROM history GROUP BY 1 ORDER BY 1"
    );
    let mut rows = ledger.prepare(&text).unwrap();
    let rows = rows.query_map([], |row| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
        ))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

#[test]
fn what_each_key_used_is_in_the_ledger() {
    let provider = echo();
    let open = String::from(
        "[[routes]]\nname = \"open\"\npath = \"/open\"\nprovider = \"p\"\nauth = \"none\"\n",
    );
    let limits = format!("[ledger]\nstore = \"ledger.db\"\n{open}");
    let gateway = scene(&provider, &limits, "rpm_limit = 2").start();
    for expected in [200, 200, 429] {
        assert_eq!(ask(&gateway, 1_000_000).status, expected);
    }
    let body = br#"{"model":"unknown","usage":{"prompt_tokens":7}}"#;
    let mut client = Client::connect(gateway.address());
    assert_eq!(
        client
            .request("POST", "/open/v1/chat/completions", &[], body)
            .status,
        200
    );
    let expected = [
        (" p unknown ".to_owned(), 1, 0, 7, 0),
        ("alice p  ".to_owned(), 1, 1, 0, 0),
        (
            "alice p m USD".to_owned(),
            2,
            0,
            2_000_000,
            2_000_000_000_000,
        ),
    ];
    eventually("the history", || history(&gateway) == expected);
    eventually("the state of the ledger", || {
        gateway.count("keygate_ledger_holders") == 1
    });
    assert_eq!(gateway.count("keygate_ledger_dropped_rows_total"), 0);
    eventually("a ledger that is not behind", || {
        gateway.metric("keygate_ledger_behind_seconds") < 1.0
    });
}
