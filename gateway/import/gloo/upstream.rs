//! Where requests go: Gloo's `Upstream`, kgateway's `Backend`, Gloo Platform's `ExternalService`.

use std::collections::BTreeMap;

use http::HeaderValue;
use zeroize::Zeroizing;

use super::super::fields::{Fields, text_of};
use super::super::{Notes, Plan, PlannedProvider, resource};
use super::object::Object;
use super::secret::{self, Entry};
use crate::provider::{BaseUrl, kind::KINDS};

/// Where a route can lead to.
pub(super) enum Backend {
    /// Providers of an AI upstream, the first of which counts.
    Ai(Vec<PlannedProvider>),
    /// A host: the path is the route's.
    Host(Host),
}

/// A host.
#[derive(Clone)]
pub(super) struct Host {
    pub name: String,
    pub address: String,
    pub port: u64,
    pub tls: Option<bool>,
    /// The name of its certificate, where it is not its own.
    pub sni: Option<String>,
}

/// By namespace and name.
pub(super) type Backends = BTreeMap<(String, String), Backend>;

/// The kinds, as Gloo and kgateway spell them.
const AI_KINDS: [(&str, &str); 7] = [
    ("openai", "openai"),
    ("mistral", "mistral"),
    ("anthropic", "anthropic"),
    ("azureOpenai", "azure-openai"),
    ("azureopenai", "azure-openai"),
    ("azureOpenAI", "azure-openai"),
    ("gemini", "gemini"),
];

/// What secrets there are, by namespace and name.
pub(super) type Secrets<'o> = BTreeMap<(String, String), &'o Object>;

/// Reads objects that name places.
pub(super) struct Reader<'r> {
    pub plan: &'r mut Plan,
    pub notes: &'r Notes,
    pub secrets: &'r Secrets<'r>,
}

