//! The layers of the gateway, checked against its sources: which module may import which, downward only, and what the
//! modules that compute may not name.

mod circles;
mod proxy;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use self::sources::Source;

/// The layers, from the ground up. A module may import what stands on a lower line.
const LAYERS: &[&[&str]] = &[
    &["runtime", "grammar"],
    &["document", "wire", "limit", "trusted_proxies"],
    &["secret", "usage", "metrics", "ledger"],
    &["origin", "template", "key", "access_log"],
    &["provider"],
    &["route", "telemetry"],
    &["config"],
    &["snapshot", "error"],
    &["proxy", "reload"],
    &["admin", "import", "sandbox"],
    &["server"],
    &["cli"],
    &["main"],
];

/// The modules that only compute: they do no IO, do not block and do not use Pingora.
const PURE: &[&str] = &[
    "grammar",
    "wire",
    "usage",
    "limit",
    "template",
    "trusted_proxies",
];

/// Names that must not occur in a pure module. Addresses of `std::net` are values, and allowed.
const IMPURE: &[&str] = &[
    "pingora",
    "tokio",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "net::Tcp",
    "net::Udp",
];

/// The modules at the top that a source names as `crate::module`.
fn imports(source: &Source) -> Vec<String> {
    let paths = source.code.match_indices("crate::");
    let name = |(at, marker): (usize, &str)| {
        let rest = &source.code[at + marker.len()..];
        let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
        let name: String = rest.chars().take_while(is_name).collect();
        assert!(
            !name.is_empty(),
            "write one `use crate::module::` per module: {rest:.40}"
        );
        name
    };
    paths.map(name).collect()
}

#[test]
fn modules_import_downwards_only() {
    let layer: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(height, modules)| modules.iter().map(move |module| (*module, height)))
        .collect();
    let mut seen = BTreeSet::new();
    for source in sources::all() {
        let module = source.top_module();
        if module == "lib" {
            continue;
        }
        let height = layer
            .get(module)
            .unwrap_or_else(|| panic!("{module} is in no layer"));
        seen.insert(module.to_owned());
        // `main` calls only what the library exports.
        if module == "main" {
            continue;
        }
        for import in imports(&source) {
            let other = layer
                .get(import.as_str())
                .unwrap_or_else(|| panic!("{}: {import} is no module", source.path.display()));
            assert!(
                import == module || other < height,
                "{} imports {import}, which does not stand below {module}",
                source.path.display()
            );
        }
    }
    assert_eq!(
        seen.len(),
        layer.len(),
        "the layers name modules that do not exist"
    );
}

#[test]
fn the_table_in_lib_rs_lists_the_layers() {
    let text = std::fs::read_to_string("gateway/lib.rs").unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | ["));
    let map: Vec<Vec<&str>> = rows
        .map(|row| {
            let modules = row.split('|').next().unwrap();
            modules.split('`').skip(1).step_by(2).collect()
        })
        .collect();
    let layers: Vec<Vec<&str>> = LAYERS.iter().map(|modules| modules.to_vec()).collect();
    // `main` is no part of the library.
    assert_eq!(layers.last().unwrap(), &["main"]);
    assert_eq!(map, layers[..layers.len() - 1]);
}

#[test]
fn pure_modules_name_nothing_that_does_io() {
    let mut seen = BTreeSet::new();
    for source in sources::all() {
        if PURE.contains(&source.top_module()) {
            seen.insert(source.top_module().to_owned());
            for impure in IMPURE {
                assert!(
                    !source.code.contains(impure),
                    "{} names {impure}",
                    source.path.display()
                );
            }
        }
    }
    assert_eq!(seen.len(), PURE.len(), "{seen:?}");
}

#[test]
fn the_request_path_never_sees_a_configuration_file() {
    let sources = sources::all();
    let of_proxy = sources
        .iter()
        .filter(|source| source.top_module() == "proxy");
    let mut seen = 0;
    for source in of_proxy {
        for forbidden in ["config", "document", "reload", "cli"] {
            assert!(
                !imports(source).iter().any(|import| import == forbidden),
                "{} imports {forbidden}",
                source.path.display()
            );
        }
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn a_configuration_is_checked_without_io() {
    let is_checked = |source: &&Source| {
        let path = source.path.to_str().unwrap();
        let files = ["file.rs", "meant.rs", "names.rs", "server.rs"];
        path.strip_prefix("config/").is_some_and(|inside| {
            files.contains(&inside)
                || inside.starts_with("check/")
                || inside.starts_with("consistency/")
        })
    };
    let sources = sources::all();
    let checked: Vec<&Source> = sources.iter().filter(is_checked).collect();
    assert!(checked.len() > 15);
    for source in checked {
        for forbidden in [
            "std::fs",
            "std::env",
            "std::thread",
            "SystemTime",
            "Instant",
            "Timestamp::now",
            "regular_file",
            "FileStamp",
            "SecretSource",
            "LocalSecrets",
            "KeySource",
        ] {
            assert!(
                !source.code.contains(forbidden),
                "{} names {forbidden}",
                source.path.display()
            );
        }
    }
}

#[test]
fn snapshots_hold_a_version_of_their_keys_and_no_file() {
    let sources = sources::all();
    let mut checked = 0;
    for source in &sources {
        let name = source.path.display();
        if !source.path.starts_with("snapshot") && source.path != Path::new("config/meant.rs") {
            continue;
        }
        for forbidden in ["FileStamp", "PrefixHash", "std::fs"] {
            assert!(!source.code.contains(forbidden), "{name} names {forbidden}");
        }
        checked += 1;
    }
    assert!(checked > 4, "{checked}");
}

/// Whether `name` is a module of the scenes or of the gateway, or a function in one.
fn is_module_or_function(name: &str) -> bool {
    let texts = |module: &str| -> Vec<String> {
        let path = module.replace("::", "/");
        ["tests/scenes", "gateway"]
            .iter()
            .flat_map(|root| [format!("{root}/{path}.rs"), format!("{root}/{path}/mod.rs")])
            .filter_map(|file| std::fs::read_to_string(file).ok())
            .collect()
    };
    let (module, function) = name.rsplit_once("::").unwrap();
    let function = format!("fn {function}(");
    !texts(name).is_empty() || texts(module).iter().any(|text| text.contains(&function))
}

#[test]
fn every_test_that_security_md_names_exists() {
    let text = std::fs::read_to_string("SECURITY.md").unwrap();
    let mut proofs = 0;
    for name in text.split('`').skip(1).step_by(2) {
        let is_file = ["tests/", "benches/", "gateway/"]
            .iter()
            .any(|folder| name.starts_with(folder));
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c);
        if is_file {
            assert!(Path::new(name).exists(), "{name} does not exist");
        } else if name.contains("::") && name.chars().all(is_plain) {
            assert!(is_module_or_function(name), "{name} does not exist");
        } else {
            continue;
        }
        proofs += 1;
    }
    assert!(proofs > 100, "{proofs}");
}
