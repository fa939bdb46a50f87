//! Providers of AI: of Gloo's `Upstream`, kgateway's `Backend` and agentgateway's `AgentgatewayBackend`.
//!
//! Where a provider is may be said on three levels, and in new words with each version. What is not known to
//! be harmless leaves the provider out: its token and its prompts would go to the public address instead.

use http::HeaderValue;
use zeroize::Zeroizing;

use super::super::fields::{Fields, text_of};
use super::super::{PlannedProvider, is_plain};
use super::agentgateway;
use super::backend_policy::list_harmless;
use super::object::Object;
use super::secret::{self, Entry};
use super::upstream::{Reader, alone, quoted, url};
use crate::provider::KINDS;

/// The kinds, as Gloo and kgateway spell them.
const AI_KINDS: [(&str, &str); 9] = [
    ("openai", "openai"),
    ("mistral", "mistral"),
    ("anthropic", "anthropic"),
    ("azureOpenai", "azure-openai"),
    ("azureopenai", "azure-openai"),
    ("azureOpenAI", "azure-openai"),
    ("azure", "azure-openai"),
    ("gemini", "gemini"),
    ("custom", "custom"),
];

/// Fields of a provider that change what is asked for, not where.
const HARMLESS: [&str; 10] = [
    "frequencyPenalty",
    "maxOutputTokens",
    "maxTokens",
    "presencePenalty",
    "safetySettings",
    "seed",
    "stop",
    "temperature",
    "topK",
    "topP",
];

/// What is said of a provider beside its kind and its token.
#[derive(Default)]
struct Place {
    host: Option<String>,
    port: Option<u64>,
    /// The name of its certificate, where it is not its own.
    certificate: Option<String>,
    /// Whether it serves TLS, where that is said.
    tls: Option<bool>,
    /// What stands before every path there.
    prefix: Option<String>,
    settings: Vec<(&'static str, String)>,
    /// Whether something about it was not understood.
    unclear: bool,
}

impl Place {
    /// A place of which its policies say this.
    fn under(policies: &Policies<'_>) -> Self {
        Self {
            certificate: policies.certificate.clone(),
            tls: policies.tls,
            unclear: policies.unclear,
            ..Self::default()
        }
    }

