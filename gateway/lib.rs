//! keygate: a gateway for LLM provider keys.
//!
//! # The life of a request
//!
//! Pingora reads a request's head and calls the hooks in [`proxy`], in this order:
//!
//! 1. *admit* ([`proxy::admit`]): path, route, key, selector -> an `Admission`, or a refusal.
//! 2. *forward* ([`proxy::attempt`]): a target of the route, its token, the path there -> an `Attempt`; then a connection.
//! 3. *inject* ([`proxy::inject`]): the client's credentials out, the provider's token in.
//! 4. *observe*: status, first byte, events; bodies pass untouched, but for streams made to report their usage.
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
//! | [`secret`], [`usage`], [`metrics`] | what must not be seen; the usage that a response reports; what must be seen |
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

mod access_log;
mod admin;
mod cli;
mod config;
mod document;
mod error;
mod grammar;
mod import;
mod key;
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
            ClientKey, Fingerprint, KeyDigest, KeyEntry, KeyFailure, KeyStore, KnownLabels, Labels,
            PresentedKey, remove_from_query,
        };
        pub mod format {
            pub use crate::key::format::generate;
        }
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
            ExcludeUsage, IncludeUsage, Media, MediumTokens, Meter, Prices, ServiceTier, Usage,
            WebSocketMeter,
        };
    }
}
