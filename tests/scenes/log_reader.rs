//! The reader of the log is slow or has stopped, or unverified clients cause many lines: the gateway serves, reloads and ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::gateway::{key_table, simple};
use crate::support::process::{LogReader, Process, keygate};
use crate::support::tls::{self, Authority};
use crate::support::{Client, KEY, Provider, Scene, admin_request, eventually, unused_port};

/// A route `/p` to `provider`, and a route `/dead` to a provider that does not exist.
fn scene(provider: &Provider) -> Scene {
    let port = unused_port();
    let dead = format!(
        "[providers.dead]\nkind = \"custom\"\nbase_url = \"http://127.0.0.1:{port}\"\ntoken = \"none\"\n\
         [[routes]]\nname = \"dead\"\npath = \"/dead\"\nprovider = \"dead\"\n"
    );
    let rest = simple(&provider.url(), "", "") + &dead;
    Scene::new(&rest).key("alice", "secret", "")
}

/// A gateway whose standard error is no longer read once it serves; with `both`, also its standard output.
fn start_unread(provider: &Provider, both: bool) -> (Process, LogReader) {
    let mut reader = LogReader::new();
    let mut command = keygate();
    let stdout = if both { reader.end() } else { Stdio::null() };
    command.stdout(stdout).stderr(reader.end());
    let process = Process::start_with_log(scene(provider), &mut command, || reader.read());
    drop(command);
    reader.stop();
    (process, reader)
}

fn status(process: &Process, path: &str) -> u16 {
    Client::connect(process.listen)
        .request("POST", path, &KEY, b"{}")
        .status
}

#[test]
fn failed_exchanges_block_no_thread_while_nobody_reads_the_log() {
    let provider = Provider::start();
    for both in [false, true] {
        let (process, mut reader) = start_unread(&provider, both);
        // A single thread serves all requests.
        for _ in 0..3 {
            assert_eq!(status(&process, "/dead"), 502);
            assert_eq!(status(&process, "/p"), 200);
        }
        // The lines arrive once they are read again.
        eventually("the line of the log", || {
            reader.read().contains("exchange failed")
        });
    }
}

#[test]
fn reloads_take_effect_while_nobody_reads_the_log() {
    let provider = Provider::start();
    let (process, _reader) = start_unread(&provider, false);
    // Each reload logs a line.
    for generation in 2..5 {
        process.signal("HUP");
        eventually("the reload", || {
            process.status()["generation"] == generation
        });
    }
    assert_eq!(status(&process, "/p"), 200);
    let disabled = key_table("alice", "secret", "disabled = true");
    process.scene.write("keys.toml", &disabled);
    eventually("the revocation", || status(&process, "/p") == 401);
}

#[test]
fn the_process_ends_in_time_while_nobody_reads_the_log() {
    let provider = Provider::start();
    for signal in ["TERM", "INT"] {
        let (process, _reader) = start_unread(&provider, true);
        assert_eq!(status(&process, "/dead"), 502);
        let start = Instant::now();
        process.signal(signal);
        assert_eq!(process.end().0, Some(0));
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_failed_start_ends_in_time_while_nobody_reads_the_log() {
    let scene = scene(&Provider::start());
    scene.write("gateway.toml", "[server]\nlistne = \"x\"\n");
    let mut reader = LogReader::new();
    reader.stop();
    let mut command = keygate();
    command.args(["run", "--allow-root", "--config"]);
    command.arg(scene.path("gateway.toml")).stderr(reader.end());
    let mut child = command.spawn().unwrap();
    let mut code = None;
    eventually("the end of the process", || {
        code = child.try_wait().unwrap().map(|status| status.code());
        code.is_some()
    });
    assert_eq!(code, Some(Some(78)));
}

/// How many lines contain `text`, and how many more are reported as left out.
fn lines(log: &str, text: &str) -> (u64, u64) {
    let (left_out, written): (Vec<_>, Vec<_>) = log
        .lines()
        .filter(|line| line.contains(text))
        .partition(|line| line.contains(" left out "));
    let count = |line: &str| -> u64 {
        let (_, rest) = line.split_once(" left out ").unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    (written.len() as u64, left_out.into_iter().map(count).sum())
}

/// The largest number of lines of one kind that are written within `took`.
fn most_lines(took: Duration) -> u64 {
    20 * (1 + took.as_secs().div_ceil(10))
}

#[test]
fn many_broken_handshakes_make_few_lines_and_delay_no_request() {
    const HANDSHAKES: u64 = 300;
    let (provider, authority) = (Provider::start(), Authority::new());
    let process = Process::start(tls::scene(&provider, &authority, ""));
    let good = tls::client_config(&authority, None, &[]);
    let start = Instant::now();
    let post = || {
        let response = tls::post(process.listen, &good, "gateway.test").unwrap();
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    };
    for number in 0..HANDSHAKES {
        let mut client = TcpStream::connect(process.listen).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let _ = client.read_to_end(&mut Vec::new());
        if number % 100 == 0 {
            post();
        }
    }
    // Served by the same thread, which has therefore logged the earlier failures.
    post();
    let metrics = admin_request(process.admin, "GET", "/metrics");
    let series = format!("keygate_tls_handshake_failures_total {HANDSHAKES}\n");
    assert!(metrics.text().contains(&series));
    process.signal("TERM");
    let log = process.end().1;
    let (written, left_out) = lines(&log, "TLS handshake: ");
    assert!(
        (10..=most_lines(start.elapsed())).contains(&written),
        "{written} lines"
    );
    assert_eq!(written + left_out, HANDSHAKES, "{log}");
    let series = format!("keygate_events_dropped_total{{reason=\"rate_limit\"}} {left_out}\n");
    assert!(metrics.text().contains(&series), "{}", metrics.text());
}

#[test]
fn many_failed_exchanges_make_few_lines() {
    const EXCHANGES: u64 = 100;
    let process = Process::start(scene(&Provider::start()));
    let start = Instant::now();
    for _ in 0..EXCHANGES {
        assert_eq!(status(&process, "/dead"), 502);
    }
    process.signal("TERM");
    let log = process.end().1;
    let (written, left_out) = lines(&log, "exchange failed");
    assert!(
        (10..=most_lines(start.elapsed())).contains(&written),
        "{written} lines"
    );
    assert_eq!(written + left_out, EXCHANGES, "{log}");
}

#[test]
fn every_warning_of_a_configuration_is_logged() {
    let scene = scene(&Provider::start());
    let config = std::fs::read_to_string(scene.path("gateway.toml")).unwrap();
    let absent: String = (0..50)
        .map(|number| {
            format!(
                "[providers.absent{number}]\nkind = \"custom\"\nbase_url = \"https://h.test\"\n\
                 token = \"env:ABSENT_{number}\"\n[[routes]]\nname = \"absent{number}\"\n\
                 path = \"/absent{number}\"\nprovider = \"absent{number}\"\n"
            )
        })
        .collect();
    scene.write("gateway.toml", &(config + &absent));
    let process = Process::start(scene);
    process.signal("TERM");
    let log = process.end().1;
    for number in 0..50 {
        assert!(log.contains(&format!("ABSENT_{number}")), "{log}");
    }
}
