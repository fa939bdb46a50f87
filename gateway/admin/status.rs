//! The status of a gateway, which `/status` responds with and `keygate status` shows: every route and provider, Accepted
//! or Rejected with a reason that a person can act on.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::probe::Probe;
use super::readiness::Readiness;
use crate::ledger::Ledger;
use crate::provider::Provider;
use crate::route::{Access, Route};
use crate::runtime::in_flight::InFlight;
use crate::snapshot::Live;

/// The status of a gateway.
#[derive(Serialize, Deserialize)]
pub(crate) struct Status {
    /// keygate's version.
    pub(crate) version: String,
    /// The id of the process.
    pub(crate) pid: u32,
    /// How many upgrades from this process have failed.
    pub(crate) failed_upgrades: u64,
    /// Why the last of them failed.
    pub(crate) last_failed_upgrade: Option<String>,
    /// How long it has been serving, in seconds.
    pub(crate) uptime_seconds: u64,
    /// Whether it takes new requests.
    pub(crate) ready: bool,
    /// Whether the process before it has yet to hand over: it ends if that one dies first.
    #[serde(default)]
    pub(crate) provisional: bool,
    /// Requests whose response has not ended.
    pub(crate) requests_in_flight: usize,
    /// Connections of clients; zero in the status of older versions, which do not have it.
    #[serde(default)]
    pub(crate) connections: ConnectionsStatus,
    /// How many configurations have served so far.
    pub(crate) generation: u64,
    /// How the last reload ended.
    pub(crate) last_reload: ReloadStatus,
    /// How many keys the store has.
    pub(crate) keys: usize,
    /// Which version of the key file they were read from.
    pub(crate) key_file: KeyFileStatus,
    /// The ledger, if there is one.
    #[serde(default)]
    pub(crate) ledger: Option<LedgerStatus>,
    /// The routes, in the configuration's order.
    pub(crate) routes: Vec<RouteStatus>,
    /// The providers, in the configuration's order.
    pub(crate) providers: Vec<ProviderStatus>,
}

/// The ledger.
#[derive(Serialize, Deserialize)]
pub(crate) struct LedgerStatus {
    /// The path of its file.
    pub(crate) file: String,
    /// For how many seconds news has been waiting to be written: more than one if the file cannot be written.
    pub(crate) behind_seconds: f64,
    /// How many processes hold rights: two during an upgrade.
    pub(crate) holders: u64,
    /// How many budgets are in memory.
    pub(crate) accounts: usize,
    /// How many exchanges are missing in the history because the disk was too slow.
    pub(crate) dropped: u64,
    /// Why it cannot be written, if it cannot.
    pub(crate) last_error: Option<String>,
}

impl LedgerStatus {
    /// The status of `ledger`; `None` if it has no file.
    pub(super) fn of(ledger: &Ledger) -> Option<Self> {
        let file = absolute(ledger.path()?);
        let state = ledger.state();
        Some(Self {
            file,
            behind_seconds: state.behind.as_secs_f64(),
            holders: state.holders,
            accounts: state.accounts,
            dropped: state.dropped,
            last_error: state.last_error,
        })
    }
}

/// Connections of clients.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct ConnectionsStatus {
    /// How many are open.
    pub(crate) open: i64,
    /// How many may be open.
    pub(crate) at_most: usize,
    /// Why fewer may be open than configured, if so.
    pub(crate) reason: Option<String>,
}

/// A version of the key file.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeyFileStatus {
    /// Its absolute path.
    pub(crate) path: String,
    /// Identifies the version; opaque.
    pub(crate) mark: String,
    /// Identifies the version of which every revocation is in force: a later one than `mark` where the rest of it was
    /// refused. Empty in the status of older versions.
    #[serde(default)]
    pub(crate) closed_mark: String,
}

/// How a reload ended.
#[derive(Serialize, Deserialize)]
pub(crate) struct ReloadStatus {
    /// When, in RFC 3339.
    pub(crate) at: String,
    /// Whether the configuration was taken over.
    pub(crate) ok: bool,
    /// Why it was refused.
    pub(crate) error: Option<String>,
    /// Warnings about a configuration that was taken over.
    pub(crate) warnings: Vec<String>,
}

/// Whether a route or a provider serves.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It serves.
    Accepted,
    /// It does not serve, for the reason beside.
    Rejected,
}

/// A route.
#[derive(Serialize, Deserialize)]
pub(crate) struct RouteStatus {
    /// The name.
    pub(crate) name: String,
    /// The hosts.
    pub(crate) hosts: Vec<String>,
    /// The path.
    pub(crate) path: String,
    /// The name of the provider.
    pub(crate) provider: String,
    /// Which keys may use it.
    pub(crate) keys: String,
    /// Whether it serves.
    pub(crate) state: State,
    /// Why it does not serve.
    pub(crate) reason: Option<String>,
}

/// A provider.
#[derive(Serialize, Deserialize)]
pub(crate) struct ProviderStatus {
    /// The name.
    pub(crate) name: String,
    /// The kind.
    pub(crate) kind: String,
    /// The base URL.
    pub(crate) url: String,
    /// Host and port of the proxy that it is reached through, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proxy: Option<String>,
    /// How many addresses its name has, or its proxy's name.
    pub(crate) addresses: usize,
    /// Whether its token works, if it was probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) probe: Option<Probe>,
    /// Whether it serves.
    pub(crate) state: State,
    /// Why it does not serve.
    pub(crate) reason: Option<String>,
}

impl Status {
    pub(super) fn of(
        live: &Live,
        in_flight: &InFlight,
        readiness: &Readiness,
        started: Instant,
    ) -> Self {
        let snapshot = live.snapshot();
        let last = live.last_reload();
        let rules = &snapshot.rules;
        let failed = readiness.failed_upgrades();
        Self {
            pid: std::process::id(),
            failed_upgrades: failed.count,
            last_failed_upgrade: failed.why,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: started.elapsed().as_secs(),
            ready: readiness.is_ready(),
            provisional: readiness.is_provisional(),
            requests_in_flight: in_flight.count(),
            connections: ConnectionsStatus {
                open: live.metrics.connections.get(),
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
            keys: snapshot.keys.count(),
            key_file: KeyFileStatus {
                path: absolute(snapshot.key_source.place()),
                mark: snapshot.revision.mark().to_owned(),
                closed_mark: snapshot.closed_by.mark().to_owned(),
            },
            ledger: None,
            routes: rules
                .router
                .routes()
                .iter()
                .map(|it| route_status(it))
                .collect(),
            providers: rules
                .providers
                .iter()
                .map(|it| provider_status(it))
                .collect(),
        }
    }

    /// Adds the results of probes, by the names of the providers. A provider whose token does not work is Rejected, and
    /// so are its routes.
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

fn route_status(route: &Route) -> RouteStatus {
    let provider = &route.targets.primary().provider;
    let (state, reason) = state_of(provider);
    RouteStatus {
        name: route.name.to_string(),
        hosts: route.hosts.iter().map(ToString::to_string).collect(),
        path: route.path.to_string(),
        provider: provider.name.to_string(),
        keys: match &route.access {
            Access::Keys(selector) => selector.to_string(),
            Access::Open => "open: no key needed".to_owned(),
        },
        state,
        reason: reason.map(|why| format!("provider `{}`: {why}", provider.name)),
    }
}

fn provider_status(provider: &Provider) -> ProviderStatus {
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

/// The absolute path, which means the same to a command that runs in another folder.
fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path);
    absolute.as_deref().unwrap_or(path).display().to_string()
}
