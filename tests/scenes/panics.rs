//! What a panic says: where it was, and nothing that it stumbled over.

use std::process::Command;

const CANARY: &str = "canary-é-0123456789";

/// What the test below runs in a process of its own, for the hook is the process'.
#[test]
#[ignore = "a part of another test"]
fn stumbles_over_a_secret() {
    keygate::server::hide_what_panics_say();
    let secret = std::env::var("CANARY").unwrap_or_default();
    // In the midst of a character.
    let _ = secret.split_at(8);
}

#[test]
fn a_panic_says_where_it_was_and_not_what_it_stumbled_over() {
    for backtrace in ["0", "1"] {
        let test = std::env::current_exe().unwrap();
        let ran = Command::new(test)
            .args([
                "--exact",
                "panics::stumbles_over_a_secret",
                "--ignored",
                "--nocapture",
            ])
            .envs([("CANARY", CANARY), ("RUST_BACKTRACE", backtrace)])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        assert!(!ran.status.success());
        assert!(said.contains("` panicked at "), "{said}");
        assert!(!said.contains("canary-"), "{said}");
        assert_eq!(
            said.contains("stumbles_over_a_secret\n             at"),
            backtrace == "1",
            "{said}"
        );
    }
}
