//! The sources of the gateway, without comments and without their own tests.

use std::path::{Path, PathBuf};

/// One source file of the gateway.
pub struct Source {
    /// Its path below `gateway/`.
    pub path: PathBuf,
    /// Its text without comment lines and without tests.
    pub code: String,
}

impl Source {
    /// The module at the top that it belongs to: `proxy` for `proxy/admit.rs`, `template` for `template.rs`.
    pub fn top_module(&self) -> &str {
        let first = self.path.components().next().unwrap();
        let first = first.as_os_str().to_str().unwrap();
        first.trim_end_matches(".rs")
    }
}

/// All sources below `gateway/`, but for files that only tests use.
pub fn all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway");
    let (mut paths, mut only_tests, mut found) = (Vec::new(), Vec::new(), Vec::new());
    collect(&root, &mut paths);
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let (code, test_modules) = without_tests(&text);
        let folder = path.with_extension("");
        let folder = match folder.file_name().unwrap().to_str().unwrap() {
            "mod" | "lib" => folder.parent().unwrap().to_owned(),
            _ => folder,
        };
        for module in test_modules {
            only_tests.push(folder.join(format!("{module}.rs")));
        }
        found.push((path, code));
    }
    found.retain(|(path, _)| !only_tests.contains(path));
    let sources = found.into_iter().map(|(path, code)| Source {
        path: path.strip_prefix(&root).unwrap().to_owned(),
        code,
    });
    sources.collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The lines before a module's inline tests that are no comments, and the names of the files that hold its other tests.
fn without_tests(text: &str) -> (String, Vec<String>) {
    let (mut code, mut test_modules) = (String::new(), Vec::new());
    let mut lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            code.push_str(line);
            code.push('\n');
            continue;
        }
        let module = lines.next().and_then(|item| item.strip_prefix("mod "));
        match module.and_then(|name| name.strip_suffix(';')) {
            Some(name) => test_modules.push(name.to_owned()),
            None => break,
        }
    }
    (code, test_modules)
}
