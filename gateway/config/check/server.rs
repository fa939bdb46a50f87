//! `[server]` and `[keys]`: where to listen, and how much to take.

use std::net::SocketAddr;
use std::time::Duration;

use http::HeaderName;

use super::super::file::{KeysFile, LimitsFile, ServerFile};
use super::super::{Listen, LogLevel, ServerConfig, TlsSpec};
use super::{Checker, FRAMING};
use crate::document::{ByteSize, Located, Location, OneOrMany};
use crate::grammar::address::is_loopback_or_private;

/// More than any machine has cores.
const MAX_THREADS: usize = 1024;
/// One each millisecond.
const MAX_FAILED_KEYS: u32 = 60_000;
/// With fewer, no client would be let in.
const MIN_HEADERS: usize = 10;
/// How many threads serve at least, where no number is given: with one of a core each, whoever comes to the one that has
/// its hands full with a thousand new clients would wait for them all.
const MIN_THREADS: usize = 4;
/// Headers that say what a body is: they are for the provider and hold no key.
pub(in crate::config) const NO_KEY: [&str; 6] = [
    "accept",
    "accept-encoding",
    "content-encoding",
    "content-type",
    "date",
    "user-agent",
];

impl Checker<'_> {
    pub(super) fn server(&self, file: ServerFile, tls: Option<TlsSpec>) -> Option<ServerConfig> {
        let plain = file.plain_http.as_ref().is_some_and(|given| given.value);
        let listen_at = file.listen.as_ref().map(|given| given.at.clone());
        let listen = self.listen(file.listen);
        if let (Some(at), None) = (&listen_at, &tls) {
            self.unencrypted(at, listen.as_ref(), plain);
        }
        let admin_at = file.admin.as_ref().map(|given| given.at.clone());
        let admin = self.admin(file.admin);
        if let Some(at) = admin_at.or(listen_at) {
            self.listeners_apart(&at, listen.as_ref(), admin);
        }
        let admin_hosts = self.admin_hosts(file.admin_hosts);
        let (stripped_headers, stripped_prefixes) = self.strip_headers(file.strip_headers);
        let LimitsFile {
            request_body,
            header_bytes,
            header_count,
            requests_per_connection,
            idle_connections,
            connections,
            connections_per_address,
            failed_keys_per_address,
            body_rate,
        } = file.limits;
        let size = |at: Option<Located<ByteSize>>, default| at.map_or(default, |l| l.value.0);
        let count =
            |at: Option<Located<usize>>, default| at.map_or(default, |l: Located<usize>| l.value);
        let seconds = |given: Option<Located<Duration>>, default| {
            self.positive(given, Duration::from_secs(default))
        };
        let log_level = self.log_level(file.log_level);
        if let Some(given) = header_count
            .as_ref()
            .filter(|given| given.value < MIN_HEADERS)
        {
            self.fatal(
                &given.at,
                format!(
                    "server.limits.header_count is at least {MIN_HEADERS}: every client sends some"
                ),
            );
        }
        let threads = self.threads(file.threads);
        Some(ServerConfig {
            listen: listen?,
            admin: admin?,
            admin_hosts,
            tls,
            plain_http: plain,
            threads,
            h2c: file.h2c.is_some_and(|l| l.value),
            access_log: file.access_log.is_none_or(|l| l.value),
            log_level,
            dns_refresh: seconds(file.dns_refresh, 30),
            max_request_body: size(request_body, 32 << 20),
            max_header_bytes: size(header_bytes, 16 << 10),
            max_header_count: count(header_count, 100),
            requests_per_connection: u32::try_from(count(requests_per_connection, 100_000).max(1))
                .unwrap_or(u32::MAX),
            idle_connections: count(idle_connections, 1024),
            min_body_rate: size(body_rate, 240),
            connections_asked_for: connections.as_ref().map(|given| given.value),
            max_connections: count(connections, 50_000).max(1),
            max_connections_per_address: count(connections_per_address, 1000).max(1),
            failed_keys_per_address: self.failed_keys(failed_keys_per_address),
            trusted_proxies: None,
            stripped_headers,
            stripped_prefixes,
            keepalive: seconds(file.timeouts.keepalive, 60),
            client_head: seconds(file.timeouts.client_head, 30),
            client_read: seconds(file.timeouts.client_read, 60),
            client_write: seconds(file.timeouts.client_write, 60),
            shutdown_delay: file
                .timeouts
                .shutdown_delay
                .map_or(Duration::ZERO, |l| l.value),
            drain: seconds(file.timeouts.drain, 60),
            upgrade_drain: seconds(file.timeouts.upgrade_drain, 3600),
        })
    }

    fn threads(&self, given: Option<Located<usize>>) -> usize {
        if let Some(given) = given.as_ref().filter(|given| given.value > MAX_THREADS) {
            self.fatal(
                &given.at,
                format!("server.threads is at most {MAX_THREADS}"),
            );
        }
        match given.map_or(0, |given| given.value) {
            0 => std::thread::available_parallelism()
                .map_or(MIN_THREADS, |cores| cores.get().max(MIN_THREADS)),
            some => some,
        }
    }

    fn log_level(&self, given: Option<Located<String>>) -> LogLevel {
        let Some(given) = given else {
            return LogLevel::Info;
        };
        match given.value.as_str() {
            "info" => LogLevel::Info,
            "warn" => LogLevel::Warn,
            "error" => LogLevel::Error,
            _ => {
                self.fatal(&given.at, "server.log_level is `error`, `warn` or `info`");
                LogLevel::Info
            }
        }
    }

    fn failed_keys(&self, given: Option<Located<usize>>) -> u32 {
        let Some(given) = given else {
            return 6000;
        };
        let most = usize::try_from(MAX_FAILED_KEYS).unwrap_or(usize::MAX);
        if given.value > most {
            self.fatal(
                &given.at,
                format!("server.limits.failed_keys_per_address is at most {MAX_FAILED_KEYS} a minute; 0: any"),
            );
        }
        u32::try_from(given.value).unwrap_or(MAX_FAILED_KEYS)
    }

    fn listen(&self, given: Option<Located<OneOrMany>>) -> Option<Listen> {
        let Some(given) = given else {
            let usual = SocketAddr::from(([127, 0, 0, 1], 8080));
            return Some(Listen::Addresses(vec![usual]));
        };
        if given.value.0 == ["systemd"] {
            return Some(Listen::Systemd);
        }
        if given.value.0.is_empty() {
            self.fatal(
                &given.at,
                "server.listen is empty: clients would find no way in",
            );
        }
        let parsed: Vec<_> = given
            .value
            .0
            .iter()
            .map(|text| {
                let address = text.parse::<SocketAddr>();
                if address.is_err() {
                    self.fatal(&given.at, "server.listen is an address with port, such as 127.0.0.1:8080 or [::]:8080, or \"systemd\" alone");
                }
                address.ok()
            })
            .collect();
        let addresses: Option<Vec<_>> = parsed.into_iter().collect();
        addresses.map(Listen::Addresses)
    }

    pub(super) fn admin(&self, given: Option<Located<String>>) -> Option<SocketAddr> {
        let Some(given) = given else {
            return Some(SocketAddr::from(([127, 0, 0, 1], 9090)));
        };
        let Ok(address) = given.value.parse::<SocketAddr>() else {
            self.fatal(
                &given.at,
                "server.admin is an address with port, such as 127.0.0.1:9090",
            );
            return None;
        };
        if !is_loopback_or_private(address.ip()) {
            self.fatal(
                &given.at,
                "server.admin answers without a key, so it must be a loopback or private address",
            );
        }
        Some(address)
    }

    /// Without TLS, clients come from loopback and private addresses alone, unless `plain_http` allows more.
    fn unencrypted(&self, at: &Location, listen: Option<&Listen>, plain: bool) {
        let Some(Listen::Addresses(addresses)) = listen else {
            return;
        };
        for far in addresses
            .iter()
            .filter(|address| !is_loopback_or_private(address.ip()))
        {
            if plain {
                self.warn(
                    at,
                    format!("keys of clients go unencrypted to {far}, as plain_http allows"),
                );
            } else {
                self.fatal(at, format!(
                    "keys of clients would go unencrypted to {far}: give [server.tls] a certificate, or say \
                     `plain_http = true` where something in front of it ends TLS"
                ));
            }
        }
    }

    /// No two listeners have one address.
    fn listeners_apart(&self, at: &Location, listen: Option<&Listen>, admin: Option<SocketAddr>) {
        if let (Some(Listen::Addresses(clients)), Some(admin)) = (listen, admin)
            && admin.port() != 0
            && clients.contains(&admin)
        {
            let why = format!(
                "server.listen and server.admin are both {admin}: give one of them another port"
            );
            self.fatal(at, why);
        }
    }

    /// Names, without a port: one of them is taken with any.
    fn admin_hosts(&self, given: Option<Located<OneOrMany>>) -> Vec<String> {
        let Some(given) = given else {
            return Vec::new();
        };
        let is_name = |name: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !name.is_empty() && name.bytes().all(plain)
        };
        let read = |text: &String| {
            let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
            if !is_name(&name) {
                let why = "is the whole name of a host, without scheme, port or `*`, such as `keygate.internal`";
                self.fatal(
                    &given.at,
                    format!("server.admin_hosts: `{text}`: each {why}"),
                );
                return None;
            }
            Some(name)
        };
        given.value.0.iter().filter_map(read).collect()
    }

    /// Names of headers, and beginnings of names with a `*` behind them.
    fn strip_headers(&self, given: Option<Located<OneOrMany>>) -> (Vec<HeaderName>, Vec<String>) {
        let (mut names, mut prefixes) = (Vec::new(), Vec::new());
        let Some(given) = given else {
            return (names, prefixes);
        };
        for text in &given.value.0 {
            let prefix = text.strip_suffix('*');
            let name = HeaderName::try_from(prefix.unwrap_or(text)).ok();
            // A `*` may stand in a name, but is in none.
            let Some(name) = name.filter(|name| !name.as_str().contains('*')) else {
                let why = "is neither the name of a header nor the beginning of one with a `*` behind it, such as \
                           `x-corp-*`";
                self.fatal(&given.at, format!("server.strip_headers: `{text}` {why}"));
                continue;
            };
            let takes = |framing: &&&str| match prefix {
                Some(_) => framing.starts_with(name.as_str()),
                None => **framing == name.as_str(),
            };
            match FRAMING.iter().find(takes) {
                Some(framing) => self.fatal(
                    &given.at,
                    format!("server.strip_headers: `{text}` would take out `{framing}`, which belongs to the gateway"),
                ),
                None if prefix.is_some() => prefixes.push(name.as_str().to_owned()),
                None => names.push(name),
            }
        }
        (names, prefixes)
    }

    pub(super) fn cut_revoked(&self, file: &KeysFile) -> bool {
        let given = file.revoked_streams.as_ref();
        match given.map(|given| (given.value.as_str(), &given.at)) {
            None | Some(("finish", _)) => false,
            Some(("cut", _)) => true,
            Some((_, at)) => {
                self.fatal(at, "keys.revoked_streams is `finish` or `cut`");
                false
            }
        }
    }

    pub(super) fn key_headers(&self, file: &KeysFile) -> Vec<HeaderName> {
        let Some(given) = &file.headers else {
            return ["authorization", "api-key", "x-api-key", "x-goog-api-key"]
                .map(HeaderName::from_static)
                .to_vec();
        };
        if given.value.0.is_empty() {
            self.fatal(
                &given.at,
                "keys.headers is empty: a client could not show its key",
            );
        }
        given
            .value
            .0
            .iter()
            .filter_map(|name| self.header_name(name, &given.at))
            .inspect(|name| {
                if NO_KEY.contains(&name.as_str()) {
                    self.fatal(
                        &given.at,
                        format!("`{name}` is for the provider: a key cannot stand there"),
                    );
                }
            })
            .collect()
    }
}
