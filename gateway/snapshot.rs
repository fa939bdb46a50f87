//! The configuration as used: a [`Snapshot`] is built whole beside the old one, and one pointer is swapped. A request
//! is admitted by the snapshot it began with, and then keeps only its [`Rules`].
//!
//! [`Live`] holds the state that survives a swap: metrics, resolved names, the outcome of the last reload.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderName;
use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use jiff::Timestamp;
use pingora_core::tls::RootCertStore;
use pingora_core::tls::sign::CertifiedKey;

use crate::config::{Resolved, RouteSpec, ServerConfig, certificate_end};
use crate::key::{KeyDigest, KeySource, KeyStore, Revision, StoreError};
use crate::metrics::Metrics;
use crate::origin::Resolver;
use crate::provider::{ACCOUNT_CHOICES, ALWAYS_STRIPPED, Provider, Stripped, folded, plain_form};
use crate::route::{Overlap, Route, Router, Target, Targets};
use crate::runtime::clock::Clock;
use crate::runtime::watched::Watched;
use crate::telemetry::TelemetrySpec;
use crate::template::HeaderTemplate;
use crate::usage::{PriceList, Prices};

/// The shortest and the longest sleep until a key expires.
const MOMENT: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

/// Everything that decides about a request.
pub struct Snapshot {
    /// Everything but the keys.
    pub rules: Arc<Rules>,
    /// The keys.
    pub keys: KeyStore,
    /// Where the keys come from.
    pub(crate) key_source: Arc<dyn KeySource>,
    /// The version of the keys that serves as a whole.
    pub(crate) revision: Revision,
    /// The version whose revocations are in force: a later one where the rest of the configuration was refused.
    pub(crate) closed_by: Revision,
}

/// What an exchange uses from its beginning to its end. The keys are not part of it: a stream of an hour must not keep a
/// million replaced keys in memory.
pub struct Rules {
    /// The routes.
    pub router: Router,
    /// The headers in which a client key may stand.
    pub(crate) key_headers: Vec<HeaderName>,
    /// The providers, in the configuration's order.
    pub providers: Vec<Arc<Provider>>,
    /// Limits and timeouts of the clients' side.
    pub(crate) server: ServerConfig,
    /// Whether an exchange in progress is aborted when its key is not valid any more: it was removed or disabled, has
    /// expired, or has reached the end of its overlap with a newer key.
    pub(crate) cut_revoked: bool,
    /// What tokens cost, if there is a price list.
    pub(crate) prices: Option<Arc<PriceList>>,
    /// The certificate that clients see.
    pub(crate) certificate: Option<Arc<CertifiedKey>>,
    /// The authorities of clients' certificates in this configuration; the next start uses them.
    pub(crate) client_roots: Option<Arc<RootCertStore>>,
    /// Where spans go in this configuration; the next start uses it.
    pub(crate) tracing: Option<Arc<TelemetrySpec>>,
    /// The number of this configuration in this process, from 1.
    pub generation: u64,
}

/// Why a checked configuration could not be put to use.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The key table could not be built.
    #[error(transparent)]
    Keys(StoreError),
    /// A part of this provider cannot stand in a header.
    #[error("provider `{0}` cannot be written into a request")]
    Provider(Arc<str>),
}

