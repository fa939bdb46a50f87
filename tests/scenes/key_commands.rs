//! `keygate keys` without a running gateway: what it accepts and prints.

use std::path::PathBuf;
use std::process::Output;

use tempfile::TempDir;

use crate::support::command::{keygate_with, text};

/// A folder for a key file, which does not exist yet.
struct Keys {
    folder: TempDir,
}

impl Keys {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keys.toml")
    }

    /// The text of the key file; empty if it does not exist.
    fn file(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap_or_default()
    }

    fn with(&self, input: &str, arguments: &[&str]) -> Output {
        let path = self.path();
        let file = ["--file", path.to_str().unwrap()];
        keygate_with(input, &[&["keys"], arguments, &file].concat())
    }

    /// The standard output and the standard error of a command that succeeds.
    fn run(&self, arguments: &[&str]) -> (String, String) {
        let output = self.with("", arguments);
        let printed = text(&output.stderr).to_owned();
        assert!(output.status.success(), "{arguments:?}: {printed}");
        (text(&output.stdout).to_owned(), printed)
    }
}

#[test]
fn a_key_that_expires_on_a_day_is_valid_until_its_end_in_utc() {
    let keys = Keys::new();
    let create = |more: &[&str]| keys.run(&[&["create"], more].concat());
    let day = [
        "--id",
        "a",
        "--expires",
        "2100-01-31",
        "--not-before",
        "2099-12-01",
    ];
    let (_, printed) = create(&day);
    assert!(
        printed.contains("ends at 2100-01-31T23:59:59Z"),
        "{printed}"
    );
    let file = keys.file();
    assert!(file.contains("expires = 2100-01-31T23:59:59Z"), "{file}");
    assert!(file.contains("not_before = 2099-12-01T00:00:00Z"), "{file}");
    let (json, _) = create(&["--id", "b", "--expires", "2100-01-31 12:00", "--json"]);
    assert!(
        json.contains("\"expires\":\"2100-01-31T12:00:00Z\""),
        "{json}"
    );
    let (_, printed) = keys.run(&["rotate", "b", "--expires", "2100-02-28"]);
    assert!(
        printed.contains("the key ends at 2100-02-28T23:59:59Z"),
        "{printed}"
    );
    assert!(keys.file().contains("expires = 2100-02-28T23:59:59Z"));
    let before = keys.file();
    for (bad, why) in [
        ("2020-01-31", "in the past (2020-01-31T23:59:59Z)"),
        ("31.01.2100", "a day such as 2027-01-31"),
        ("20270131", "a day such as 2027-01-31"),
    ] {
        let refused = keys.with("", &["create", "--id", "c", "--expires", bad]);
        assert_eq!(refused.status.code(), Some(64));
        let printed = text(&refused.stderr);
        assert!(printed.contains(why), "{printed}");
        assert_eq!(keys.file(), before);
    }
    let refused = keys.with(
        "",
        &[
            "create",
            "--id",
            "c",
            "--expires",
            "30d",
            "--not-before",
            "2100-01-31",
        ],
    );
    assert_eq!(refused.status.code(), Some(64));
    let printed = text(&refused.stderr);
    assert!(
        printed.starts_with("--not-before (2100-01-31T00:00:00Z) is not before"),
        "{printed}"
    );
    assert_eq!(keys.file(), before);
}

