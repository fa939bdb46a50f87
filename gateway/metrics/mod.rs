//! Every metric, declared here. Labels are names from the configuration, never what a client sent,
//! so that the number of series is bounded whatever comes in.
//!
//! One set for the whole life of the process: reloads ask for handles by name and find the same
//! counters again.

mod target;

pub use self::target::TargetMetrics;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::target::{TargetFamilies, known};
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::runtime::log;

/// The media type of the text that [`Metrics::render`] gives, as Prometheus documents it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What all names begin with.
const PREFIX: &str = "keygate_";

/// The labels of a key's requests.
const KEY_LABELS: [&str; 3] = ["key", "route", "code"];
/// The labels of tokens.
const TOKEN_LABELS: [&str; 5] = ["route", "provider", "key", "model", "type"];
/// The labels of costs.
const COST_LABELS: [&str; 5] = ["route", "provider", "key", "model", "currency"];
/// The family of costs: counted in billionths, which takes a counter to eighteen billion; shown in the currency
/// itself.
const COST: &str = "cost_total";
const COST_DIVISOR: f64 = 1e9;
/// The key of requests that needed none.
pub const NO_KEY: &str = "";
/// The keys that have no series of their own. No id has brackets.
pub const OTHER_KEYS: &str = "(other)";

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
    /// Requests that no route could be found for, or whose path could not be read.
    pub unrouted: TargetMetrics,
    /// Requests in flight.
    pub inflight: IntGauge,
    /// 1 when the last reload was taken over, 0 when it was refused.
    pub reload_success: IntGauge,
    /// 1 while a reload that could not read a file is tried again.
    pub reload_pending: IntGauge,
    /// When the last reload was taken over.
    pub reload_timestamp: Gauge,
    /// How many configurations this process has served.
    pub generation: IntGauge,
    /// Keys in the store.
    pub keys_loaded: IntGauge,
    /// How far the wall clock is behind the time that keys go by.
    pub clock_behind: Gauge,
    /// Connections of clients.
    pub connections: IntGauge,
    /// Those that were too many, by the limit.
    pub connections_refused: IntCounterVec,
    /// TLS handshakes of clients that came to nothing.
    pub tls_handshake_failures: IntCounter,
    /// Spans for a collector, by outcome.
    pub spans: IntCounterVec,
    /// Access lines that were dropped because the reader of stdout was too slow.
    pub access_log_dropped: IntCounter,
}

/// Shows the version that runs.
fn declare_version(registry: &Registry) -> Result<(), prometheus::Error> {
    let build = IntGaugeVec::new(
        Opts::new("build_info", "The version that runs."),
        &["version"],
    )?;
    let build = Declare(registry).register(build)?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    Ok(())
}

