//! The sources from which `keygate usage` reads access lines: files of collectors, compressed files, the journal.

use super::*;

#[test]
fn a_request_counts_once_however_often_its_line_is_read() {
    let scene = Scene::new("");
    let lines: String = (0..1000)
        .map(|id| line(id, 1, "alice", 7, "0.1") + "\n")
        .collect();
    scene.write("access.log", &lines);
    scene.write("copy.log", &lines.repeat(2));
    let path = |name: &str| scene.path(name).display().to_string();
    let once = keygate(&["usage", "--csv", &path("access.log")]);
    let more = keygate(&[
        "usage",
        "--csv",
        &path("access.log"),
        &path("copy.log"),
        &path("access.log"),
    ]);
    assert_eq!(text(&once.stdout), text(&more.stdout));
    assert!(
        text(&once.stdout).contains("alice,1000,"),
        "{}",
        text(&once.stdout)
    );
    assert_eq!(text(&once.stderr), "");
    assert!(text(&more.stderr).contains("3000 lines left out"));
}

#[test]
fn logs_of_collectors_and_compressed_logs_are_read() {
    let scene = Scene::new("");
    let event = "2026-01-01T00:00:00.000000Z  INFO serving listen=[127.0.0.1:1]";
    let each = |wrap: &dyn Fn(&str) -> String| {
        let lines = [
            line(1, 1, "alice", 3, "0.1"),
            event.to_owned(),
            line(2, 1, "bob", 4, "0.2"),
        ];
        lines
            .iter()
            .map(|line| wrap(line) + "\n")
            .collect::<String>()
    };
    let json = |line: &str| serde_json::Value::from(line).to_string();
    let journal = |line: &str| {
        format!(
            "{{\"__CURSOR\":\"s=1\",\"MESSAGE\":{},\"_PID\":\"12\"}}",
            json(line)
        )
    };
    let docker = |line: &str| {
        format!(
            "{{\"log\":{},\"stream\":\"stdout\"}}",
            json(&format!("{line}\n"))
        )
    };
    let plain = each(&|line| line.to_owned());
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let (first, second) = plain.split_at(plain.find('\n').unwrap() + 1);
    for (what, log) in [
        ("plain", plain.clone().into_bytes()),
        ("journalctl -o json", each(&journal).into_bytes()),
        (
            "journalctl",
            each(&|line| format!("Jan 01 10:00:00 host keygate[12]: {line}")).into_bytes(),
        ),
        ("docker", each(&docker).into_bytes()),
        (
            "kubernetes",
            each(&|line| format!("2026-01-01T10:00:00.1Z stdout F {line}")).into_bytes(),
        ),
        ("gzip, as logrotate makes it", gzip(&plain)),
        ("gzip in two parts", [gzip(first), gzip(second)].concat()),
        (
            "zstd",
            zstd::stream::encode_all(plain.as_bytes(), 1).unwrap(),
        ),
        ("gzip of docker", gzip(&each(&docker))),
    ] {
        let path = scene.path("log");
        std::fs::write(&path, log).unwrap();
        let output = keygate(&["usage", "--csv", path.to_str().unwrap()]);
        let rows = words(&output);
        assert!(
            rows.len() == 3 && rows[1].starts_with("alice,1,") && rows[2].starts_with("bob,1,"),
            "{what}: {rows:?}"
        );
        assert_eq!(text(&output.stderr), "", "{what}");
    }
}

