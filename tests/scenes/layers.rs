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

/// The modules of `proxy`, from the ground up. What stands below `exchange` decides and knows no session but where it is
/// named here; what stands above it adapts Pingora's session to those decisions.
const PROXY_LAYERS: &[&[&str]] = &[
    &["dialect", "retry", "tries"],
    &["reject"],
    &[
        "client_address",
        "connection",
        "cors",
        "failure",
        "head",
        "header_names",
        "http10",
        "spend",
    ],
    &["admit", "conversation"],
    &["attempt", "location"],
    &["inject", "response_headers", "stream_usage"],
    &["shared", "stats"],
    &["exchange"],
    &["body", "consumption", "forward", "respond", "send"],
    &["observe", "receive", "record"],
    &["mod"],
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.file_name().is_some_and(|name| name == "tests.rs") {
            // The inline tests of the file beside it.
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

/// The modules beside it that a file of `proxy` names as `super::module`, or as `self::module` if it is `mod.rs`.
fn siblings(text: &str, is_mod: bool) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let marker = if is_mod { "self::" } else { "super::" };
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let mut found = Vec::new();
    for line in lines {
        for (at, _) in line.match_indices(marker) {
            let rest = &line[at + marker.len()..];
            let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
            found.push(rest.chars().take_while(is_name).collect());
        }
    }
    found
}

#[test]
fn decisions_stand_below_the_exchange_and_adapters_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway/proxy");
    let layers = PROXY_LAYERS.iter().enumerate();
    let layer: BTreeMap<&str, usize> = layers
        .flat_map(|(height, modules)| modules.iter().map(move |module| (*module, height)))
        .collect();
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert_eq!(
        files.len(),
        layer.len(),
        "the plan names other files than there are"
    );
    for file in &files {
        let inside = file.strip_prefix(&root).unwrap().with_extension("");
        // `inject/mod.rs` is `inject`.
        let module = inside.iter().next().unwrap().to_str().unwrap();
        let height = layer[module];
        let text = std::fs::read_to_string(file).unwrap();
        for import in siblings(&text, module == "mod") {
            assert!(
                layer
                    .get(import.as_str())
                    .is_some_and(|other| *other < height),
                "proxy/{module} imports {import}, which does not stand below it"
            );
        }
        // These two hold what a session is told; everything else below decides without one.
        let knows_session = ["http10", "connection"].contains(&module);
        let is_decision = height < layer["exchange"] && !knows_session;
        assert!(
            !is_decision || !text.contains("pingora_proxy"),
            "proxy/{module} decides, and knows a session"
        );
    }
}

#[test]
fn the_front_page_is_a_list() {
    let page = include_str!("../../gateway/proxy/mod.rs");
    assert!(
        page.lines().count() <= 200,
        "proxy/mod.rs is too long to be read at a glance"
    );
    for forbidden in ["watchdog", "deadline", "timeout"] {
        assert!(
            !page.contains(forbidden),
            "proxy/mod.rs speaks of a {forbidden}"
        );
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
