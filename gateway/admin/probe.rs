//! Whether the providers' tokens work: asks each provider for something cheap that only a good token gets.
//!
//! Never by itself: it takes a POST to `/probe`, which `keygate status --probe` makes, and one at a time.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::{ACCEPT, HOST, USER_AGENT};
use pingora::http::RequestHeader;
use pingora_core::Result;
use pingora_core::connectors::http::Connector;
use serde::{Deserialize, Serialize};

use crate::provider::{Credential, Dialect, Provider};

use crate::origin::TunnelError;

/// How long one provider may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a probe found out.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Whether the token works; nothing where that cannot be told.
    pub works: Option<bool>,
    /// What the provider said, or why it was not asked.
    pub detail: String,
}

impl Probe {
    fn unknown(detail: impl Into<String>) -> Self {
        Self {
            works: None,
            detail: detail.into(),
        }
    }
}

/// Probes all providers, at once; by their names.
pub(super) async fn all(providers: &[Arc<Provider>]) -> Vec<(Arc<str>, Probe)> {
    let connector = Arc::new(Connector::new(None));
    let asked: Vec<_> = providers
        .iter()
        .map(|provider| {
            let (provider, connector) = (provider.clone(), connector.clone());
            tokio::spawn(async move { one(&provider, &connector).await })
        })
        .collect();
    let mut probes = Vec::with_capacity(asked.len());
    for (provider, probe) in providers.iter().zip(asked) {
        let ended = probe.await;
        let ended = ended.unwrap_or_else(|_| Probe::unknown("the probe failed: see the log"));
        probes.push((provider.name.clone(), ended));
    }
    probes
}

async fn one(provider: &Provider, connector: &Connector) -> Probe {
    if let Some(why) = provider.rejected() {
        return Probe::unknown(format!("not asked: {why}"));
    }
    let Ok(Credential::Header(authorization)) =
        provider.credential(None, &HeaderMap::new(), |_| true)
    else {
        return Probe::unknown("not asked: it has no token of its own");
    };
    let Some(target) = provider.paths.probe() else {
        return Probe::unknown("not asked: its API has nothing that only a token gets");
    };
    let ask = async {
        let mut request = RequestHeader::build("GET", target.as_bytes(), None)?;
        request.insert_header(HOST, provider.host.clone())?;
        request.insert_header(ACCEPT, "application/json")?;
        request.insert_header(USER_AGENT, concat!("keygate/", env!("CARGO_PKG_VERSION")))?;
        for (name, value) in provider.default_headers.iter().chain(&provider.headers) {
            request.insert_header(name.clone(), value.clone())?;
        }
        // Of what could be anywhere, it is not known that it asks for a token at all.
        if provider.kind.origin.is_none() && !provider.kind.endpoint {
            let open = status(provider, connector, request.clone()).await?;
            if open.is_some_and(|status| status < 400) {
                return Ok::<_, Box<pingora_core::Error>>(Answer::ForEverybody);
            }
        }
        if let Some((name, feature)) = &authorization.feature {
            request.append_header(name.clone(), *feature)?;
        }
        request.insert_header(authorization.name.clone(), authorization.value.clone())?;
        Ok(match status(provider, connector, request).await? {
            Some(status) => Answer::Status(status),
            None => Answer::Nowhere,
        })
    };
    match tokio::time::timeout(PATIENCE, ask).await {
        Ok(Ok(Answer::Status(status @ 200..300))) => Probe {
            works: Some(true),
            detail: format!("GET {target} was answered with {status}"),
        },
        // Google says of a wrong key that it is a bad request.
        Ok(Ok(Answer::Status(status))) if refuses(provider, status) => Probe {
            works: Some(false),
            detail: format!(
                "GET {target} was refused with {status}: the token is wrong, over, or may not do this"
            ),
        },
        Ok(Ok(Answer::ForEverybody)) => {
            Probe::unknown(format!("GET {target} is answered without a token, too"))
        }
        Ok(Ok(Answer::Status(status))) => {
            Probe::unknown(format!("GET {target} was answered with {status}"))
        }
        Ok(Ok(Answer::Nowhere)) => Probe::unknown("its name cannot be resolved"),
        // Its kind alone: its text may hold what the provider sent.
        Ok(Err(error)) => {
            let tunnel = error.root_cause().downcast_ref::<TunnelError>();
            let why = tunnel.map_or_else(|| error.etype().as_str().to_owned(), ToString::to_string);
            Probe::unknown(format!("it could not be asked: {why}"))
        }
        Err(_) => Probe::unknown(format!("no answer within {PATIENCE:?}")),
    }
}

/// What came of asking.
enum Answer {
    Status(u16),
    /// It is given to anyone.
    ForEverybody,
    /// There is no address to ask at.
    Nowhere,
}

fn refuses(provider: &Provider, status: u16) -> bool {
    matches!(status, 401 | 403) || (status == 400 && provider.kind.dialect == Dialect::Google)
}

/// The status of the response; nothing where there is no address to ask at.
async fn status(
    provider: &Provider,
    connector: &Connector,
    request: RequestHeader,
) -> Result<Option<u16>> {
    let Some((mut session, _)) = provider.endpoint.connect(connector).await? else {
        return Ok(None);
    };
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    let status = session.response_header().map(|head| head.status.as_u16());
    session.shutdown().await;
    Ok(status)
}
