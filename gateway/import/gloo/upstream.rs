//! Imports the destinations of requests: Gloo's `Upstream`, kgateway's `Backend`, Gloo Platform's
//! `ExternalService`.

use crate::import::error::ImportError;
use crate::import::fields::Fields;
use crate::import::gloo::ai_settings::Policies;
use crate::import::gloo::backend::{Backend, Host, url};
use crate::import::gloo::object::Object;
use crate::import::gloo::reader::Reader;
use crate::import::provider::plain_note;
use crate::origin::{BaseUrl, Exposure};

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

/// How a host is reached by TLS.
struct Tls {
    /// Whether the host serves TLS, if known.
    is_used: Option<bool>,
    /// The name in the host's certificate.
    sni: Option<String>,
    /// Whether a field was not understood.
    unclear: bool,
}

impl Tls {
    /// Takes `sslConfig`.
    fn take(spec: &mut Fields<'_>) -> Self {
        let Some(mut ssl) = spec.fields(&["sslConfig"]) else {
            return Self {
                is_used: None,
                sni: None,
                unclear: false,
            };
        };
        Self {
            is_used: Some(true),
            sni: ssl.text("sni"),
            unclear: ssl.discard_unknown(&HARMLESS_TLS),
        }
    }

    /// The same, with the settings of the policies where it has none.
    fn or(&self, policies: Policies<'_>) -> Self {
        Self {
            is_used: self.is_used.or(policies.tls),
            sni: self.sni.clone().or(policies.certificate),
            unclear: self.unclear,
        }
    }
}

/// Returns whether the policies have a token, and notes it: only AI providers have one here.
fn has_token(policies: &Policies<'_>) -> bool {
    if let Some(auth) = &policies.auth {
        auth.lost(
            "",
            "keygate takes tokens of AI providers only: what it stands in is left out",
        );
    }
    policies.auth.is_some()
}

impl Reader<'_> {
    /// Reads an `Upstream`, a `Backend` or an `ExternalService`. Returns `None` if its address was
    /// not understood in full: tokens and prompts never go to an address that was guessed.
    pub(super) fn read(&mut self, object: &Object) -> Result<Option<Backend>, ImportError> {
        let mut fields = object.fields(self.notes);
        let Some(mut spec) = fields.fields(&["spec"]) else {
            fields.finish();
            self.notes.lost(&object.title, "spec", "there is none");
            return Ok(None);
        };
        spec.value(&["type"]);
        let tls = Tls::take(&mut spec);
        let known = self.destination(object, &mut spec, &tls)?;
        let is_unclear = spec.discard_unknown(&HARMLESS) || tls.unclear;
        let backend = known.filter(|_| !is_unclear);
        if backend.is_none() {
            self.notes.lost(
                &object.title,
                "spec",
                "it names no address that keygate could send requests to",
            );
        }
        fields.finish();
        if let Some(Backend::Host(host)) = &backend {
            self.note_tls(object, &host.address, host.port, host.tls);
        }
        Ok(backend)
    }

    /// Reads where a backend is: an AI provider, a static host, or an external service.
    fn destination(
        &mut self,
        object: &Object,
        spec: &mut Fields<'_>,
        tls: &Tls,
    ) -> Result<Option<Backend>, ImportError> {
        if let Some(mut ai) = spec.fields(&["ai"]) {
            let policies = Policies::of(spec);
            let providers = self.ai(object, &mut ai, policies)?;
            let is_unclear = ai.discard_unknown(&[]);
            let is_usable = !is_unclear && !providers.is_empty();
            return Ok(is_usable.then_some(Backend::Ai(providers)));
        }
        let host = match spec.fields(&["static"]) {
            Some(mut fixed) => {
                let policies = Policies::of(spec);
                let is_unclear = has_token(&policies) || policies.unclear;
                let host = Self::fixed(object, &mut fixed, tls.or(policies));
                host.filter(|_| !is_unclear)
            }
            None => Self::external(object, spec),
        };
        Ok(host.map(Backend::Host))
    }

    /// Notes where a host is used with TLS that had none, or without TLS.
    pub(super) fn note_tls(&self, object: &Object, host: &str, port: u64, tls: Option<bool>) {
        let made = url(host, port, tls);
        let exposed = BaseUrl::parse_exposed(&made);
        if exposed.is_ok_and(|url| url.exposure() == Exposure::Unclear) {
            self.notes.note(&object.title, "spec", plain_note(&made));
        }
        if port != 443 && tls != Some(true) && made.starts_with("https:") {
            let why = format!(
                "nothing says that it serves TLS on port {port}, and keygate sends nothing unencrypted to public hosts: it is written as `{made}`, so let it serve TLS there or change the provider's URL"
            );
            self.notes.lost(&object.title, "spec", why);
        }
    }

    /// Reads a static upstream: `static.hosts`, or agentgateway's single host.
    fn fixed(object: &Object, fixed: &mut Fields<'_>, mut tls: Tls) -> Option<Host> {
        let is_secure = fixed.text("useTls").is_some_and(|said| said == "true");
        let is_used = tls.is_used.or(is_secure.then_some(true));
        let mut hosts = fixed.list("hosts").into_iter();
        let (name, port, unclear) = if let Some(mut host) = hosts.next() {
            let name = host.text("addr").or_else(|| host.text("host"));
            let port = host.number("port");
            tls.sni = host.text("sniAddr").or(tls.sni);
            (name, port, host.discard_unknown(&HARMLESS_HOST))
        } else {
            (fixed.text("host"), fixed.number("port"), false)
        };
        if hosts.next().is_some() {
            fixed.lost("hosts", "only the first one is used");
        }
        if fixed.discard_unknown(&["appProtocol", "autoSniRewrite"]) || unclear {
            return None;
        }
        Some(Host {
            name: object.name.clone(),
            address: name?,
            port: port.unwrap_or(443),
            tls: is_used,
            sni: tls.sni,
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
                if client.discard_unknown(&HARMLESS_PORT) {
                    return None;
                }
            }
            if first.discard_unknown(&[]) {
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
