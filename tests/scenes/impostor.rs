//! Another process listens on the admin address at which commands expect the gateway.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keygate::testing::document::FileStamp;
use rustix::process::{Uid, geteuid};
use rustix::thread::set_thread_res_uid;

use crate::support::command::{keygate_for, text};
use crate::support::process::Process;
use crate::support::{Provider, Scene, unused_port};

/// A user who is neither root nor the user who runs the tests.
const OTHER_USER: u32 = 4711;

/// A socket that `user` listens on.
fn listen_as(user: Option<u32>) -> TcpListener {
    let bind = move || {
        if let Some(user) = user.map(Uid::from_raw) {
            // Changes the user of this thread only, which ends afterwards.
            set_thread_res_uid(user, user, user).unwrap();
        }
        TcpListener::bind("127.0.0.1:0").unwrap()
    };
    std::thread::spawn(bind).join().unwrap()
}

/// Pretends on `listener` to be a gateway with the process id `pid` that reloads on every request and serves the key file
/// of `scene`. Counts its requests.
fn pretend(listener: TcpListener, pid: u32, scene: &Scene) -> Arc<AtomicU64> {
    let requested = Arc::new(AtomicU64::new(0));
    let (count, keys) = (requested.clone(), scene.path("keys.toml"));
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let number = count.fetch_add(1, Ordering::SeqCst);
            let (mut request, mut chunk) = (Vec::new(), [0; 512]);
            while !request.ends_with(b"\r\n\r\n") {
                let length = socket.read(&mut chunk).unwrap();
                assert!(length > 0, "no request");
                request.extend_from_slice(&chunk[..length]);
            }
            let status = serde_json::json!({
                "version": "0.1.0", "pid": pid, "failed_upgrades": 0, "last_failed_upgrade": null,
                "uptime_seconds": 1, "ready": true, "requests_in_flight": 0, "generation": 7, "keys": 1,
                "last_reload": { "at": number.to_string(), "ok": true, "error": null, "warnings": [] },
                "key_file": { "path": "keys.toml", "mark": FileStamp::take(&keys).mark() },
                "routes": [], "providers": [],
            });
            let body = status.to_string();
            let length = body.len();
            let _ = write!(
                socket,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
            );
        }
    });
    requested
}

/// A configuration with this admin address.
fn scene_with_admin(provider: &Provider, admin: SocketAddr) -> Scene {
    let scene = Scene::before(provider, "");
    let text = std::fs::read_to_string(scene.path("gateway.toml")).unwrap();
    let admin = format!("server.admin = \"{admin}\"");
    scene.write(
        "gateway.toml",
        &text.replace("server.admin = \"127.0.0.1:0\"", &admin),
    );
    scene
}

/// A process that a signal would end.
struct Victim(Child);

impl Victim {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn lives(&mut self) -> bool {
        // A signal is delivered in less time.
        std::thread::sleep(Duration::from_millis(50));
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_impostor_on_the_admin_port_cannot_have_another_process_signalled() {
    let provider = Provider::start();
    let mut victim = Victim::start();
    let listener = listen_as(None);
    let scene = scene_with_admin(&provider, listener.local_addr().unwrap());
    let requested = pretend(listener, victim.0.id(), &scene);
    for command in ["reload", "upgrade"] {
        let before = requested.load(Ordering::SeqCst);
        let output = keygate_for(&scene, &[command]);
        assert_eq!(output.status.code(), Some(1));
        let stderr = text(&output.stderr);
        assert!(stderr.contains("is no keygate, but `sleep`"), "{stderr}");
        assert!(requested.load(Ordering::SeqCst) > before && victim.lives());
    }
}

#[test]
fn a_gateway_that_does_not_listen_on_the_admin_port_gets_no_signal() {
    let provider = Provider::start();
    let other = Process::start(Scene::before(&provider, ""));
    let listener = listen_as(None);
    let scene = scene_with_admin(&provider, listener.local_addr().unwrap());
    pretend(listener, other.id(), &scene);
    let output = keygate_for(&scene, &["upgrade"]);
    if geteuid().is_root() {
        // Only root can see the sockets of a gateway of another user.
        assert_eq!(output.status.code(), Some(1));
        let stderr = text(&output.stderr);
        assert!(stderr.contains("does not listen there"), "{stderr}");
        assert_eq!(other.status()["failed_upgrades"], 0);
    }
    other.signal("TERM");
    assert_eq!(other.end().0, Some(0));
}

#[test]
fn the_response_of_another_user_on_the_admin_port_is_not_trusted() {
    if !geteuid().is_root() {
        return;
    }
    let provider = Provider::start();
    let mut victim = Victim::start();
    let listener = listen_as(Some(OTHER_USER));
    let scene = scene_with_admin(&provider, listener.local_addr().unwrap());
    pretend(listener, victim.0.id(), &scene);
    for command in [
        &["reload"][..],
        &["upgrade"],
        &["keys", "disable", "alice", "--wait"],
    ] {
        let output = keygate_for(&scene, command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains("user 4711 listens on"), "{stderr}");
        assert!(!stderr.contains("Served"), "{stderr}");
        assert!(victim.lives());
    }
}

#[test]
fn the_user_of_a_gateway_and_root_can_reload_it_even_if_only_root_can_inspect_it() {
    if !geteuid().is_root() {
        return;
    }
    let provider = Provider::start();
    let admin = SocketAddr::from(([127, 0, 0, 1], unused_port()));
    let scene = scene_with_admin(&provider, admin);
    let binary = scene.path("keygate");
    let built = env!("CARGO_BIN_EXE_keygate");
    let linked = std::fs::hard_link(built, &binary);
    linked
        .or_else(|_| std::fs::copy(built, &binary).map(drop))
        .unwrap();
    for name in ["", "gateway.toml", "keys.toml"] {
        chown(scene.path(name), Some(OTHER_USER), Some(OTHER_USER)).unwrap();
    }
    let mut command = Command::new(&binary);
    command.stdout(std::process::Stdio::null());
    let process = Process::start_as(scene, command.uid(OTHER_USER).gid(OTHER_USER));
    let exe = format!("/proc/{}/exe", process.id());
    let as_user = |user: u32| {
        let mut reload = Command::new(&binary);
        reload.args(["reload", "--config"]);
        reload.arg(process.scene.path("gateway.toml")).uid(user);
        let mut look = Command::new("readlink");
        let sees = look.arg(&exe).uid(user).output().unwrap();
        (reload.output().unwrap(), sees.status.success())
    };
    for (user, sees) in [(OTHER_USER, false), (0, true)] {
        let (output, seen) = as_user(user);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(seen, sees);
    }
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}
