//! `keygate usage`: the sums of access lines, for people and for programs.

mod logs;

use std::io::Write;
use std::process::Output;

use crate::support::command::{keygate, keygate_with, text};
use crate::support::{Scene, process};

#[test]
fn usage_is_summed_up_from_access_lines_and_skipped_lines_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log").display().to_string();
    let ids = std::cell::Cell::new(0);
    let line = |day: u32, key: &str, model: &str, tokens: &str| {
        let id = ids.replace(ids.get() + 1);
        format!(
            "{{\"time\":\"2026-01-0{day}T10:00:00.000000Z\",\"request_id\":\"{id}\",\"key\":{key},\"provider\":\"p\",\"model\":{model}{tokens}}}\n"
        )
    };
    let took = |input: u64, output: u64| {
        format!(
            ",\"input_tokens\":{input},\"output_tokens\":{output},\"cache_read_tokens\":1,\"cache_creation_tokens\":0,\"reasoning_tokens\":0"
        )
    };
    let lines = [
        line(1, "\"alice\"", "\"m,1\"", &took(10, 5)),
        "2026-01-01T00:00:00.000000Z  INFO serving\n{\"a\": 1}\n".to_owned(),
        line(
            1,
            "\"alice\"",
            "\"m,1\"",
            &(took(7, 2) + ",\"aborted\":true"),
        ),
        line(2, "\"alice\"", "\"m,1\"", &took(u64::MAX, 1)),
        line(2, "\"alice\"", "\"m,1\"", &took(1, 1)),
        line(2, "null", "null", ",\"refused_by\":\"gateway\""),
    ];
    std::fs::write(&path, lines.concat()).unwrap();
    let head = "requests,refused,aborted,metered,estimated,input_tokens,output_tokens,cache_read_tokens,cache_creation_tokens,reasoning_tokens";
    let by = ["--by", "key,provider,model,day"];
    let csv = keygate(&[&["usage", "--csv", &path], &by[..]].concat());
    assert!(csv.status.success());
    assert_eq!(
        text(&csv.stdout),
        format!(
            "key,provider,model,day,{head}\n\
             ,p,,2026-01-02,1,1,0,0,0,0,0,0,0,0\n\
             alice,p,\"m,1\",2026-01-01,2,0,1,2,0,17,7,2,0,0\n\
             alice,p,\"m,1\",2026-01-02,2,0,0,2,0,{},2,2,0,0\n",
            u64::MAX
        )
    );
    assert_eq!(
        text(&csv.stderr),
        format!("{path}: skipped: 1 line is no access line\n"),
        "an event is one of keygate's"
    );
    let json = keygate(&["usage", "--json", "--by", "provider", &path]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (
            &json[0]["provider"],
            &json[0]["requests"],
            &json[0]["output_tokens"],
            &json[1]
        ),
        (&"p".into(), &5.into(), &9.into(), &serde_json::Value::Null)
    );
    let shown = keygate(&["usage", "--by", "key,day", &path]);
    let rows: Vec<Vec<&str>> = text(&shown.stdout)
        .lines()
        .map(|row| row.split_whitespace().collect())
        .collect();
    let head = "KEY DAY REQUESTS REFUSED ABORTED METERED INPUT OUTPUT CACHE_READ";
    let expected = [
        head,
        "- 2026-01-02 1 1 0 0 0 0 0",
        "alice 2026-01-01 2 0 1 2 17 7 2",
        "alice 2026-01-02 2 0 0 2 18,446,744,073,709,551,615 2 2",
        "TOTAL 5 1 1 4 18,446,744,073,709,551,615 9 4",
    ];
    let rows: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
    assert_eq!(rows, expected);
    let missing = keygate(&["usage", "nowhere.log"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("nowhere.log"));
}

#[test]
fn audio_and_images_have_columns_if_they_are_not_zero() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log").display().to_string();
    let spoken = ",\"input_audio_tokens\":7,\"output_audio_tokens\":5,\"output_image_tokens\":1";
    let line = |id: u32, key: &str, more: &str| {
        format!(
            "{{\"time\":\"2026-01-01T10:00:00Z\",\"request_id\":\"{id}\",\"key\":\"{key}\",\
             \"input_tokens\":20,\"output_tokens\":9,\"cache_read_tokens\":0,\"cache_creation_tokens\":0,\
             \"reasoning_tokens\":0{more}}}\n"
        )
    };
    let lines = [
        line(1, "alice", spoken),
        line(2, "bob", ""),
        line(3, "alice", spoken),
    ];
    std::fs::write(&path, lines.concat()).unwrap();
    let csv = keygate(&["usage", "--csv", "--by", "key", &path]);
    let csv = text(&csv.stdout);
    let rows: Vec<&str> = csv.lines().collect();
    assert!(
        rows[0].ends_with(
            ",reasoning_tokens,input_audio_tokens,output_audio_tokens,output_image_tokens"
        ),
        "{csv}"
    );
    assert!(
        csv.contains("alice,2,0,0,2,0,40,18,0,0,0,14,10,2\n"),
        "{csv}"
    );
    assert!(csv.contains("bob,1,0,0,1,0,20,9,0,0,0,0,0,0\n"), "{csv}");
    let json = keygate(&["usage", "--json", "--by", "key", &path]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json[0]["input_audio_tokens"], 14);
    assert!(json[0].get("input_video_tokens").is_none(), "{json}");
    let shown = keygate(&["usage", "--by", "key", &path]);
    let shown = text(&shown.stdout);
    let head: Vec<&str> = shown.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        head[head.len() - 3..],
        ["INPUT_AUDIO", "OUTPUT_AUDIO", "OUTPUT_IMAGE"],
        "{shown}"
    );
}

