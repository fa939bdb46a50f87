//! The settings of an AI provider besides its kind and token: where it is, and its policies.

use crate::import::fields::Fields;
use crate::import::gloo::backend::url;
use crate::import::gloo::backend_policy::discard_harmless;
use crate::import::provider::{PlannedProvider, is_plain};
use crate::provider::KINDS;

/// The settings of a provider besides its kind and token.
#[derive(Default)]
pub(super) struct ProviderSettings {
    pub(super) host: Option<String>,
    pub(super) port: Option<u64>,
    /// The name in the provider's certificate, if it is not the host.
    certificate: Option<String>,
    /// Whether the provider serves TLS, if known.
    pub(super) tls: Option<bool>,
    /// The prefix of all paths at the provider.
    pub(super) prefix: Option<String>,
    pub(super) settings: Vec<(&'static str, String)>,
    /// Whether a field was not understood.
    pub(super) unclear: bool,
}

impl ProviderSettings {
    /// Starts with the settings of the policies.
    pub(super) fn from_policies(policies: &Policies<'_>) -> Self {
        Self {
            certificate: policies.certificate.clone(),
            tls: policies.tls,
            unclear: policies.unclear,
            ..Self::default()
        }
    }

    /// Reads the settings of one level.
    pub(super) fn read(&mut self, level: &mut Fields<'_>) {
        for name in ["customHost", "hostOverride"] {
            if let Some(mut host) = level.fields(&[name]) {
                if !host.has("host") {
                    host.lost("host", "there is none");
                    self.unclear = true;
                }
                self.at(&mut host);
                let certificate = host.text("hostname").or_else(|| host.text("hostName"));
                self.certificate = certificate.or(self.certificate.take());
                self.unclear |= host.discard_unknown(&[]);
            }
        }
        self.at(level);
        for name in ["pathOverride", "path"] {
            self.path(level, name);
        }
        if level.has("pathPrefix") {
            let prefix = level.text("pathPrefix");
            self.unclear |= !prefix.as_deref().is_some_and(is_plain);
            self.prefix = prefix.map(|prefix| prefix.trim_end_matches('/').to_owned());
        }
        if let Some(mut header) = level.fields(&["authHeaderOverride", "authHeader"]) {
            let named = header.text("headerName");
            self.settings
                .extend(named.map(|name| ("auth_header", name)));
            if let Some(prefix) = header.text("prefix") {
                let prefix = prefix.trim();
                let space = if prefix.is_empty() { "" } else { " " };
                self.settings
                    .push(("auth_prefix", format!("{prefix}{space}")));
            }
            self.unclear |= header.discard_unknown(&[]);
        }
    }

    /// Reads a host and a port. It is unclear which of two counts.
    fn at(&mut self, level: &mut Fields<'_>) {
        let (has_host, has_port) = (level.has("host"), level.has("port"));
        let (host, port) = (level.text("host"), level.number("port"));
        if has_host && self.host.is_some() || has_port && self.port.is_some() {
            level.lost("", "there is another host beside this one");
            self.unclear = true;
        }
        if has_host != host.is_some() || has_port != port.is_some() {
            level.lost("", "its host is no text, or its port no number");
            self.unclear = true;
        }
        self.host = host.or(self.host.take());
        self.port = port.or(self.port);
    }

    /// Reads the path for all requests.
    fn path(&mut self, level: &mut Fields<'_>, name: &'static str) {
        let full = match level.fields(&[name]) {
            Some(mut path) => {
                let full = path.text("fullPath").or_else(|| path.text("full"));
                self.unclear |= path.discard_unknown(&[]);
                full
            }
            None if level.has(name) => level.text(name),
            None => return,
        };
        match full {
            Some(full) if full.starts_with('/') => self.settings.push(("default_endpoint", full)),
            _ => {
                level.lost(name, "it is no path");
                self.unclear = true;
            }
        }
    }
}

/// The `policies` of a backend of agentgateway.
#[derive(Default)]
pub(super) struct Policies<'n> {
    /// The token.
    pub(crate) auth: Option<Fields<'n>>,
    /// Whether the backend serves TLS, if known.
    pub(crate) tls: Option<bool>,
    /// The name in the backend's certificate, if it is not the host.
    pub(crate) certificate: Option<String>,
    /// Whether there are fields that were not understood.
    pub(crate) unclear: bool,
}

impl<'n> Policies<'n> {
    /// Reads the policies of a level.
    pub(super) fn of(level: &mut Fields<'n>) -> Self {
        let mut read = Self::default();
        let Some(mut policies) = level.fields(&["policies"]) else {
            read.unclear = level.has("policies");
            return read;
        };
        read.auth = policies.fields(&["auth"]);
        if let Some(mut tls) = policies.fields(&["tls"]) {
            read.tls = Some(true);
            read.certificate = tls.text("sni");
            read.unclear = tls.discard_unknown(&["alpnProtocols"]);
        }
        discard_harmless(&mut policies);
        read.unclear |= policies.discard_unknown(&[]);
        read
    }

    pub(super) fn are_set(&self) -> bool {
        self.auth.is_some() || self.tls.is_some() || self.unclear
    }
}

/// Applies a host of its own to a provider.
pub(super) fn apply_host(planned: &mut PlannedProvider, place: &ProviderSettings) {
    let own = place.host.as_ref();
    let certificate = place.certificate.clone().filter(|it| Some(it) != own);
    planned.settings.extend(certificate.map(|it| ("sni", it)));
    let Some(name) = own else { return };
    let port = place.port.unwrap_or(443);
    let origin = format!("https://{name}");
    let mut kinds = KINDS.iter();
    let known = kinds.find(|kind| kind.origin == Some(&origin) && port == 443);
    if let Some(known) = known.filter(|known| [known.name, "openai"].contains(&planned.kind)) {
        planned.kind = known.name;
        return;
    }
    if planned.kind == "azure-openai" {
        planned.settings.retain(|(set, _)| *set != "endpoint");
        planned
            .settings
            .push(("endpoint", url(name, port, place.tls)));
        return;
    }
    let has_own_path = planned.has("default_endpoint");
    let path = match (planned.kind, &place.prefix) {
        (_, Some(prefix)) => prefix.as_str(),
        // A path for all requests is the complete path.
        _ if has_own_path => "",
        ("gemini", None) => "/v1beta",
        _ => "/v1",
    };
    if place.prefix.is_some() && !has_own_path && !path.ends_with("/v1") {
        let endpoint = if planned.kind == "anthropic" {
            "/messages"
        } else {
            "/chat/completions"
        };
        planned
            .settings
            .push(("default_endpoint", endpoint.to_owned()));
    }
    if planned.kind == "openai" {
        planned.kind = "custom";
    }
    planned
        .settings
        .push(("base_url", format!("{}{path}", url(name, port, place.tls))));
}
