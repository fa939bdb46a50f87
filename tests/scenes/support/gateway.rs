//! The gateway of a scene: a real one, in this process, on free ports, with its files in a folder of
//! its own.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use keygate::testing::config::{ConfigErrors, Purpose, Resolved};
use keygate::testing::key::KeyDigest;
use keygate::testing::server;
use tempfile::TempDir;

use super::{Client, Response};

/// The files of a gateway.
pub struct Scene {
    pub folder: TempDir,
    keys: String,
}

impl Scene {
    /// Writes a configuration given without its `[server]`, which is added.
    pub fn new(rest: &str) -> Self {
        Self::with_server("", rest)
    }

    /// Writes a configuration with more settings in its `[server]` than free ports.
    pub fn with_server(server: &str, rest: &str) -> Self {
        let scene = Self {
            folder: tempfile::tempdir().unwrap(),
            keys: String::new(),
        };
        scene.write("keys.toml", "");
        scene.configure(server, rest);
        scene
    }

    /// The usual configuration and key before `provider`, with more settings in its `[server]`.
    pub fn before(provider: &super::Provider, server: &str) -> Self {
        Self::with_server(server, &simple(&provider.url(), "", "")).key("alice", "secret", "")
    }

    /// Writes the configuration again. It has one thread unless `server` says otherwise, so that all clients share the
    /// connections to providers.
    pub fn configure(&self, server: &str, rest: &str) {
        let mut server = server.to_owned();
        if !server.contains("threads") {
            let line = if server.is_empty() { "" } else { "\n" };
            server += &format!("{line}server.threads = 1");
        }
        let text = format!(
            "server.listen = \"127.0.0.1:0\"\nserver.admin = \"127.0.0.1:0\"\n{server}\n{rest}"
        );
        self.write("gateway.toml", &text);
    }

    /// Adds a key with the given `secret`; `more` are further lines of its table.
    pub fn key(mut self, id: &str, secret: &str, more: &str) -> Self {
        self.keys += &key_table(id, secret, more);
        self.write("keys.toml", &self.keys);
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file atomically, as careful editors do.
    pub fn write(&self, name: &str, text: &str) {
        let beside = self.path(&format!("{name}.new"));
        let mut file = std::fs::OpenOptions::new();
        let file = file.write(true).create(true).truncate(true).mode(0o600);
        file.open(&beside)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        std::fs::rename(beside, self.path(name)).unwrap();
    }

    /// The problems of its configuration, one per line; empty if there are none.
    pub fn problems(&self) -> String {
        match self.load() {
            Ok(config) => config.warnings.iter().map(|w| format!("{w}\n")).collect(),
            Err(errors) => errors.to_string(),
        }
    }

    fn load(&self) -> Result<Resolved, ConfigErrors> {
        Resolved::load(&self.path("gateway.toml"), Purpose::Start)
    }

    pub fn start(self) -> Gateway {
        let config = self.load().unwrap_or_else(|errors| panic!("{errors}"));
        let log = SharedBuffer::default();
        let running =
            server::Gateway::start(config, self.path("gateway.toml"), log.clone()).unwrap();
        Gateway {
            running,
            scene: self,
            log,
        }
    }
}

pub fn key_table(id: &str, secret: &str, more: &str) -> String {
    let digest = KeyDigest::of(secret.as_bytes());
    format!("[[key]]\nid = \"{id}\"\nhashes = [\"{digest}\"]\n{more}\n")
}

/// A running gateway.
pub struct Gateway {
    pub running: server::Gateway,
    pub scene: Scene,
    log: SharedBuffer,
}

impl Gateway {
    /// One route `/p` to a custom provider with the token `provider-token`, one key `secret`.
    pub fn before(provider: &super::Provider) -> Self {
        Scene::before(provider, "").start()
    }

    pub fn address(&self) -> SocketAddr {
        self.running.listen()[0]
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// A request on a connection of its own.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.client().request(method, path, headers, body)
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        self.request("GET", path, headers, b"")
    }

    pub fn admin(&self, path: &str) -> Response {
        super::admin_request(self.running.admin(), "GET", path)
    }

    /// The value of one series of /metrics; 0 if it does not exist.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.admin("/metrics");
        let line = text
            .text()
            .lines()
            .find(|line| line.rsplit_once(' ').is_some_and(|(s, _)| s == series));
        line.map_or(0.0, |line| {
            line.rsplit_once(' ').unwrap().1.parse().unwrap()
        })
    }

    /// The value of a counter.
    pub fn count(&self, series: &str) -> u64 {
        let value = self.metric(series);
        format!("{value:.0}").parse().unwrap()
    }

    /// Waits until a configuration newer than `generation` serves.
    pub fn wait_for_generation(&self, generation: u64) {
        super::eventually("the reload", || {
            self.running.live().snapshot().rules.generation >= generation
        });
    }

    /// The access lines so far, at least `count` of them.
    pub fn access_lines(&self, count: usize) -> Vec<serde_json::Value> {
        super::eventually("the access lines", || self.log.lines().len() >= count);
        self.log
            .lines()
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// The usual configuration, with more lines for the provider and the route.
pub fn simple(url: &str, provider: &str, route: &str) -> String {
    format!(
        "[providers.p]\nkind = \"custom\"\nbase_url = \"{url}\"\ntoken = \"inline:provider-token\"\n\
         {provider}\n[[routes]]\nname = \"r\"\npath = \"/p\"\nprovider = \"p\"\n{route}\n"
    )
}

/// The tokens of the type `kind` that were counted for the key `alice` of [`Gateway::before`].
pub fn tokens(gateway: &Gateway, kind: &str) -> u64 {
    gateway.count(&format!(
        "keygate_tokens_total{{key=\"alice\",model=\"other\",provider=\"p\",route=\"r\",type=\"{kind}\"}}"
    ))
}

/// The output of the access log.
#[derive(Clone, Default)]
pub struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

impl SharedBuffer {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap();
        // The last line may be incomplete.
        let whole = bytes
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        String::from_utf8(bytes[..whole].to_vec())
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl Write for SharedBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
