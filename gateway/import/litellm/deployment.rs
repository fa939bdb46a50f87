//! A deployment of `LiteLLM`: an entry of `model_list`.
//!
//! The token and the prompts go where `LiteLLM` sends them, or the entry is left out: a field that
//! is not known to be harmless may name another address.

use std::collections::BTreeMap;

use http::HeaderValue;
use zeroize::Zeroizing;

use crate::grammar::authorization::without_bearer;
use crate::import::fields::Fields;
use crate::import::litellm::anything;
use crate::import::litellm::common_settings::CommonSettings;
use crate::import::litellm::known::{KnownProvider, UNKNOWN};
use crate::import::litellm::left_out::Entries;
use crate::import::litellm::prices::{DeploymentPrices, WITHOUT_OUTPUT};
use crate::import::plan::Plan;
use crate::import::planned::PlannedRoute;
use crate::import::provider::{PlannedProvider, plain_note, resource, stays_private};
use crate::provider::Kind;
use crate::secret::Secret;

/// Fields that set limits.
const LIMITS: [&str; 7] = [
    "budget_duration",
    "max_budget",
    "max_parallel_requests",
    "order",
    "rpm",
    "tpm",
    "weight",
];

/// Fields that set timeouts and retries.
const TIMES: [&str; 5] = [
    "cooldown_time",
    "max_retries",
    "num_retries",
    "stream_timeout",
    "timeout",
];

/// Fields that change bodies or say something about them, but not where requests go.
const HARMLESS: [&str; 35] = [
    "additional_drop_params",
    "allowed_openai_params",
    "base_model",
    "cache",
    "caching",
    "configurable_clientside_auth_params",
    "dimensions",
    "drop_params",
    "encoding_format",
    "extra_body",
    "fallbacks",
    "frequency_penalty",
    "keep_alive",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "merge_reasoning_content_in_choices",
    "n",
    "num_ctx",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "thinking",
    "tool_choice",
    "top_k",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
];

/// The fields that determine the address and the credentials of a deployment.
const PLACE: [&str; 4] = ["api_key", "api_base", "api_version", "organization"];

/// Imports an entry of `model_list`, which clients call `alias`.
pub(super) fn deployment(
    alias: &str,
    entry: &mut Fields<'_>,
    common: &CommonSettings<'_>,
    plan: &mut Plan,
    entries: &mut Entries,
) {
    let info = info(entry);
    let restricted = info.restricted;
    let Some(mut params) = entry.fields(&["litellm_params"]) else {
        return entry.lost("litellm_params", "there are none");
    };
    let mut full = params.text("model").unwrap_or_default();
    if let Some(provider) = params.text("custom_llm_provider") {
        full = format!("{provider}/{full}");
    }
    let prices = DeploymentPrices::take(&mut params, "litellm_params").or(info.prices);
    let place = place(&mut params, common);
    let unclear = is_unclear(&mut params);
    let place = match place {
        Ok(place) => place,
        Err((field, why)) => {
            entries.leave_out(&full, entry, None);
            return params.lost(&field, format!("{why}: the entry is left out"));
        }
    };
    let restricted = entry.discard_unknown(&[]) || restricted;
    let address = place.get("api_base").map(String::as_str);
    if unclear || restricted {
        return entries.leave_out(&full, entry, address);
    }
    let full = match common.resolve(&full) {
        Ok(full) => full,
        Err(variable) => {
            let why = format!(
                "the environment variable {variable} is not set here: the entry is left out"
            );
            return params.lost("model", why);
        }
    };
    let targets = match targets(&full, &place, common) {
        Ok(targets) => targets,
        Err(why) => return params.lost("model", why),
    };
    let all = full == "*" && !place.contains_key("api_base");
    let mut is_other = !entries.aliases.insert(alias.to_owned());
    for (known, model) in targets {
        let planned = match provider(known, model, place.clone(), common, plan, &params) {
            Ok(planned) => planned,
            Err((field, why)) => {
                let whose = if all {
                    format!("`{}/*`: {why}: it is left out", known.prefix)
                } else {
                    format!("{why}: the entry is left out")
                };
                params.lost(field, whose);
                entries.leave_out(&full, entry, address);
                continue;
            }
        };
        if planned.has("plain_http") {
            let url = planned.own_url().map(|url| url.display());
            params.note("", plain_note(&url.unwrap_or_default()));
        }
        let models = names_in_responses(&planned, model, info.base_model.as_deref());
        let name = route(planned, entry, plan);
        entries.carry(known, model, address);
        prices.plan(models, &name, info.no_output, entry, plan);
        if std::mem::take(&mut is_other) {
            entry.lost("model_name", format!(
                "there is another entry of that name: keygate does not spread requests, `/{name}` is a route of its own"
            ));
        }
        note_model_names(entry, &name, alias, model);
    }
}

