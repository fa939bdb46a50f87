//! Every metric, declared here. Labels are names from the configuration, never what a client sent,
//! so that the number of series is bounded whatever comes in.
//!
//! One set for the whole life of the process: reloads ask for handles by name and find the same
//! counters again.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// The media type of the text that [`Metrics::render`] gives, as Prometheus documents it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// From 1 ms to 10 minutes: models think.
const REQUEST_SECONDS: [f64; 14] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0,
];
/// What the gateway itself costs: from 10 us to 100 ms.
const ADDED_SECONDS: [f64; 10] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1,
];

/// The labels of a key's requests.
const KEY_LABELS: [&str; 3] = ["key", "route", "code"];
/// The labels of tokens.
const TOKEN_LABELS: [&str; 4] = ["route", "provider", "key", "type"];
/// The key of requests that needed none.
const NO_KEY: &str = "";
/// The keys that have no series of their own. No id has brackets.
const OTHER_KEYS: &str = "(other)";

/// The status codes that a route keeps a counter at hand for.
const STATUS_CODES: std::ops::Range<u16> = 100..600;

/// All metrics of one gateway.
pub struct Metrics {
    registry: Registry,
    families: RouteFamilies,
    auth_failures: IntCounterVec,
    key_requests: IntCounterVec,
    tokens: IntCounterVec,
    provider_up: IntGaugeVec,
    key_expiry: GaugeVec,
    /// Requests that no route could be found for, or whose path could not be read.
    pub routeless: RouteMetrics,
    /// Requests in flight.
    pub inflight: IntGauge,
    /// 1 when the last reload was taken over, 0 when it was refused.
    pub reload_success: IntGauge,
    /// When the last reload was taken over.
    pub reload_timestamp: Gauge,
    /// How many configurations this process has served.
    pub generation: IntGauge,
    /// Keys in the store.
    pub keys_loaded: IntGauge,
    /// How far the wall clock is behind the time that keys go by.
    pub clock_behind: Gauge,
    /// Access lines that were dropped because the reader of stdout was too slow.
    pub access_log_dropped: IntCounter,
}

/// The families that have series for each route.
struct RouteFamilies {
    requests: IntCounterVec,
    request_duration: HistogramVec,
    added_duration: HistogramVec,
    time_to_first_byte: HistogramVec,
    stream_events: IntCounterVec,
    unmetered: IntCounterVec,
    malformed_usage: IntCounterVec,
    upstream_connections: IntCounterVec,
}

/// The handles of one route, so that a request looks nothing up by label.
pub struct RouteMetrics {
    requests: IntCounterVec,
    route: String,
    provider: String,
    passed: Box<[OnceLock<IntCounter>]>,
    /// From the first byte of the request's head to the last of the answer.
    pub duration: Histogram,
    /// What the gateway took before it turned to the provider.
    pub added_request: Histogram,
    /// From the request's head to the answer's.
    pub first_byte: Histogram,
    /// Events of streams that were passed on.
    pub events: IntCounter,
    /// Streams that never said what they took.
    pub unmetered: IntCounter,
    /// Counts of tokens that were none.
    pub malformed_usage: IntCounter,
    /// Connections to the provider that were made for a request.
    pub connections_new: IntCounter,
    /// Connections to the provider that were used again.
    pub connections_reused: IntCounter,
}

impl RouteMetrics {
    /// Counts a request that ended with `code`; `reason` is empty unless the gateway refused it.
    pub fn count(&self, code: u16, reason: &str) {
        let at_hand = code
            .checked_sub(STATUS_CODES.start)
            .filter(|_| reason.is_empty())
            .and_then(|index| self.passed.get(usize::from(index)));
        match at_hand {
            Some(cell) => cell.get_or_init(|| self.counter(code, reason)).inc(),
            None => self.counter(code, reason).inc(),
        }
    }

    fn counter(&self, code: u16, reason: &str) -> IntCounter {
        let code = known(code);
        self.requests
            .with_label_values(&[&self.route, &self.provider, &code.to_string(), reason])
    }
}

