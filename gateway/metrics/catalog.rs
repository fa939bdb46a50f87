//! The catalog of all metrics: name, help text and labels. Names and labels are an interface to users' dashboards
//! and alerts; they do not change.

use super::declare::Family;

/// The labels of requests by key.
pub(super) const KEY_LABELS: [&str; 3] = ["key", "route", "code"];
/// The labels of token counts.
pub(super) const TOKEN_LABELS: [&str; 5] = ["route", "provider", "key", "model", "type"];
/// The labels of costs.
pub(super) const COST_LABELS: [&str; 5] = ["route", "provider", "key", "model", "currency"];
/// The labels of refusals by limits.
pub(super) const LIMIT_REFUSAL_LABELS: [&str; 3] = ["limit", "counts", "mode"];
/// The labels of the use of limits.
pub(super) const LEVEL_LABELS: [&str; 3] = ["limit", "counts", "per"];
/// The labels of budgets of money.
pub(super) const BUDGET_LABELS: [&str; 2] = ["limit", "per"];
/// The labels of warnings about budgets.
pub(super) const BUDGET_WARNING_LABELS: [&str; 2] = ["limit", "step"];
/// The labels of most families that have series for each route.
const ROUTE_LABELS: &[&str] = &["route", "provider"];

const fn family(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, help, labels }
}

pub(super) const BUILD_INFO: Family = family("build_info", &["version"], "The running version.");
pub(super) const AUTH_FAILURES: Family = family(
    "auth_failures_total",
    &["reason"],
    "Rejected keys by reason. Clients do not learn the reason.",
);
pub(super) const KEY_REQUESTS: Family = family(
    "key_requests_total",
    &KEY_LABELS,
    "Requests by key. Keys without series of their own are counted as (other).",
);
pub(super) const TOKENS: Family = family(
    "tokens_total",
    &TOKEN_LABELS,
    "Tokens that responses report, by type: input and output; the parts of them that are cache_read, cache_creation \
     and reasoning, and audio, image and video (input_audio and so on). output_estimated counts responses that \
     report none.",
);
pub(super) const COST: Family = family(
    "cost_total",
    &COST_LABELS,
    "Cost of responses in the currency: as the provider reports it, else computed from the price file.",
);
pub(super) const PROVIDER_UP: Family = family(
    "provider_up",
    &["provider", "reason"],
    "1 if the provider is accepted, 0 if it is rejected for the reason.",
);
pub(super) const KEY_EXPIRY: Family = family(
    "key_expiry_timestamp_seconds",
    &["key"],
    "Expiry time of each key that expires, in seconds since 1970.",
);
pub(super) const CERTIFICATE_EXPIRY: Family = family(
    "certificate_expiry_timestamp_seconds",
    &[],
    "Expiry time of the certificate that clients see, in seconds since 1970, if there is one.",
);
pub(super) const INFLIGHT_REQUESTS: Family =
    family("inflight_requests", &[], "Requests in flight.");
pub(super) const RELOAD_SUCCESS: Family = family(
    "config_last_reload_success",
    &[],
    "1 if the last reload succeeded, 0 if the configuration was rejected.",
);
pub(super) const RELOAD_PENDING: Family = family(
    "config_reload_pending",
    &[],
    "1 while a file cannot be read, or takes too long to read, and the reload is being retried: changes do not take \
     effect.",
);
pub(super) const RELOAD_TIMESTAMP: Family = family(
    "config_last_reload_success_timestamp_seconds",
    &[],
    "Time at which the current configuration took effect, in seconds since 1970.",
);
pub(super) const GENERATION: Family = family(
    "config_generation",
    &[],
    "Configurations that this process has served so far.",
);
pub(super) const KEYS_LOADED: Family = family("keys_loaded", &[], "Keys in the store.");
pub(super) const CLOCK_BEHIND: Family = family(
    "clock_behind_seconds",
    &[],
    "How far the system clock is behind the clock that key expiry uses, which never goes back.",
);
pub(super) const CONNECTIONS: Family = family("connections", &[], "Open client connections.");
pub(super) const CONNECTIONS_REFUSED: Family = family(
    "connections_refused_total",
    &["limit"],
    "Client connections closed on arrival, by the limit that they would have exceeded; untrusted and proxy_header: \
     because of the PROXY protocol.",
);
pub(super) const TLS_HANDSHAKE_FAILURES: Family = family(
    "tls_handshake_failures_total",
    &[],
    "TLS handshakes of clients that failed, were aborted or timed out.",
);
pub(super) const HELD_BYTES: Family = family(
    "held_bytes",
    &[],
    "Bytes of request bodies that are held until the provider responds.",
);
pub(super) const UNHELD: Family = family(
    "unheld_total",
    &["reason"],
    "Request bodies over HTTP/1.1 that were not held but passed on as they came, by reason: size (longer than \
     limits.held_body), budget (limits.held_bodies was used up), length (no Content-Length).",
);
pub(super) const SPANS: Family = family(
    "spans_total",
    &["outcome"],
    "Spans for the collector, by outcome: exported, failed, or dropped before export.",
);
pub(super) const ACCESS_LOG_DROPPED: Family = family(
    "access_log_dropped_total",
    &[],
    "Access lines dropped because standard output was not read fast enough.",
);

