//! The house's plan, held against its walls: who may import whom, downward only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The layers, from the ground up. A module may import what stands on a lower line.
const LAYERS: &[&[&str]] = &[
    &["runtime", "grammar"],
    &["document", "wire", "limit", "trusted_proxies"],
    &["secret", "usage", "metrics"],
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

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The modules that a source names as `crate::module` or `keygate::module`, outside its tests.
fn imports(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = Vec::new();
    for marker in ["crate::", "keygate::"] {
        for (at, _) in code.match_indices(marker) {
            let rest = &code[at + marker.len()..];
            let names: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            assert!(
                !names.is_empty(),
                "write one `use crate::module::` per module: {rest:.40}"
            );
            found.push(names);
        }
    }
    found
}

#[test]
fn modules_import_downwards_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway");
    let layer: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(height, modules)| modules.iter().map(move |module| (*module, height)))
        .collect();
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut seen = std::collections::BTreeSet::new();
    for file in &files {
        let inside = file.strip_prefix(&root).unwrap();
        let first = inside
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap();
        let module = first.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let height = layer
            .get(module)
            .unwrap_or_else(|| panic!("{module} has no place in the plan"));
        seen.insert(module.to_owned());
        for import in imports(&std::fs::read_to_string(file).unwrap()) {
            let other = layer.get(import.as_str());
            let other =
                other.unwrap_or_else(|| panic!("{}: {import} is no module", inside.display()));
            assert!(
                import == module || other < height,
                "{} imports {import}, which does not stand below {module}",
                inside.display()
            );
        }
    }
    assert_eq!(
        seen.len(),
        layer.len(),
        "the plan names rooms that are not there"
    );
}

#[test]
fn the_request_path_never_sees_a_configuration_file() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway/proxy"),
        &mut files,
    );
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for forbidden in ["config", "document", "reload", "cli"] {
            assert!(
                !imports(&text).iter().any(|i| i == forbidden),
                "{} imports {forbidden}",
                file.display()
            );
        }
    }
}

/// The code of a source without its comments and its tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    let lines = code.lines();
    let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_configuration_is_checked_without_io() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway/config");
    let mut files = ["file.rs", "meant.rs", "names.rs", "server.rs"]
        .map(|name| config.join(name))
        .to_vec();
    sources(&config.join("check"), &mut files);
    sources(&config.join("consistency"), &mut files);
    assert!(files.len() > 15);
    for file in files {
        let code = code(&file);
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
                !code.contains(forbidden),
                "{} says {forbidden}",
                file.display()
            );
        }
    }
}

#[test]
fn what_serves_knows_a_version_of_its_keys_and_no_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway");
    for name in ["snapshot.rs", "config/meant.rs"] {
        let code = code(&root.join(name));
        for forbidden in ["FileStamp", "PrefixHash", "std::fs"] {
            assert!(!code.contains(forbidden), "{name} says {forbidden}");
        }
    }
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
fn every_proof_that_security_md_names_is_there() {
    let text = std::fs::read_to_string("SECURITY.md").unwrap();
    let mut proofs = 0;
    for name in text.split('`').skip(1).step_by(2) {
        let is_file = ["tests/", "benches/", "gateway/"]
            .iter()
            .any(|folder| name.starts_with(folder));
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c);
        if is_file {
            assert!(Path::new(name).exists(), "{name} is not there");
        } else if name.contains("::") && name.chars().all(is_plain) {
            assert!(is_module_or_function(name), "{name} is not there");
        } else {
            continue;
        }
        proofs += 1;
    }
    assert!(proofs > 100, "{proofs}");
}