#[test]
fn a_truncated_or_unreadable_file_does_not_affect_the_sums_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let lines = |from: u64| -> String {
        let lines = from..from + 500;
        lines
            .map(|id| line(id, 1, "alice", id, "0.01") + "\n")
            .collect()
    };
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, content: &[u8]| std::fs::write(path(name), content).unwrap();
    write("good.log", lines(0).as_bytes());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(lines(1000).as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    zstd.write_all(lines(2000).as_bytes()).unwrap();
    // Flushed, so that the start of the file can be read without its end.
    zstd.flush().unwrap();
    zstd.write_all(lines(3000).as_bytes()).unwrap();
    let zstd = zstd.finish().unwrap();
    let mut broken = gzip.clone();
    broken[gzip.len() / 2..].fill(0xff);
    let requests = |output: &Output| -> u64 {
        let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        rows[0]["requests"].as_u64().unwrap()
    };
    for (name, content) in [
        ("cut.gz", &gzip[..gzip.len() / 2]),
        ("cut-checksum.gz", &gzip[..gzip.len() - 4]),
        ("cut-second-part.gz", &[&gzip, &gzip[..30]].concat()),
        ("broken.gz", &broken),
        ("cut.zst", &zstd[..zstd.len() - 20]),
    ] {
        write(name, content);
        let alone = keygate(&["usage", "--json", &path(name)]);
        let printed = text(&alone.stderr);
        assert_eq!(alone.status.code(), Some(74), "{name}: {printed}");
        assert!(requests(&alone) > 0, "{name}");
        let why = format!("cannot read {} to its end: ", path(name));
        assert!(
            printed.contains(&why) && printed.contains(" lines, which count\n"),
            "{printed}"
        );
        assert_eq!(
            printed.contains("still being written"),
            name != "broken.gz",
            "{printed}"
        );
        let both = keygate(&["usage", "--json", &path(name), &path("good.log")]);
        assert_eq!(both.status.code(), Some(74), "{name}");
        assert_eq!(requests(&both), requests(&alone) + 500, "{name}");
        assert!(
            text(&both.stderr).contains("1 of 2 files"),
            "{}",
            text(&both.stderr)
        );
    }
    write("zip", b"PK\x03\x04");
    write("head.gz", &gzip[..12]);
    for name in ["zip", "head.gz", "nothing", "."] {
        let among = keygate(&[
            "usage",
            "--json",
            &path("good.log"),
            &path(name),
            &path("good.log"),
        ]);
        let printed = text(&among.stderr);
        assert_eq!(
            (among.status.code(), requests(&among)),
            (Some(74), 500),
            "{printed}"
        );
        assert!(
            printed.contains(&path(name)) && printed.contains("1 of 3 files"),
            "{printed}"
        );
        let alone = keygate(&["usage", "--json", &path(name)]);
        assert_eq!(
            (alone.status.code(), &*alone.stdout),
            (Some(1), &b""[..]),
            "{name}"
        );
    }
    let none = keygate(&["usage", &path("zip"), &path("nothing")]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("nothing was read: 2 of 2 files"));
}

#[test]
fn input_without_access_lines_is_refused_with_advice() {
    let scene = Scene::new("");
    for (log, why) in [
        (
            &b"[Unit]\nDescription=x\n"[..],
            "none of these lines is an access line",
        ),
        (
            b"\xfd7zXZ\0\0\0\0",
            "compressed by xz, which is not read: xzcat",
        ),
        (
            b"LPKSHHRH\0\0\0",
            "a file of journald, which is not read: journalctl --file",
        ),
        (b"\x1f\x8b\x08\0\0", "cannot read"),
    ] {
        let path = scene.path("log");
        std::fs::write(&path, log).unwrap();
        let output = keygate(&["usage", path.to_str().unwrap()]);
        let printed = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{why}: {printed}");
        assert!(printed.contains(why), "{printed}");
    }
    // A log of keygate without a request is no error.
    let event = "2026-01-01T00:00:00.000000Z  INFO serving\n";
    for log in [event, ""] {
        let output = keygate_with(log, &["usage", "-"]);
        assert!(output.status.success(), "{log}");
        assert!(text(&output.stderr).contains("There are no access lines"));
    }
    // A line without an end does not use up the memory either.
    let endless = "x".repeat(9 << 20) + "\n" + &line(1, 1, "alice", 1, "1");
    let output = keygate_with(&endless, &["usage", "--csv", "-"]);
    assert!(words(&output)[1].starts_with("alice,1,"));
}

#[test]
fn the_journal_is_read_by_default() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new("");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >'{}'\necho '{}'\nexit ${{CODE:-0}}\n",
        scene.path("requested").display(),
        line(1, 1, "alice", 1, "1")
    );
    scene.write("journalctl", &script);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(scene.path("journalctl"), mode).unwrap();
    let path = format!(
        "{}:{}",
        scene.folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    let run = |arguments: &[&str], code: &str| {
        let mut command = process::keygate();
        let command = command.arg("usage").args(arguments);
        command
            .env("PATH", &path)
            .env("CODE", code)
            .output()
            .unwrap()
    };
    let rows = words(&run(
        &[
            "--since",
            "2026-01-01",
            "--until",
            "2026-01-01",
            "--unit",
            "kg2",
            "--csv",
        ],
        "0",
    ));
    assert!(rows[1].starts_with("alice,1,"), "{rows:?}");
    let requested = std::fs::read_to_string(scene.path("requested")).unwrap();
    // A request of that day may have ended, and been logged, on the next day.
    assert_eq!(requested, "--no-pager -o cat -u kg2 --since=@1767225600\n");
    // Lines that journalctl printed before it failed count.
    let failed = run(&[], "3");
    assert_eq!(failed.status.code(), Some(74));
    assert!(text(&failed.stderr).contains("journalctl has failed"));
    let mut nowhere = process::keygate();
    let nowhere = nowhere
        .arg("usage")
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    assert!(
        text(&nowhere.stderr).contains("name files of access lines"),
        "{}",
        text(&nowhere.stderr)
    );
}
