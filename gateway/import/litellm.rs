//! `LiteLLM`'s `config.yaml`, and its key table as CSV.
//!
//! There, a model's name chooses the provider, and bodies are translated; here, the path does, and bodies
//! pass. So each provider gets a route of its own, and clients name the provider's own model.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderValue;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;
use zeroize::Zeroizing;

use super::fields::Fields;
use super::{Notes, Plan, PlannedKey, PlannedProvider, PlannedRoute, documents, resource};
use crate::key::{KeyDigest, without_scheme};
use crate::provider::Kind;
use crate::secret::Secret;

/// What stands before a model, and the kind of provider that it means; where it looks for a token by itself.
const PREFIXES: [(&str, &str, &str); 16] = [
    ("openai", "openai", "OPENAI_API_KEY"),
    ("text-completion-openai", "openai", "OPENAI_API_KEY"),
    ("azure", "azure-openai", "AZURE_API_KEY"),
    ("anthropic", "anthropic", "ANTHROPIC_API_KEY"),
    ("gemini", "gemini", "GEMINI_API_KEY"),
    ("mistral", "mistral", "MISTRAL_API_KEY"),
    ("huggingface", "huggingface", "HF_TOKEN"),
    ("groq", "groq", "GROQ_API_KEY"),
    ("cohere", "cohere", "COHERE_API_KEY"),
    ("cohere_chat", "cohere", "COHERE_API_KEY"),
    ("deepseek", "deepseek", "DEEPSEEK_API_KEY"),
    ("openrouter", "openrouter", "OPENROUTER_API_KEY"),
    ("ollama", "ollama", ""),
    ("ollama_chat", "ollama", ""),
    ("hosted_vllm", "custom", "HOSTED_VLLM_API_KEY"),
    ("openai_like", "custom", "OPENAI_LIKE_API_KEY"),
];

/// Columns of the key table that say what a key may do: keygate cannot say it, so such keys come disabled.
const RIGHTS: [&str; 6] = [
    "models",
    "allowed_routes",
    "permissions",
    "model_max_budget",
    "object_permission_id",
    "allowed_cache_controls",
];
/// Columns of the key table that say how much: keygate has no limits yet.
const LIMITS: [&str; 5] = [
    "max_budget",
    "rpm_limit",
    "tpm_limit",
    "max_parallel_requests",
    "budget_duration",
];

/// Reads `config.yaml`, and the key table if there is one. Fails on what cannot be read at all.
pub fn read(name: &str, text: &str, keys: Option<(&str, &str)>) -> Result<Plan, String> {
    let notes = Notes::default();
    let mut plan = Plan::default();
    let loaded = documents(name, text).map_err(|error| error.to_string())?;
    let Some((line, Value::Object(map))) = loaded.into_iter().next() else {
        return Err(format!("{name}: there is no LiteLLM configuration in it"));
    };
    let mut root = Fields::new(&format!("{name}:{line}"), map, &notes);
    let mut aliases = BTreeSet::new();
    for mut model in root.list("model_list") {
        deployment(&mut model, &mut plan, &mut aliases);
        model.finish();
    }
    if let Some(mut general) = root.fields(&["general_settings"]) {
        if let Some(master) = general.text("master_key") {
            master_key(&general, &master, &mut plan);
        }
        general.lose(
            "database_url",
            "keygate has no database: bring the key table along as CSV, by `--keys FILE`",
        );
        general.finish();
    }
    for ours in ["litellm_settings", "router_settings"] {
        root.lose(
            ours,
            "retries, fallbacks, caches and callbacks are not keygate's",
        );
    }
    root.lose("environment_variables", "set them where keygate runs");
    root.finish();
    if plan.providers.is_empty() {
        notes.lost(name, "model_list", "no provider came out of it");
    }
    if let Some((file, table)) = keys {
        key_table(file, table, &mut plan, &notes)?;
    }
    plan.close(&notes);
    plan.notes = notes.into_vec();
    Ok(plan)
}