/// Adds a provider, and a route for it if it is new. Returns the name of both.
fn route(planned: PlannedProvider, entry: &Fields<'_>, plan: &mut Plan) -> String {
    let before = plan.providers.len();
    let versionless = planned.has("default_endpoint");
    let name = plan.add_provider(planned);
    if plan.providers.len() > before {
        if versionless {
            entry.note("litellm_params", format!(
                "its address does not end with `/v1`: clients leave that out, too, and ask `/{name}/chat/completions`"
            ));
        }
        plan.routes.push(PlannedRoute {
            name: name.clone(),
            path: format!("/{name}"),
            provider: name.clone(),
            keys: Some(BTreeMap::new()),
            from: entry.place(""),
            ..PlannedRoute::default()
        });
    }
    name
}

/// Notes which model names clients must use here.
fn note_model_names(entry: &Fields<'_>, name: &str, alias: &str, model: &str) {
    if model.contains('*') {
        entry.lost("model_name", format!(
            "keygate does not change bodies: clients of `/{name}` say the provider's own name of a model where they said one like `{alias}`"
        ));
    } else if alias != model {
        entry.lost("model_name", format!(
            "keygate does not change bodies: clients of `/{name}` say `{model}` where they said `{alias}`"
        ));
    }
}

/// The providers of a model, with the name that each has for it. The error is the reason why they
/// are not known.
fn targets<'f>(
    full: &'f str,
    place: &BTreeMap<&'static str, String>,
    common: &CommonSettings<'_>,
) -> Result<Vec<(&'static KnownProvider, &'f str)>, String> {
    let has_address = place.contains_key("api_base");
    if full == "*" && !has_address {
        let reached = anything::providers(place, common)?;
        return Ok(reached.into_iter().map(|known| (known, full)).collect());
    }
    let found = KnownProvider::of_model(full).or_else(|| has_address.then_some((&UNKNOWN, full)));
    let prefix = full.split('/').next().unwrap_or_default();
    found.map(|one| vec![one]).ok_or_else(|| {
        format!(
            "keygate has no kind of provider for `{prefix}`, and knows no address of it: say its own `api_base` if its API is like OpenAI's"
        )
    })
}

/// The contents of `model_info`, which are for people and for billing.
#[derive(Default)]
struct Info {
    /// Whether only some clients may use the deployment.
    restricted: bool,
    prices: DeploymentPrices,
    /// Whether the model has no output tokens.
    no_output: bool,
    /// The model behind a deployment that has a name of its own.
    base_model: Option<String>,
}

/// Reads `model_info`.
fn info(entry: &mut Fields<'_>) -> Info {
    let Some(mut info) = entry.fields(&["model_info"]) else {
        entry.value(&["model_info"]);
        return Info::default();
    };
    let prices = DeploymentPrices::take(&mut info, "model_info");
    let mode = info.text("mode").unwrap_or_default();
    let no_output = WITHOUT_OUTPUT.contains(&mode.as_str());
    let base_model = info.text("base_model");
    let mut restricted = false;
    for name in ["team_id", "blocked"] {
        let value = info.text(name);
        if value.is_some_and(|value| value != "false") {
            let why = "not everybody may use it there, and keygate cannot tell who: the entry is left out";
            info.lost(name, why);
            restricted = true;
        }
    }
    Info {
        restricted,
        prices,
        no_output,
        base_model,
    }
}

