//! Phase 3: the client's credentials out, the provider's headers in.
//!
//! Runs once per attempt, each time on a fresh copy of the client's head, after Pingora has taken
//! out what belongs to the connection: nothing a client nominates in `Connection` can remove what
//! is put in here.

use http::header::{HOST, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora_core::Error;

use super::admit::Admission;
use crate::key::is_key_protocol;
use crate::provider::Credential;
use crate::route::Route;
use crate::secret::Secret;

/// Makes the client's head into the provider's. `client` are the headers as the client sent them.
pub(super) fn rewrite(
    admission: &Admission,
    client: &HeaderMap,
    upstream: &mut RequestHeader,
) -> Result<(), Box<Error>> {
    let route = admission.route();
    let provider = &route.provider;
    for name in &route.stripped {
        upstream.remove_header(name);
    }
    if upstream.headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        strip_protocols(route, upstream)?;
    }
    for (name, value) in &provider.default_headers {
        if !upstream.headers.contains_key(name) {
            upstream.insert_header(name.clone(), value.clone())?;
        }
    }
    let metadata = |name: &str| {
        admission
            .key()
            .and_then(|key| key.metadata(name))
            .map(Secret::expose)
    };
    for template in &route.templates {
        match template.render(client, &metadata) {
            Some(value) => upstream.insert_header(template.name().clone(), value)?,
            None => {
                upstream.remove_header(template.name());
            }
        }
    }
    for (name, value) in &provider.headers {
        upstream.insert_header(name.clone(), value.clone())?;
    }
    if let Credential::Header(authorization) = admission.credential() {
        if let Some((name, feature)) = &authorization.feature {
            add_feature(upstream, name, feature)?;
        }
        upstream.insert_header(authorization.name.clone(), authorization.value.clone())?;
    }
    upstream.insert_header(HOST, provider.host.clone())?;
    upstream.set_raw_path(admission.target().as_bytes())
}

/// Takes out of the protocols that a `WebSocket` offers what would go if it stood in a header: a key, and
/// `openai-organization.NAME`, as browsers write that header.
fn strip_protocols(route: &Route, upstream: &mut RequestHeader) -> Result<(), Box<Error>> {
    let stays = |protocol: &&str| {
        let name = protocol.split('.').next().unwrap_or_default();
        !is_key_protocol(protocol) && !route.stripped.iter().any(|header| header == name)
    };
    let offered = upstream.headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let offered = offered.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    let kept: Vec<&str> = offered.map(str::trim).filter(stays).collect();
    let kept = kept.join(", ");
    if kept.is_empty() {
        upstream.remove_header(&SEC_WEBSOCKET_PROTOCOL);
        return Ok(());
    }
    upstream.insert_header(SEC_WEBSOCKET_PROTOCOL, kept)
}

/// Adds a value to a header that is a list of them.
fn add_feature(
    upstream: &mut RequestHeader,
    name: &HeaderName,
    feature: &'static str,
) -> Result<(), Box<Error>> {
    let mut values = upstream.headers.get_all(name).iter();
    let is_there = values.any(|value| {
        let mut parts = value.as_bytes().split(|byte| *byte == b',');
        parts.any(|part| part.trim_ascii() == feature.as_bytes())
    });
    if !is_there {
        upstream.append_header(name.clone(), HeaderValue::from_static(feature))?;
    }
    Ok(())
}