#[test]
fn a_models_name_is_escaped_for_terminals_and_spreadsheets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log").display().to_string();
    // Names that a line that keygate did not write may have.
    let models = [
        "=HYPERLINK(\"http://h.test\")",
        "+1",
        "-1",
        "@sum",
        "\u{ff1d}1",
        "\t=1",
        "\r\n=1",
        "a\u{1b}[31m\u{9b}31m\u{202e}b\u{7f}",
        "m\u{e9}-1",
        " =1",
        "x;=1; +1;y",
    ];
    let line = |model: &&str| {
        let line = serde_json::json!({
            "time": "2026-01-01T10:00:00Z", "request_id": model, "model": model
        });
        format!("{line}\n")
    };
    std::fs::write(&path, models.iter().map(line).collect::<String>()).unwrap();
    let printed = |how: &[&str]| {
        let output = keygate(&[&["usage", "--by", "model", &path], how].concat());
        text(&output.stdout).to_owned()
    };
    let csv = printed(&["--csv"]);
    let mut cells: Vec<_> = csv::Reader::from_reader(csv.as_bytes())
        .records()
        .map(|row| row.unwrap()[0].to_owned())
        .collect();
    cells.sort();
    let mut expected = [
        "'=HYPERLINK(\"http://h.test\")",
        "'+1",
        "'-1",
        "'@sum",
        "'\u{ff1d}1",
        "\\u0009=1",
        "\\u000d\\u000a=1",
        "a\\u001b[31m\\u009b31m\\u202eb\\u007f",
        "m\u{e9}-1",
        "' =1",
        "x;'=1;' +1;y",
    ];
    expected.sort_unstable();
    assert_eq!(cells, expected);
    let json = printed(&["--json"]);
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    let names = rows.as_array().unwrap().iter();
    let mut names: Vec<_> = names.map(|row| row["model"].as_str().unwrap()).collect();
    let mut expected = models;
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected, "the same, in escapes");
    for shown in [csv, json, printed(&[])] {
        let raw = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!shown.contains(raw), "{shown:?}");
    }
}

#[test]
fn costs_are_summed_up_exactly_from_the_lines_or_by_a_price_file() {
    let scene = Scene::new("");
    let line = |id: u32, model: &str, cost: &str| {
        format!(
            "{{\"time\":\"2026-01-01T10:00:00Z\",\"request_id\":\"{id}\",\"key\":\"alice\",\"provider\":\"p\",\"model\":\"{model}\",\"input_tokens\":1000,\"output_tokens\":0{cost}}}\n"
        )
    };
    let usd = ",\"cost\":\"0.000000000001\",\"currency\":\"USD\"";
    let eur = ",\"cost\":\"0.1\",\"currency\":\"EUR\"";
    let usd = (0..3).map(|id| line(id, "m", usd));
    let eur = (3..13).map(|id| line(id, "m", eur));
    let more = line(13, "n", ",\"estimated\":true");
    let lines: String = usd.chain(eur).chain([more]).collect();
    scene.write("access.log", &lines);
    scene.write("prices.toml", "[[price]]\nmodel = \"m\"\ninput = \"2.5\"\n");
    scene.write("broken.toml", "[[price]]\nmodel = \"m\"\ninput = 2.5\n");
    let path = |name: &str| scene.path(name).display().to_string();
    let log = path("access.log");
    let csv = keygate(&["usage", "--csv", "--by", "key", &log]);
    let tail = text(&csv.stdout)
        .lines()
        .map(|row| row.rsplitn(3, ',').collect::<Vec<_>>());
    let tail: Vec<_> = tail.map(|columns| (columns[1], columns[0])).collect();
    assert_eq!(tail, [("cost_EUR", "cost_USD"), ("1", "0.000000000003")]);
    let json = keygate(&[
        "usage",
        "--json",
        "--by",
        "model",
        "--prices",
        &path("prices.toml"),
        &log,
    ]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json[0]["cost"], serde_json::json!({"USD": "0.0325"}));
    assert_eq!(
        (&json[1]["cost"], &json[1]["estimated"]),
        (&serde_json::json!({}), &1.into())
    );
    let shown = keygate(&["usage", "--by", "key", &log]);
    assert!(
        text(&shown.stdout)
            .lines()
            .next()
            .unwrap()
            .ends_with("COST_USD")
    );
    let broken = keygate(&["usage", "--prices", &path("broken.toml"), &log]);
    assert_eq!(broken.status.code(), Some(78));
    assert!(text(&broken.stderr).contains("broken.toml:3: price[0].input: expected a string"));
}