impl Metrics {
    /// Declares them all. Fails only if two had one name, which a test rules out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("keygate".to_owned()), None)?;
        let declare = Declare(&registry);
        let families = RouteFamilies::declare(&declare)?;
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
                "Tokens as answers tell them: input and output, and of these cache_read, cache_creation and \
                 reasoning.",
                &TOKEN_LABELS,
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
            inflight: declare.gauge("inflight_requests", "Requests being answered now.")?,
            reload_success: declare.gauge(
                "config_last_reload_success",
                "1 when the last configuration was taken over, 0 when it was refused.",
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
            access_log_dropped: declare.register(IntCounter::new(
                "access_log_dropped_total",
                "Access lines dropped because nobody read them fast enough.",
            )?)?,
            routeless: families.handles("", ""),
            families,
            registry,
        };
        let build = IntGaugeVec::new(
            Opts::new("build_info", "The version that runs."),
            &["version"],
        )?;
        Declare(&metrics.registry)
            .register(build)?
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        Ok(metrics)
    }

    /// The handles of a route to a provider.
    pub fn route(&self, route: &str, provider: &str) -> RouteMetrics {
        self.families.handles(route, provider)
    }

    /// Counts a refused key.
    pub fn auth_failure(&self, reason: &str) {
        self.auth_failures.with_label_values(&[reason]).inc();
    }

    /// Counts a request of a key; without one, of those that have no series of their own.
    pub fn key_request(&self, key: Option<&str>, route: &str, code: u16) {
        let key = key.unwrap_or(OTHER_KEYS);
        self.key_requests
            .with_label_values(&[key, route, &known(code).to_string()])
            .inc();
    }

    /// Counts tokens by type, of a key, of one that has no series of its own, or of none.
    pub fn tokens(
        &self,
        key: Option<Option<&str>>,
        route: &str,
        provider: &str,
        tokens: &[(&str, u64)],
    ) {
        let key = key.map_or(NO_KEY, |key| key.unwrap_or(OTHER_KEYS));
        for (kind, count) in tokens.iter().filter(|(_, count)| *count > 0) {
            let counter = self.tokens.with_label_values(&[route, provider, key, kind]);
            // A counter that a lie has taken to its end stays there, and does not begin anew.
            let room = u64::MAX - counter.get();
            counter.inc_by(room.min(*count));
        }
    }

    /// Forgets the series of keys that `is_known` does not know any more.
    pub fn keep_keys(&self, is_known: impl Fn(&str) -> bool) {
        let gone = |key: &str| ![OTHER_KEYS, NO_KEY].contains(&key) && !is_known(key);
        forget(&self.key_requests, &KEY_LABELS, &gone);
        forget(&self.tokens, &TOKEN_LABELS, &gone);
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
        let mut text = Vec::new();
        // Writing to a Vec cannot fail; a family without series is left out by the encoder.
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!("cannot encode the metrics: {error}");
        }
        text
    }
}

impl RouteFamilies {
    fn declare(declare: &Declare<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            requests: declare.counters(
                "requests_total",
                "Requests by outcome; reason is empty unless the gateway itself refused.",
                &["route", "provider", "code", "reason"],
            )?,
            request_duration: declare.histograms(
                "request_duration_seconds",
                "From a request's head to the last byte of its answer.",
                &REQUEST_SECONDS,
                &["route", "provider"],
            )?,
            added_duration: declare.histograms(
                "added_duration_seconds",
                "What the gateway itself took, by phase.",
                &ADDED_SECONDS,
                &["route", "provider", "phase"],
            )?,
            time_to_first_byte: declare.histograms(
                "time_to_first_byte_seconds",
                "From a request's head to the head of the provider's answer.",
                &REQUEST_SECONDS,
                &["route", "provider"],
            )?,
            stream_events: declare.counters(
                "stream_events_total",
                "Server-sent events passed on.",
                &["route", "provider"],
            )?,
            unmetered: declare.counters(
                "unmetered_streams_total",
                "Streams that ended without saying how many tokens they took.",
                &["route", "provider"],
            )?,
            malformed_usage: declare.counters(
                "malformed_usage_total",
                "Counts of tokens in answers that were negative, broken, or no numbers.",
                &["route", "provider"],
            )?,
            upstream_connections: declare.counters(
                "upstream_connections_total",
                "Connections to providers that requests went over, by whether they were used before.",
                &["provider", "reused"],
            )?,
        })
    }

    fn handles(&self, route: &str, provider: &str) -> RouteMetrics {
        let labels = &[route, provider];
        let connections = |reused| {
            self.upstream_connections
                .with_label_values(&[provider, reused])
        };
        RouteMetrics {
            requests: self.requests.clone(),
            route: route.to_owned(),
            provider: provider.to_owned(),
            passed: STATUS_CODES.map(|_| OnceLock::new()).collect(),
            duration: self.request_duration.with_label_values(labels),
            added_request: self
                .added_duration
                .with_label_values(&[route, provider, "request"]),
            first_byte: self.time_to_first_byte.with_label_values(labels),
            events: self.stream_events.with_label_values(labels),
            unmetered: self.unmetered.with_label_values(labels),
            malformed_usage: self.malformed_usage.with_label_values(labels),
            connections_new: connections("false"),
            connections_reused: connections("true"),
        }
    }
}

/// A status, or 0 for what is none: a provider can make up any number.
fn known(code: u16) -> u16 {
    if STATUS_CODES.contains(&code) {
        code
    } else {
        0
    }
}

/// Makes metrics and puts them into a registry.
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
        metrics.route("r", "p").count(200, "");
        metrics.route("r", "p").count(200, "");
        let line = "keygate_requests_total{code=\"200\",provider=\"p\",reason=\"\",route=\"r\"} 2";
        assert!(text(&metrics).contains(line));
    }

    #[test]
    fn the_series_of_a_key_that_is_gone_go_with_it() {
        let metrics = Metrics::new().unwrap();
        for key in [Some("a"), Some("b"), None] {
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
            metrics.route("r", "p").count(code, "");
        }
        assert!(text(&metrics).contains("code=\"0\",provider=\"p\",reason=\"\",route=\"r\"} 400"));
    }
}
