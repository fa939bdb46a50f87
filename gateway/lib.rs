//! keygate: a gateway for LLM provider keys.
//!
//! # The life of a request
//!
//! Pingora reads a request's head and calls the hooks in [`proxy`], in this order:
//!
//! 1. *admit* ([`proxy::admit`]): path, route, key, selector -> an `Admission`, or a refusal.
//! 2. *forward* ([`proxy::attempt`]): a target of the route, its token, the path there -> an `Attempt`; what it needs of
//!    its limits is reserved; then a connection.
//! 3. *inject* ([`proxy::inject`]): the client's credentials out, the provider's token in.
//! 4. *observe*: status, first byte, events. Bodies pass unmodified, except on routes with `meter_streams = "exact"`.
//! 5. *record*: one access line, the metrics, and what was used of the limits.
//!
//! # The modules, from the ground up
//!
//! The lowest layer comes first. A module imports only modules of layers before its own; a test holds this.
//!
//! | layer | knows |
//! |---|---|
//! | [`runtime`], [`grammar`] | threads, time, files, the log, the service manager; the syntax of HTTP |
//! | [`document`], [`wire`], [`limit`], [`trusted_proxies`] | TOML that knows its lines; JSON, events, compression and WebSocket frames; rates and counts; the address of a client behind trusted proxies |
//! | [`secret`], [`usage`], [`metrics`], [`ledger`] | secrets and references to them; tokens, prices and costs; all metrics; the rights of budgets, in a file |
//! | [`origin`], [`template`], [`key`], [`access_log`] | one HTTP origin and the way to it; header templates; client keys; one line per request |
//! | [`provider`] | kinds of providers, paths, header policy, the placement of the token |
//! | [`route`], [`telemetry`] | router, patterns, targets; spans for a collector |
//! | [`config`] | the configuration: as written, as meant, and with what it refers to |
//! | [`snapshot`], [`error`] | the configuration as used, replaced as a whole; why a command failed |
//! | [`proxy`], [`reload`] | the life of a request; the life of a change of the configuration |
//! | [`admin`], [`import`], [`sandbox`] | the admin listener; conversion of other gateways' configurations; the mock provider |
//! | [`server`] | the composition root: sockets, threads, connections, lifecycle |
//! | [`cli`] | commands |
//!
//! # What the hot path never does
//!
//! It decides by an immutable [`snapshot::Snapshot`], one atomic load away. It does no IO except on its own two
//! connections, resolves no name, reads no file, waits for no log, and parses no body except where a route requests it
//! (`meter_streams = "exact"`).
//!
//! Until the response has passed, it takes no lock that other requests take, with three short exceptions: on the table of
//! addresses, if a trusted proxy names the client in a header; on the list of those that wait for a new snapshot, if
//! `revoked_streams = "cut"`; and on the table of limits, at the first request of a key in a configuration. Two locks belong to one connection and are never contended: that of
//! `server::connection::boundary`, and with `"cut"` that of the watchdog, which each poll of the exchange takes. At the
//! end of an exchange, some metrics are looked up by label, under a read lock: those by key, refused keys, requests with
//! a reason, refusals by limits, warnings about budgets, tokens and cost.

mod access_log;
mod admin;
mod cli;
mod config;
mod document;
mod error;
mod grammar;
mod import;
mod key;
mod ledger;
mod limit;
mod metrics;
mod origin;
mod provider;
mod proxy;
mod reload;
mod route;
mod runtime;
mod sandbox;
mod secret;
mod server;
mod snapshot;
mod telemetry;
mod template;
mod trusted_proxies;
mod usage;
mod wire;

pub use cli::{print_error, run};

/// What the tests, the benchmarks and the fuzzers outside this crate use. It is no interface: it changes with them.
#[doc(hidden)]
pub mod testing {
    pub mod config {
        pub use crate::config::{
            ConfigErrors, Effect, Fallback, Kind, LogLevel, Purpose, Resolved, SETTINGS, Setting,
            load_prices,
        };
    }
    pub mod document {
        pub use crate::document::FileStamp;
    }
    pub mod grammar {
        pub mod network {
            pub use crate::grammar::network::Network;
        }
        pub mod path {
            pub use crate::grammar::path::NormalPath;
        }
        pub mod query {
            pub use crate::grammar::query::has_parameter;
        }
    }
    pub mod import {
        pub use crate::import::{Plan, PlannedRoute, gateway, keys, prices, write};
        pub mod gloo {
            pub use crate::import::gloo::{Input, read};
        }
        pub mod litellm {
            pub use crate::import::litellm::{Tables, read, read_in};
        }
    }
    pub mod key {
        pub use crate::key::{
            ClientKey, KeyDigest, KeyEntry, KeyFailure, KeyStore, KnownLabels, Labels,
            PresentedKey, remove_from_query,
        };
        pub mod format {
            pub use crate::key::format::{generate, is_malformed};
        }
    }
    pub mod limit {
        pub use crate::limit::sample::SixLimits;
    }
    pub mod metrics {
        pub use crate::metrics::Metrics;
    }
    pub mod origin {
        pub use crate::origin::BaseUrl;
    }
    pub mod provider {
        pub use crate::provider::{KINDS, Kind, folded};
    }
    pub mod proxy {
        pub mod admit {
            pub use crate::proxy::admit::Admission;
        }
        pub mod attempt {
            pub use crate::proxy::attempt::Attempt;
        }
        pub mod head {
            pub use crate::proxy::head::check_head;
        }
        pub mod inject {
            pub use crate::proxy::inject::rewrite;
        }
    }
    pub mod route {
        pub use crate::route::{NormalPath, request_path};
    }
    pub mod runtime {
        pub mod log {
            pub use crate::runtime::log::{abort, install_panic_hook, log_from, start};
        }
    }
    pub mod sandbox {
        pub use crate::sandbox::Sandbox;
    }
    pub mod server {
        pub use crate::server::{Gateway, SandboxServer};
    }
    pub mod snapshot {
        pub use crate::snapshot::Live;
    }
    pub mod template {
        pub use crate::template::{Extractor, HeaderTemplate, Source};
    }
    pub mod trusted_proxies {
        pub use crate::trusted_proxies::{Named, NamedBy, TrustedProxies};
        pub mod proxy_protocol {
            pub use crate::trusted_proxies::proxy_protocol::{LONGEST, Progress, read};
        }
    }
    pub mod usage {
        pub use crate::usage::{
            Asked, ExcludeUsage, IncludeUsage, Media, MediumTokens, Meter, Prices, RequestReader,
            ServiceTier, Usage, WebSocketMeter,
        };
    }
}
