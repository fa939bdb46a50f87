//! Imports the destinations of requests: Gloo's `Upstream`, kgateway's `Backend`, Gloo Platform's
//! `ExternalService`.

use std::collections::BTreeMap;

use super::super::fields::Fields;
use super::super::{Notes, Plan, PlannedProvider, plain_note, stays_private};
use super::ai::Policies;
use super::object::Object;
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
    pub name: String,
    pub address: String,
    pub port: u64,
    pub tls: Option<bool>,
    /// The name in the host's certificate, if it is not the address.
    pub sni: Option<String>,
}

/// Backends by kind, then by namespace and name.
pub(super) type Backends = BTreeMap<String, BTreeMap<(String, String), Backend>>;

/// Fields of an upstream that do not change where its requests go.
const HARMLESS: [&str; 16] = [
    "circuitBreakers",
    "connectionConfig",
    "disableIstioAutoMtls",
    "discoveryMetadata",
    "dnsRefreshRate",
    "healthChecks",
    "ignoreHealthOnHostRemoval",
    "initialConnectionWindowSize",
    "initialStreamWindowSize",
    "loadBalancerConfig",
    "maxConcurrentStreams",
    "outlierDetection",
    "preconnectPolicy",
    "protocolSelection",
    "respectDnsTtl",
    "useHttp2",
];
/// Fields of TLS that require nothing beyond what keygate does anyway.
const HARMLESS_TLS: [&str; 6] = [
    "allowRenegotiation",
    "alpnProtocols",
    "disableTlsSessionResumption",
    "oneWayTls",
    "parameters",
    "verifySubjectAltName",
];
/// Fields of a host that do not change where its requests go.
const HARMLESS_HOST: [&str; 3] = ["healthCheckConfig", "loadBalancingWeight", "metadata"];
/// Fields of a port that do not change where its requests go.
const HARMLESS_PORT: [&str; 2] = ["mode", "subjectAltNames"];

/// The secrets, by namespace and name.
pub(super) type Secrets<'o> = BTreeMap<(String, String), &'o Object>;

/// Reads objects that name destinations.
pub(super) struct Reader<'r> {
    pub plan: &'r mut Plan,
    pub notes: &'r Notes,
    pub secrets: &'r Secrets<'r>,
}