/// One entry of `model_list`.
fn deployment(entry: &mut Fields<'_>, plan: &mut Plan, aliases: &mut BTreeSet<String>) {
    let alias = entry.text("model_name").unwrap_or_default();
    entry.value(&["model_info"]);
    let Some(mut params) = entry.fields(&["litellm_params"]) else {
        return entry.lost("litellm_params", "there are none");
    };
    for limit in ["rpm", "tpm", "max_parallel_requests", "weight", "order"] {
        params.lose(limit, "keygate has no limits yet, and one provider a route");
    }
    for call in ["timeout", "stream_timeout", "max_retries"] {
        params.lose(
            call,
            "keygate has timeouts in the provider: `[providers.NAME.timeouts]`",
        );
    }
    let mut full = params.text("model").unwrap_or_default();
    if let Some(provider) = params.text("custom_llm_provider") {
        full = format!("{provider}/{full}");
    }
    let api_key = params.text("api_key");
    let mut resolved = |name| variable(params.text(name));
    let said = (
        resolved("api_base"),
        resolved("api_version"),
        resolved("organization"),
    );
    let (Ok(api_base), Ok(version), Ok(organization)) = said else {
        return entry.lost(
            "litellm_params",
            "an environment variable is not set here that its address is made of: set it and import again",
        );
    };
    params.finish_known();
    let Some((prefix, model)) = provider_of(&full, api_base.is_some()) else {
        let prefix = full.split('/').next().unwrap_or_default();
        return entry.lost(
            "litellm_params.model",
            format!("keygate has no kind of provider for `{prefix}`"),
        );
    };
    let Some((_, kind, variable)) = PREFIXES.iter().find(|(known, ..)| *known == prefix) else {
        return;
    };
    let mut planned = at(kind, api_base, version, model);
    planned.name = prefix.replace("_chat", "");
    if let Some(organization) = organization {
        if HeaderValue::from_str(&organization).is_err() {
            return entry.lost("litellm_params.organization", "it cannot stand in a header");
        }
        let organization = toml_edit::Value::from(organization);
        let table = format!("{{ OpenAI-Organization = {organization} }}");
        planned.settings.push(("headers", table));
    }
    if let Some((name, why)) = planned.fault() {
        return entry.lost(
            "litellm_params",
            format!("{name} {why}: the entry is left out"),
        );
    }
    planned.token = match api_key.as_deref() {
        None if Kind::named(planned.kind).is_some_and(|kind| kind.tokenless) => "none".to_owned(),
        None => format!("env:{variable}"),
        Some(key) => match token(key, prefix, plan) {
            Ok(reference) => reference,
            Err(why) => {
                return entry.lost(
                    "litellm_params.api_key",
                    format!("{why}: the entry is left out"),
                );
            }
        },
    };
    let known = plan.providers.len();
    let name = plan.add_provider(planned);
    if !aliases.insert(alias.clone()) {
        entry.lost("model_name", format!(
            "there is another entry of that name: keygate does not spread requests, `/{name}` is a route of its own"
        ));
    }
    if plan.providers.len() > known {
        plan.routes.push(PlannedRoute {
            name: name.clone(),
            path: format!("/{name}"),
            provider: name.clone(),
            keys: Some(BTreeMap::new()),
            ..PlannedRoute::default()
        });
    }
    if alias != model {
        entry.lost("model_name", format!(
            "keygate does not change bodies: clients of `/{name}` say `{model}` where they said `{alias}`"
        ));
    }
}

/// The provider of a deployment: where it is, and of which kind.
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

/// A value, or what stands in the environment variable that it names.
fn variable(value: Option<String>) -> Result<Option<String>, std::env::VarError> {
    match value
        .as_deref()
        .and_then(|value| value.strip_prefix("os.environ/"))
    {
        Some(name) => std::env::var(name).map(Some),
        None => Ok(value),
    }
}

/// What stands before a model, and the model; `None` for a provider that keygate has no kind for. What has an
/// address of its own is taken for something like `OpenAI`.
fn provider_of(full: &str, has_address: bool) -> Option<(&str, &str)> {
    let known = |prefix: &str| PREFIXES.iter().any(|(known, ..)| *known == prefix);
    match full.split_once('/') {
        Some((prefix, model)) if known(prefix) => Some((prefix, model)),
        _ if has_address => Some(("openai", full)),
        Some(_) => None,
        // As LiteLLM guesses it.
        None => {
            let begins =
                |beginnings: &[&str]| beginnings.iter().any(|begin| full.starts_with(begin));
            if begins(&["claude"]) {
                Some(("anthropic", full))
            } else if begins(&["gemini"]) {
                Some(("gemini", full))
            } else if begins(&["command"]) {
                Some(("cohere", full))
            } else if begins(&[
                "gpt-",
                "o1",
                "o3",
                "o4",
                "chatgpt-",
                "text-embedding-",
                "dall-e",
                "whisper",
                "tts",
            ]) {
                Some(("openai", full))
            } else {
                None
            }
        }
    }
}

/// The reference to a token that is written down.
fn token(written: &str, prefix: &str, plan: &mut Plan) -> Result<String, &'static str> {
    if let Some(variable) = written.strip_prefix("os.environ/") {
        if variable.is_empty() {
            return Err("names no environment variable");
        }
        return Ok(format!("env:{variable}"));
    }
    if without_scheme(written.as_bytes()).is_empty() {
        return Err("is empty");
    }
    Secret::new(written.to_owned())?;
    let token = written.trim();
    // The same token in several entries is one file.
    let same = plan
        .secrets
        .iter()
        .find(|(_, known)| known.as_str() == token);
    if let Some((name, _)) = same {
        return Ok(format!("file:secrets/{name}"));
    }
    Ok(plan.keep_secret(&format!("{prefix}-token"), Zeroizing::new(token.to_owned())))
}