impl Snapshot {
    /// Builds the snapshot of `config`; `before` are the rules that serve, if any do.
    fn build(
        config: Resolved,
        before: Option<&Rules>,
        metrics: &Metrics,
        resolver: &Resolver,
    ) -> Result<Self, BuildError> {
        let mut providers = Vec::with_capacity(config.providers.len());
        for spec in config.providers {
            let name = spec.name.clone();
            let addresses = spec.addresses(resolver);
            let provider = Provider::build(spec, addresses).ok_or(BuildError::Provider(name))?;
            providers.push(Arc::new(provider));
        }
        let routes = routes(
            config.routes,
            &providers,
            &config.key_headers,
            &config.server,
            metrics,
        );
        let rules = Rules {
            router: Router::build(routes),
            key_headers: config.key_headers,
            providers,
            // Keep the previous certificate if the new one is missing or unreadable: a TLS listener stays TLS until restart.
            certificate: config
                .certificate
                .or_else(|| before.and_then(|rules| rules.certificate.clone())),
            client_roots: config.client_roots,
            server: config.server,
            cut_revoked: config.cut_revoked,
            prices: match config.prices {
                Prices::Absent => None,
                Prices::Listed(list) => Some(Arc::new(list)),
                Prices::Unreadable => before.and_then(|rules| rules.prices.clone()),
            },
            tracing: config.tracing,
            generation: before.map_or(1, |rules| rules.generation + 1),
        };
        Ok(Self {
            rules: Arc::new(rules),
            keys: KeyStore::build(config.keys.entries).map_err(BuildError::Keys)?,
            key_source: config.key_source,
            closed_by: config.keys.revision.clone(),
            revision: config.keys.revision,
        })
    }
}

/// The headers in which a browser names the page that sends a request. The provider does not get them where the gateway
/// itself decides about pages.
const OF_PAGES: [HeaderName; 4] = [
    ORIGIN,
    ACCESS_CONTROL_REQUEST_METHOD,
    ACCESS_CONTROL_REQUEST_HEADERS,
    HeaderName::from_static("access-control-request-private-network"),
];

/// The headers that the gateway writes into requests on a route, beside the token.
fn written<'r>(spec: &'r RouteSpec, provider: &'r Provider) -> Vec<&'r HeaderName> {
    let of_provider = provider.headers.iter().map(|(name, _)| name);
    let templates = spec.templates.iter().map(HeaderTemplate::name);
    of_provider.chain(templates).collect()
}

/// The routes of `specs`. A route whose provider is not among `providers`, which the configuration's check rules out, is
/// left out.
fn routes(
    specs: Vec<RouteSpec>,
    providers: &[Arc<Provider>],
    key_headers: &[HeaderName],
    server: &ServerConfig,
    metrics: &Metrics,
) -> Vec<Route> {
    let stripped = stripped_names(providers, key_headers, server);
    let prefixes = stripped_prefixes(server);
    let by_name = providers.iter().map(|provider| (&provider.name, provider));
    let by_name: HashMap<&Arc<str>, &Arc<Provider>> = by_name.collect();
    let build = |spec: RouteSpec| {
        let provider = by_name.get(&spec.provider)?;
        let stripped = stripped_of(&spec, provider, &stripped, &prefixes);
        let token_headers = token_headers(key_headers, provider);
        Some(route(spec, provider, stripped, token_headers, metrics))
    };
    specs.into_iter().filter_map(build).collect()
}

/// The headers of clients that no provider gets. The header for one provider's token is among them for all: a credential
/// for one provider must not reach another.
fn stripped_names(
    providers: &[Arc<Provider>],
    key_headers: &[HeaderName],
    server: &ServerConfig,
) -> HashSet<HeaderName> {
    let of_providers = providers.iter().map(|provider| provider.auth_header());
    let names = ALWAYS_STRIPPED.iter().chain(key_headers);
    let names = names
        .chain(&server.limits.stripped_headers)
        .chain(of_providers);
    names.cloned().collect()
}

/// The prefixes of headers of clients that no provider gets, in each spelling that an application may read them in.
fn stripped_prefixes(server: &ServerConfig) -> Vec<String> {
    let prefixes = server.limits.stripped_prefixes.iter();
    let mut prefixes: Vec<String> = prefixes
        .flat_map(|prefix| [prefix.clone(), folded(prefix)])
        .collect();
    prefixes.dedup();
    prefixes
}

