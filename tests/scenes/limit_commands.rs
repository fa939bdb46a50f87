//! What operators do with limits: list, show, raise and reset, explain a request, and sum up what was used.

use std::process::Output;
use std::time::{Duration, Instant};

use crate::support::command::{keygate, text};
use crate::support::gateway::simple;
use crate::support::provider::ok;
use crate::support::{Gateway, Provider, Response, Scene, eventually};

const CHAT: &str = "/p/v1/chat/completions";
const LIMITS: &str = r#"
[[limits]]
name = "teams"
of = { label = "team", each = true }
budget = ["1.00 per day", "9.00 per month"]

[[limits]]
name = "everything"
of = "gateway"
requests = "1000 per day"
tokens = "1M per minute"

[[limits]]
name = "small"
of = "key"
requests = "3 for ever"

[ledger]
store = "ledger.db"

[usage]
prices = "prices.toml"
"#;
const PRICES: &str = "currency = \"EUR\"\n[[price]]\nmodel = \"m\"\ninput = \"1000.000001\"\ncache_read = \"100\"\noutput = \"3000\"\n";
const BODY: &str = r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#;

/// A provider whose responses have 10 input tokens, 4 of them cached, and 5 output tokens.
fn provider() -> Provider {
    Provider::responding(|_, wire| {
        let usage = r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}"#;
        let body =
            format!(r#"{{"object":"chat.completion","model":"m","choices":[],"usage":{usage}}}"#);
        ok(wire, body.as_bytes());
    })
}

/// A gateway whose commands find its admin listener, and its configuration.
struct Running {
    gateway: Gateway,
    config: String,
}

impl Running {
    fn start(provider: &Provider, limits: &str) -> Self {
        let config = simple(&provider.url(), "", "") + limits;
        let scene = Scene::new(&config)
            .key("alice", "secret", "labels = { team = \"search\" }")
            .key(
                "bob",
                "bobs",
                "labels = { team = \"ads\" }\nmax_budget = \"0.05 per month\"",
            );
        scene.write("prices.toml", PRICES);
        let gateway = scene.start();
        let path = gateway.scene.path("gateway.toml");
        let written = std::fs::read_to_string(&path).unwrap();
        let admin = format!("server.admin = \"{}\"", gateway.running.admin());
        let written = written.replace("server.admin = \"127.0.0.1:0\"", &admin);
        gateway.scene.write("gateway.toml", &written);
        gateway.wait_for_generation(2);
        let config = path.display().to_string();
        Self { gateway, config }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        keygate(&[arguments, &["--config", &self.config]].concat())
    }

    /// What a command printed that succeeded.
    fn prints(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        let failed = text(&ran.stderr);
        assert!(ran.status.success(), "{arguments:?}: {failed}");
        text(&ran.stdout).to_owned()
    }

    /// What a command printed that failed.
    fn fails(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert!(
            !ran.status.success(),
            "{arguments:?}: {}",
            text(&ran.stdout)
        );
        text(&ran.stderr).to_owned()
    }

    fn ask(&self, key: &str) -> Response {
        let headers = [("api-key", key), ("content-type", "application/json")];
        self.gateway
            .request("POST", CHAT, &headers, BODY.as_bytes())
    }

    /// Sends requests until one is refused; returns how many passed, and the refusal.
    fn spend(&self, key: &str) -> (usize, Response) {
        for passed in 0..100 {
            let response = self.ask(key);
            if response.status != 200 {
                return (passed, response);
            }
        }
        panic!("nothing was refused");
    }
}

fn row(rows: &serde_json::Value, name: &str, scope: &str, per: &str) -> serde_json::Value {
    let all = rows["limits"].as_array().unwrap();
    let found = all
        .iter()
        .find(|row| row["name"] == name && row["scope"] == scope && row["per"] == per);
    found
        .unwrap_or_else(|| panic!("no {name} {scope} {per} in {rows}"))
        .clone()
}

