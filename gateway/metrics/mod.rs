//! Declares every metric. Labels are names from the configuration, never values that a client sent,
//! so that the number of series is bounded.
//!
//! One set lives as long as the process: a reload looks up its handles by name and finds the same
//! counters again.

mod catalog;
mod declare;
mod limits;
mod series;
mod target;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{
    Encoder, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder,
};

use self::catalog::{COST_LABELS, KEY_LABELS, TOKEN_LABELS};
use self::declare::Declare;
use self::limits::LimitMetrics;
use self::series::remove_series;
pub(crate) use self::target::TargetMetrics;
use self::target::{TargetFamilies, status_label};
use crate::runtime::log;

/// The media type of the text that [`Metrics::render`] returns, as Prometheus documents it.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The prefix of all names.
const PREFIX: &str = "keygate_";

/// The family of costs counts billionths of the currency, which is up to eighteen billion of it, and shows the
/// currency itself.
const COST_DIVISOR: f64 = 1e9;
/// The key label of requests that needed no key.
pub(crate) const NO_KEY: &str = "";
/// The key label of keys without series of their own. Key ids cannot contain brackets.
pub(crate) const OTHER_KEYS: &str = "(other)";

/// All metrics of one gateway.
pub struct Metrics {
    registry: Registry,
    families: TargetFamilies,
    auth_failures: IntCounterVec,
    key_requests: IntCounterVec,
    tokens: IntCounterVec,
    cost: IntCounterVec,
    provider_up: IntGaugeVec,
    key_expiry: GaugeVec,
    certificate_expiry: GaugeVec,
    /// The metrics of requests that match no route or whose path is invalid.
    pub(crate) unrouted: TargetMetrics,
    /// Requests in flight.
    pub(crate) inflight: IntGauge,
    /// 1 if the last reload succeeded, 0 if it was rejected.
    pub(crate) reload_success: IntGauge,
    /// 1 while a reload that could not read a file is being retried.
    pub(crate) reload_pending: IntGauge,
    /// The time of the last successful reload.
    pub(crate) reload_timestamp: Gauge,
    /// The number of configurations that this process has served.
    pub(crate) generation: IntGauge,
    /// Keys in the store.
    pub(crate) keys_loaded: IntGauge,
    /// How far the wall clock is behind the clock that key expiry uses.
    pub(crate) clock_behind: Gauge,
    /// Open client connections.
    pub(crate) connections: IntGauge,
    /// Client connections closed because of a limit.
    pub(crate) connections_refused: IntCounterVec,
    /// Failed TLS handshakes of clients.
    pub(crate) tls_handshake_failures: IntCounter,
    /// Bytes of request bodies that are held.
    pub(crate) held_bytes: IntGauge,
    /// Request bodies that were not held, by reason.
    pub(crate) unheld: IntCounterVec,
    /// Spans for the collector, by outcome.
    pub(crate) spans: IntCounterVec,
    /// The limits and the ledger.
    pub(crate) limits: LimitMetrics,
    /// Access lines dropped because the reader of stdout was too slow.
    pub(crate) access_log_dropped: IntCounter,
}

