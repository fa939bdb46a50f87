//! Processes that are killed while they spend.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use super::*;

/// Names the ledger for a process of these tests; after it, the scope of the account and its amount.
const CHILD: &str = "KEYGATE_TEST_LEDGER";
/// What a request spends.
const UNITS: i64 = 1_000;

/// Not a test when it is run as one: spends as a gateway does, and prints each time how much it has spent.
#[test]
fn a_process_that_spends() {
    let Ok(text) = std::env::var(CHILD) else {
        return;
    };
    let mut parts = text.split('|');
    let mut part = || parts.next().unwrap();
    let (path, scope, amount) = (part(), part(), part().parse().unwrap());
    let ledger = Ledger::open(Path::new(path), 90).unwrap();
    let account = ledger.account(id(scope), amount);
    let mut spent = 0;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nspent 0").unwrap();
    while spend_soon(&ledger, &account) {
        spent += UNITS;
        writeln!(out, "spent {spent}").unwrap();
        out.flush().unwrap();
        if spent % (4 * UNITS) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    // It ends without closing the ledger, as one that is killed.
    std::process::exit(0);
}

/// Spends, if there are rights within half a second.
fn spend_soon(ledger: &Ledger, account: &Arc<Account>) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(500) {
        let took = account.reserve(UNITS, account.amount());
        ledger.tell(account);
        match took {
            Ok(()) => {
                account.settle(UNITS, UNITS);
                return true;
            }
            Err(Untaken::Spent) => return false,
            Err(Untaken::NotIssued) => std::thread::sleep(Duration::from_micros(200)),
        }
    }
    false
}

fn start(path: &Path, scope: &str, amount: i64) -> Child {
    start_as(
        Command::new(std::env::current_exe().unwrap()),
        path,
        scope,
        amount,
    )
}

fn start_as(mut command: Command, path: &Path, scope: &str, amount: i64) -> Child {
    command
        .args([
            "--exact",
            "ledger::tests::crash::a_process_that_spends",
            "--nocapture",
        ])
        .env(CHILD, format!("{}|{scope}|{amount}", path.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the process has spent, when it has ended, by its last whole line.
fn spent(text: &str) -> i64 {
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut spent = whole.lines().filter_map(|line| line.strip_prefix("spent "));
    spent.next_back().unwrap().parse().unwrap()
}

fn random(below: u64) -> u64 {
    getrandom::u64().unwrap() % below
}

#[test]
fn what_a_process_spent_that_is_killed_anywhere_is_remembered() {
    // 0.5 % of it is more than these processes spend in a second.
    const AMOUNT: i64 = 1_200_000_000;
    const CHUNK: i64 = AMOUNT / 200;
    let kills = std::env::var("LEDGER_KILLS").map_or(50, |kills| kills.parse().unwrap());
    let folder = Folder::new();
    let path = folder.ledger();
    for kill in 0..kills {
        // Each account is spent of by three processes in turn.
        let scope = (kill / 3).to_string();
        let before = if kill == 0 {
            0
        } else {
            remembered(&path, &scope)
        };
        let mut child = start(&path, &scope, AMOUNT);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while !text.contains("spent 0\n") {
            assert!(output.read_line(&mut text).unwrap() > 0, "{text}");
        }
        std::thread::sleep(Duration::from_micros(random(60_000)));
        child.kill().unwrap();
        output.read_to_string(&mut text).unwrap();
        child.wait().unwrap();
        let (spent, remembered) = (spent(&text), remembered(&path, &scope) - before);
        assert!(remembered >= spent, "{remembered} of {spent}");
        assert!(
            remembered <= spent + UNITS + CHUNK,
            "{remembered} for {spent}"
        );
    }
    let ledger = folder.open();
    let account = ledger.account(id("0"), AMOUNT);
    assert!(spend(&ledger, &account, 1));
    assert_eq!(ledger.state().holders, 1, "the dead hold nothing");
}

#[test]
fn two_processes_spend_one_budget_to_its_end_and_not_beyond() {
    const AMOUNT: i64 = 10_000_000;
    let folder = Folder::new();
    folder.open().close();
    let path = folder.ledger();
    let children = [0, 1].map(|_| start(&path, "team", AMOUNT));
    let spent = children.map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        spent(std::str::from_utf8(&output.stdout).unwrap())
    });
    let sum: i64 = spent.iter().sum();
    assert!(sum <= AMOUNT, "{spent:?}");
    assert!(sum > AMOUNT - 2 * (AMOUNT / 200), "{spent:?}");
    assert!(remembered(&path, "team") <= AMOUNT);
}

#[test]
#[ignore = "needs strace, and takes a minute"]
fn what_a_process_spent_whose_writes_fail_at_any_point_is_remembered() {
    const AMOUNT: i64 = 2_000_000;
    let folder = Folder::new();
    folder.open().close();
    let path = folder.ledger();
    let mut runs = 0;
    for (call, error) in [
        ("pwrite64", "ENOSPC"),
        ("pwrite64", "EIO"),
        ("fdatasync", "EIO"),
        ("ftruncate", "EIO"),
    ] {
        // From the n-th call on, all fail, or only this one does.
        for when in (1..12).flat_map(|at| [format!("{at}+"), format!("{at}")]) {
            let scope = format!("{call}-{error}-{when}");
            let mut strace = Command::new("strace");
            let inject = format!("inject={call}:error={error}:when={when}");
            strace
                .args(["-f", "-qq", "-o", "/dev/null", "-e"])
                .arg(format!("trace={call}"));
            strace
                .args(["-e", &inject])
                .arg(std::env::current_exe().unwrap());
            let child = start_as(strace, &path, &scope, AMOUNT);
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            if !text.contains("spent 0\n") {
                // It was refused at the start.
                continue;
            }
            let (spent, remembered) = (spent(&text), remembered(&path, &scope));
            assert!(spent <= remembered, "{scope}: {remembered} of {spent}");
            assert!(remembered <= AMOUNT, "{scope}: {remembered}");
            runs += u32::from(spent > 0);
        }
    }
    assert!(runs > 20, "{runs}");
}
