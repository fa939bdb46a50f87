//! Phase 3, inject: the client's credentials out, the provider's token and headers in. The policy is a plain function of
//! two heads; it knows no session.
//!
//! It runs once for each try, on a fresh copy of the client's head, after Pingora has removed the headers of the
//! connection: a client cannot remove through `Connection` what is written here.

use http::header::{ACCEPT_ENCODING, HOST, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora_core::Error;

use super::admit::Admission;
use super::attempt::Attempt;
use crate::grammar::list;
use crate::key::is_key_protocol;
use crate::provider::Credential;
use crate::route::Route;
use crate::secret::Secret;
use crate::usage::Metering;

/// Turns `upstream`, a copy of the client's head, into the head for the attempt's provider. `client` are the headers as
/// the client sent them. Fails only where a value cannot stand in a header, which the configuration's check rules out.
pub fn rewrite(
    admission: &Admission,
    attempt: &Attempt,
    client: &HeaderMap,
    upstream: &mut RequestHeader,
) -> Result<(), Box<Error>> {
    let route = admission.route();
    strip(route, upstream);
    if upstream.headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        strip_protocols(route, upstream)?;
    }
    if admission.upgrade() && route.metering != Metering::Off {
        // Extensions are offered by the client (RFC 6455, section 9.1): a provider that is offered none sends frames
        // that can be read.
        upstream.remove_header(&SEC_WEBSOCKET_EXTENSIONS);
    }
    if upstream.headers.contains_key(ACCEPT_ENCODING) {
        restrict_codings(upstream)?;
    }
    let provider = attempt.provider();
    for (name, value) in &provider.default_headers {
        if !upstream.headers.contains_key(name) {
            upstream.insert_header(name.clone(), value.clone())?;
        }
    }
    apply_templates(admission, client, upstream)?;
    for (name, value) in &provider.headers {
        upstream.insert_header(name.clone(), value.clone())?;
    }
    if let Credential::Header(authorization) = attempt.credential() {
        if let Some((name, feature)) = &authorization.feature {
            add_feature(upstream, name, feature)?;
        }
        upstream.insert_header(authorization.name.clone(), authorization.value.clone())?;
    }
    upstream.insert_header(HOST, provider.host.clone())?;
    upstream.set_raw_path(attempt.path().as_bytes())
}

/// Removes the client's headers that the provider must not get.
fn strip(route: &Route, upstream: &mut RequestHeader) {
    // The names that are there are looked up among those that are stripped: they are fewer.
    let names = upstream.headers.keys();
    let stripped: Vec<HeaderName> = names
        .filter(|name| route.stripped.contains(name))
        .cloned()
        .collect();
    for name in &stripped {
        upstream.remove_header(name);
    }
}

/// Writes the headers that the route's templates make of the client's and of the key's metadata.
fn apply_templates(
    admission: &Admission,
    client: &HeaderMap,
    upstream: &mut RequestHeader,
) -> Result<(), Box<Error>> {
    let metadata = |name: &str| {
        let value = admission.key().and_then(|key| key.metadata(name));
        value.map(Secret::expose)
    };
    for template in &admission.route().templates {
        match template.render(client, &metadata) {
            Some(value) => upstream.insert_header(template.name().clone(), value)?,
            None => {
                upstream.remove_header(template.name());
            }
        }
    }
    Ok(())
}

/// Leaves those of the codings that a client accepts which the meter can decode beside the stream.
fn restrict_codings(upstream: &mut RequestHeader) -> Result<(), Box<Error>> {
    let is_readable = |coding: &&str| {
        let name = coding.split(';').next().unwrap_or_default().trim();
        let mut known = ["gzip", "x-gzip", "identity"].iter();
        known.any(|known| name.eq_ignore_ascii_case(known))
    };
    let values = upstream.headers.get_all(ACCEPT_ENCODING).iter();
    // A value that is no text names no coding that can be decoded.
    let codings = values.flat_map(|value| list::elements(value.to_str().unwrap_or("?")));
    let (readable, others): (Vec<&str>, Vec<&str>) = codings.partition(is_readable);
    if others.is_empty() {
        return Ok(());
    }
    // `identity;q=0` alone would forbid every coding.
    let plain = |coding: &&str| coding.to_ascii_lowercase().starts_with("identity");
    let kept = if readable.iter().all(plain) {
        "identity".to_owned()
    } else {
        readable.join(", ")
    };
    upstream.insert_header(ACCEPT_ENCODING, kept)
}

/// Removes from the protocols that a `WebSocket` offers those that carry what is stripped from headers: a key, and
/// `openai-organization.NAME`, which is how browsers send that header.
fn strip_protocols(route: &Route, upstream: &mut RequestHeader) -> Result<(), Box<Error>> {
    let stays = |protocol: &&str| {
        let name = protocol.split('.').next().unwrap_or_default();
        !is_key_protocol(protocol) && !route.stripped.contains_text(name)
    };
    let offered = upstream
        .headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|value| list::elements(value.to_str().unwrap_or_default()));
    let kept = offered.filter(stays).collect::<Vec<_>>().join(", ");
    if kept.is_empty() {
        upstream.remove_header(&SEC_WEBSOCKET_PROTOCOL);
        return Ok(());
    }
    upstream.insert_header(SEC_WEBSOCKET_PROTOCOL, kept)
}

/// Adds a value to a header that is a list, unless the value is there.
fn add_feature(
    upstream: &mut RequestHeader,
    name: &HeaderName,
    feature: &'static str,
) -> Result<(), Box<Error>> {
    let mut values = upstream.headers.get_all(name).iter();
    let is_there = values.any(|value| {
        let mut features = list::byte_elements(value.as_bytes());
        features.any(|other| other == feature.as_bytes())
    });
    if !is_there {
        upstream.append_header(name.clone(), HeaderValue::from_static(feature))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