/// The headers of clients that the provider of a route does not get: those that no provider gets, those that choose the
/// account to pay unless the route allows them, and those that could be read as one that the gateway writes.
fn stripped_of(
    spec: &RouteSpec,
    provider: &Provider,
    everywhere: &HashSet<HeaderName>,
    prefixes: &[String],
) -> Stripped {
    let choices = ACCOUNT_CHOICES.iter();
    let choices = choices.filter(|name| !spec.allowed_headers.contains(name));
    let written = written(spec, provider);
    // A name with `_` that the gateway writes can be misread as one with `-`: a client may send neither.
    let odd = written.iter().filter(|name| plain_form(name).is_some());
    let names = everywhere.iter().chain(choices).chain(odd.copied());
    let alike: Vec<HeaderName> = names.clone().filter_map(plain_form).collect();
    let of_pages = spec.cors.iter().flat_map(|_| OF_PAGES);
    let all = names.cloned().chain(alike).chain(of_pages);
    Stripped::new(all, prefixes.to_vec()).guarding(written.into_iter().chain(&ACCOUNT_CHOICES))
}

/// Those of the headers for client keys in which a client of `provider` brings the provider's token itself.
fn token_headers(key_headers: &[HeaderName], provider: &Provider) -> Vec<HeaderName> {
    if !provider.is_passthrough() {
        return Vec::new();
    }
    let names = key_headers.iter();
    let names = names.filter(|name| provider.takes_token_in(name));
    names.cloned().collect()
}

fn route(
    spec: RouteSpec,
    provider: &Arc<Provider>,
    stripped: Stripped,
    token_headers: Vec<HeaderName>,
    metrics: &Metrics,
) -> Route {
    let target = Target {
        metrics: metrics.target(&spec.name, &provider.name),
        provider: provider.clone(),
    };
    Route {
        name: spec.name,
        hosts: spec.hosts,
        path: spec.path,
        targets: Targets::one(target),
        dialect: provider.kind.error_format,
        token_headers,
        access: spec.access,
        websocket: spec.websocket,
        stripped,
        templates: spec.templates,
        cors: spec.cors,
        metering: spec.metering,
        metric_models: spec.metric_models,
        overlap: Overlap::default(),
    }
}

/// How the last attempt to take over a configuration ended.
#[derive(Clone, Debug)]
pub struct LastReload {
    /// The time.
    pub at: Timestamp,
    /// Every problem; `None` when the configuration was taken over.
    pub error: Option<String>,
    /// The warnings of a configuration that was taken over.
    pub(crate) warnings: Vec<String>,
}

/// The snapshot that serves now, and what outlives it.
pub struct Live {
    snapshot: Watched<Snapshot>,
    last_reload: Mutex<LastReload>,
    /// The metrics.
    pub(crate) metrics: Arc<Metrics>,
    /// The resolved names.
    pub(crate) resolver: Arc<Resolver>,
    /// The time by which keys start and expire.
    pub clock: Clock,
}

impl Live {
    /// Starts with the first configuration.
    pub fn start(config: Resolved, metrics: Arc<Metrics>) -> Result<Self, BuildError> {
        let resolver = Arc::new(Resolver::default());
        let warnings = config.warnings.iter().map(ToString::to_string).collect();
        let snapshot = Snapshot::build(config, None, &metrics, &resolver)?;
        let last = LastReload {
            at: Timestamp::now(),
            error: None,
            warnings,
        };
        let live = Self {
            snapshot: Watched::new(snapshot),
            last_reload: Mutex::new(last),
            metrics,
            resolver,
            clock: Clock::start(),
        };
        live.publish();
        Ok(live)
    }