    /// Takes what one level says of it.
    fn read(&mut self, level: &mut Fields<'_>) {
        for name in ["customHost", "hostOverride"] {
            if let Some(mut host) = level.fields(&[name]) {
                if !host.has("host") {
                    host.lost("host", "there is none");
                    self.unclear = true;
                }
                self.at(&mut host);
                let certificate = host.text("hostname").or_else(|| host.text("hostName"));
                self.certificate = certificate.or(self.certificate.take());
                self.unclear |= host.is_unclear(&[]);
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
            self.unclear |= header.is_unclear(&[]);
        }
    }

    /// Takes a host and a port. Two of them are one too many.
    fn at(&mut self, level: &mut Fields<'_>) {
        let (has_host, has_port) = (level.has("host"), level.has("port"));
        let (host, port) = (level.text("host"), level.number("port"));
        if has_host && self.host.is_some() || has_port && self.port.is_some() {
            level.lost("", "another host is said beside this one");
            self.unclear = true;
        }
        if has_host != host.is_some() || has_port != port.is_some() {
            level.lost("", "its host is no text, or its port no number");
            self.unclear = true;
        }
        self.host = host.or(self.host.take());
        self.port = port.or(self.port);
    }

    /// Takes the one path that all requests go to.
    fn path(&mut self, level: &mut Fields<'_>, name: &'static str) {
        let full = match level.fields(&[name]) {
            Some(mut path) => {
                let full = path.text("fullPath").or_else(|| path.text("full"));
                self.unclear |= path.is_unclear(&[]);
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

impl Reader<'_> {
    /// The providers that a backend leads to, the first of which counts. None if the first is not understood.
    pub(super) fn ai(
        &mut self,
        object: &Object,
        ai: &mut Fields<'_>,
        policies: Policies<'_>,
    ) -> Result<Vec<PlannedProvider>, String> {
        let mut providers = Vec::new();
        for name in ["multi", "multipool"] {
            if let Some(mut pool) = ai.fields(&[name]) {
                self.pool(object, &mut pool, ("priorities", "pool"), &mut providers)?;
                pool.finish();
            }
        }
        // kgateway 2.1, and agentgateway.
        self.pool(object, ai, ("priorityGroups", "providers"), &mut providers)?;
        self.pool(object, ai, ("groups", "providers"), &mut providers)?;
        // kgateway has one level more.
        if let Some(mut llm) = ai.fields(&["llm"]) {
            providers.push(self.one_of_the_kinds(object, &mut llm, Policies::default())?);
            llm.finish();
        }
        if providers.is_empty() {
            providers.push(self.one_of_the_kinds(object, ai, policies)?);
        } else if policies.say_something() {
            ai.lost("", "its policies are for all of several providers");
            return Ok(Vec::new());
        }
        // What comes behind the first does not take its place.
        if !matches!(providers.first(), Some(Some(_))) {
            return Ok(Vec::new());
        }
        let mut providers: Vec<PlannedProvider> = providers.into_iter().flatten().collect();
        for (number, provider) in providers.iter_mut().enumerate().skip(1) {
            provider.name = format!("{}-{}", object.name, number + 1);
        }
        Ok(providers)
    }

    /// The members of a pool, by their priority.
    fn pool(
        &mut self,
        object: &Object,
        pool: &mut Fields<'_>,
        (levels, members): (&str, &str),
        providers: &mut Vec<Option<PlannedProvider>>,
    ) -> Result<(), String> {
        let before = providers.len();
        for mut level in pool.list(levels) {
            for mut member in level.list(members) {
                let policies = Policies::of(&mut member);
                providers.push(self.one_of_the_kinds(object, &mut member, policies)?);
                member.finish();
            }
            level.finish();
        }
        let others = providers.len().saturating_sub(before + 1);
        if others > 0 {
            pool.lost(levels, format!(
                "requests go to the first; the {others} behind it are written as providers of their own, \
                 to be put into the route's `provider` by hand when the first is down"
            ));
        }
        Ok(())
    }

    fn one_of_the_kinds(
        &mut self,
        object: &Object,
        fields: &mut Fields<'_>,
        policies: Policies<'_>,
    ) -> Result<Option<PlannedProvider>, String> {
        let mut place = Place::under(&policies);
        place.read(fields);
        for name in ["name", "weight"] {
            fields.value(&[name]);
        }
        let mut provider = fields.fields(&["provider"]);
        if let Some(provider) = &mut provider {
            place.read(provider);
        }
        let within = provider.as_mut().unwrap_or(fields);
        for unknown in ["vertexAi", "vertexai", "bedrock"] {
            within.lose(unknown, "keygate has no kind of provider for it");
        }
        let found = AI_KINDS
            .iter()
            .find_map(|(spelled, kind)| Some((*kind, within.fields(&[*spelled])?)));
        let Some((kind, mut body)) = found else {
            provider.into_iter().for_each(Fields::finish);
            return Ok(None);
        };
        let planned = self.provider(object, kind, &mut body, place, policies.auth)?;
        let unclear = [Some(body), provider]
            .into_iter()
            .flatten()
            .fold(fields.is_unclear(&HARMLESS), |unclear, mut level| {
                level.is_unclear(&HARMLESS) || unclear
            });
        Ok(planned.filter(|_| !unclear))
    }

    fn provider(
        &mut self,
        object: &Object,
        kind: &'static str,
        fields: &mut Fields<'_>,
        mut place: Place,
        auth: Option<Fields<'_>>,
    ) -> Result<Option<PlannedProvider>, String> {
        place.read(fields);
        let kind = match kind {
            "custom" => agentgateway::custom(fields, &mut place.settings),
            kind => kind,
        };
        Self::of_its_kind(kind, fields, &mut place.settings);
        fields.lose(
            "model",
            "keygate does not change bodies: let clients name the model",
        );
        let mut planned = PlannedProvider {
            name: object.name.clone(),
            kind,
            token: String::new(),
            settings: std::mem::take(&mut place.settings),
        };
        elsewhere(&mut planned, &place);
        planned.keep_plain();
        if let Some(host) = &place.host {
            self.say_tls(object, host, place.port.unwrap_or(443), place.tls);
        }
        let token = match (fields.fields(&["authToken"]), auth) {
            (Some(token), None) | (None, Some(token)) => self.token(object, token)?,
            (Some(token), Some(_)) => {
                token.lost("", "another token is said beside it");
                None
            }
            (None, None) if place.host.is_some() && planned.is_near() => Some("none".to_owned()),
            (None, None) => {
                fields.lost(
                    "authToken",
                    "there is none: write the provider's `token` by hand",
                );
                Some(self.plan.missing_secret(&object.name))
            }
        };
        let Some(token) = token else {
            fields.lost("", "the whole provider is left out");
            return Ok(None);
        };
        planned.token = token;
        let is_lost = place.port.is_some() || place.prefix.is_some();
        if place.unclear || place.host.is_none() && is_lost {
            fields.lost(
                "",
                "where it is was not understood in full: the whole provider is left out",
            );
            return Ok(None);
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
                agentgateway::azure(fields, settings);
                &[]
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

    /// The reference to a provider's token; `None` if it is not understood what it is.
    fn token(&mut self, object: &Object, mut fields: Fields<'_>) -> Result<Option<String>, String> {
        let kind = fields.text("kind").unwrap_or_default();
        let passed_on = fields.value(&["passthrough"]).is_some() || kind == "Passthrough";
        let inline = fields.value(&["inline", "key"]);
        let reference = fields.fields(&["secretRef"]);
        if fields.is_unclear(&[]) {
            return Ok(None);
        }
        match (passed_on, inline, reference) {
            (true, None, None) => Ok(Some("passthrough".to_owned())),
            (false, Some(inline), None) => {
                let text = text_of(&inline).or_else(|| inline.get("token").and_then(text_of));
                let text = text.unwrap_or_default();
                let entry = Entry::Text(Zeroizing::new(bare(&text).to_owned()));
                let name = format!("{}-token", object.name);
                Ok(Some(entry.keep(self.plan, &name).unwrap_or_else(|why| {
                    fields.lost("inline", format!("it {why}"));
                    self.plan.missing_secret(&name)
                })))
            }
            (false, None, Some(reference)) => self.token_of_secret(object, &fields, reference),
            _ => {
                fields.lost("", "it is not understood what the token is");
                Ok(None)
            }
        }
    }

    /// The reference to the token that a secret holds.
    fn token_of_secret(
        &mut self,
        object: &Object,
        fields: &Fields<'_>,
        mut reference: Fields<'_>,
    ) -> Result<Option<String>, String> {
        let name = reference.text("name").unwrap_or_default();
        let namespace = reference
            .text("namespace")
            .unwrap_or_else(|| object.namespace.clone());
        let group = reference.text("group").unwrap_or_default();
        let kind = reference.text("kind").unwrap_or_default();
        if !group.is_empty() || !["", "Secret"].contains(&kind.as_str()) {
            let why = format!("keygate reads tokens of a Secret, not of a {kind}");
            reference.lost("kind", why);
            return Ok(None);
        }
        if reference.is_unclear(&[]) {
            return Ok(None);
        }
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
            return Ok(Some(missing));
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
            return Ok(Some(missing));
        };
        let entry = match entry {
            Entry::Text(text) => Entry::Text(Zeroizing::new(bare(&text).to_owned())),
            variable @ Entry::Variable(_) => variable,
        };
        Ok(Some(entry.keep(self.plan, &name).unwrap_or_else(|why| {
            self.notes
                .lost(&secret.title, "data.Authorization", format!("it {why}"));
            self.plan.missing_secret(&name)
        })))
    }
}

/// What agentgateway says of a backend beside its place: `policies`.
#[derive(Default)]
pub(super) struct Policies<'n> {
    /// Its token.
    pub auth: Option<Fields<'n>>,
    /// Whether it serves TLS, where that is said.
    pub tls: Option<bool>,
    /// The name of its certificate, where it is not its own.
    pub certificate: Option<String>,
    /// Whether they say more.
    pub unclear: bool,
}

impl<'n> Policies<'n> {
    /// Reads them.
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
            read.unclear = tls.is_unclear(&["alpnProtocols"]);
        }
        list_harmless(&mut policies);
        read.unclear |= policies.is_unclear(&[]);
        read
    }

    fn say_something(&self) -> bool {
        self.auth.is_some() || self.tls.is_some() || self.unclear
    }
}

/// A provider that is somewhere else than others of its kind.
fn elsewhere(planned: &mut PlannedProvider, place: &Place) {
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
        // One path for all requests is a whole one.
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

/// A token without `Bearer `.
fn bare(token: &str) -> &str {
    let token = token.trim();
    match token.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer ") => rest.trim(),
        _ => token,
    }
}
