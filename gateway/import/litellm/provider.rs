//! The provider of a deployment: its kind, its address and its token.

use http::HeaderValue;
use zeroize::Zeroizing;

use crate::grammar::authorization::without_bearer;
use crate::import::fields::Fields;
use crate::import::litellm::common_settings::CommonSettings;
use crate::import::litellm::known::KnownProvider;
use crate::import::litellm::place::{Fault, Place};
use crate::import::litellm::target::Target;
use crate::import::plan::Plan;
use crate::import::provider::{PlannedProvider, resource, stays_private};
use crate::provider::Kind;
use crate::secret::Secret;

/// Makes the provider of a target at a place. The fields `params` get a note if it needs one.
pub(super) fn provider(
    target: Target<'_>,
    place: &Place,
    common: &CommonSettings<'_>,
    plan: &mut Plan,
    params: &Fields<'_>,
) -> Result<PlannedProvider, Fault> {
    let known = target.provider;
    let mut planned = at_address(target, place, common)?;
    set_endpoint(&mut planned);
    set_organization(&mut planned, place)?;
    if planned.own_url().is_some_and(|url| stays_private(&url)) {
        planned.allow_plain_http();
    }
    if let Some((name, why)) = planned.problem() {
        return Err(Fault::new("", format!("{name} {why}")));
    }
    let api_key = place.get("api_key").cloned();
    planned.token = match api_key.or_else(|| key_in_environment(known, common)) {
        Some(key) => {
            token(&key, known.prefix, common, plan).map_err(|why| Fault::new("api_key", why))?
        }
        None => token_without_key(known, &planned, params)?,
    };
    Ok(planned)
}

/// Makes the provider with its address: the deployment's own, the one common to all, or that of the
/// known provider.
fn at_address(
    target: Target<'_>,
    place: &Place,
    common: &CommonSettings<'_>,
) -> Result<PlannedProvider, Fault> {
    let known = target.provider;
    let configured = match place.get("api_base") {
        Some(own) => Some(own.clone()),
        None => common
            .address_of(known)
            .map_err(|why| Fault::new("", why))?,
    };
    let api_base = configured.or_else(|| known.base_url.map(str::to_owned));
    let version = place.get("api_version").cloned();
    let mut planned = at(known.kind, api_base, version, target.model);
    planned.name = known.prefix.replace("_chat", "");
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

/// Sets the path of requests if the address has no version: `LiteLLM` does not add one either.
fn set_endpoint(planned: &mut PlannedProvider) {
    let mut settings = planned.settings.iter();
    let base = settings.find(|(name, _)| *name == "base_url");
    if planned.kind == "custom" && base.is_some_and(|(_, base)| !base.ends_with("/v1")) {
        let endpoint = "/chat/completions".to_owned();
        planned.settings.push(("default_endpoint", endpoint));
    }
}

/// Sets the header that names the organization, if the deployment names one.
fn set_organization(planned: &mut PlannedProvider, place: &Place) -> Result<(), Fault> {
    let Some(organization) = place.get("organization") else {
        return Ok(());
    };
    if HeaderValue::from_str(organization).is_err() {
        return Err(Fault::new("organization", "it cannot stand in a header"));
    }
    let organization = toml_edit::Value::from(organization);
    let table = format!("{{ OpenAI-Organization = {organization} }}");
    planned.settings.push(("headers", table));
    Ok(())
}

/// The first environment variable with a token of this provider that is set.
fn key_in_environment(known: &KnownProvider, common: &CommonSettings<'_>) -> Option<String> {
    let mut variables = known.tokens.iter();
    let variable = variables.find(|token| common.is_set(token))?;
    Some(format!("os.environ/{variable}"))
}

/// The setting `token` of a provider for which there is no key.
fn token_without_key(
    known: &KnownProvider,
    planned: &PlannedProvider,
    params: &Fields<'_>,
) -> Result<String, Fault> {
    let is_tokenless = Kind::named(planned.kind).is_some_and(|kind| kind.tokenless)
        // LiteLLM needs no key here either.
        || known.kind == "custom" && known.base_url.is_none() && planned.is_in_private_network();
    if is_tokenless {
        return Ok("none".to_owned());
    }
    let Some(variable) = known.tokens.first() else {
        return Err(Fault::new(
            "api_key",
            "there is none, and keygate does not know which one goes to this provider",
        ));
    };
    if known.keyless {
        params.note("api_key", format!(
            "there is none, so requests carry no token; if LiteLLM runs with {variable}, set it here and import again"
        ));
        return Ok("none".to_owned());
    }
    Ok(format!("env:{variable}"))
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