/// The key that opens everything there, and here.
fn master_key(general: &Fields<'_>, master: &str, plan: &mut Plan) {
    let value = match master.strip_prefix("os.environ/") {
        None => master.to_owned(),
        Some(variable) => match std::env::var(variable) {
            Ok(value) => value,
            Err(_) => {
                return general.lost("master_key", format!(
                    "{variable} is not set here: set it and import again, or add the key with `keygate keys import`"
                ));
            }
        },
    };
    if value.trim().is_empty() {
        return general.lost("master_key", "it is empty");
    }
    general.say(
        "master_key",
        "it opens every route, as the key `master`; it administers nothing here",
    );
    let _ = plan.add_key(PlannedKey {
        id: "master".to_owned(),
        digest: KeyDigest::of(value.trim().as_bytes()),
        labels: BTreeMap::new(),
        metadata: BTreeMap::new(),
        expires: None,
        disabled: false,
        comment: "LiteLLM's master key".to_owned(),
    });
}

/// The table `LiteLLM_VerificationToken`: `token` is the SHA-256 of a key.
fn key_table(file: &str, text: &str, plan: &mut Plan, notes: &Notes) -> Result<(), String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader
        .headers()
        .map_err(|error| format!("{file}: {error}"))?
        .clone();
    let place = |name: &str| headers.iter().position(|header| header == name);
    let token = place("token").ok_or_else(|| format!("{file}:1: there is no column `token`"))?;
    let mut limited = BTreeSet::new();
    for (number, row) in reader.records().enumerate() {
        let at = format!("{file}:{}", number + 2);
        let row = row.map_err(|error| format!("{at}: {error}"))?;
        let field = |name: &str| {
            let value = row.get(place(name)?)?.trim();
            (!["", "null", "NULL", "{}", "[]", "\\N"].contains(&value)).then_some(value)
        };
        let hash = row.get(token).unwrap_or_default().trim();
        let digest =
            KeyDigest::parse(&format!("sha256:{}", hash.to_ascii_lowercase())).map_err(|_| {
                format!("{at}: `token` is not the SHA-256 of a key, in hexadecimal digits")
            })?;
        let short = hash.get(..8).unwrap_or_default();
        let id = field("key_alias").map_or_else(|| format!("litellm-{short}"), str::to_owned);
        let expires = match field("expires").map(time) {
            Some(None) => return Err(format!("{at}: `expires` is no time")),
            Some(end) => end.filter(|end| *end != Timestamp::MAX),
            None => None,
        };
        // The dashboard's own, for as long as somebody is logged in.
        if field("team_id") == Some("litellm-dashboard") {
            continue;
        }
        limited.extend(LIMITS.iter().copied().filter(|name| field(name).is_some()));
        let rights: Vec<&str> = RIGHTS
            .iter()
            .copied()
            .filter(|name| field(name).is_some())
            .collect();
        let restricted = !rights.is_empty();
        if restricted {
            let why = format!("keygate cannot hold the key `{id}` to it: it is disabled");
            notes.lost(&at, &rights.join(", "), why);
        }
        let labels = [("team", "team_id"), ("user", "user_id")];
        let labels = labels
            .iter()
            .filter_map(|(ours, theirs)| Some(((*ours).to_owned(), field(theirs)?.to_owned())));
        let added = plan.add_key(PlannedKey {
            id: id.clone(),
            digest,
            labels: labels.collect(),
            metadata: BTreeMap::new(),
            expires,
            disabled: restricted
                || field("blocked").is_some_and(|blocked| blocked.starts_with(['t', 'T'])),
            comment: format!("from {at}"),
        });
        if let Err(other) = added {
            notes.lost(
                &at,
                "",
                format!("the key `{id}` has the same hash as `{other}`: left out"),
            );
        }
    }
    for name in limited {
        notes.lost(
            file,
            name,
            "keygate has no limits yet: keys that had one there have none here",
        );
    }
    Ok(())
}

/// A time as PostgreSQL writes it, with or without a zone: without one it is UTC.
fn time(text: &str) -> Option<Timestamp> {
    // What is later than any calendar here.
    if text.starts_with("9999") || text == "infinity" {
        return Some(Timestamp::MAX);
    }
    let spelled = text.replacen(' ', "T", 1);
    spelled.parse().ok().or_else(|| {
        // `+00`, which is not RFC 3339.
        let zoned = spelled.strip_suffix("+00").map(|local| format!("{local}Z"));
        zoned.and_then(|zoned| zoned.parse().ok()).or_else(|| {
            let local: DateTime = spelled.parse().ok()?;
            Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
        })
    })
}
