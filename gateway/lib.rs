//! keygate: a gateway for LLM provider keys.
//!
//! # The life of a request
//!
//! Pingora reads a request's head and calls the hooks in [`proxy`], in this order:
//!
//! 1. *admit* ([`proxy::admit`]): path, route, key, selector -> an `Admission`, or a refusal.
//! 2. *forward* ([`proxy::attempt`]): a target of the route, its token, the path there -> an `Attempt`; then a connection.
//! 3. *inject* ([`proxy::inject`]): the client's credentials out, the provider's token in.
//! 4. *observe*: status, first byte, events; bodies pass untouched, but for streams that were asked for their usage.
//! 5. *record*: one access line, the metrics.
//!
//! # The modules, from the ground up
//!
//! A module imports only what stands on a lower line; a test holds this.
//!
//! | layer | knows |
//! |---|---|
//! | [`runtime`], [`grammar`] | threads, time, files, the log, the service manager; the syntax of HTTP |
//! | [`document`], [`wire`], [`limit`], [`trusted_proxies`] | a TOML file that knows its lines; from bytes to meaning; how often and how many at once; what proxies in front say of a client |
//! | [`secret`], [`usage`], [`metrics`] | what must not be seen; what a response tells of its use; what must be seen |
//! | [`origin`], [`template`], [`key`], [`access_log`] | one HTTP origin and the way to it; header templates; client keys; one line per request |
//! | [`provider`] | what it is like, its token, its paths |
//! | [`route`], [`telemetry`] | which provider a request goes to, and who may send it; spans for a collector |
//! | [`config`] | the configuration: as written, as meant, and with everything fetched that it refers to |
//! | [`snapshot`], [`error`] | the configuration as used, swapped whole; why a command failed |
//! | [`proxy`], [`reload`] | the path of a request; the path of a change |
//! | [`admin`], [`import`], [`sandbox`] | what operators see; others' configurations; a provider to try things with |
//! | [`server`] | sockets, runtimes, signals: where it is all put together |
//! | [`cli`] | what a person types |
//!
//! # What the hot path never does
//!
//! It takes no lock (but a short one where a proxy in front names the client in a header), does no IO but its own two connections, resolves no name, reads no file,
//! looks up no metric by label for a response that was passed on but for what it cost, parses no body
//! where a route does not ask for it (`meter_streams = "exact"`), and waits for no log. What it decides
//! by is an immutable [`snapshot::Snapshot`], one atomic load away.

pub mod access_log;
pub mod admin;
pub mod cli;
pub mod config;
pub mod document;
pub mod error;
pub mod grammar;
pub mod import;
pub mod key;
pub mod limit;
pub mod metrics;
pub mod origin;
pub mod provider;
pub mod proxy;
pub mod reload;
pub mod route;
pub mod runtime;
pub mod sandbox;
pub mod secret;
pub mod server;
pub mod snapshot;
pub mod telemetry;
pub mod template;
pub mod trusted_proxies;
pub mod usage;
pub mod wire;