#[test]
fn a_raised_budget_admits_again_within_a_second_and_the_ledger_keeps_who_raised_it() {
    let provider = provider();
    let running = Running::start(&provider, LIMITS);
    // Each costs 0.0214 of the 0.05 that bob has, and reserves more than that.
    let (passed, refused) = running.spend("bobs");
    assert!((1..=2).contains(&passed), "{passed}");
    assert_eq!((refused.status, &*refused.code()), (402, "budget_exceeded"));
    let raised = running.prints(&["limits", "raise", "max_budget", "bob", "--budget", "+0.10"]);
    assert!(
        raised.contains("`max_budget` of the key bob (0.05 per month) is raised by 0.10 until "),
        "{raised}"
    );
    let since = Instant::now();
    eventually("the raise is in force", || {
        running.ask("bobs").status == 200
    });
    assert!(
        since.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        since.elapsed()
    );
    let shown = running.prints(&["limits", "show", "max_budget", "bob"]);
    assert!(shown.contains("0.05 per month (+0.10)"), "{shown}");
    let user = std::process::Command::new("id")
        .arg("-un")
        .output()
        .unwrap();
    let by = "raised by 0.10 of bob, period month from ";
    let who = format!(", by {}", text(&user.stdout).trim());
    assert!(shown.contains(by) && shown.contains(&who), "{shown}");
    let json: serde_json::Value =
        serde_json::from_str(&running.prints(&["limits", "show", "max_budget", "bob", "--json"]))
            .unwrap();
    assert_eq!(json["history"][0]["units"], 100_000_000);
    assert_eq!(
        row(&json, "max_budget", "bob", "month")["raised"],
        100_000_000
    );
}

