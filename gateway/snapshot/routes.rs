//! The routes of a configuration, each with its provider and the headers of clients that this provider does not get.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::HeaderName;
use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};

use jiff::Timestamp;

use crate::config::{RouteSpec, ServerConfig};
use crate::limit::plan::Plan;
use crate::metrics::Metrics;
use crate::provider::{ACCOUNT_CHOICES, ALWAYS_STRIPPED, Provider, Stripped, folded, plain_form};
use crate::route::{Overlap, Route, Target, Targets};
use crate::template::HeaderTemplate;

/// The headers in which a browser names the page that sends a request. The provider does not get them where the gateway
/// itself decides about pages.
const OF_PAGES: [HeaderName; 4] = [
    ORIGIN,
    ACCESS_CONTROL_REQUEST_METHOD,
    ACCESS_CONTROL_REQUEST_HEADERS,
    HeaderName::from_static("access-control-request-private-network"),
];

/// How the use of routes is counted and limited.
#[derive(Clone, Copy)]
pub(super) struct Use<'u> {
    pub(super) metrics: &'u Metrics,
    pub(super) plan: &'u Plan,
    /// The time by the calendar's clock.
    pub(super) now: Timestamp,
}

/// The headers that the gateway writes into requests on a route, beside the token.
fn written<'r>(spec: &'r RouteSpec, provider: &'r Provider) -> Vec<&'r HeaderName> {
    let of_provider = provider.headers.iter().map(|(name, _)| name);
    let templates = spec.templates.iter().map(HeaderTemplate::name);
    of_provider.chain(templates).collect()
}

/// The routes of `specs`. A route whose provider is not among `providers`, which the configuration's check rules out, is
/// left out.
pub(super) fn routes(
    specs: Vec<RouteSpec>,
    providers: &[Arc<Provider>],
    key_headers: &[HeaderName],
    server: &ServerConfig,
    use_of: &Use<'_>,
) -> Vec<Route> {
    let stripped = stripped_names(providers, key_headers, server);
    let prefixes = stripped_prefixes(server);
    let by_name = providers.iter().map(|provider| (&provider.name, provider));
    let by_name: HashMap<&Arc<str>, &Arc<Provider>> = by_name.collect();
    let build = |spec: RouteSpec| {
        let provider = by_name.get(&spec.provider)?;
        let stripped = stripped_of(&spec, provider, &stripped, &prefixes);
        let token_headers = token_headers(key_headers, provider);
        Some(route(spec, provider, stripped, token_headers, use_of))
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
    use_of: &Use<'_>,
) -> Route {
    let Use { metrics, plan, now } = *use_of;
    let target = Target {
        metrics: metrics.target(&spec.name, &provider.name),
        limits: plan.of_target(&spec.name, &provider.name, now),
        provider: provider.clone(),
    };
    Route {
        limits: plan.of_route(&spec.name, now),
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
