//! The table of settings: the example, the reference page and the restarts agree with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use keygate::testing::config::{Effect, Fallback, Kind, Purpose, Resolved, SETTINGS, Setting};

use crate::support::Scene;

fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(repository(name)).unwrap()
}

/// A setting as `conf/gateway.toml` shows it.
struct Shown {
    /// The text before the name: nothing, `#` or `# `.
    mark: String,
    value: String,
    comment: String,
}

/// The settings of `conf/gateway.toml`, by section and name.
fn shown() -> BTreeMap<(String, String), Shown> {
    let text = read("conf/gateway.toml");
    let mut found: BTreeMap<(String, String), Shown> = BTreeMap::new();
    let (mut section, mut last) = (String::new(), None);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix('[') {
            let name = rest.trim_start_matches('[').split(']').next().unwrap();
            section = name.replace("providers.openai", "providers.*");
            if rest.starts_with('[') {
                section += "[]";
            }
            continue;
        }
        // The line continues the comment of the line above.
        let more = line.strip_prefix("#      ").map(str::trim_start);
        if let (Some(more), Some(key)) = (more.and_then(|rest| rest.strip_prefix("# ")), &last) {
            let shown: &mut Shown = found.get_mut(key).unwrap();
            shown.comment = format!("{} {more}", shown.comment);
            continue;
        }
        last = None;
        let bare = line.trim_start_matches('#').trim_start_matches(' ');
        let Some((name, rest)) = bare.split_once('=') else {
            continue;
        };
        let name = name.trim_end();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || !name.chars().all(is_name) {
            continue;
        }
        let (within, name) = name.rsplit_once('.').unwrap_or(("", name));
        let section = if within.is_empty() {
            section.clone()
        } else {
            format!("{section}.{within}")
        };
        // The comment begins after the first `#` that leaves a value in front of it.
        let ends = rest.match_indices('#').map(|(at, _)| at);
        let end = ends
            .chain([rest.len()])
            .find(|end| rest[..*end].trim().parse::<toml_edit::Value>().is_ok());
        let Some(end) = end else { continue };
        let shown = Shown {
            mark: line[..line.len() - bare.len()].to_owned(),
            value: rest[..end].trim().to_owned(),
            comment: rest[end..].trim_start_matches(['#', ' ']).to_owned(),
        };
        let key = (section, name.to_owned());
        found.insert(key.clone(), shown);
        last = Some(key);
    }
    found
}

#[test]
fn the_example_shows_every_setting_with_its_default_and_its_text() {
    let mut shown = shown();
    for setting in SETTINGS {
        // Headers that a route makes are shown by an example of their own.
        if setting.section.starts_with("routes[].transform") {
            continue;
        }
        let name = format!("{}.{}", setting.section, setting.name);
        let key = (setting.section.to_owned(), setting.name.to_owned());
        let found = shown.remove(&key).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(found.comment, setting.text, "{name}");
        assert_eq!(found.value, setting.default.shown(), "{name}");
        match setting.default {
            Fallback::Value(_) => assert_eq!(found.mark, "#", "{name} is at its default"),
            // Some settings have a default for this kind of provider.
            Fallback::Example(_) => {}
            Fallback::Required(_) => assert_ne!(found.mark, "#", "{name} has no default"),
        }
    }
    shown.retain(|(section, _), _| !section.starts_with("routes[].transform"));
    let unknown: Vec<_> = shown.keys().collect();
    assert!(unknown.is_empty(), "not in the table: {unknown:?}");
}

/// The page of the reference.
fn page() -> String {
    let mut page = "# Settings\n\n\
        Every setting of `gateway.toml`. This page is made of the table that the gateway reads by; \
        `conf/gateway.toml` shows the same as a file.\n\n\
        A duration has a unit (`\"45s\"`, `\"10m\"`, `\"1h 30m\"`), and so has a size (`\"64KiB\"`, `\"32MiB\"`). Relative \
        paths count from the folder of `gateway.toml`. A change marked *restart* takes effect at the next start or with \
        `keygate upgrade`; every other one as soon as the file is saved.\n\n\
        `keygate schema` prints a JSON schema of these settings for editors; `conf/keygate.schema.json` is the same. \
        With `#:schema ./keygate.schema.json` in the first line of `gateway.toml`, Taplo and Even Better TOML complete \
        and check it without a network.\n"
        .to_owned();
    let mut section = "";
    for setting in SETTINGS {
        if setting.section != section {
            section = setting.section;
            let _ = write!(
                page,
                "\n## {}\n\n| setting | type | default | change | what it does |\n|---|---|---|---|---|\n",
                heading(section)
            );
        }
        let _ = writeln!(page, "{}", row(setting));
    }
    page
}

