//! A configuration as used: its rules and its keys. Knows nothing of the one that serves, but the parts of it that stay.

use std::sync::Arc;

use http::HeaderName;
use jiff::Timestamp;
use pingora_core::tls::RootCertStore;
use pingora_core::tls::sign::CertifiedKey;

use super::routes::{Use, routes};
use crate::config::{LimitRules, Resolved, ServerConfig};
use crate::key::{KeySource, KeyStore, Revision, StoreError};
use crate::limit::book::Book;
use crate::limit::plan::Plan;
use crate::metrics::Metrics;
use crate::origin::Resolver;
use crate::provider::Provider;
use crate::route::Router;
use crate::telemetry::TelemetrySpec;
use crate::usage::{PriceList, Prices};

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
    /// The limits of use, as the configuration has them.
    pub(crate) limits: LimitRules,
    /// The same, with their cells.
    pub(crate) plan: Arc<Plan>,
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

/// What a snapshot is built with, and outlives it.
#[derive(Clone, Copy)]
pub(super) struct Beside<'b> {
    pub(super) metrics: &'b Metrics,
    pub(super) resolver: &'b Resolver,
    pub(super) book: &'b Arc<Book>,
    /// The time by the clock of keys and calendars.
    pub(super) now: Timestamp,
}

impl Snapshot {
    /// Builds the snapshot of `config`; `before` are the rules that serve, if any do.
    pub(super) fn build(
        config: Resolved,
        before: Option<&Rules>,
        beside: &Beside<'_>,
    ) -> Result<Self, BuildError> {
        let mut providers = Vec::with_capacity(config.providers.len());
        for spec in config.providers {
            let name = spec.name.clone();
            let addresses = spec.addresses(beside.resolver);
            let provider = Provider::build(spec, addresses).ok_or(BuildError::Provider(name))?;
            providers.push(Arc::new(provider));
        }
        let calendar = config.limits.calendar.clone();
        let limits = config.limits.limits.clone();
        let plan = Plan::new(limits, calendar, beside.book.clone());
        let routes = routes(
            config.routes,
            &providers,
            &config.key_headers,
            &config.server,
            &Use {
                metrics: beside.metrics,
                plan: &plan,
                now: beside.now,
            },
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
            limits: config.limits,
            plan: Arc::new(plan),
            tracing: config.tracing,
            generation: before.map_or(1, |rules| rules.generation + 1),
        };
        Ok(Self {
            rules: Arc::new(rules),
            keys: config.keys.keys.into_store().map_err(BuildError::Keys)?,
            key_source: config.key_source,
            closed_by: config.keys.revision.clone(),
            revision: config.keys.revision,
        })
    }
}