#[test]
fn list_and_show_print_comment_creation_time_and_state() {
    let keys = Keys::new();
    let comment = ["--comment", "for the\nnightly \u{1b}[31mjob"];
    let ends = ["--expires", "2100-01-31", "--label", "team=search"];
    let before = jiff::Timestamp::now();
    keys.run(&[&["create", "--id", "nightly"], &comment[..], &ends].concat());
    keys.run(&["create", "--id", "b"]);
    keys.run(&["rotate", "nightly", "--overlap", "24h"]);
    keys.run(&["disable", "b"]);

    let (json, _) = keys.run(&["list", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let nightly = &json["keys"][0];
    assert_eq!(nightly["comment"], comment[1]);
    let created: jiff::Timestamp = nightly["created"].as_str().unwrap().parse().unwrap();
    assert!(before.as_second() <= created.as_second() && created <= jiff::Timestamp::now());

    let (list, _) = keys.run(&["list"]);
    let rows: Vec<_> = list.lines().collect();
    assert_eq!(rows.len(), 3, "{list}");
    let comment_at = rows[0].find("COMMENT").unwrap();
    assert_eq!(
        &rows[1][comment_at..],
        "for the\\u000anightly \\u001b[31mjob"
    );
    for cell in [
        "nightly  valid (2 secrets)  2100-01-31T23:59:59Z",
        "team=search",
        &created.to_string(),
    ] {
        assert!(rows[1].contains(cell), "{list}");
    }
    assert!(rows[2].starts_with("b        disabled "), "{list}");

    let (shown, _) = keys.run(&["show", "nightly"]);
    for line in [
        "id           nightly",
        "state        valid",
        "labels       team=search",
        &format!("created      {created}"),
        "expires      2100-01-31T23:59:59Z",
        "comment      for the\\u000anightly \\u001b[31mjob",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    let secrets: Vec<_> = shown
        .lines()
        .filter(|line| line.starts_with("secret "))
        .collect();
    assert!(
        secrets.len() == 2 && secrets[1].contains(", valid until "),
        "{shown}"
    );
}

#[test]
fn a_long_comment_or_label_is_printed_and_widens_no_other_row() {
    let keys = Keys::new();
    // The text is longer than the greatest width that `format!` accepts.
    let long = "x".repeat(70_000);
    keys.run(&["create", "--id", "a", "--label", &format!("team={long}")]);
    keys.run(&["create", "--id", "b", "--comment", &long]);
    let (list, _) = keys.run(&["list"]);
    let rows: Vec<_> = list.lines().collect();
    assert!(rows[1].contains(&long) && rows[2].ends_with(&long));
    assert!(rows[0].len() < 200 && rows[2].len() < long.len() + 200);
}

#[test]
fn the_list_can_be_filtered() {
    let keys = Keys::new();
    for (id, team, tier, expires) in [
        ("a", "search", "gold", "10d"),
        ("b", "search", "iron", "2100-01-31"),
        ("c", "mail", "gold", "20d"),
    ] {
        let labels = [format!("team={team}"), format!("tier={tier}")];
        let labels = ["--label", &labels[0], "--label", &labels[1]];
        keys.run(&[&["create", "--id", id, "--expires", expires], &labels[..]].concat());
    }
    keys.run(&["create", "--id", "d", "--not-before", "2100-01-31"]);
    keys.run(&["disable", "b"]);
    let file = keys.file();
    let over = "[[key]]\nid = \"e\"\nhashes = [\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"]\nexpires = 2020-01-31T00:00:00Z\n";
    std::fs::write(keys.path(), file + over).unwrap();
    for (requested, found) in [
        (&[][..], "abcde"),
        (&["--state", "valid"], "ac"),
        (&["--state", "disabled", "--state", "expired"], "be"),
        (&["--state", "not-yet-valid"], "d"),
        (&["--label", "team=search"], "ab"),
        (&["--label", "team=search", "--label", "tier=gold"], "a"),
        (&["--label", "team=sea"], ""),
        (&["--expires-within", "15d"], "a"),
        (&["--expires-within", "30d"], "ac"),
        (&["--expires-within", "30d", "--label", "team=mail"], "c"),
    ] {
        let (json, _) = keys.run(&[&["list", "--json"], requested].concat());
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let ids = json["keys"].as_array().unwrap().iter();
        let ids: String = ids.map(|key| key["id"].as_str().unwrap()).collect();
        assert_eq!(ids, found, "{requested:?}");
        let (table, printed) = keys.run(&[&["list"], requested].concat());
        assert_eq!(table.lines().count(), 1 + found.len(), "{table}");
        assert_eq!(printed.contains("of 5 keys."), found.len() < 5, "{printed}");
    }
    for (bad, why) in [
        (["--state", "open"], "not-yet-valid"),
        (["--label", "team"], "NAME=VALUE"),
        (["--expires-within", "30"], "a duration with its unit"),
        (
            ["--expires-within", "4000000d"],
            "further than any calendar",
        ),
    ] {
        let refused = keys.with("", &[&["list"], &bad[..]].concat());
        assert_eq!(refused.status.code(), Some(64), "{bad:?}");
        assert!(
            text(&refused.stderr).contains(why),
            "{}",
            text(&refused.stderr)
        );
    }
}

#[test]
fn a_table_of_keys_is_imported_with_all_its_columns() {
    let keys = Keys::new();
    let key = "a-key-that-is-long, and has a comma";
    let hash = keygate_with("sk-litellm-0123456789abcdef", &["keys", "hash"]);
    let hex = text(&hash.stdout).trim().trim_start_matches("sha256:");
    // The format of spreadsheets in many countries: a BOM, semicolons, CRLF, empty rows at the end.
    let table = format!(
        "\u{feff}key_alias;token;expires;blocked;comment\r\nbob;{hex};2100-01-31 12:00:00;f;\r\n\
         \"carl\";\"{key}\";;t;\"Carl's, \"\"left\"\"\"\r\n;;;;\r\n"
    );
    let taken = keys.with(&table, &["import", "--label", "from=elsewhere"]);
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    assert!(text(&taken.stdout).starts_with("2 keys are in "));
    let (json, _) = keys.run(&["list", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let (bob, carl) = (&json["keys"][0], &json["keys"][1]);
    assert_eq!(bob["hashes"][0]["hash"], format!("sha256:{hex}"));
    assert_eq!(
        (&bob["state"], &bob["expires"]),
        (&"valid".into(), &"2100-01-31T12:00:00Z".into())
    );
    assert!(bob["created"].is_string() && bob["comment"].is_null());
    let hash = keygate_with(key, &["keys", "hash"]);
    assert_eq!(carl["hashes"][0]["hash"], text(&hash.stdout).trim());
    assert_eq!(
        (&carl["state"], &carl["comment"]),
        (&"disabled".into(), &"Carl's, \"left\"".into())
    );
    assert_eq!(carl["labels"]["from"], "elsewhere");
}

#[test]
fn a_table_of_many_keys_takes_time_in_proportion_to_them() {
    let keys = Keys::new();
    let rows = (0..20_000).map(|number| format!("key-{number},{number:064x}\n"));
    let table: String = rows.collect();
    let begun = std::time::Instant::now();
    let taken = keys.with(&table, &["import"]);
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    // If each key were compared with every other one, this would take a minute.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn a_first_line_that_may_name_columns_does_not_become_a_key() {
    let keys = Keys::new();
    for table in [
        "user,secret\nalice,a-long-secret-of-alice\n",
        "api_key,user\n6f1c2d3e4b5a69788796a5b4c3d2e1f0,alice\n",
        "alias,sha-256\nalice,a-long-secret-of-alice\n",
    ] {
        let refused = keys.with(table, &["import"]);
        let printed = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{table}{printed}");
        assert!(
            printed.starts_with("keygate: line 1: no column"),
            "{printed}"
        );
        assert!(
            !printed.contains("6f1c") && keys.file().is_empty(),
            "{printed}"
        );
    }
    // After a line of column names, the word is an id.
    let taken = keys.with("id,key\ntoken,a-long-secret-of-token\n", &["import"]);
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    assert!(keys.file().contains("id = \"token\""), "{}", keys.file());
}

#[test]
fn an_unquoted_name_with_a_comma_is_refused_with_its_line() {
    let keys = Keys::new();
    keys.run(&["create", "--id", "first"]);
    let before = keys.file();
    let hash = keygate_with("sk-bobs-key", &["keys", "hash"]);
    let hex = text(&hash.stdout).trim().trim_start_matches("sha256:");
    for name in [
        "Smith, Bob",
        "Smith; Bob",
        "Smith|Bob",
        "\"Smith, Bob\"",
        "\"Smith",
    ] {
        let refused = keys.with(
            &format!("alice,{}\n{name},{hex}\n", "0".repeat(64)),
            &["import"],
        );
        let printed = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{name}: {printed}");
        assert!(
            printed.starts_with("keygate: line 2: ") && printed.contains("; nothing was taken"),
            "{printed}"
        );
        assert!(
            !printed.contains(hex) && !printed.contains("Smith"),
            "{printed}"
        );
        assert_eq!(keys.file(), before, "{name}");
    }
}

#[test]
fn a_rotation_reports_how_long_the_old_secret_stays_valid() {
    let keys = Keys::new();
    keys.run(&["create", "--id", "a"]);
    let (_, printed) = keys.run(&["rotate", "a", "--overlap", "0s"]);
    assert!(
        printed.contains("no older one is valid any more"),
        "{printed}"
    );
    // The key ends before the overlap would.
    keys.run(&["create", "--id", "b", "--expires", "1h"]);
    let (json, _) = keys.run(&["rotate", "b", "--overlap", "24h", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let end: jiff::Timestamp = json["old_ends"].as_str().unwrap().parse().unwrap();
    let hours = end.duration_since(jiff::Timestamp::now()).as_hours();
    assert!(hours <= 1, "{json}");
    keys.run(&["disable", "a"]);
    let (key, printed) = keys.run(&["rotate", "a"]);
    assert!(
        printed.contains("is disabled") && printed.contains("no older one"),
        "{printed}"
    );
    assert!(key.starts_with("kg_a_"));
    // The secret for which the key was disabled is gone from the file: enabling the key does not make it valid again.
    keys.run(&["enable", "a"]);
    let (shown, _) = keys.run(&["show", "a"]);
    assert_eq!(shown.matches("sha256:").count(), 1, "{shown}");
    keys.run(&["disable", "a"]);
    let (_, printed) = keys.run(&["rotate", "a", "--overlap", "1h"]);
    assert!(
        printed.contains("is disabled") && printed.contains("the old one is valid until"),
        "{printed}"
    );
}

#[test]
fn an_expired_key_is_not_rotated_without_a_new_end() {
    let keys = Keys::new();
    keys.run(&["create", "--id", "a", "--expires", "2100-01-01"]);
    let file = keys.file().replace("2100-01-01", "2020-01-01");
    std::fs::write(keys.path(), &file).unwrap();
    let refused = keys.with("", &["rotate", "a", "--overlap", "24h"]);
    let printed = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{printed}");
    assert!(
        printed.contains("expired at 2020-01-01T23:59:59Z") && printed.contains("--expires"),
        "{printed}"
    );
    assert!(refused.stdout.is_empty());
    assert_eq!(keys.file(), file);
    // A secret that was refused until now stays refused, unless an overlap is given.
    let (_, printed) = keys.run(&["rotate", "a", "--expires", "90d"]);
    assert!(
        printed.contains("no older one is valid any more"),
        "{printed}"
    );
    std::fs::write(keys.path(), &file).unwrap();
    let (_, printed) = keys.run(&["rotate", "a", "--expires", "90d", "--overlap", "1h"]);
    assert!(printed.contains("the old one is valid until"), "{printed}");
}

#[test]
fn show_refuses_the_option_wait() {
    let keys = Keys::new();
    keys.run(&["create", "--id", "a"]);
    let refused = keys.with("", &["show", "a", "--wait"]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(text(&refused.stderr).contains("--wait"));
}

#[test]
fn the_list_can_be_sorted() {
    let keys = Keys::new();
    for (id, end) in [("c", "2100-01-01"), ("a", "2099-01-01")] {
        keys.run(&["create", "--id", id, "--expires", end]);
    }
    keys.run(&["create", "--id", "b"]);
    for (sort, wanted) in [("file", "cab"), ("id", "abc"), ("expires", "acb")] {
        let (list, _) = keys.run(&["list", "--sort", sort]);
        let ids: String = list.lines().skip(1).map(|row| &row[..1]).collect();
        assert_eq!(ids, wanted, "{sort}");
    }
}
