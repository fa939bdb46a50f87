//! No file imports a file that imports it, directly or by way of others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::sources::{self, Source};

/// The path of a module from the root of the crate, by the names of its modules.
type Module = Vec<String>;

fn module_of(path: &Path) -> Module {
    let plain = path.with_extension("");
    let names = plain.iter().map(|name| name.to_str().unwrap().to_owned());
    names
        .filter(|name| name != "mod" && name != "lib")
        .collect()
}

/// The paths that the `use` lines of a source name, with groups written out: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn used_paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let begins_a_line = rest[..at].rsplit('\n').next().is_some_and(|before| {
            matches!(before.trim(), "" | "pub" | "pub(crate)" | "pub(super)")
        });
        rest = &rest[at + 4..];
        if let (true, Some(end)) = (begins_a_line, rest.find(';')) {
            expand(&[], &rest[..end], &mut found);
        }
    }
    found
}

fn expand(before: &[String], tree: &str, found: &mut Vec<Vec<String>>) {
    let (head, group) = match tree.split_once('{') {
        Some((head, group)) => (head, group.trim_end().strip_suffix('}')),
        None => (tree, None),
    };
    let names = head
        .split("::")
        .map(|name| name.split(" as ").next().unwrap().trim());
    let mut path = before.to_vec();
    path.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
    let Some(group) = group else {
        return found.push(path);
    };
    let (mut depth, mut from) = (0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&path, &group[from..at], found);
                from = at + 1;
            }
            _ => {}
        }
    }
    if !group[from..].trim().is_empty() {
        expand(&path, &group[from..], found);
    }
}

/// The module whose file a path of a `use` line in `module` leads to; `None` outside of the gateway.
fn target(module: &Module, path: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
    let mut full: Module;
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => full = Vec::new(),
        "self" => full = module.clone(),
        "super" => full = module.clone(),
        child => {
            full = module.clone();
            full.push(child.to_owned());
            if !modules.contains(&full) {
                return None;
            }
            full.pop();
        }
    }
    while let Some(name) = rest.first() {
        match name.as_str() {
            "crate" | "self" => {}
            "super" => {
                full.pop();
            }
            name => {
                full.push(name.to_owned());
                if !modules.contains(&full) {
                    full.pop();
                    break;
                }
            }
        }
        rest = &rest[1..];
    }
    Some(full)
}

/// For each module, those below the same top module that it imports.
fn imports(sources: &[Source]) -> BTreeMap<Module, BTreeSet<Module>> {
    let modules: BTreeSet<Module> = sources.iter().map(|it| module_of(&it.path)).collect();
    let of = |source: &Source| {
        let module = module_of(&source.path);
        let paths = used_paths(&source.code);
        let targets = paths.iter().filter_map(|it| target(&module, it, &modules));
        let inside = targets.filter(|it| it.first() == module.first() && *it != module);
        (module.clone(), inside.collect())
    };
    sources.iter().map(of).collect()
}

/// All that `from` imports, directly or by way of others.
fn reach(from: &Module, imports: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<Module> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(module) = open.pop() {
        for next in imports.get(module).into_iter().flatten() {
            if found.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    found
}

#[test]
fn no_file_imports_a_file_that_imports_it() {
    let imports = imports(&sources::all());
    let in_circles = imports
        .keys()
        .filter(|module| reach(module, &imports).contains(*module));
    let in_circles: Vec<String> = in_circles.map(|module| module.join("::")).collect();
    assert!(
        in_circles.is_empty(),
        "in circles: {in_circles:?}; put what both sides need into a file of its own"
    );
}

#[test]
fn paths_of_use_lines_are_found_in_every_form() {
    let code =
        "pub use a::B;\nuse super::{c, d::{E, F as G}};\n    use crate::h::*;\nlet use_x = 1;\n";
    let found: Vec<String> = used_paths(code).iter().map(|it| it.join("::")).collect();
    assert_eq!(
        found,
        [
            "a::B",
            "super::c",
            "super::d::E",
            "super::d::F",
            "crate::h::*"
        ]
    );
}
