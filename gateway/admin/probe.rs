//! Whether the providers' tokens work: requests something cheap from each provider that only a valid token gets.
//!
//! Runs for a POST to `/probe` only, which `keygate status --probe` makes, and one at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use serde::{Deserialize, Serialize};

use crate::origin::{CallError, CallRequest, Caller};
use crate::provider::{Authorization, Credential, ErrorFormat, Provider};

/// How long one provider may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The result of probing one provider.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// Whether the token works; `None` where the probe cannot tell.
    pub(crate) works: Option<bool>,
    /// How the provider responded, or why it was not probed.
    pub(crate) detail: String,
}

impl Probe {
    fn unknown(detail: impl Into<String>) -> Self {
        Self {
            works: None,
            detail: detail.into(),
        }
    }
}

/// Probes all providers at once, and returns the results by the providers' names.
pub(super) async fn all(providers: &[Arc<Provider>]) -> Vec<(Arc<str>, Probe)> {
    let caller = Arc::new(Caller::new());
    let spawned: Vec<_> = providers
        .iter()
        .map(|provider| {
            let (probed, caller) = (provider.clone(), caller.clone());
            let probe = tokio::spawn(async move { probe(&probed, &caller).await });
            (provider.name.clone(), probe)
        })
        .collect();
    let mut probes = Vec::with_capacity(spawned.len());
    for (name, probe) in spawned {
        let probe = probe
            .await
            .unwrap_or_else(|_| Probe::unknown("the probe failed: see the log"));
        probes.push((name, probe));
    }
    probes
}

async fn probe(provider: &Provider, caller: &Caller) -> Probe {
    if let Some(why) = provider.rejected() {
        return Probe::unknown(format!("not probed: {why}"));
    }
    let Ok(Credential::Header(authorization)) =
        provider.credential(None, &HeaderMap::new(), |_| true)
    else {
        return Probe::unknown("not probed: it has no token of its own");
    };
    let Some(target) = provider.paths.probe() else {
        return Probe::unknown("not probed: its API has nothing that only a token gets");
    };
    let outcome = respond(provider, caller, target, &authorization).await;
    describe(provider, target, outcome)
}

/// How a provider responded to a probe.
enum Outcome {
    Status(u16),
    /// It responds to requests without a token as well.
    Unprotected,
}

/// Sends the probe. A provider that could be anywhere is first sent the request without a token: its API may not want
/// one, and then a good response proves nothing about the token.
async fn respond(
    provider: &Provider,
    caller: &Caller,
    target: &str,
    authorization: &Authorization,
) -> Result<Outcome, CallError> {
    let begun = Instant::now();
    let mut request = request(provider, target);
    if provider.kind.origin.is_none() && !provider.kind.endpoint {
        let open = caller.status(&provider.endpoint, &request, TIMEOUT).await?;
        if open.as_u16() < 400 {
            return Ok(Outcome::Unprotected);
        }
    }
    if let Some((name, feature)) = &authorization.feature {
        request.append(name.clone(), HeaderValue::from_static(feature));
    }
    request.set(authorization.name.clone(), authorization.value.clone());
    let left = TIMEOUT.saturating_sub(begun.elapsed());
    let status = caller.status(&provider.endpoint, &request, left).await?;
    Ok(Outcome::Status(status.as_u16()))
}

/// The probe without its token.
fn request(provider: &Provider, target: &str) -> CallRequest {
    let mut request = CallRequest::new(Method::GET, provider.host.clone(), target);
    request.set(ACCEPT, HeaderValue::from_static("application/json"));
    let agent = concat!("keygate/", env!("CARGO_PKG_VERSION"));
    request.set(USER_AGENT, HeaderValue::from_static(agent));
    for (name, value) in provider.default_headers.iter().chain(&provider.headers) {
        request.set(name.clone(), value.clone());
    }
    request
}

fn describe(provider: &Provider, target: &str, outcome: Result<Outcome, CallError>) -> Probe {
    match outcome {
        Ok(Outcome::Status(status @ 200..300)) => Probe {
            works: Some(true),
            detail: format!("GET {target} was answered with {status}"),
        },
        Ok(Outcome::Status(status)) if refuses(provider, status) => Probe {
            works: Some(false),
            detail: format!(
                "GET {target} was refused with {status}: the token is wrong, over, or may not do this"
            ),
        },
        Ok(Outcome::Unprotected) => {
            Probe::unknown(format!("GET {target} is answered without a token, too"))
        }
        Ok(Outcome::Status(status)) => {
            Probe::unknown(format!("GET {target} was answered with {status}"))
        }
        Err(error @ CallError::Unresolved) => Probe::unknown(error.to_string()),
        Err(CallError::TimedOut(_)) => Probe::unknown(format!("no response within {TIMEOUT:?}")),
        Err(error) => Probe::unknown(format!("the request failed: {error}")),
    }
}

/// Whether a status refuses the token. Google responds to a wrong key with 400.
fn refuses(provider: &Provider, status: u16) -> bool {
    matches!(status, 401 | 403)
        || (status == 400 && provider.kind.error_format == ErrorFormat::Google)
}
