//! AI providers: of Gloo's `Upstream`, kgateway's `Backend` and agentgateway's
//! `AgentgatewayBackend`.
//!
//! The address of a provider may be set on three levels, and each version has new fields for it. A
//! field that is not known to be harmless leaves the provider out: otherwise its token and prompts
//! would go to the public address.

use http::HeaderValue;

use crate::import::error::ImportError;
use crate::import::fields::Fields;
use crate::import::gloo::agentgateway;
use crate::import::gloo::ai_settings::{Policies, ProviderSettings, apply_host};
use crate::import::gloo::backend::quoted;
use crate::import::gloo::object::Object;
use crate::import::gloo::reader::Reader;
use crate::import::provider::PlannedProvider;

/// The kinds, as Gloo, kgateway and agentgateway spell them.
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

/// Fields of a provider that change what requests ask for, not where they go.
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

/// The fields of a provider of one kind.
struct KindFields<'n> {
    kind: &'static str,
    fields: Fields<'n>,
}

impl Reader<'_> {
    /// Reads the providers of a backend, of which the first is used. Returns none if the first was
    /// not understood.
    pub(super) fn ai(
        &mut self,
        object: &Object,
        ai: &mut Fields<'_>,
        policies: Policies<'_>,
    ) -> Result<Vec<PlannedProvider>, ImportError> {
        let mut providers = Vec::new();
        for name in ["multi", "multipool"] {
            if let Some(mut pool) = ai.fields(&[name]) {
                self.pool(object, &mut pool, ("priorities", "pool"), &mut providers)?;
                pool.finish();
            }
        }
        // kgateway 2.1 and agentgateway.
        self.pool(object, ai, ("priorityGroups", "providers"), &mut providers)?;
        self.pool(object, ai, ("groups", "providers"), &mut providers)?;
        // kgateway has one level more.
        if let Some(mut llm) = ai.fields(&["llm"]) {
            providers.push(self.one_of_the_kinds(object, &mut llm, Policies::default())?);
            llm.finish();
        }
        if providers.is_empty() {
            providers.push(self.one_of_the_kinds(object, ai, policies)?);
        } else if policies.are_set() {
            ai.lost("", "its policies are for all of several providers");
            return Ok(Vec::new());
        }
        // The second provider does not replace the first.
        if !matches!(providers.first(), Some(Some(_))) {
            return Ok(Vec::new());
        }
        let mut providers: Vec<PlannedProvider> = providers.into_iter().flatten().collect();
        for (number, provider) in providers.iter_mut().enumerate().skip(1) {
            provider.name = format!("{}-{}", object.name, number + 1);
        }
        Ok(providers)
    }

    /// Reads the members of a pool by priority.
    fn pool(
        &mut self,
        object: &Object,
        pool: &mut Fields<'_>,
        (levels, members): (&str, &str),
        providers: &mut Vec<Option<PlannedProvider>>,
    ) -> Result<(), ImportError> {
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
    ) -> Result<Option<PlannedProvider>, ImportError> {
        let mut place = ProviderSettings::from_policies(&policies);
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
            within.discard(unknown, "keygate has no kind of provider for it");
        }
        let found = AI_KINDS
            .iter()
            .find_map(|(spelled, kind)| Some((*kind, within.fields(&[*spelled])?)));
        let Some((kind, body)) = found else {
            provider.into_iter().for_each(Fields::finish);
            return Ok(None);
        };
        let mut body = KindFields { kind, fields: body };
        let planned = self.provider(object, &mut body, place, policies.auth)?;
        let is_unclear = [Some(body.fields), provider]
            .into_iter()
            .flatten()
            .fold(fields.discard_unknown(&HARMLESS), |unclear, mut level| {
                level.discard_unknown(&HARMLESS) || unclear
            });
        Ok(planned.filter(|_| !is_unclear))
    }

    /// Makes the provider of a kind, with a token in the policies or in its own fields. Returns
    /// `None` if it was not understood in full.
    fn provider(
        &mut self,
        object: &Object,
        body: &mut KindFields<'_>,
        mut place: ProviderSettings,
        auth: Option<Fields<'_>>,
    ) -> Result<Option<PlannedProvider>, ImportError> {
        let mut planned = body.at_place(object, &mut place);
        if let Some(host) = &place.host {
            self.note_tls(object, host, place.port.unwrap_or(443), place.tls);
        }
        let is_private = place.host.is_some() && planned.is_in_private_network();
        let own = body.fields.fields(&["authToken"]);
        let token = match (own, auth) {
            (Some(token), None) | (None, Some(token)) => self.token(object, token)?,
            (Some(token), Some(_)) => {
                token.lost("", "there is another token beside it");
                None
            }
            (None, None) if is_private => Some("none".to_owned()),
            (None, None) => {
                body.fields.lost(
                    "authToken",
                    "there is none: write the provider's `token` by hand",
                );
                Some(self.plan.missing_secret(&object.name))
            }
        };
        if let Some((field, why)) = fault_of(token.as_deref(), &place, &planned) {
            body.fields.lost(field, why);
            return Ok(None);
        }
        planned.token = token.unwrap_or_default();
        Ok(Some(planned))
    }
}

impl KindFields<'_> {
    /// Makes the provider at its place, without its token.
    fn at_place(&mut self, object: &Object, place: &mut ProviderSettings) -> PlannedProvider {
        place.read(&mut self.fields);
        if self.kind == "custom" {
            self.kind = agentgateway::custom(&mut self.fields, &mut place.settings);
        }
        self.read_own(&mut place.settings);
        self.fields.discard(
            "model",
            "keygate does not change bodies: let clients name the model",
        );
        let mut planned = PlannedProvider {
            name: object.name.clone(),
            kind: self.kind,
            token: String::new(),
            settings: std::mem::take(&mut place.settings),
        };
        apply_host(&mut planned, place);
        planned.allow_plain_http();
        planned
    }

    /// Reads the fields that only one kind has.
    fn read_own(&mut self, settings: &mut Vec<(&'static str, String)>) {
        let Self { kind, fields } = self;
        let names: &[(&str, &'static str)] = match *kind {
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
}

/// The field for which a provider is left out, and the reason.
fn fault_of(
    token: Option<&str>,
    place: &ProviderSettings,
    planned: &PlannedProvider,
) -> Option<(&'static str, String)> {
    if token.is_none() {
        return Some(("", "the whole provider is left out".to_owned()));
    }
    let has_lost_host = place.host.is_none() && (place.port.is_some() || place.prefix.is_some());
    if place.unclear || has_lost_host {
        let why = "its address was not understood in full: the whole provider is left out";
        return Some(("", why.to_owned()));
    }
    let (name, why) = planned.problem()?;
    Some((name, format!("{why}: the whole provider is left out")))
}