/// The access line of the request `id` on this day of January.
fn line(id: u64, day: u32, key: &str, tokens: u64, cost: &str) -> String {
    format!(
        "{{\"time\":\"2026-01-{day:02}T10:00:00.000000Z\",\"request_id\":\"{id:032x}\",\"key\":\"{key}\",\
         \"provider\":\"p\",\"input_tokens\":{tokens},\"output_tokens\":1,\"cost\":\"{cost}\",\"currency\":\"USD\"}}"
    )
}

fn words(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows = text(&output.stdout).lines();
    rows.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn the_highest_cost_comes_first_and_the_total_last() {
    let lines = [
        line(1, 1, "alice", 1_000_000, "0.5"),
        line(2, 1, "bob", 10, "12.25"),
        line(3, 2, "carol", 20, "0.00001"),
    ];
    let input = lines.join("\n");
    let output = keygate_with(&input, &["usage", "-"]);
    let expected = [
        "KEY REQUESTS INPUT OUTPUT COST_USD",
        "bob 1 10 1 12.2500",
        "alice 1 1,000,000 1 0.5000",
        "carol 1 20 1 <0.0001",
        "TOTAL 3 1,000,030 3 12.7500",
    ];
    assert_eq!(words(&output), expected);
    let rows: Vec<_> = text(&output.stdout)
        .lines()
        .map(|row| row.chars().count())
        .collect();
    assert!(
        rows.iter().all(|width| *width == rows[0] && *width <= 80),
        "{rows:?}"
    );
    let top = keygate_with(&input, &["usage", "--top", "1", "-"]);
    assert_eq!(
        words(&top)[1..3],
        ["bob 1 10 1 12.2500", "(2 others) 2 1,000,020 2 0.5000"]
    );
    let most = keygate_with(&input, &["usage", "--sort", "tokens", "-o", "csv", "-"]);
    assert!(words(&most)[1].starts_with("alice,"));
    let days = keygate_with(&input, &["usage", "--by", "day", "-"]);
    assert!(words(&days)[1].starts_with("2026-01-01 2"));
}

#[test]
fn only_requests_in_the_time_range_count() {
    let input: String = (1..=9)
        .map(|day| line(day.into(), day, "alice", 1, "1") + "\n")
        .collect();
    let requests = |requested: &[&str]| {
        let output = keygate_with(&input, &[&["usage", "--csv", "-"], requested].concat());
        assert!(
            output.status.success(),
            "{requested:?}: {}",
            text(&output.stderr)
        );
        let row = text(&output.stdout).lines().nth(1).map(str::to_owned);
        row.map_or(0, |row| {
            row.split(',').nth(1).unwrap().parse::<u32>().unwrap()
        })
    };
    assert_eq!(
        requests(&["--since", "2026-01-03", "--until", "2026-01-05"]),
        3
    );
    assert_eq!(requests(&["--since", "2026-01-03T10:00:00Z"]), 7);
    assert_eq!(requests(&["--since", "2026-01-03T10:00:01Z"]), 6);
    assert_eq!(requests(&["--since", "7d"]), 0);
    let bad = keygate(&["usage", "--since", "yesterday", "-"]);
    assert_eq!(bad.status.code(), Some(64));
    assert!(text(&bad.stderr).contains("a time before now such as 7d"));
}

#[test]
fn the_table_fits_the_terminal() {
    let model = "a-provider/with-a-model-of-a-very-long-name-2026-01-01-preview";
    let line = format!(
        "{{\"time\":\"2026-01-01T10:00:00Z\",\"request_id\":\"1\",\"key\":\"alice\",\"model\":\"{model}\",\
         \"refused_by\":\"provider\",\"aborted\":true,\"input_tokens\":12345678,\"output_tokens\":12345678,\
         \"cache_read_tokens\":12345678,\"cache_creation_tokens\":12345678,\"reasoning_tokens\":12345678,\
         \"estimated\":true,\"cost\":\"1234.5678\",\"currency\":\"USD\"}}\n"
    );
    let scene = Scene::new("");
    scene.write("log", &line);
    let run = |columns: &str| {
        let mut command = process::keygate();
        let command = command
            .args(["usage", "--by", "key,model"])
            .arg(scene.path("log"));
        command.env("COLUMNS", columns).output().unwrap()
    };
    for columns in [80_usize, 100, 120] {
        let output = run(&columns.to_string());
        let shown = text(&output.stdout);
        assert!(
            shown.lines().all(|row| row.chars().count() <= columns),
            "{columns}\n{shown}"
        );
        for needed in ["alice", "12,345,678", "1,234.5678", "a-provider"] {
            assert!(shown.contains(needed), "{columns}\n{shown}");
        }
    }
    let narrow = run("80");
    assert!(
        text(&narrow.stderr).contains("No room for"),
        "{}",
        text(&narrow.stderr)
    );
    assert!(text(&run("400").stdout).contains(model));
}
