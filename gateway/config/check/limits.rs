//! The limits in `[server]`: how much to take, of whom, and for how long.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::super::file::{LimitsFile, ServerFile};
use super::super::names::FRAMING;
use super::super::server::Limits;
use super::checker::Checker;
use crate::document::{ByteSize, Located, OneOrMany};
use crate::trusted_proxies::{NamedBy, TrustedProxies};

/// One per millisecond.
const MAX_FAILED_KEYS: u32 = 60_000;
/// Every client sends some headers: with fewer, all of them would be refused.
const MIN_HEADERS: usize = 10;

impl Checker<'_> {
    /// Takes the settings out of `file` that a reload changes.
    pub(super) fn limits(&self, file: &mut ServerFile, trusted: Option<TrustedProxies>) -> Limits {
        let admin_hosts = self.admin_hosts(file.admin_hosts.take());
        let (stripped_headers, stripped_prefixes) = self.strip_headers(file.strip_headers.take());
        let timeouts = &mut file.timeouts;
        let seconds = |given: &mut Option<Located<Duration>>, default| {
            self.positive(given.take(), Duration::from_secs(default))
        };
        let LimitsFile {
            request_body,
            held_body,
            held_bodies,
            header_bytes,
            header_count,
            connections,
            connections_per_address,
            failed_keys_per_address,
            body_rate,
            // These two belong to the listener.
            requests_per_connection: _,
            idle_connections: _,
        } = &file.limits;
        self.enough_headers(header_count.as_ref());
        let mut limits = Limits {
            max_request_body: size(request_body.as_ref(), 32 << 20),
            held_body: size(held_body.as_ref(), 1 << 20),
            held_bodies: size(held_bodies.as_ref(), 256 << 20),
            max_header_bytes: size(header_bytes.as_ref(), 16 << 10),
            max_header_count: count(header_count.as_ref(), 100),
            min_body_rate: size(body_rate.as_ref(), 240),
            configured_connections: connections.as_ref().map(|given| given.value),
            max_connections: count(connections.as_ref(), 50_000).max(1),
            max_connections_per_address: count(connections_per_address.as_ref(), 1000).max(1),
            failed_keys_per_address: self.failed_keys(failed_keys_per_address.as_ref()),
            admin_hosts,
            trusted_proxies: None,
            stripped_headers,
            stripped_prefixes,
            keepalive: seconds(&mut timeouts.keepalive, 60),
            client_head: seconds(&mut timeouts.client_head, 30),
            client_read: seconds(&mut timeouts.client_read, 60),
            client_write: seconds(&mut timeouts.client_write, 60),
        };
        limits.trust(trusted);
        limits
    }

    fn enough_headers(&self, given: Option<&Located<usize>>) {
        if let Some(given) = given.filter(|given| given.value < MIN_HEADERS) {
            let why = format!(
                "server.limits.header_count is at least {MIN_HEADERS}: every client sends some"
            );
            self.fatal(&given.at, why);
        }
    }

    fn failed_keys(&self, given: Option<&Located<usize>>) -> u32 {
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

    /// Names without a port: a request may name any port with them.
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

    /// Names of headers, and prefixes of names, which are written with a `*` behind them.
    fn strip_headers(&self, given: Option<Located<OneOrMany>>) -> (Vec<HeaderName>, Vec<String>) {
        let (mut names, mut prefixes) = (Vec::new(), Vec::new());
        let Some(given) = given else {
            return (names, prefixes);
        };
        for text in &given.value.0 {
            let prefix = text.strip_suffix('*');
            let name = HeaderName::try_from(prefix.unwrap_or(text)).ok();
            // HTTP permits a `*` in a name, but no header has one: it is a mistake.
            let Some(name) = name.filter(|name| !name.as_str().contains('*')) else {
                let why = "is neither the name of a header nor a prefix of one with a `*` behind it, such as \
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
}

impl Limits {
    /// Takes the client's address from these proxies. The header that names it goes to no provider.
    fn trust(&mut self, proxies: Option<TrustedProxies>) {
        if let Some(NamedBy::Header(name)) = proxies.as_ref().map(|proxies| &proxies.named_by)
            && !self.stripped_headers.contains(name)
        {
            self.stripped_headers.push(name.clone());
        }
        self.trusted_proxies = proxies.map(Arc::new);
    }
}

fn size(given: Option<&Located<ByteSize>>, default: u64) -> u64 {
    given.map_or(default, |given| given.value.0)
}

fn count(given: Option<&Located<usize>>, default: usize) -> usize {
    given.map_or(default, |given| given.value)
}
