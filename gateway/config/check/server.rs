//! `[server]`: where and how to listen.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::file::ServerFile;
use super::super::server::{Listen, Listener, LogLevel, ServerConfig, TlsSpec};
use super::checker::Checker;
use crate::document::{Located, Location, OneOrMany};
use crate::grammar::address::is_loopback_or_private;
use crate::trusted_proxies::TrustedProxies;

/// The most threads: more than a machine has cores.
const MAX_THREADS: usize = 1024;
/// After how many requests a client's connection is closed, unless the configuration says otherwise.
const REQUESTS_PER_CONNECTION: usize = 100_000;
/// How many unused connections to providers are kept, unless the configuration says otherwise.
const IDLE_CONNECTIONS: usize = 1024;

impl Checker<'_> {
    pub(super) fn server(
        &self,
        mut file: ServerFile,
        tls: Option<TlsSpec>,
        trusted: Option<TrustedProxies>,
    ) -> Option<ServerConfig> {
        let limits = self.limits(&mut file, trusted);
        let listener = self.listener(file, tls);
        Some(ServerConfig {
            listener: listener?,
            limits,
        })
    }

    fn listener(&self, file: ServerFile, tls: Option<TlsSpec>) -> Option<Listener> {
        let plain_http = file.plain_http.as_ref().is_some_and(|given| given.value);
        let listen_at = file.listen.as_ref().map(|given| given.at.clone());
        let listen = self.listen(file.listen);
        if let (Some(at), None) = (&listen_at, &tls) {
            self.unencrypted(at, listen.as_ref(), plain_http);
        }
        let admin_at = file.admin.as_ref().map(|given| given.at.clone());
        let admin = self.admin(file.admin);
        if let Some(at) = admin_at.or(listen_at) {
            self.listeners_apart(&at, listen.as_ref(), admin);
        }
        let requests = file
            .limits
            .requests_per_connection
            .map_or(REQUESTS_PER_CONNECTION, |given| given.value.max(1));
        let idle = file.limits.idle_connections;
        let delay = file.timeouts.shutdown_delay;
        Some(Listener {
            threads: self.threads(file.threads),
            h2c: file.h2c.is_some_and(|given| given.value),
            access_log: file.access_log.is_none_or(|given| given.value),
            log_level: self.log_level(file.log_level),
            dns_refresh: self.positive(file.dns_refresh, Duration::from_secs(30)),
            requests_per_connection: u32::try_from(requests).unwrap_or(u32::MAX),
            idle_connections: idle.map_or(IDLE_CONNECTIONS, |given| given.value),
            shutdown_delay: delay.map_or(Duration::ZERO, |given| given.value),
            drain: self.positive(file.timeouts.drain, Duration::from_secs(60)),
            upgrade_drain: self.positive(file.timeouts.upgrade_drain, Duration::from_secs(3600)),
            listen: listen?,
            admin: admin?,
            tls,
            plain_http,
        })
    }

    fn threads(&self, given: Option<Located<usize>>) -> usize {
        if let Some(given) = given.as_ref().filter(|given| given.value > MAX_THREADS) {
            self.fatal(
                &given.at,
                format!("server.threads is at most {MAX_THREADS}"),
            );
        }
        given.map_or(0, |given| given.value)
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

    fn listen(&self, given: Option<Located<OneOrMany>>) -> Option<Listen> {
        let Some(given) = given else {
            let usual = SocketAddr::from(([127, 0, 0, 1], 8080));
            return Some(Listen::Addresses(vec![usual]));
        };
        if given.value.0 == ["systemd"] {
            return Some(Listen::Systemd);
        }
        if given.value.0.is_empty() {
            self.fatal(&given.at, "server.listen is empty: no client could connect");
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
                "server.admin takes requests without a key, so it must be a loopback or private address",
            );
        }
        Some(address)
    }

    /// Without TLS, the listeners must be at loopback or private addresses, unless `plain_http` permits others.
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

    /// No two listeners have the same address.
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
}