impl Reader<'_> {
    /// Reads an `Upstream`, a `Backend` or an `ExternalService`. Returns `None` if its address was
    /// not understood in full: tokens and prompts never go to an address that was guessed.
    pub(super) fn read(&mut self, object: &Object) -> Result<Option<Backend>, String> {
        let mut fields = object.fields(self.notes);
        let Some(mut spec) = fields.fields(&["spec"]) else {
            fields.finish();
            self.notes.lost(&object.title, "spec", "there is none");
            return Ok(None);
        };
        spec.value(&["type"]);
        let (mut sni, mut unclear) = (None, false);
        let tls = spec.fields(&["sslConfig"]).map(|mut ssl| {
            sni = ssl.text("sni");
            unclear |= ssl.is_unclear(&HARMLESS_TLS);
            true
        });
        let mut backend = if let Some(mut ai) = spec.fields(&["ai"]) {
            let policies = Policies::of(&mut spec);
            let providers = self.ai(object, &mut ai, policies)?;
            unclear |= ai.is_unclear(&[]);
            (!providers.is_empty()).then_some(Backend::Ai(providers))
        } else if let Some(mut fixed) = spec.fields(&["static"]) {
            let policies = Policies::of(&mut spec);
            unclear |= policies.unclear;
            if let Some(auth) = policies.auth {
                auth.lost(
                    "",
                    "keygate takes tokens of AI providers only: what it stands in is left out",
                );
                unclear = true;
            }
            let (tls, sni) = (tls.or(policies.tls), sni.or(policies.certificate));
            Self::fixed(object, &mut fixed, tls, sni).map(Backend::Host)
        } else {
            Self::external(object, &mut spec).map(Backend::Host)
        };
        unclear |= spec.is_unclear(&HARMLESS);
        if unclear {
            backend = None;
        }
        if backend.is_none() {
            self.notes.lost(
                &object.title,
                "spec",
                "it names no place that keygate could send requests to",
            );
        }
        fields.finish();
        if let Some(Backend::Host(host)) = &backend {
            self.say_tls(object, &host.address, host.port, host.tls);
        }
        Ok(backend)
    }

    /// Notes where a host is used with TLS that had none, or without TLS.
    pub(super) fn say_tls(&self, object: &Object, host: &str, port: u64, tls: Option<bool>) {
        let made = url(host, port, tls);
        let exposed = BaseUrl::parse_exposed(&made);
        if exposed.is_ok_and(|url| url.exposure() == Exposure::Unclear) {
            self.notes.say(&object.title, "spec", plain_note(&made));
        }
        if port != 443 && tls != Some(true) && made.starts_with("https:") {
            let why = format!(
                "nothing says that it serves TLS on port {port}, and keygate sends nothing unencrypted to public hosts: it is written as `{made}`, so let it serve TLS there or change the provider's URL"
            );
            self.notes.lost(&object.title, "spec", why);
        }
    }

    /// Reads a static upstream: `static.hosts`, or agentgateway's single host.
    fn fixed(
        object: &Object,
        fixed: &mut Fields<'_>,
        tls: Option<bool>,
        mut sni: Option<String>,
    ) -> Option<Host> {
        let secure = fixed.text("useTls").filter(|said| said == "true");
        let tls = tls.or(secure.map(|_| true));
        let mut hosts = fixed.list("hosts").into_iter();
        let (name, port, unclear) = if let Some(mut host) = hosts.next() {
            let name = host.text("addr").or_else(|| host.text("host"));
            let port = host.number("port");
            sni = host.text("sniAddr").or(sni);
            (name, port, host.is_unclear(&HARMLESS_HOST))
        } else {
            (fixed.text("host"), fixed.number("port"), false)
        };
        if hosts.next().is_some() {
            fixed.lost("hosts", "only the first one is used");
        }
        if fixed.is_unclear(&["appProtocol", "autoSniRewrite"]) || unclear {
            return None;
        }
        Some(Host {
            name: object.name.clone(),
            address: name?,
            port: port.unwrap_or(443),
            tls,
            sni,
        })
    }

    /// Reads an external service of Gloo Platform: `hosts` and `ports`.
    fn external(object: &Object, spec: &mut Fields<'_>) -> Option<Host> {
        let mut hosts = spec.list_of_texts("hosts").into_iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            spec.lost("hosts", "only the first one is used");
        }
        let mut ports = spec.list("ports").into_iter();
        let (mut port, mut tls, mut sni) = (443, true, None);
        if let Some(mut first) = ports.next() {
            first.value(&["name"]);
            let protocol = first.text("protocol").unwrap_or_default();
            port = first.number("number").unwrap_or(443);
            tls = ["HTTPS", "TLS"].contains(&protocol.as_str());
            if let Some(mut client) = first.fields(&["clientsideTls"]) {
                tls = true;
                sni = client.text("sni");
                if client.is_unclear(&HARMLESS_PORT) {
                    return None;
                }
            }
            if first.is_unclear(&[]) {
                return None;
            }
        }
        if ports.next().is_some() {
            spec.lost("ports", "only the first one is used");
        }
        Some(Host {
            name: object.name.clone(),
            address: host?,
            port,
            tls: Some(tls),
            sni,
        })
    }
}

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
    planned.keep_plain();
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
    let mut named = of_kind.filter_map(|(_, backends)| alone(backends, namespace, name));
    let found = named.next()?;
    named.next().is_none().then_some(found)
}

/// Finds the entry of this name in a namespace. A missing namespace matches any, but one tenant's
/// object never replaces another's.
pub(super) fn alone<'m, T>(
    map: &'m BTreeMap<(String, String), T>,
    namespace: &str,
    name: &str,
) -> Option<&'m T> {
    let exact = map.get(&(namespace.to_owned(), name.to_owned()));
    exact.or_else(|| {
        let unsaid = |known: &str| namespace.is_empty() || known.is_empty();
        let mut alike = map
            .iter()
            .filter(|((known, other), _)| other == name && unsaid(known));
        let (_, found) = alike.next()?;
        alike.next().is_none().then_some(found)
    })
}
