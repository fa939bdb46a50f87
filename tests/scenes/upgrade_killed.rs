//! An old process that is killed during the handover: at the end one process serves, or none does and the log says why.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::support::manager::Manager;
use crate::support::process::{Process, keygate, open_stream, signal};
use crate::support::provider::event_stream;
use crate::support::successor::{pid_at, started_by_a_link, upgrade};
use crate::support::{Provider, Scene, eventually, unused_port};

/// Kills the remaining processes of a scene when its test is over.
struct SceneProcesses(PathBuf);

impl SceneProcesses {
    fn of(scene: &Scene) -> Self {
        Self(scene.path("gateway.toml"))
    }

    /// The running processes that were started with the scene's files.
    fn ids(&self) -> Vec<u32> {
        let config = self.0.display().to_string();
        let folders = std::fs::read_dir("/proc").unwrap().flatten();
        let ids = folders.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let is_one = |id: &u32| {
            let command = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(&config)
        };
        ids.filter(is_one).collect()
    }
}

impl Drop for SceneProcesses {
    fn drop(&mut self) {
        for process in self.ids() {
            let mut kill = Command::new("kill");
            let _ = kill.args(["-KILL", &process.to_string()]).status();
        }
    }
}

/// A script in the place of the next binary: it writes its process id to `started`, waits for `go`, and becomes keygate.
fn waiting_script(scene: &Scene) -> String {
    let (started, go) = (scene.path("started"), scene.path("go"));
    let (started, go) = (started.display(), go.display());
    let binary = env!("CARGO_BIN_EXE_keygate");
    format!(
        "echo $$ > {started}.new; mv {started}.new {started}\n\
         while [ ! -e {go} ]; do sleep 0.02; done\nexec {binary} \"$@\""
    )
}

/// Waits for the process that has started and waits for `go`.
fn started(process: &Process) -> u32 {
    let mut id = None;
    eventually("the next process", || {
        let text = std::fs::read_to_string(process.scene.path("started"));
        id = text.ok().and_then(|text| text.trim().parse().ok());
        id.is_some()
    });
    id.unwrap()
}

/// Whether every thread of a process has stopped.
fn is_stopped(process: u32) -> bool {
    let mut threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.all(|thread| {
        let state = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
        state.rsplit_once(") ").unwrap().1.starts_with('T')
    })
}

const PREDECESSOR_ENDED: &str = "the process that was to hand over to this one has ended";

#[test]
fn a_process_whose_predecessor_died_before_it_served_ends_and_logs_the_reason() {
    let provider = Provider::start();
    let (process, install) = started_by_a_link(Scene::before(&provider, ""));
    let processes = SceneProcesses::of(&process.scene);
    install(&waiting_script(&process.scene));
    process.signal("USR2");
    started(&process);
    process.signal("KILL");
    process.scene.write("go", "");
    eventually("no process is left", || {
        processes.ids() == [process.id()] || processes.ids().is_empty()
    });
    assert!(
        process.log().contains(PREDECESSOR_ENDED),
        "{}",
        process.log()
    );
    assert_eq!(process.log().matches(" serving ").count(), 1);
}

/// A stopped process, and its successor, which serves and waits for the handover.
fn before_the_handover() -> (Process, SceneProcesses, u32) {
    let provider = Provider::start();
    let (process, install) = started_by_a_link(Scene::before(&provider, ""));
    let processes = SceneProcesses::of(&process.scene);
    install(&waiting_script(&process.scene));
    process.signal("USR2");
    let successor = started(&process);
    process.signal("STOP");
    // A thread that still runs would accept a connection, and never respond.
    eventually("the process has stopped", || is_stopped(process.id()));
    process.scene.write("go", "");
    eventually("the new process serves", || {
        pid_at(process.admin) == Some(successor.into())
    });
    (process, processes, successor)
}

#[test]
fn a_process_that_serves_before_the_handover_ends_if_its_predecessor_dies() {
    let (process, processes, _) = before_the_handover();
    process.signal("KILL");
    eventually("no process is left", || processes.ids().is_empty());
    assert!(
        process.log().contains(PREDECESSOR_ENDED),
        "{}",
        process.log()
    );
}

#[test]
fn a_process_starts_no_successor_before_its_own_handover() {
    let (process, processes, successor) = before_the_handover();
    let two = processes.ids();
    signal(successor, "USR2");
    let requested = Instant::now();
    while requested.elapsed() < Duration::from_millis(500) {
        assert_eq!(processes.ids(), two);
        std::thread::sleep(Duration::from_millis(20));
    }
    process.signal("CONT");
    // The successor now does its own upgrade.
    eventually("a third process serves alone", || {
        let left = processes.ids();
        let third = left.iter().find(|id| !two.contains(id)).copied();
        left.len() == 1 && third.is_some() && pid_at(process.admin) == third.map(u64::from)
    });
}