impl Metrics {
    /// Declares them all. Fails only if two had one name, which a test rules out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some(PREFIX.trim_end_matches('_').to_owned()), None)?;
        let declare = Declare(&registry);
        let families = TargetFamilies::declare(&declare)?;
        let metrics = Self {
            auth_failures: declare.counters(
                "auth_failures_total",
                "Refused keys by reason; clients are not told the reason.",
                &["reason"],
            )?,
            key_requests: declare.counters(
                "key_requests_total",
                "Requests of each key; of (other), those that have no series of their own.",
                &KEY_LABELS,
            )?,
            tokens: declare.counters(
                "tokens_total",
                "Tokens as responses tell them: input and output, and of these cache_read, cache_creation and \
                 reasoning, and those of audio, image and video (input_audio and so on); output_estimated beside them where nothing was told.",
                &TOKEN_LABELS,
            )?,
            cost: declare.counters(
                COST,
                "What responses cost in the currency: as providers say themselves, else by the price file.",
                &COST_LABELS,
            )?,
            provider_up: declare.register(IntGaugeVec::new(
                Opts::new(
                    "provider_up",
                    "1 when the provider is accepted, 0 when it is rejected for the reason.",
                ),
                &["provider", "reason"],
            )?)?,
            key_expiry: declare.register(GaugeVec::new(
                Opts::new(
                    "key_expiry_timestamp_seconds",
                    "When a key ends, for keys that do.",
                ),
                &["key"],
            )?)?,
            certificate_expiry: declare.register(GaugeVec::new(
                Opts::new(
                    "certificate_expiry_timestamp_seconds",
                    "When the certificate that clients see ends, where there is one.",
                ),
                &[],
            )?)?,
            inflight: declare.gauge("inflight_requests", "Requests being answered now.")?,
            reload_success: declare.gauge(
                "config_last_reload_success",
                "1 when the last configuration was taken over, 0 when it was refused.",
            )?,
            reload_pending: declare.gauge(
                "config_reload_pending",
                "1 while a file could not be read, or does not come, and is tried again: changes are not taken over.",
            )?,
            reload_timestamp: declare.register(Gauge::new(
                "config_last_reload_success_timestamp_seconds",
                "When the served configuration was taken over.",
            )?)?,
            generation: declare.gauge(
                "config_generation",
                "Configurations served by this process so far.",
            )?,
            keys_loaded: declare.gauge("keys_loaded", "Keys in the store.")?,
            clock_behind: declare.register(Gauge::new(
                "clock_behind_seconds",
                "How far the system's clock is behind the time that keys go by, which never goes back.",
            )?)?,
            connections: declare.gauge("connections", "Connections of clients that are open.")?,
            connections_refused: declare.counters(
                "connections_refused_total",
                "Connections that were closed at once, by the limit that they would have passed; untrusted and proxy_header: \
                 because of the PROXY protocol.",
                &["limit"],
            )?,
            tls_handshake_failures: declare.register(IntCounter::new(
                "tls_handshake_failures_total",
                "TLS handshakes of clients that failed, broke off or took too long.",
            )?)?,
            spans: declare.counters(
                "spans_total",
                "Spans made for the collector, by outcome: exported, failed, or dropped before that.",
                &["outcome"],
            )?,
            access_log_dropped: declare.register(IntCounter::new(
                "access_log_dropped_total",
                "Access lines dropped because nobody read them fast enough.",
            )?)?,
            unrouted: families.handles("", ""),
            families,
            registry,
        };
        Declare(&metrics.registry).register(log::dropped()?)?;
        declare_version(&metrics.registry)?;
        Ok(metrics)
    }

    /// The handles of the target that `route` has in `provider`.
    pub fn target(&self, route: &str, provider: &str) -> TargetMetrics {
        self.families.handles(route, provider)
    }

    /// Counts a refused key.
    pub fn auth_failure(&self, reason: &str) {
        self.auth_failures.with_label_values(&[reason]).inc();
    }

    /// Counts a request of a key.
    pub fn key_request(&self, key: &str, route: &str, code: u16) {
        self.key_requests
            .with_label_values(&[key, route, &known(code).to_string()])
            .inc();
    }

    /// Counts tokens by type.
    pub fn tokens(&self, of: &Spent<'_>, tokens: &[(&str, u64)]) {
        for (kind, count) in tokens.iter().filter(|(_, count)| *count > 0) {
            let labels = [of.route, of.provider, of.key, of.model, kind];
            grow(&self.tokens.with_label_values(&labels), *count);
        }
    }

    /// Counts what they cost, in billionths of `currency`.
    pub fn cost(&self, of: &Spent<'_>, currency: &str, cost: u64) {
        let labels = [of.route, of.provider, of.key, of.model, currency];
        grow(&self.cost.with_label_values(&labels), cost);
    }

    /// Forgets the series of keys that `is_known` does not know any more.
    pub fn keep_keys(&self, is_known: impl Fn(&str) -> bool) {
        let gone = |key: &str| ![OTHER_KEYS, NO_KEY].contains(&key) && !is_known(key);
        forget(&self.key_requests, &KEY_LABELS, &gone);
        forget(&self.tokens, &TOKEN_LABELS, &gone);
        forget(&self.cost, &COST_LABELS, &gone);
    }

    /// States for every provider whether it is accepted; forgets the ones of before.
    pub fn set_providers<'a>(&self, providers: impl Iterator<Item = (&'a str, Option<&'a str>)>) {
        self.provider_up.reset();
        for (name, rejected) in providers {
            let up = i64::from(rejected.is_none());
            self.provider_up
                .with_label_values(&[name, rejected.unwrap_or_default()])
                .set(up);
        }
    }

    /// States when keys end; forgets the ones of before.
    pub fn set_key_expiries<'a>(&self, keys: impl Iterator<Item = (&'a str, i64)>) {
        self.key_expiry.reset();
        for (id, end) in keys {
            // Seconds since 1970 fit into the 53 bits of a float for as long as there are clocks.
            #[allow(clippy::cast_precision_loss)]
            self.key_expiry.with_label_values(&[id]).set(end as f64);
        }
    }

    /// States when the certificate that clients see ends, or that there is none.
    pub fn set_certificate_expiry(&self, end: Option<i64>) {
        self.certificate_expiry.reset();
        if let Some(end) = end {
            #[allow(clippy::cast_precision_loss)]
            self.certificate_expiry
                .with_label_values::<&str>(&[])
                .set(end as f64);
        }
    }

    /// Notes that a configuration was taken over now.
    pub fn reloaded(&self) {
        self.reload_success.set(1);
        self.generation.inc();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        self.reload_timestamp.set(now.as_secs_f64());
    }

    /// All of them, in Prometheus' text format.
    pub fn render(&self) -> Vec<u8> {
        let mut families = self.registry.gather();
        for family in &mut families {
            if family.name().strip_prefix(PREFIX) == Some(COST) {
                for series in family.mut_metric() {
                    let mut cost = series.get_counter().clone();
                    cost.set_value(cost.get_value() / COST_DIVISOR);
                    series.set_counter(cost);
                }
            }
        }
        let mut text = Vec::new();
        // Writing to a Vec cannot fail; a family without series is left out by the encoder.
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            tracing::error!("cannot encode the metrics: {error}");
        }
        text
    }
}