impl Reader<'_> {
    /// Reads an `Upstream`, a `Backend` or an `ExternalService`.
    pub(super) fn read(&mut self, object: &Object) -> Result<Option<Backend>, String> {
        let mut fields = object.fields(self.notes);
        let Some(mut spec) = fields.fields(&["spec"]) else {
            fields.finish();
            self.notes.lost(&object.title, "spec", "there is none");
            return Ok(None);
        };
        spec.value(&["type"]);
        let mut sni = None;
        let tls = spec.fields(&["sslConfig"]).map(|mut ssl| {
            sni = ssl.text("sni");
            ssl.finish();
            true
        });
        let backend = if let Some(mut ai) = spec.fields(&["ai"]) {
            let providers = self.ai(object, &mut ai)?;
            ai.finish();
            (!providers.is_empty()).then_some(Backend::Ai(providers))
        } else if let Some(mut fixed) = spec.fields(&["static"]) {
            fixed.value(&["useTls"]);
            let host = fixed.list("hosts").into_iter().next().and_then(|mut host| {
                let name = host.text("addr").or_else(|| host.text("host"));
                let port = host.number("port");
                host.finish();
                Some((name?, port))
            });
            fixed.finish();
            host.map(|(host, port)| {
                Backend::Host(Host {
                    name: object.name.clone(),
                    address: host,
                    port: port.unwrap_or(443),
                    tls,
                    sni,
                })
            })
        } else {
            Self::external(object, &mut spec)
        };
        if backend.is_none() {
            spec.lost("", "it names no place that keygate could send requests to");
        }
        spec.finish();
        fields.finish();
        Ok(backend)
    }

    /// Gloo Platform's external services: `hosts` and `ports`.
    fn external(object: &Object, spec: &mut Fields<'_>) -> Option<Backend> {
        let mut hosts = spec.list_of_texts("hosts").into_iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            spec.lost("hosts", "only the first one is used");
        }
        let port = spec.list("ports").into_iter().next().map(|mut port| {
            port.value(&["name"]);
            let tls = port.fields(&["clientsideTls"]).is_some();
            let protocol = port.text("protocol").unwrap_or_default();
            let tls = tls || ["HTTPS", "TLS"].contains(&protocol.as_str());
            let number = port.number("number").unwrap_or(443);
            port.finish();
            (number, tls)
        });
        let (port, tls) = port.unwrap_or((443, true));
        Some(Backend::Host(Host {
            name: object.name.clone(),
            address: host?,
            port,
            tls: Some(tls),
            sni: None,
        }))
    }

    fn ai(&mut self, object: &Object, ai: &mut Fields<'_>) -> Result<Vec<PlannedProvider>, String> {
        let mut providers = Vec::new();
        let pools = [ai.fields(&["multi"]), ai.fields(&["multipool"])];
        for mut pool in pools.into_iter().flatten() {
            for mut priority in pool.list("priorities") {
                for mut member in priority.list("pool") {
                    providers.extend(self.one_of_the_kinds(object, &mut member)?);
                    member.finish();
                }
                priority.finish();
            }
            if providers.len() > 1 {
                let others = providers.len() - 1;
                pool.lost("priorities", format!(
                    "requests go to the first; the {others} behind it are written as providers of their own, \
                     to be put into the route's `provider` by hand when the first is down"
                ));
            }
            pool.finish();
        }
        for (number, provider) in providers.iter_mut().enumerate().skip(1) {
            provider.name = format!("{}-{}", object.name, number + 1);
        }
        // kgateway has one level more.
        if let Some(mut llm) = ai.fields(&["llm"]) {
            providers.extend(self.one_of_the_kinds(object, &mut llm)?);
            llm.finish();
        }
        providers.extend(self.one_of_the_kinds(object, ai)?);
        Ok(providers)
    }

    fn one_of_the_kinds(
        &mut self,
        object: &Object,
        fields: &mut Fields<'_>,
    ) -> Result<Option<PlannedProvider>, String> {
        let mut provider = fields.fields(&["provider"]);
        let outer_host = fields.fields(&["hostOverride"]);
        let mut settings = Vec::new();
        Self::overrides(fields, &mut settings);
        let within = provider.as_mut().unwrap_or(fields);
        for unknown in ["vertexAi", "vertexai", "bedrock"] {
            within.lose(unknown, "keygate has no kind of provider for it");
        }
        let found = AI_KINDS
            .iter()
            .find_map(|(spelled, kind)| Some((*kind, within.fields(&[*spelled])?)));
        let planned = match found {
            Some((kind, mut body)) => {
                let planned = self.provider(object, kind, &mut body, outer_host, settings)?;
                body.finish();
                planned
            }
            None => None,
        };
        if let Some(provider) = provider {
            provider.finish();
        }
        Ok(planned)
    }

    /// Where the path and the token go, where they do not go where the kind has them.
    fn overrides(fields: &mut Fields<'_>, settings: &mut Vec<(&'static str, String)>) {
        if let Some(mut path) = fields.fields(&["pathOverride"]) {
            match path.text("fullPath") {
                Some(full) if full.starts_with('/') => settings.push(("default_endpoint", full)),
                _ => path.lost("", "it is no path"),
            }
            path.finish();
        }
        if let Some(mut header) = fields.fields(&["authHeaderOverride", "authHeader"]) {
            if let Some(name) = header.text("headerName") {
                settings.push(("auth_header", name));
            }
            if let Some(prefix) = header.text("prefix") {
                settings.push(("auth_prefix", format!("{} ", prefix.trim())));
            }
            header.finish();
        }
    }

    fn provider(
        &mut self,
        object: &Object,
        kind: &'static str,
        fields: &mut Fields<'_>,
        outer_host: Option<Fields<'_>>,
        mut settings: Vec<(&'static str, String)>,
    ) -> Result<Option<PlannedProvider>, String> {
        let token = if let Some(mut token) = fields.fields(&["authToken"]) {
            let reference = self.token(object, &mut token)?;
            token.finish();
            reference
        } else {
            fields.lost(
                "authToken",
                "there is none: write the provider's `token` by hand",
            );
            self.plan.missing_secret(&object.name)
        };
        Self::overrides(fields, &mut settings);
        Self::of_its_kind(kind, fields, &mut settings);
        fields.lose(
            "model",
            "keygate does not change bodies: let clients name the model",
        );
        let mut planned = PlannedProvider {
            name: object.name.clone(),
            kind,
            token,
            settings,
        };
        let inner_host = fields.fields(&["customHost"]);
        for mut host in [inner_host, outer_host].into_iter().flatten() {
            elsewhere(&mut planned, &mut host);
            host.finish();
        }
        if let Some((name, why)) = planned.fault() {
            fields.lost(name, format!("{why}: the whole provider is left out"));
            return Ok(None);
        }
        Ok(Some(planned))
    }

    /// What one kind has and others have not.
    fn of_its_kind(
        kind: &str,
        fields: &mut Fields<'_>,
        settings: &mut Vec<(&'static str, String)>,
    ) {
        let names: &[(&str, &'static str)] = match kind {
            "azure-openai" => {
                let endpoint = fields.text("endpoint").unwrap_or_default();
                settings.push(("endpoint", resource(&endpoint)));
                &[
                    ("deploymentName", "deployment"),
                    ("apiVersion", "api_version"),
                ]
            }
            "gemini" => &[("model", "model"), ("apiVersion", "api_version")],
            "anthropic" => {
                if let Some(version) = fields.text("version").or_else(|| fields.text("apiVersion"))
                {
                    if HeaderValue::from_str(&version).is_ok() {
                        let table = format!("{{ anthropic-version = {} }}", quoted(&version));
                        settings.push(("headers", table));
                    } else {
                        fields.lost("version", "it cannot stand in a header");
                    }
                }
                &[]
            }
            _ => &[],
        };
        for (theirs, ours) in names {
            settings.extend(fields.text(theirs).map(|value| (*ours, value)));
        }
    }

    /// The reference to a provider's token.
    fn token(&mut self, object: &Object, fields: &mut Fields<'_>) -> Result<String, String> {
        fields.value(&["kind"]);
        if fields.value(&["passthrough"]).is_some() {
            return Ok("passthrough".to_owned());
        }
        if let Some(inline) = fields.value(&["inline"]) {
            let text = text_of(&inline).or_else(|| text_of(inline.get("token")?));
            let entry = Entry::Text(Zeroizing::new(bare(&text.unwrap_or_default()).to_owned()));
            return Ok(
                match entry.keep(self.plan, &format!("{}-token", object.name)) {
                    Ok(reference) => reference,
                    Err(why) => {
                        fields.lost("inline", format!("it {why}"));
                        self.plan.missing_secret(&format!("{}-token", object.name))
                    }
                },
            );
        }
        let Some(mut reference) = fields.fields(&["secretRef"]) else {
            // `kind: Passthrough` stands alone.
            return Ok("passthrough".to_owned());
        };
        let name = reference.text("name").unwrap_or_default();
        let namespace = reference
            .text("namespace")
            .unwrap_or_else(|| object.namespace.clone());
        reference.finish();
        let found = alone(self.secrets, &namespace, &name).copied();
        let Some(secret) = found else {
            let missing = self.plan.missing_secret(&name);
            fields.lost(
                "secretRef",
                format!(
                    "the secret `{name}` is not in the files: put the token into {} (mode 0600)",
                    missing.trim_start_matches("file:")
                ),
            );
            return Ok(missing);
        };
        let Some(entry) = secret::entry(secret, "Authorization")? else {
            let missing = self.plan.missing_secret(&name);
            self.notes.lost(
                &secret.title,
                "data",
                format!(
                    "there is no `Authorization` in it: put the token into {} (mode 0600)",
                    missing.trim_start_matches("file:")
                ),
            );
            return Ok(missing);
        };
        let entry = match entry {
            Entry::Text(text) => Entry::Text(Zeroizing::new(bare(&text).to_owned())),
            variable @ Entry::Variable(_) => variable,
        };
        Ok(match entry.keep(self.plan, &name) {
            Ok(reference) => reference,
            Err(why) => {
                self.notes
                    .lost(&secret.title, "data.Authorization", format!("it {why}"));
                self.plan.missing_secret(&name)
            }
        })
    }
}

/// A provider that is somewhere else than others of its kind.
fn elsewhere(planned: &mut PlannedProvider, host: &mut Fields<'_>) {
    let (name, port) = (host.text("host"), host.number("port").unwrap_or(443));
    let certificate = host.text("hostname").or_else(|| host.text("hostName"));
    let Some(name) = name else { return };
    planned.settings.extend(
        certificate
            .filter(|certificate| *certificate != name)
            .map(|it| ("sni", it)),
    );
    let origin = format!("https://{name}");
    let known = KINDS
        .iter()
        .find(|kind| kind.origin == Some(&origin) && port == 443);
    if let Some(known) = known {
        planned.kind = known.name;
        return;
    }
    if planned.kind == "azure-openai" {
        planned.settings.retain(|(set, _)| *set != "endpoint");
        planned.settings.push(("endpoint", url(&name, port, None)));
        return;
    }
    let path = match planned.kind {
        "gemini" => "/v1beta",
        "openai" => {
            planned.kind = "custom";
            "/v1"
        }
        _ => "/v1",
    };
    planned
        .settings
        .push(("base_url", format!("{}{path}", url(&name, port, None))));
}

/// A token without `Bearer `.
fn bare(token: &str) -> &str {
    let token = token.trim();
    match token.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer ") => rest.trim(),
        _ => token,
    }
}

/// The URL of a host, by TLS where nothing says otherwise and it is not this network's.
pub(super) fn url(host: &str, port: u64, tls: Option<bool>) -> String {
    let bracketed = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let plain = format!("http://{bracketed}:{port}");
    let may_be_plain = BaseUrl::parse(&plain).is_ok() && port != 443;
    match (tls, port) {
        (Some(true), 443) => format!("https://{bracketed}"),
        (Some(true), port) => format!("https://{bracketed}:{port}"),
        _ if may_be_plain => plain,
        (_, 443) => format!("https://{bracketed}"),
        (_, port) => format!("https://{bracketed}:{port}"),
    }
}

/// A text in TOML.
pub(super) fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

/// The provider of a host with a path before everything.
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
    PlannedProvider {
        name: host.name.clone(),
        kind: "custom",
        token: "none".to_owned(),
        settings,
    }
}

/// What a reference to a backend names.
pub(super) fn find<'b>(backends: &'b Backends, namespace: &str, name: &str) -> Option<&'b Backend> {
    alone(backends, namespace, name)
}

/// What has this name in a namespace. Whoever leaves out the namespace of one means that of the other; one
/// tenant's is never another's.
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