#[test]
fn a_reset_budget_begins_anew() {
    let provider = provider();
    let running = Running::start(&provider, LIMITS);
    let (passed, refused) = running.spend("secret");
    assert_eq!(passed, 3, "`small` permits three");
    assert_eq!(refused.code(), "requests_limit");
    let left = || {
        let shown = running.prints(&["limits", "list", "small", "--scope", "alice", "--json"]);
        let rows: serde_json::Value = serde_json::from_str(&shown).unwrap();
        row(&rows, "small", "alice", "ever")["left"]
            .as_i64()
            .unwrap()
    };
    assert_eq!(left(), 0);
    eventually("what was used is in the file", || {
        let reset = running.prints(&["limits", "reset", "small", "alice"]);
        std::thread::sleep(Duration::from_millis(1_100));
        assert!(reset.contains("count as not used"), "{reset}");
        left() == 3
    });
    assert_eq!(running.spend("secret").0, 3);
    let shown = running.prints(&["limits", "show", "small", "alice"]);
    let json = running.prints(&["limits", "show", "small", "alice", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let resets = json["history"].as_array().unwrap().iter();
    // One that comes before all that was used is in the file leaves the rest to the next.
    assert_eq!(
        resets.map(|it| it["units"].as_i64().unwrap()).sum::<i64>(),
        3
    );
    assert!(
        shown.contains("reset ") && shown.contains(" of alice, period ever"),
        "{shown}"
    );
}

#[test]
fn all_limits_are_listed_with_what_is_left_by_the_gateway_and_without_it() {
    let provider = provider();
    let running = Running::start(&provider, LIMITS);
    running.ask("secret");
    let listed = |arguments: &[&str]| -> serde_json::Value {
        let all = [&["limits", "list", "--json"], arguments].concat();
        serde_json::from_str(&running.prints(&all)).unwrap()
    };
    eventually("the request is settled", || {
        row(&listed(&[]), "teams", "search", "day")["reserved"] == 0
    });
    let rows = listed(&[]);
    let day = row(&rows, "teams", "search", "day");
    // 6 * 0.001000000001 for the input, 4 * 0.0001 for that from the cache, and 5 * 0.003: rounded up to billionths.
    let cost = day["used"].as_i64().unwrap();
    assert_eq!(cost, 21_400_001);
    assert_eq!(day["left"], 1_000_000_000 - cost);
    assert_eq!(day["amount"], "1.00 per day");
    let all = row(&rows, "everything", "", "day");
    assert_eq!((&all["used"], &all["left"]), (&1.into(), &999.into()));
    let tokens = row(&rows, "everything", "", "minute");
    assert_eq!(tokens["counts"], "tokens");
    assert!(tokens["left"].as_i64().unwrap() <= 1_000_000);
    assert_eq!(
        rows["total"].as_u64().unwrap(),
        rows["limits"].as_array().unwrap().len() as u64
    );
    assert_eq!(
        listed(&["--rows", "1"])["limits"].as_array().unwrap().len(),
        1
    );
    assert_eq!(listed(&["teams"])["limits"].as_array().unwrap().len(), 2);
    let table = running.prints(&["limits", "list"]);
    assert!(
        table.starts_with("LIMIT") && table.contains("team=search"),
        "{table}"
    );
    let status = running.prints(&["status"]);
    assert!(
        status.contains("ledger   ") && status.contains("ledger.db"),
        "{status}"
    );
    for hidden in ["secret", "bobs", "provider-token"] {
        assert!(!rows.to_string().contains(hidden) && !table.contains(hidden));
    }
    assert_eq!(running.gateway.admin("/limits?nonsense=1").status, 400);

    let Running { gateway, config } = running;
    let folder = gateway.scene.folder.path().to_owned();
    let kept = tempfile::tempdir().unwrap();
    for name in ["gateway.toml", "keys.toml", "prices.toml"] {
        std::fs::copy(folder.join(name), kept.path().join(name)).unwrap();
    }
    eventually("the ledger has the request", || {
        let backup = kept.path().join("ledger.db");
        let _ = std::fs::remove_file(&backup);
        for name in ["ledger.db", "ledger.db-wal"] {
            std::fs::copy(folder.join(name), kept.path().join(name)).unwrap();
        }
        let config = kept.path().join("gateway.toml").display().to_string();
        let ran = keygate(&["limits", "list", "--json", "--config", &config]);
        assert!(
            text(&ran.stderr).contains("this is what the ledger"),
            "{}",
            text(&ran.stderr)
        );
        let rows: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        row(&rows, "teams", "search", "day")["used"]
            .as_i64()
            .unwrap()
            >= cost
    });
    drop((gateway, config));
}

#[test]
fn a_limit_a_scope_or_a_period_that_is_not_there_is_named_with_the_nearest() {
    let provider = provider();
    let running = Running::start(&provider, LIMITS);
    for (arguments, expected) in [
        (
            &["raise", "team", "search", "--budget", "+1"][..],
            "there is no limit `team`: did you mean `teams`?",
        ),
        (&["show", "everythin"], "did you mean `everything`?"),
        (&["list", "everythin"], "did you mean `everything`?"),
        (
            &["reset", "teams", "serch", "--per", "day"],
            "there is no value of the label `team` `serch`: did you mean `search`?",
        ),
        (
            &["reset", "teams", "team=search"],
            "`teams` has several budgets: 1.00 per day, 9.00 per month. Choose one: --per day (money) or --per month (money)",
        ),
        (
            &["reset", "teams"],
            "counts for each value of the label `team`: name one",
        ),
        (
            &["reset", "teams", "search", "--per", "week"],
            "`teams` has no budget per week",
        ),
        (
            &["raise", "everything", "--tokens", "+1M"],
            "1000000 tokens per minute, which comes back by itself",
        ),
        (
            &["raise", "everything", "--budget", "+1"],
            "`everything` does not count money",
        ),
        (
            &["raise", "everything", "all", "--requests", "+1"],
            "it has no scope",
        ),
        (&["raise", "max_budget", "--budget", "+1"], "name the key"),
        (
            &["raise", "max_budget", "bobb", "--budget", "+1"],
            "there is no key `bobb`: did you mean `bob`?",
        ),
        (
            &["raise", "max_budget", "alice", "--budget", "+1"],
            "the key `alice` has no `max_budget`",
        ),
        (
            &["raise", "teams", "search", "--budget", "+1 per day"],
            "it has a period",
        ),
        (
            &[
                "raise",
                "teams",
                "search",
                "--budget",
                "+1",
                "--until",
                "2020-01-01",
            ],
            "it is over already",
        ),
        (&["raise", "teams", "search"], "required"),
    ] {
        let said = running.fails(&[&["limits"], arguments].concat());
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let memory = Scene::new(
        &(simple(&provider.url(), "", "")
            + "[[limits]]\nname = \"a\"\nof = \"gateway\"\nrequests = \"9 per day\"\n"),
    );
    let config = memory.path("gateway.toml").display().to_string();
    let ran = keygate(&[
        "limits",
        "raise",
        "a",
        "--requests",
        "+1",
        "--config",
        &config,
    ]);
    assert!(
        text(&ran.stderr).contains("names no ledger"),
        "{}",
        text(&ran.stderr)
    );
}

#[test]
fn explain_tells_which_limits_apply_what_is_left_and_what_would_be_reserved() {
    let provider = provider();
    let running = Running::start(&provider, LIMITS);
    running.gateway.scene.write("body.json", BODY);
    let body = running
        .gateway
        .scene
        .path("body.json")
        .display()
        .to_string();
    let request = ["explain", "POST", CHAT, "-H", "api-key: bobs"];
    let with_body = running.prints(&[&request[..], &["--body", &body]].concat());
    for expected in [
        "limit      max_budget of the key bob: 0.05 per month, 0.05 left; would reserve 0.0",
        "limit      small of the key bob: 3 requests for ever, 3 requests left; would reserve 1 request",
        "limit      teams of team=ads: 1.00 per day, 1.00 left; would reserve 0.0",
        "limit      everything of the gateway: 1000 requests per day, 1000 requests left; would reserve 1 request",
        "endpoint   POST ",
    ] {
        assert!(with_body.contains(expected), "{expected}\n{with_body}");
    }
    let sized = running.prints(&[&request[..], &["--bytes", "1000", "--model", "m"]].concat());
    assert!(sized.contains("would reserve 1300 tokens"), "{sized}");
    running.spend("bobs");
    let ran = running.run(&[&request[..], &["--body", &body]].concat());
    let printed = text(&ran.stdout);
    assert_eq!(ran.status.code(), Some(1), "{printed}");
    assert!(
        printed.contains("refused    402 budget_exceeded"),
        "{printed}"
    );
    let unpriced = running.run(&[&request[..], &["--model", "unheard-of"]].concat());
    assert!(
        text(&unpriced.stdout).contains("would refuse it: unpriced_model"),
        "{}",
        text(&unpriced.stdout)
    );
    let seen = provider.received().len();
    assert!((1..=2).contains(&seen), "explain sends nothing: {seen}");
}

#[test]
fn usage_from_the_ledger_is_that_of_the_access_lines_to_the_last_digit() {
    let provider = provider();
    let running = Running::start(&provider, LIMITS);
    for key in ["secret", "bobs", "secret", "wrong", "secret", "secret"] {
        running.ask(key);
    }
    running.gateway.request("GET", "/nowhere", &[], b"");
    let lines = running.gateway.access_lines(7);
    let log: String = lines.iter().map(|line| format!("{line}\n")).collect();
    running.gateway.scene.write("access.log", &log);
    let log = running
        .gateway
        .scene
        .path("access.log")
        .display()
        .to_string();
    let ledger = running
        .gateway
        .scene
        .path("ledger.db")
        .display()
        .to_string();
    for by in ["key", "key,route,provider,model,day", "model", "day"] {
        for format in ["--csv", "--json"] {
            let from_lines = text(&keygate(&["usage", format, "--by", by, &log]).stdout).to_owned();
            assert!(from_lines.contains("0.0"), "{from_lines}");
            let since = ["usage", format, "--by", by, "--since", "1h"];
            eventually("the history is written", || {
                running.prints(&since) == from_lines
            });
            let named = keygate(&["usage", format, "--by", by, "--ledger", &ledger]);
            assert_eq!(text(&named.stdout), from_lines);
        }
    }
    let earlier = running.run(&["usage", "--until", "2026-01-01"]);
    assert!(
        text(&earlier.stderr).contains("has no requests of this time"),
        "{}",
        text(&earlier.stderr)
    );
}