impl Metrics {
    /// Declares all metrics. Fails only if two have the same name, which a test rules out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some(PREFIX.trim_end_matches('_').to_owned()), None)?;
        let declare = Declare(&registry);
        let families = TargetFamilies::declare(&declare)?;
        let metrics = Self {
            auth_failures: declare.counters(&catalog::AUTH_FAILURES)?,
            key_requests: declare.counters(&catalog::KEY_REQUESTS)?,
            tokens: declare.counters(&catalog::TOKENS)?,
            cost: declare.counters(&catalog::COST)?,
            provider_up: declare.gauges(&catalog::PROVIDER_UP)?,
            key_expiry: declare.float_gauges(&catalog::KEY_EXPIRY)?,
            certificate_expiry: declare.float_gauges(&catalog::CERTIFICATE_EXPIRY)?,
            inflight: declare.gauge(&catalog::INFLIGHT_REQUESTS)?,
            reload_success: declare.gauge(&catalog::RELOAD_SUCCESS)?,
            reload_pending: declare.gauge(&catalog::RELOAD_PENDING)?,
            reload_timestamp: declare.float_gauge(&catalog::RELOAD_TIMESTAMP)?,
            generation: declare.gauge(&catalog::GENERATION)?,
            keys_loaded: declare.gauge(&catalog::KEYS_LOADED)?,
            clock_behind: declare.float_gauge(&catalog::CLOCK_BEHIND)?,
            connections: declare.gauge(&catalog::CONNECTIONS)?,
            connections_refused: declare.counters(&catalog::CONNECTIONS_REFUSED)?,
            tls_handshake_failures: declare.counter(&catalog::TLS_HANDSHAKE_FAILURES)?,
            held_bytes: declare.gauge(&catalog::HELD_BYTES)?,
            unheld: declare.counters(&catalog::UNHELD)?,
            spans: declare.counters(&catalog::SPANS)?,
            limits: LimitMetrics::declare(&declare)?,
            access_log_dropped: declare.counter(&catalog::ACCESS_LOG_DROPPED)?,
            unrouted: families.handles("", ""),
            families,
            registry,
        };
        Declare(&metrics.registry).register(log::dropped()?)?;
        Declare(&metrics.registry)
            .gauges(&catalog::BUILD_INFO)?
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        Ok(metrics)
    }

    /// The handles of a route to a provider.
    pub fn target(&self, route: &str, provider: &str) -> TargetMetrics {
        self.families.handles(route, provider)
    }

    /// Counts a rejected key.
    pub(crate) fn auth_failure(&self, reason: &str) {
        self.auth_failures.with_label_values(&[reason]).inc();
    }

    /// Counts a request of a key.
    pub(crate) fn key_request(&self, key: &str, route: &str, code: u16) {
        self.key_requests
            .with_label_values(&[key, route, &status_label(code).to_string()])
            .inc();
    }

    /// Counts tokens by type.
    pub(crate) fn tokens(&self, labels: &UsageLabels<'_>, tokens: &[(&str, u64)]) {
        for (kind, count) in tokens.iter().filter(|(_, count)| *count > 0) {
            let values = [
                labels.route,
                labels.provider,
                labels.key,
                labels.model,
                kind,
            ];
            add_saturating(&self.tokens.with_label_values(&values), *count);
        }
    }

    /// Counts a cost in billionths of `currency`.
    pub fn cost(&self, labels: &UsageLabels<'_>, currency: &str, cost: u64) {
        let values = [
            labels.route,
            labels.provider,
            labels.key,
            labels.model,
            currency,
        ];
        add_saturating(&self.cost.with_label_values(&values), cost);
    }

    /// Removes the series of all keys that `is_known` rejects.
    pub(crate) fn keep_keys(&self, is_known: impl Fn(&str) -> bool) {
        let is_gone = |key: &str| ![OTHER_KEYS, NO_KEY].contains(&key) && !is_known(key);
        remove_series(&self.key_requests, &KEY_LABELS, "key", &is_gone);
        remove_series(&self.tokens, &TOKEN_LABELS, "key", &is_gone);
        remove_series(&self.cost, &COST_LABELS, "key", &is_gone);
    }

    /// Sets whether each provider is accepted, and removes the providers of the previous
    /// configuration.
    pub(crate) fn set_providers<'a>(
        &self,
        providers: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    ) {
        self.provider_up.reset();
        for (name, rejected) in providers {
            let up = i64::from(rejected.is_none());
            self.provider_up
                .with_label_values(&[name, rejected.unwrap_or_default()])
                .set(up);
        }
    }

    /// Sets when keys expire, and removes the keys of the previous configuration.
    pub(crate) fn set_key_expiries<'a>(&self, keys: impl Iterator<Item = (&'a str, i64)>) {
        self.key_expiry.reset();
        for (id, end) in keys {
            #[expect(
                clippy::cast_precision_loss,
                reason = "seconds since 1970 fit into the 53 bits of a float"
            )]
            self.key_expiry.with_label_values(&[id]).set(end as f64);
        }
    }

    /// Sets when the certificate that clients see expires, or that there is none.
    pub(crate) fn set_certificate_expiry(&self, end: Option<i64>) {
        self.certificate_expiry.reset();
        if let Some(end) = end {
            #[expect(
                clippy::cast_precision_loss,
                reason = "seconds since 1970 fit into the 53 bits of a float"
            )]
            self.certificate_expiry
                .with_label_values::<&str>(&[])
                .set(end as f64);
        }
    }

    /// Records that a new configuration is in use from now on.
    pub(crate) fn reloaded(&self) {
        self.reload_success.set(1);
        self.generation.inc();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        self.reload_timestamp.set(now.as_secs_f64());
    }

    /// Renders all metrics in Prometheus' text format.
    pub fn render(&self) -> Vec<u8> {
        let mut families = self.registry.gather();
        for family in &mut families {
            if family.name().strip_prefix(PREFIX) == Some(catalog::COST.name) {
                for series in family.mut_metric() {
                    let mut cost = series.get_counter().clone();
                    cost.set_value(cost.get_value() / COST_DIVISOR);
                    series.set_counter(cost);
                }
            }
        }
        let mut text = Vec::new();
        // Writing to a Vec cannot fail, and the encoder leaves out families without series.
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            tracing::error!("cannot encode the metrics: {error}");
        }
        text
    }
}

/// The labels of the usage of one request.
pub struct UsageLabels<'a> {
    /// The route.
    pub(crate) route: &'a str,
    /// The provider.
    pub(crate) provider: &'a str,
    /// The key, or one of [`NO_KEY`] and [`OTHER_KEYS`].
    pub(crate) key: &'a str,
    /// The model if the configuration lists it, else a common name for all others.
    pub(crate) model: &'a str,
}

/// Adds to a counter and saturates: a provider can report any number, and `inc_by` would wrap.
fn add_saturating(counter: &IntCounter, by: u64) {
    let room = u64::MAX - counter.get();
    counter.inc_by(room.min(by));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render()).unwrap()
    }

    #[test]
    fn a_reload_finds_the_counters_again() {
        let metrics = Metrics::new().unwrap();
        metrics.target("r", "p").count(200, "");
        metrics.target("r", "p").count(200, "");
        let line = "keygate_requests_total{code=\"200\",provider=\"p\",reason=\"\",route=\"r\"} 2";
        assert!(text(&metrics).contains(line));
    }

    #[test]
    fn series_of_removed_keys_are_removed() {
        let metrics = Metrics::new().unwrap();
        for key in ["a", "b", OTHER_KEYS] {
            metrics.key_request(key, "r", 200);
            metrics.key_request(key, "r", 401);
        }
        metrics.keep_keys(|id| id == "b");
        let text = text(&metrics);
        let series = |key: &str| text.matches(&format!("key=\"{key}\"")).count();
        assert_eq!((series("a"), series("b"), series("(other)")), (0, 2, 2));
    }

    #[test]
    fn a_status_out_of_range_makes_no_series_of_its_own() {
        let metrics = Metrics::new().unwrap();
        for code in 600..1000 {
            metrics.target("r", "p").count(code, "");
        }
        assert!(text(&metrics).contains("code=\"0\",provider=\"p\",reason=\"\",route=\"r\"} 400"));
    }
}
