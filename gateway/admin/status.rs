//! What `/status` says, and `keygate status` shows: every route and provider, Accepted or Rejected
//! with a reason that a person can act on.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Admin;
use super::probe::Probe;
use crate::provider::Provider;
use crate::route::Access;

/// The gateway at a glance.
#[derive(Serialize, Deserialize)]
pub struct Status {
    /// keygate's version.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// How often another process could not take over.
    pub failed_upgrades: u64,
    /// Why not, the last time.
    pub last_failed_upgrade: Option<String>,
    /// How long it has been serving.
    pub uptime_seconds: u64,
    /// Whether it takes new requests.
    pub ready: bool,
    /// Whether the process before it has yet to hand over: it ends if that one dies before.
    #[serde(default)]
    pub provisional: bool,
    /// Requests being answered now.
    pub requests_in_flight: usize,
    /// Connections of clients; unknown of a gateway from before they were told.
    #[serde(default)]
    pub connections: ConnectionsStatus,
    /// Configurations served so far.
    pub generation: u64,
    /// How the last reload ended.
    pub last_reload: ReloadStatus,
    /// Keys in the store.
    pub keys: usize,
    /// Which version of the key file they came from.
    pub key_file: KeyFileStatus,
    /// The routes, in the configuration's order.
    pub routes: Vec<RouteStatus>,
    /// The providers, in the configuration's order.
    pub providers: Vec<ProviderStatus>,
}

/// Connections of clients.
#[derive(Serialize, Deserialize, Default)]
pub struct ConnectionsStatus {
    /// How many there are.
    pub open: i64,
    /// How many are taken.
    pub at_most: usize,
    /// Why fewer are taken than the configuration says, where that is so.
    pub reason: Option<String>,
}

/// A version of the key file.
#[derive(Serialize, Deserialize)]
pub struct KeyFileStatus {
    /// Where it is, from the root of the file system.
    pub path: String,
    /// What tells the version from others; opaque.
    pub mark: String,
    /// Likewise, of the version of which everything that closes keys is in force: a later one where the rest was
    /// refused. Empty of a gateway from before it was told.
    #[serde(default)]
    pub closed_mark: String,
}

/// How a reload ended.
#[derive(Serialize, Deserialize)]
pub struct ReloadStatus {
    /// When, in RFC 3339.
    pub at: String,
    /// Whether it was taken over.
    pub ok: bool,
    /// What was wrong.
    pub error: Option<String>,
    /// What was worth saying nevertheless.
    pub warnings: Vec<String>,
}

/// Whether something serves.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Accepted,
    /// It does not, for the reason beside.
    Rejected,
}

/// A route.
#[derive(Serialize, Deserialize)]
pub struct RouteStatus {
    /// Its name.
    pub name: String,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// Its path.
    pub path: String,
    /// Its provider.
    pub provider: String,
    /// Who may come in.
    pub keys: String,
    /// Whether it serves.
    pub state: State,
    /// Why not.
    pub reason: Option<String>,
}

/// A provider.
#[derive(Serialize, Deserialize)]
pub struct ProviderStatus {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its base URL.
    pub url: String,
    /// Host and port of the proxy that it is reached through, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// How many addresses its name has, or its proxy's.
    pub addresses: usize,
    /// Whether its token works, if that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// Whether it serves.
    pub state: State,
    /// Why not.
    pub reason: Option<String>,
}

impl Status {
    pub(super) fn of(admin: &Admin) -> Self {
        let snapshot = admin.live.snapshot();
        let last = admin.live.last_reload();
        let rules = &snapshot.rules;
        let routes = rules.router.routes().iter().map(|route| {
            let (state, reason) = state_of(&route.provider);
            RouteStatus {
                name: route.name.to_string(),
                hosts: route.hosts.iter().map(ToString::to_string).collect(),
                path: route.path.to_string(),
                provider: route.provider.name.to_string(),
                keys: match &route.access {
                    Access::Keys(selector) => selector.to_string(),
                    Access::Open => "open: no key needed".to_owned(),
                },
                state,
                reason: reason.map(|why| format!("provider `{}`: {why}", route.provider.name)),
            }
        });
        let providers = rules.providers.iter().map(|provider| {
            let (state, reason) = state_of(provider);
            ProviderStatus {
                name: provider.name.to_string(),
                kind: provider.kind.name.to_owned(),
                url: provider.url(),
                proxy: provider.proxy(),
                addresses: provider.endpoint.addresses().count(),
                probe: None,
                state,
                reason,
            }
        });
        let failed = admin.readiness.failed_upgrades();
        Self {
            pid: std::process::id(),
            failed_upgrades: failed.count,
            last_failed_upgrade: failed.why,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: admin.started.elapsed().as_secs(),
            ready: admin.readiness.is_ready(),
            provisional: admin.readiness.is_provisional(),
            requests_in_flight: admin.in_flight.count(),
            connections: ConnectionsStatus {
                open: admin.live.metrics.connections.get(),
                at_most: rules.server.connections_at_most(),
                reason: rules.server.lack_of_descriptors(),
            },
            generation: rules.generation,
            last_reload: ReloadStatus {
                at: last.at.to_string(),
                ok: last.error.is_none(),
                error: last.error,
                warnings: last.warnings,
            },
            keys: snapshot.keys.keys().len(),
            key_file: KeyFileStatus {
                path: whole(snapshot.key_source.place()),
                mark: snapshot.revision.mark().to_owned(),
                closed_mark: snapshot.closed_by.mark().to_owned(),
            },
            routes: routes.collect(),
            providers: providers.collect(),
        }
    }
}

impl Status {
    /// Adds what probes of the providers found out, by their names: a token that does not work is a reason
    /// for Rejected.
    pub(super) fn add_probes(&mut self, probes: Vec<(Arc<str>, Probe)>) {
        for (name, probe) in probes {
            let Some(provider) = self
                .providers
                .iter_mut()
                .find(|provider| *provider.name == *name)
            else {
                continue;
            };
            if probe.works == Some(false) {
                provider.state = State::Rejected;
                provider.reason = Some(probe.detail.clone());
                for route in self
                    .routes
                    .iter_mut()
                    .filter(|route| route.provider == provider.name)
                {
                    route.state = State::Rejected;
                    route.reason = Some(format!("provider `{}`: {}", provider.name, probe.detail));
                }
            }
            provider.probe = Some(probe);
        }
    }
}

fn state_of(provider: &Provider) -> (State, Option<String>) {
    if let Some(why) = provider.rejected() {
        return (State::Rejected, Some(why.to_owned()));
    }
    let addresses = provider.endpoint.addresses();
    match addresses.failure() {
        Some(why) if addresses.count() == 0 => (
            State::Rejected,
            Some(match provider.proxy() {
                Some(proxy) => format!("the name of its proxy, {proxy}, cannot be resolved: {why}"),
                None => format!("its name cannot be resolved: {why}"),
            }),
        ),
        _ => (State::Accepted, None),
    }
}

/// A path from the root of the file system, so that it means the same to whoever runs in another folder.
fn whole(path: &Path) -> String {
    let whole = std::path::absolute(path);
    whole.as_deref().unwrap_or(path).display().to_string()
}