/// The model names in responses of a deployment: the name itself, or with a date. An Azure
/// deployment has a provider of its own, and its name says nothing about its model.
fn names_in_responses(
    provider: &PlannedProvider,
    model: &str,
    base_model: Option<&str>,
) -> Vec<String> {
    if provider.kind == "azure-openai" {
        return vec!["*".to_owned()];
    }
    let base_model = base_model.map(|base| base.rsplit_once('/').map_or(base, |(_, name)| name));
    let mut names = Vec::new();
    for name in [Some(model), base_model].into_iter().flatten() {
        names.push(name.to_owned());
        if !name.contains('*') {
            names.push(format!("{name}-20*"));
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// Takes the remaining fields. Returns whether one of them may determine where requests go.
fn is_unclear(params: &mut Fields<'_>) -> bool {
    for limit in LIMITS {
        params.discard(limit, "keygate has no limits yet, and one provider a route");
    }
    for time in TIMES {
        params.discard(
            time,
            "keygate has timeouts in the provider: `[providers.NAME.timeouts]`",
        );
    }
    params.discard_unknown(&HARMLESS)
}

/// The field that cannot be imported, and the reason.
type Fault = (String, String);

/// The address and credentials of a deployment: its own, those of its credential, and the common
/// ones.
fn place(
    params: &mut Fields<'_>,
    common: &CommonSettings<'_>,
) -> Result<BTreeMap<&'static str, String>, Fault> {
    let mut fields: BTreeMap<&'static str, String> = BTreeMap::new();
    for (name, field) in PLACE
        .iter()
        .map(|name| (*name, *name))
        .chain([("api_base", "base_url")])
    {
        let Some(value) = params.text(field) else {
            continue;
        };
        if let Some(other) = fields.insert(name, value.clone())
            && other != value
        {
            return Err((field.to_owned(), format!("it is not what `{name}` says")));
        }
    }
    if let Some(credential) = params.text("litellm_credential_name") {
        let field = "litellm_credential_name".to_owned();
        let Some(values) = common.credential(&credential) else {
            let why = format!(
                "`{credential}` is not in `credential_list`, or not in words that keygate knows"
            );
            return Err((field, why));
        };
        for (name, value) in values {
            let Some(name) = PLACE.iter().find(|known| *known == name) else {
                return Err((field, format!("keygate does not know its `{name}`")));
            };
            let other = fields.insert(name, value.clone());
            if other.is_some_and(|other| other != *value) {
                return Err((field, format!("the entry says another `{name}`")));
            }
        }
    }
    // The token is not resolved here: it may be set where keygate runs.
    for name in ["api_base", "api_version", "organization"] {
        if let Some(value) = fields.get_mut(name) {
            *value = common
                .resolve(value)
                .map_err(|variable| {
                    let why = format!("the environment variable {variable} is not set here, of which its address is made: set it and import again");
                    (name.to_owned(), why)
                })?;
        }
    }
    Ok(fields)
}

/// Makes the provider of a deployment. The error names the field that cannot be imported and the
/// reason.
pub(super) fn provider(
    known: &KnownProvider,
    model: &str,
    mut place: BTreeMap<&'static str, String>,
    common: &CommonSettings<'_>,
    plan: &mut Plan,
    params: &Fields<'_>,
) -> Result<PlannedProvider, (&'static str, String)> {
    let api_base = match place.remove("api_base") {
        Some(own) => Some(own),
        None => common.address_of(known).map_err(|why| ("", why))?,
    };
    let api_base = api_base.or_else(|| known.base_url.map(str::to_owned));
    let mut planned = at(known.kind, api_base, place.remove("api_version"), model);
    planned.name = known.prefix.replace("_chat", "");
    let base = planned
        .settings
        .iter()
        .find(|(name, _)| *name == "base_url");
    if planned.kind == "custom" && base.is_some_and(|(_, base)| !base.ends_with("/v1")) {
        // LiteLLM does not add a version either.
        let endpoint = "/chat/completions".to_owned();
        planned.settings.push(("default_endpoint", endpoint));
    }
    if let Some(organization) = place.remove("organization") {
        if HeaderValue::from_str(&organization).is_err() {
            return Err(("organization", "it cannot stand in a header".to_owned()));
        }
        let organization = toml_edit::Value::from(organization);
        let table = format!("{{ OpenAI-Organization = {organization} }}");
        planned.settings.push(("headers", table));
    }
    if planned.own_url().is_some_and(|url| stays_private(&url)) {
        planned.allow_plain_http();
    }
    if let Some((name, why)) = planned.problem() {
        return Err(("", format!("{name} {why}")));
    }
    let variable = known.tokens.iter().find(|token| common.is_set(token));
    let api_key = place.remove("api_key");
    let api_key = api_key.or_else(|| Some(format!("os.environ/{}", variable?)));
    let tokenless = Kind::named(planned.kind).is_some_and(|kind| kind.tokenless)
        // LiteLLM needs no key here either.
        || known.kind == "custom" && known.base_url.is_none() && planned.is_in_private_network();
    planned.token = match (api_key, known.tokens.first()) {
        (None, _) if tokenless => "none".to_owned(),
        (None, Some(variable)) if known.keyless => {
            params.note("api_key", format!(
                "there is none, so none goes up; if LiteLLM runs with {variable}, set it here and import again"
            ));
            "none".to_owned()
        }
        (None, None) => {
            return Err((
                "api_key",
                "there is none, and keygate does not know which one goes to this provider"
                    .to_owned(),
            ));
        }
        (None, Some(variable)) => format!("env:{variable}"),
        (Some(key), _) => {
            token(&key, known.prefix, common, plan).map_err(|why| ("api_key", why.to_owned()))?
        }
    };
    Ok(planned)
}

/// Makes a provider of a kind with its address.
fn at(
    kind: &'static str,
    api_base: Option<String>,
    version: Option<String>,
    model: &str,
) -> PlannedProvider {
    let mut planned = PlannedProvider {
        kind,
        ..PlannedProvider::default()
    };
    let settings = &mut planned.settings;
    if kind == "azure-openai" {
        settings.push(("endpoint", resource(&api_base.unwrap_or_default())));
        settings.push(("deployment", model.to_owned()));
        settings.extend(version.map(|version| ("api_version", version)));
    } else if let Some(base) = &api_base {
        settings.push(("base_url", base.trim_end_matches('/').to_owned()));
        if kind == "openai" {
            planned.kind = "custom";
        }
    }
    planned
}

/// The reference to a token.
fn token(
    written: &str,
    prefix: &str,
    common: &CommonSettings<'_>,
    plan: &mut Plan,
) -> Result<String, &'static str> {
    let mut written = written.to_owned();
    if let Some(variable) = written.strip_prefix("os.environ/") {
        if variable.is_empty() {
            return Err("names no environment variable");
        }
        // A variable that the configuration itself sets is not set where keygate runs.
        match common.given(variable) {
            None => return Ok(format!("env:{variable}")),
            Some(value) => written = value.to_owned(),
        }
    }
    if without_bearer(written.as_bytes()).is_empty() {
        return Err("is empty");
    }
    Secret::new(written.clone())?;
    let token = written.trim();
    // The same token in several entries becomes one file.
    let same = plan
        .secrets
        .iter()
        .find(|(_, known)| known.as_str() == token);
    if let Some((name, _)) = same {
        return Ok(format!("file:secrets/{name}"));
    }
    Ok(plan.add_secret(&format!("{prefix}-token"), Zeroizing::new(token.to_owned())))
}
