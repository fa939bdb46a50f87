//! What `keygate keys` takes from people and shows them, without a gateway.

use std::path::PathBuf;
use std::process::Output;

use tempfile::TempDir;

use crate::command::{keygate_with, text};

/// A key file of its own, not yet there.
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

    /// The key file; nothing if it is not there.
    fn file(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap_or_default()
    }

    fn with(&self, input: &str, arguments: &[&str]) -> Output {
        let path = self.path();
        let file = ["--file", path.to_str().unwrap()];
        keygate_with(input, &[&["keys"], arguments, &file].concat())
    }

    /// What a command that works prints: on standard output, and to the person.
    fn run(&self, arguments: &[&str]) -> (String, String) {
        let output = self.with("", arguments);
        let said = text(&output.stderr).to_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        (text(&output.stdout).to_owned(), said)
    }
}

#[test]
fn a_key_that_expires_on_a_day_is_good_until_the_end_of_it_in_utc_and_that_is_said() {
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
    let (_, said) = create(&day);
    assert!(said.contains("ends at 2100-01-31T23:59:59Z"), "{said}");
    let file = keys.file();
    assert!(file.contains("expires = 2100-01-31T23:59:59Z"), "{file}");
    assert!(file.contains("not_before = 2099-12-01T00:00:00Z"), "{file}");
    let (json, _) = create(&["--id", "b", "--expires", "2100-01-31 12:00", "--json"]);
    assert!(
        json.contains("\"expires\":\"2100-01-31T12:00:00Z\""),
        "{json}"
    );
    let (_, said) = keys.run(&["rotate", "b", "--expires", "2100-02-28"]);
    assert!(
        said.contains("the key ends at 2100-02-28T23:59:59Z"),
        "{said}"
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
        let said = text(&refused.stderr);
        assert!(said.contains(why), "{said}");
        assert_eq!(keys.file(), before);
    }
}
