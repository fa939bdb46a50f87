//! Commands of keygate, run to their end.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::Scene;

/// Runs a command and returns its output.
pub fn keygate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keygate"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Runs a command with the configuration of a scene.
pub fn keygate_for(scene: &Scene, arguments: &[&str]) -> Output {
    let config = scene.path("gateway.toml").display().to_string();
    keygate(&[arguments, &["--config", &config]].concat())
}

/// The output of a command as text.
pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs a command with `input` on standard input.
pub fn keygate_with(input: &str, arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_keygate"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}