pub(super) const LIMIT_REFUSALS: Family = family(
    "limit_refusals_total",
    &LIMIT_REFUSAL_LABELS,
    "Requests that a limit refused (mode enforce), or would have refused (mode observe), and streams that it cut.",
);
pub(super) const LIMIT_USED_RATIO: Family = family(
    "limit_used_ratio",
    &LEVEL_LABELS,
    "The part of a limit that is used or reserved, of the scope (key, value of a label, route, provider) that has used \
     the most.",
);
pub(super) const LIMIT_RESERVED: Family = family(
    "limit_reserved",
    &LEVEL_LABELS,
    "What requests in flight have reserved of a limit, of all scopes: requests, tokens, or the currency.",
);
pub(super) const BUDGET_SPENT: Family = family(
    "budget_spent",
    &BUDGET_LABELS,
    "Money spent of a budget in the current period, of all scopes, in the currency. Without what is reserved.",
);
pub(super) const BUDGET_LIMIT: Family = family(
    "budget_limit",
    &BUDGET_LABELS,
    "The amounts of a budget, of all scopes that have used it, in the currency.",
);
pub(super) const BUDGET_WARNINGS: Family = family(
    "budget_warnings_total",
    &BUDGET_WARNING_LABELS,
    "Times that a scope has passed a percentage of its budget that soft_budget names.",
);
pub(super) const LIMIT_ESTIMATE_RATIO: Family = family(
    "limit_estimate_ratio",
    &[],
    "Tokens that a request used, for each that was reserved by estimate.",
);
pub(super) const LEDGER_BEHIND: Family = family(
    "ledger_behind_seconds",
    &[],
    "For how long the oldest change that is not in the ledger has been waiting.",
);
pub(super) const LEDGER_DROPPED: Family = family(
    "ledger_dropped_rows_total",
    &[],
    "Rows of the history of use that were dropped because the ledger was not written fast enough.",
);
pub(super) const LEDGER_HOLDERS: Family = family(
    "ledger_holders",
    &[],
    "Processes that hold rights of the ledger: two during an upgrade.",
);
pub(super) const LIMITS_CLOCK_AHEAD: Family = family(
    "limits_clock_ahead_seconds",
    &[],
    "How far the clock is ahead of the time that has passed, beyond what is tolerated: no period of a budget begins by it.",
);

pub(super) const REQUESTS: Family = family(
    "requests_total",
    &["route", "provider", "code", "reason"],
    "Requests by status code. The reason is empty unless the gateway itself rejected the request.",
);
pub(super) const REQUEST_DURATION: Family = family(
    "request_duration_seconds",
    ROUTE_LABELS,
    "Time from a request's head to the last byte of its response.",
);
pub(super) const ADDED_DURATION: Family = family(
    "added_duration_seconds",
    &["route", "provider", "phase"],
    "Time that the gateway itself adds, by phase: until the request is ready for the provider (without the connection \
     to it), from the response's head until that is ready for the client, and for each chunk of the body.",
);
pub(super) const TIME_TO_FIRST_BYTE: Family = family(
    "time_to_first_byte_seconds",
    ROUTE_LABELS,
    "Time from a request's head to the head of the provider's response.",
);
pub(super) const TIME_PER_EVENT: Family = family(
    "time_per_output_event_seconds",
    ROUTE_LABELS,
    "Time between the events of a stream, averaged over the stream.",
);
pub(super) const STREAM_EVENTS: Family = family(
    "stream_events_total",
    ROUTE_LABELS,
    "Server-sent events forwarded.",
);
pub(super) const UNMETERED_STREAMS: Family = family(
    "unmetered_streams_total",
    ROUTE_LABELS,
    "Streams that ended without reporting usage.",
);
pub(super) const UNMETERED_RESPONSES: Family = family(
    "unmetered_responses_total",
    ROUTE_LABELS,
    "Successful responses to a POST that ran a model, streamed or not and of any content type, that reported no usage, \
     and responses over WebSockets that reported none or did not end. Their usage and cost are not counted.",
);
pub(super) const ERROR_EVENTS: Family = family(
    "error_events_total",
    ROUTE_LABELS,
    "Errors in a stream event, in a JSON document of a response with a successful status, or in a WebSocket message.",
);
pub(super) const WEBSOCKET_RESPONSES: Family = family(
    "websocket_responses_total",
    ROUTE_LABELS,
    "Responses and transcriptions that ended over WebSockets. A connection counts as one request.",
);
pub(super) const MALFORMED_USAGE: Family = family(
    "malformed_usage_total",
    ROUTE_LABELS,
    "Token counts in responses that were negative, broken, not a number, or implausibly large.",
);
pub(super) const UNPRICED: Family = family(
    "unpriced_answers_total",
    ROUTE_LABELS,
    "Responses that reported usage and for which the price file has no price, for their model or for a part of their \
     usage.",
);
pub(super) const UNREADABLE: Family = family(
    "unreadable_answers_total",
    ROUTE_LABELS,
    "Responses whose compression could not be read, and WebSockets whose frames could not be read. Their usage is not \
     counted.",
);
pub(super) const UPSTREAM_CONNECTIONS: Family = family(
    "upstream_connections_total",
    &["provider", "reused"],
    "Connections to providers that requests used, by whether they were reused.",
);
