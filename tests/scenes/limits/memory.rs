//! What is remembered: by the ledger's file, over reloads, restarts, crashes and upgrades.

use serde_json::json;

use super::{Books, JSON, ask, limit, scene, taken};
use crate::support::process::Process;
use crate::support::successor::upgrade;
use crate::support::{Client, Response, eventually};

const LEDGER: &str = "ledger.store = \"ledger.db\"\n";

fn ask_process(process: &Process, body: &serde_json::Value) -> Response {
    let mut client = Client::connect(process.listen);
    client.request(
        "POST",
        "/p/chat/completions",
        &JSON,
        body.to_string().as_bytes(),
    )
}

fn budget(text: &str) -> String {
    limit("money", &format!("of = \"key\"\nbudget = \"{text}\""))
}

#[test]
fn a_budget_that_is_spent_stays_spent_over_a_restart_a_crash_and_an_upgrade() {
    let books = Books::open();
    let most = json!({"model": "m", "max_tokens": 99});
    let scene = super::scene_with(&books, LEDGER, &budget("0.001 per month"));
    let process = Process::start(scene);
    assert_eq!(ask_process(&process, &most).status, 200);
    eventually("the budget is spent", || {
        ask_process(&process, &most).status == 402
    });
    let successor = upgrade(&process);
    assert_eq!(ask_process(&process, &most).status, 402);
    drop(successor);
    let scene = process.kill();
    // Killed: what the process had been issued counts as spent.
    let process = Process::start(scene);
    assert_eq!(ask_process(&process, &most).status, 402);
    process.signal("TERM");
    let path = process.scene.path("ledger.db");
    assert_eq!(books.bill().requests, 1);
    assert!(taken(&path, "money") >= i64::try_from(books.bill().cost()).unwrap());
}

#[test]
fn what_is_not_spent_is_left_after_a_restart() {
    let books = Books::open();
    let most = json!({"model": "m", "max_tokens": 9});
    let scene = super::scene_with(&books, LEDGER, &budget("0.001 per month"));
    let mut process = Process::start(scene);
    // Each costs 0.0001: the tenth is the last, whatever ends and begins in between.
    for number in 1..=10 {
        let response = ask_process(&process, &most);
        assert_eq!(response.status, 200, "{number}");
        if number % 3 == 0 {
            process.signal("TERM");
            let folder = std::mem::replace(&mut process.scene, crate::support::Scene::new(""));
            assert_eq!(process.end().0, Some(0));
            process = Process::start(folder);
        }
    }
    assert_eq!(ask_process(&process, &most).status, 402);
    assert_eq!(books.bill().cost(), 1_000_000);
}

#[test]
fn a_rate_is_not_whole_again_after_a_restart() {
    let books = Books::open();
    let limits = limit("rate", "of = \"key\"\nrequests = \"5 per hour\"");
    let process = Process::start(super::scene_with(&books, LEDGER, &limits));
    for status in [200, 200, 200, 200, 200, 429] {
        assert_eq!(ask_process(&process, &json!({})).status, status);
    }
    process.signal("TERM");
    let mut process = process;
    let folder = std::mem::replace(&mut process.scene, crate::support::Scene::new(""));
    assert_eq!(process.end().0, Some(0));
    let process = Process::start(folder);
    assert_eq!(ask_process(&process, &json!({})).status, 429);
}

#[test]
fn an_amount_that_is_changed_by_a_reload_keeps_what_was_used() {
    let books = Books::open();
    let scene = scene(&books, &budget("0.001 per month"));
    let gateway = scene.start();
    let most = json!({"model": "m", "max_tokens": 99});
    assert_eq!(ask(&gateway, &most).status, 200);
    eventually("the budget is spent", || ask(&gateway, &most).status == 402);
    for (generation, amount, status) in [(2, "0.0025", 200), (3, "0.002", 402), (4, "0.0035", 200)]
    {
        let limits = budget(&format!("{amount} per month"));
        gateway
            .scene
            .configure("", &super::configuration(&books.provider, &limits));
        gateway.wait_for_generation(generation);
        eventually("the amount holds", || ask(&gateway, &most).status == status);
    }
    assert_eq!(books.bill().requests, 3);
}

#[test]
fn a_ledger_that_cannot_be_used_stops_a_start_and_names_the_file() {
    let books = Books::open();
    for (content, why) in [
        ("no database at all, but some other text", "ledger.db"),
        ("", "ledger.db"),
    ] {
        let scene = super::scene_with(&books, LEDGER, &budget("0.001 per month"));
        scene.write("ledger.db", content);
        let config = scene.path("gateway.toml");
        let run = crate::support::process::keygate()
            .args(["run", "--allow-root", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success() && said.contains(why), "{said}");
        assert_eq!(
            std::fs::read_to_string(scene.path("ledger.db")).unwrap(),
            content
        );
    }
}
