//! The destinations of requests, and how references find them.

use std::collections::BTreeMap;

use crate::import::gloo::object::Object;
use crate::import::provider::{PlannedProvider, stays_private};
use crate::origin::{BaseUrl, Exposure};

/// The destination of a route.
pub(super) enum Backend {
    /// The providers of an AI upstream, of which the first is used.
    Ai(Vec<PlannedProvider>),
    /// A host, which receives the path of the route.
    Host(Host),
}

/// A host.
#[derive(Clone)]
pub(super) struct Host {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) port: u64,
    pub(crate) tls: Option<bool>,
    /// The name in the host's certificate, if it is not the address.
    pub(crate) sni: Option<String>,
}

/// Backends by kind, then by namespace and name.
pub(super) type Backends = BTreeMap<String, BTreeMap<(String, String), Backend>>;

/// The secrets, by namespace and name.
pub(super) type Secrets<'o> = BTreeMap<(String, String), &'o Object>;

/// The URL of a host: with TLS, unless the setting, a private address or port 80 says otherwise.
pub(super) fn url(host: &str, port: u64, tls: Option<bool>) -> String {
    let bracketed = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let plain = format!("http://{bracketed}:{port}");
    let may_be_plain = BaseUrl::parse_exposed(&plain).is_ok_and(|url| match url.exposure() {
        Exposure::None => port != 443,
        // TLS is not the default on port 80, nor on a port that is configured without TLS.
        Exposure::Unclear => port == 80 || tls == Some(false) || port != 443 && stays_private(&url),
        Exposure::Public => false,
    });
    match (tls, port) {
        (Some(true), 443) => format!("https://{bracketed}"),
        (Some(true), port) => format!("https://{bracketed}:{port}"),
        _ if may_be_plain => plain,
        (_, 443) => format!("https://{bracketed}"),
        (_, port) => format!("https://{bracketed}:{port}"),
    }
}

/// A text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

/// The provider of a host with a path prefix.
pub(super) fn hosted(host: &Host, path: &str) -> PlannedProvider {
    let base = format!(
        "{}{}",
        url(&host.address, host.port, host.tls),
        path.trim_end_matches('/')
    );
    let endpoint = if path.is_empty() { "/" } else { path };
    let mut settings = vec![
        ("base_url", base),
        ("default_endpoint", endpoint.to_owned()),
    ];
    let sni = host.sni.clone().filter(|sni| *sni != host.address);
    settings.extend(sni.map(|sni| ("sni", sni)));
    let mut planned = PlannedProvider {
        name: host.name.clone(),
        kind: "custom",
        token: "none".to_owned(),
        settings,
    };
    planned.allow_plain_http();
    planned
}

/// Finds the backend that a reference names. Without a kind, finds the only one with this name.
pub(super) fn find<'b>(
    backends: &'b Backends,
    kind: Option<&str>,
    namespace: &str,
    name: &str,
) -> Option<&'b Backend> {
    let of_kind = backends
        .iter()
        .filter(|(known, _)| kind.is_none_or(|kind| kind == known.as_str()));
    let mut named = of_kind.filter_map(|(_, backends)| find_unique(backends, namespace, name));
    let found = named.next()?;
    named.next().is_none().then_some(found)
}

/// Finds the entry of this name in a namespace. A missing namespace matches any, but one tenant's
/// object never replaces another's.
pub(super) fn find_unique<'m, T>(
    map: &'m BTreeMap<(String, String), T>,
    namespace: &str,
    name: &str,
) -> Option<&'m T> {
    let exact = map.get(&(namespace.to_owned(), name.to_owned()));
    exact.or_else(|| {
        let any_namespace = |known: &str| namespace.is_empty() || known.is_empty();
        let mut alike = map
            .iter()
            .filter(|((known, other), _)| other == name && any_namespace(known));
        let (_, found) = alike.next()?;
        alike.next().is_none().then_some(found)
    })
}