/// Whose tokens they are.
pub struct Spent<'a> {
    /// The route.
    pub route: &'a str,
    /// The provider.
    pub provider: &'a str,
    /// The key, as the metrics call it.
    pub key: &'a str,
    /// The model, as the configuration lists it, or another.
    pub model: &'a str,
}

/// A counter that a lie has taken to its end stays there, and does not begin anew.
fn grow(counter: &IntCounter, by: u64) {
    let room = u64::MAX - counter.get();
    counter.inc_by(room.min(by));
}

/// Takes out of a family with `labels` the series of keys that are gone.
fn forget(family: &IntCounterVec, labels: &[&str], gone: &impl Fn(&str) -> bool) {
    for collected in family.collect() {
        for series in collected.get_metric() {
            let value = |name: &&str| {
                let mut found = series.get_label().iter();
                let found = found.find(|label| label.name() == *name);
                found.map_or("", prometheus::proto::LabelPair::value)
            };
            if gone(value(&"key")) {
                let values: Vec<&str> = labels.iter().map(value).collect();
                // It is there: it has just been collected.
                let _ = family.remove_label_values(&values);
            }
        }
    }
}

/// Makes metrics and puts them into a registry.
struct Declare<'r>(&'r Registry);

impl Declare<'_> {
    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[&str],
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(HistogramVec::new(options, labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::new(name, help)?)
    }

    fn register<C: Collector + Clone + 'static>(
        &self,
        collector: C,
    ) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
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
    fn the_series_of_a_key_that_is_gone_go_with_it() {
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