/// A text in a cell of a table: outside of code, a star would be emphasis.
fn escaped(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(i, part)| match i % 2 {
        0 => part.replace('|', "\\|").replace('*', "\\*"),
        _ => part.replace('|', "\\|"),
    });
    parts.collect::<Vec<_>>().join("`")
}

/// The heading of a section, as it is written in `gateway.toml`.
fn heading(section: &str) -> String {
    let name = section.replace(".*", ".NAME");
    match name.split_once("[]") {
        Some((list, "")) => format!("`[[{list}]]`"),
        Some((list, rest)) => format!("`[[{list}]]`: `{}`", rest.trim_start_matches('.')),
        None => format!("`[{name}]`"),
    }
}

fn row(setting: &Setting) -> String {
    let default = match setting.default {
        Fallback::Value(value) => format!("`{value}`"),
        Fallback::Example(value) => format!("none; such as `{value}`"),
        Fallback::Required(value) => format!("required; such as `{value}`"),
    };
    let effect = match setting.effect {
        Effect::Reload => "",
        Effect::Restart => "*restart*",
    };
    let values = setting.values().map(|values| values.join(", "));
    let kind = match values {
        Some(values) => format!("one of {values}"),
        None => setting.kind.name().to_owned(),
    };
    let text = escaped(setting.text);
    format!(
        "| `{}` | {kind} | {default} | {effect} | {text} |",
        setting.name
    )
}

#[test]
fn the_reference_page_agrees_with_the_table() {
    let page = page();
    if std::env::var_os("KEYGATE_WRITE_REFERENCE").is_some() {
        std::fs::write(repository("docs/settings.md"), &page).unwrap();
    }
    assert!(
        read("docs/settings.md") == page,
        "docs/settings.md is not made of the table: KEYGATE_WRITE_REFERENCE=1 cargo test writes it"
    );
}

/// Values in TOML, at least one of which is not the default.
fn others(setting: &Setting) -> Vec<&'static str> {
    match (setting.name, setting.kind) {
        ("listen", _) => vec!["[\"127.0.0.1:18080\"]"],
        ("admin", _) => vec!["\"127.0.0.1:19090\""],
        ("admin_hosts", _) => vec!["[\"a.internal\"]"],
        ("strip_headers", _) => vec!["[\"x-a\"]"],
        ("trusted_proxies", _) => vec!["[\"10.0.0.0/8\"]"],
        ("client_ip_header", _) => vec!["\"X-Real-IP\""],
        ("log_level", _) => vec!["\"warn\""],
        (_, Kind::Flag) => vec!["true", "false"],
        (_, Kind::Count) => vec!["77"],
        (_, Kind::Duration) => vec!["\"17s\""],
        (_, Kind::Size) => vec!["\"12345B\""],
        (name, _) => panic!("add a value that is not the default of `{name}`"),
    }
}

#[test]
fn a_change_needs_a_restart_as_the_table_says() {
    let trusted = "trusted_proxies = [\"192.0.2.0/24\"]";
    let mut checked = 0;
    for setting in SETTINGS {
        let is_server = setting.section == "server" || setting.section.starts_with("server.");
        // The proxy belongs to the providers; TLS is compared by its files, which are not read here.
        let is_elsewhere = ["proxy", "proxy_token"].contains(&setting.name);
        if !is_server || is_elsewhere || setting.section == "server.tls" {
            continue;
        }
        let load = |value: Option<&str>| {
            let within = setting.section.strip_prefix("server").unwrap();
            let within = within.trim_start_matches('.');
            let dot = if within.is_empty() { "" } else { "." };
            let line = value.map_or(String::new(), |value| {
                format!("{within}{dot}{} = {value}\n", setting.name)
            });
            // Two settings have an effect only beside `trusted_proxies`.
            let beside = match setting.name {
                "client_ip_header" | "proxy_protocol" => trusted,
                _ => "",
            };
            let scene = Scene::new("").key("a", "b", "");
            scene.write("gateway.toml", &format!("[server]\n{line}{beside}\n"));
            Resolved::load(&scene.path("gateway.toml"), Purpose::Start)
                .unwrap_or_else(|errors| panic!("{errors}"))
        };
        let before = load(None).server;
        let changed = others(setting)
            .into_iter()
            .map(|value| load(Some(value)).server)
            .find(|after| *after != before)
            .unwrap_or_else(|| panic!("{} changes nothing", setting.name));
        let wanted = setting.effect == Effect::Restart;
        assert_eq!(before.needs_restart(&changed), wanted, "{}", setting.name);
        checked += 1;
    }
    assert!(checked > 25, "{checked}");
}