    /// The snapshot that serves now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.get()
    }

    /// A line about what serves, for the service manager.
    pub(crate) fn summary(&self) -> String {
        let snapshot = self.snapshot();
        let (routes, keys) = (
            snapshot.rules.router.routes().len(),
            snapshot.keys.keys().len(),
        );
        let generation = snapshot.rules.generation;
        let serves = format!("Serving {routes} routes and {keys} keys, configuration {generation}");
        match self.last_reload().error {
            Some(why) => format!("{serves}; a newer one was REFUSED: {why}"),
            None => serves,
        }
    }

    /// How the last reload ended.
    pub fn last_reload(&self) -> LastReload {
        self.last_reload
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Builds `config` beside the snapshot that serves, without serving it yet: new names can be resolved before
    /// [`swap`](Self::swap).
    pub(crate) fn prepare(&self, config: Resolved) -> Result<Snapshot, BuildError> {
        let before = self.snapshot.load().rules.clone();
        Snapshot::build(config, Some(&before), &self.metrics, &self.resolver)
    }

    /// Serves `snapshot` from the next request on. Returns the previous one, which requests that are being admitted may
    /// still use: dropping the last reference frees all its keys.
    pub(crate) fn swap(&self, snapshot: Snapshot, warnings: Vec<String>) -> Arc<Snapshot> {
        let before = self.snapshot.swap(Arc::new(snapshot));
        self.remember(LastReload {
            at: Timestamp::now(),
            error: None,
            warnings,
        });
        self.publish();
        before
    }

    /// Serves `keys` with the rules that serve already. They permit no more than the keys that serve, nor than the
    /// version `closed_by`; `is_whole` if they are all that this version permits.
    pub(crate) fn narrow(
        &self,
        keys: KeyStore,
        closed_by: Revision,
        is_whole: bool,
    ) -> Arc<Snapshot> {
        let serving = self.snapshot();
        let revision = if is_whole {
            &closed_by
        } else {
            &serving.revision
        };
        let before = self.snapshot.swap(Arc::new(Snapshot {
            rules: serving.rules.clone(),
            keys,
            key_source: serving.key_source.clone(),
            revision: revision.clone(),
            closed_by,
        }));
        self.publish_keys();
        before
    }

    /// Waits until the key of `digest` is not valid any more: removed, disabled, expired, or at the end of its overlap
    /// with a newer key.
    pub(crate) async fn revoked(&self, digest: KeyDigest) {
        let mut swaps = self.snapshot.watch();
        loop {
            let now = self.clock.now();
            let valid_until = self.snapshot.load().keys.valid_until(&digest, now);
            let Ok(end) = valid_until else { return };
            // A key that has expired in between leaves a negative rest, which becomes the shortest sleep.
            let left = Duration::try_from(end.duration_since(now)).unwrap_or_default();
            tokio::select! {
                // Without a sender, the gateway has ended.
                more = swaps.next() => if !more { return },
                () = tokio::time::sleep(left.clamp(MOMENT, DAY)) => {}
            }
        }
    }

    /// Records that a configuration was refused; the old one goes on serving.
    pub(crate) fn refuse(&self, error: String) {
        self.metrics.reload_success.set(0);
        self.remember(LastReload {
            at: Timestamp::now(),
            error: Some(error),
            warnings: Vec::new(),
        });
    }

    fn remember(&self, last: LastReload) {
        *self
            .last_reload
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = last;
    }

    fn publish(&self) {
        let snapshot = self.snapshot.load();
        let metrics = &self.metrics;
        metrics.reloaded();
        let providers = snapshot.rules.providers.iter();
        metrics.set_providers(providers.map(|p| (&*p.name, p.rejected())));
        let certificate = snapshot.rules.certificate.as_ref();
        let end = certificate.and_then(|key| certificate_end(key.cert.first()?));
        metrics.set_certificate_expiry(end.map(Timestamp::as_second));
        self.publish_keys();
    }

    fn publish_keys(&self) {
        let snapshot = self.snapshot.load();
        let metrics = &self.metrics;
        metrics
            .keys_loaded
            .set(i64::try_from(snapshot.keys.keys().len()).unwrap_or(i64::MAX));
        // The counted keys come first: stop at the first other one, because millions may follow.
        let counted = snapshot.keys.keys().iter().take_while(|key| key.counted);
        let counted: HashMap<&str, _> = counted.map(|key| (&*key.id, key.expires)).collect();
        metrics.keep_keys(|id| counted.contains_key(id));
        metrics.set_key_expiries(
            counted
                .iter()
                .filter_map(|(id, expires)| Some((*id, expires.as_ref()?.as_second()))),
        );
    }
}
