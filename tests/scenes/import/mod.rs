//! Imports of other gateways' configurations: what they produce, what they leave out, and what they refuse.

mod backends;
mod closed;
mod command;
mod generated;
mod golden;
mod limits;
mod litellm_tables;
mod places;
mod prices;
mod public_examples;
mod unreadable;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use keygate::testing::config::{ConfigErrors, Purpose, Resolved};
use keygate::testing::import::gloo::{self, Input};
use keygate::testing::import::{self, Plan};

/// Splits a text into sections, each after a line `=== name`.
fn sections(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("=== ") {
            Some(name) => found.push((name.to_owned(), String::new())),
            None => {
                let (_, body) = found.last_mut().unwrap();
                body.push_str(line);
                body.push('\n');
            }
        }
    }
    found
}

/// The body of a section; empty if there is none.
fn section<'s>(sections: &'s [(String, String)], name: &str) -> &'s str {
    let found = sections.iter().find(|(found, _)| found == name);
    found.map_or("", |(_, body)| body)
}

/// One input file; none if it is empty.
fn input(name: &str, text: &str) -> Vec<Input> {
    let input = Input {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    if text.is_empty() {
        Vec::new()
    } else {
        vec![input]
    }
}

/// Looks up a variable in a section of lines `NAME=value`. The variables of the test's own environment have no effect.
fn variable(environment: &str, name: &str) -> Option<String> {
    let mut lines = environment.lines().filter_map(|line| line.split_once('='));
    lines
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.to_owned())
}

/// The plan for one file of manifests.
fn read_manifests(text: &str, allow_open: bool) -> Plan {
    gloo::read(&input("m", text), &[], allow_open).unwrap()
}

/// Writes a plan to the folder `out` in `folder` and loads the result. Returns the path of its `gateway.toml`, too.
fn write_and_load(plan: &Plan, folder: &Path) -> (PathBuf, Result<Resolved, ConfigErrors>) {
    let out = folder.join("out");
    import::write(plan, &out, |_| Ok::<_, std::io::Error>(())).unwrap();
    let config = out.join("gateway.toml");
    let loaded = Resolved::load(&config, Purpose::Start);
    (config, loaded)
}

/// Everything that an import produced, without the parts that differ in each run.
fn summary(plan: &Plan) -> String {
    let mut text = String::from("=== notes\n");
    for note in &plan.notes {
        writeln!(text, "{note}").unwrap();
    }
    write!(text, "=== gateway.toml\n{}", import::gateway(plan)).unwrap();
    let random =
        regex::Regex::new("(id = \"nobody-[^\n]*\nhashes = \\[\"sha256:)[0-9a-f]{64}").unwrap();
    let keys = import::keys(plan);
    write!(
        text,
        "=== keys.toml\n{}",
        random.replace_all(&keys, "${1}(random)")
    )
    .unwrap();
    let prices = import::prices(plan);
    if !prices.is_empty() {
        write!(text, "=== prices.toml\n{prices}").unwrap();
    }
    text.push_str("=== secrets\n");
    for (name, secret) in &plan.secrets {
        writeln!(text, "{name}: {}", secret.as_str()).unwrap();
    }
    text
}