#[test]
fn the_successor_of_a_killed_process_ends_if_an_older_process_accepts_again() {
    let (provider, events) = event_stream();
    let (process, install) = started_by_a_link(Scene::before(&provider, ""));
    let processes = SceneProcesses::of(&process.scene);
    let stream = open_stream(process.listen, &events);
    let second = upgrade(&process);
    install(&waiting_script(&process.scene));
    signal(second.0, "USR2");
    let successor = started(&process);
    std::fs::remove_file(process.scene.path("started")).unwrap();
    signal(second.0, "KILL");
    // The first process accepts again, and starts another one.
    let another = started(&process);
    process.scene.write("go", "");
    events.send("end").unwrap();
    drop(stream);
    eventually("one process serves", || {
        processes.ids() == [another] && pid_at(process.admin) == Some(another.into())
    });
    assert_ne!(successor, another);
    let (code, log) = process.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains(PREDECESSOR_ENDED), "{log}");
}

#[test]
fn the_command_reports_that_the_old_process_died_before_the_handover() {
    let provider = Provider::start();
    let (process, install) = started_by_a_link(with_ports(&provider));
    let processes = SceneProcesses::of(&process.scene);
    install(&waiting_script(&process.scene));
    let mut command = keygate();
    let command = command
        .args(["upgrade", "--config"])
        .arg(process.scene.path("gateway.toml"))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    started(&process);
    let id = process.id();
    let scene = process.kill();
    scene.write("go", "");
    let output = command.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(
        log.contains(&format!(
            "process {id} has ended before another had taken over"
        )),
        "{log}"
    );
    assert!(processes.ids().is_empty());
}

/// A scene with fixed ports, the same for every start.
fn with_ports(provider: &Provider) -> Scene {
    let scene = Scene::before(provider, "");
    let mut text = std::fs::read_to_string(scene.path("gateway.toml")).unwrap();
    while let Some(place) = text.find("127.0.0.1:0\"") {
        let address = format!("127.0.0.1:{}\"", unused_port());
        text.replace_range(place..place + 12, &address);
    }
    scene.write("gateway.toml", &text);
    scene
}

/// A service manager that restarts the service when its main process has ended, and kills nothing.
struct Restarting {
    manager: Manager,
    processes: SceneProcesses,
    events: PathBuf,
    main: u32,
    children: Vec<Child>,
}

impl Restarting {
    /// Restarts the main process if it has ended. Returns whether it is the only process, and serves.
    fn has_one(&mut self, admin: SocketAddr) -> bool {
        while let Some(notification) = self.manager.try_notification() {
            let main = notification
                .lines()
                .find_map(|line| line.strip_prefix("MAINPID="));
            self.main = main.map_or(self.main, |id| id.parse().unwrap());
        }
        for child in &mut self.children {
            let _ = child.try_wait();
        }
        if !self.processes.ids().contains(&self.main) {
            let events = OpenOptions::new().append(true).open(&self.events);
            let mut command = self.manager.command();
            let child = command
                .args(["run", "--allow-root", "--config"])
                .arg(&self.processes.0)
                .stderr(events.unwrap())
                .spawn()
                .unwrap();
            self.main = child.id();
            self.children.push(child);
        }
        self.processes.ids() == [self.main] && pid_at(admin) == Some(self.main.into())
    }
}

/// Kills the old process this long after an upgrade was requested.
fn kill_at(moment: Duration) {
    let provider = Provider::start();
    let manager = Manager::new();
    let process = manager.start(with_ports(&provider), &[]);
    let admin = process.admin;
    let mut service = Restarting {
        processes: SceneProcesses::of(&process.scene),
        events: process.scene.path("events"),
        main: process.id(),
        manager,
        children: Vec::new(),
    };
    process.signal("USR2");
    std::thread::sleep(moment);
    let folder = process.kill();
    let start = Instant::now();
    while !service.has_one(admin) {
        let log = std::fs::read_to_string(&service.events).unwrap();
        assert!(
            start.elapsed() < crate::support::PATIENCE,
            "killed after {moment:?}: {:?} with {:?}\n{log}",
            service.main,
            service.processes.ids()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    for child in &mut service.children {
        let _ = child.kill();
        let _ = child.wait();
    }
    drop((service, folder));
}

#[test]
fn one_process_serves_in_the_end_whenever_the_old_one_is_killed() {
    let provider = Provider::start();
    let process = Process::start(Scene::before(&provider, ""));
    let start = Instant::now();
    let successor = upgrade(&process);
    let whole = start.elapsed();
    drop(successor);
    process.kill();
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                for step in (half..12).step_by(2) {
                    kill_at(whole * step / 9);
                }
            });
        }
    });
}
