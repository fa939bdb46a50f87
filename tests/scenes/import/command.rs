//! `keygate import gloo`: what the command writes and prints.

use super::golden::golden_files;
use super::{section, sections};
use crate::support::command::{keygate, text};

#[test]
fn the_command_writes_what_it_reports_and_overwrites_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let parts = sections(&std::fs::read_to_string(golden_files("03").remove(0)).unwrap());
    std::fs::write(at("in.yaml"), section(&parts, "manifests")).unwrap();
    let (manifests, out) = (at("in.yaml"), at("out"));
    let import = ["import", "gloo", &manifests, "--out", &out];
    let strict = keygate(&[&import[..], &["--strict"]].concat());
    assert_eq!(strict.status.code(), Some(1));
    assert!(text(&strict.stderr).contains("nothing was written (--strict)"));
    assert!(!folder.path().join("out").exists());
    let done = keygate(&import);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(
        text(&done.stdout).contains("4 routes, 2 providers, 2 keys, 2 secrets"),
        "{}",
        text(&done.stdout)
    );
    assert!(
        text(&done.stderr).contains("not carried over: HTTPRoute gloo-system/llm ("),
        "{}",
        text(&done.stderr)
    );
    let config = std::fs::read_to_string(folder.path().join("out/gateway.toml")).unwrap();
    assert!(!config.contains("sk-azure") && !config.contains("sk-gemini"));
    let mode = |name: &str| {
        let about = std::fs::metadata(folder.path().join(name)).unwrap();
        std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o777
    };
    assert_eq!(
        (
            mode("out"),
            mode("out/gateway.toml"),
            mode("out/keys.toml"),
            mode("out/secrets"),
            mode("out/secrets/azure-token")
        ),
        (0o700, 0o600, 0o600, 0o700, 0o600)
    );
    let again = keygate(&import);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("is there already: nothing was written"));
    let check = keygate(&["check", "--config", &at("out/gateway.toml")]);
    assert!(check.status.success());
}
