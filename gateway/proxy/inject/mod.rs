//! Phase 3, inject: the client's credentials out, the provider's token and headers in. The policy is a plain function of
//! two heads; it knows no session.
//!
//! It runs once for each try, on a fresh copy of the client's head, after Pingora has removed the headers of the
//! connection: a client cannot remove through `Connection` what is written here.

use http::header::{ACCEPT_ENCODING, HOST, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora_core::{Error, ErrorType, OrErr};

use super::admit::Admission;
use super::attempt::Attempt;
use super::header_map::edit_request;
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
    edit_request(upstream, attempt.path(), |headers| {
        strip_client(admission, headers)?;
        write_provider(admission, attempt, client, headers)
    })
}

/// Removes from `headers` what the provider must not get of the client's, or could not be metered by.
fn strip_client(admission: &Admission, headers: &mut HeaderMap) -> Result<(), Box<Error>> {
    let route = admission.route();
    strip(route, headers);
    if headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        strip_protocols(route, headers)?;
    }
    if admission.upgrade() && route.metering != Metering::Off {
        // Extensions are offered by the client (RFC 6455, section 9.1): a provider that is offered none sends frames
        // that can be read.
        headers.remove(SEC_WEBSOCKET_EXTENSIONS);
    }
    if headers.contains_key(ACCEPT_ENCODING) {
        restrict_codings(headers)?;
    }
    Ok(())
}

/// Writes into `headers` those of the provider, with its token.
fn write_provider(
    admission: &Admission,
    attempt: &Attempt,
    client: &HeaderMap,
    headers: &mut HeaderMap,
) -> Result<(), Box<Error>> {
    let provider = attempt.provider();
    for (name, value) in &provider.default_headers {
        if !headers.contains_key(name) {
            insert(headers, name.clone(), value.clone())?;
        }
    }
    apply_templates(admission, client, headers)?;
    for (name, value) in &provider.headers {
        insert(headers, name.clone(), value.clone())?;
    }
    if let Credential::Header(authorization) = attempt.credential() {
        if let Some((name, feature)) = &authorization.feature {
            add_feature(headers, name, feature)?;
        }
        let (name, value) = (&authorization.name, &authorization.value);
        insert(headers, name.clone(), value.clone())?;
    }
    insert(headers, HOST, provider.host.clone())
}

/// Sets a header in place of all of its name.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), Box<Error>> {
    let inserted = headers.try_insert(name, value);
    inserted.or_err(ErrorType::InvalidHTTPHeader, "too many headers")?;
    Ok(())
}

/// Sets a header to a text.
fn insert_text(headers: &mut HeaderMap, name: HeaderName, text: String) -> Result<(), Box<Error>> {
    let value = HeaderValue::try_from(text);
    let value = value.or_err(ErrorType::InvalidHTTPHeader, "a value that is none")?;
    insert(headers, name, value)
}

/// Removes the client's headers that the provider must not get.
fn strip(route: &Route, headers: &mut HeaderMap) {
    // The names that are there are looked up among those that are stripped: they are fewer.
    let names = headers.keys();
    let stripped: Vec<HeaderName> = names
        .filter(|name| route.stripped.contains(name))
        .cloned()
        .collect();
    for name in &stripped {
        headers.remove(name);
    }
}

/// Writes the headers that the route's templates make of the client's and of the key's metadata.
fn apply_templates(
    admission: &Admission,
    client: &HeaderMap,
    headers: &mut HeaderMap,
) -> Result<(), Box<Error>> {
    let metadata = |name: &str| {
        let value = admission.key().and_then(|key| key.metadata(name));
        value.map(Secret::expose)
    };
    for template in &admission.route().templates {
        match template.render(client, &metadata) {
            Some(value) => insert(headers, template.name().clone(), value)?,
            None => {
                headers.remove(template.name());
            }
        }
    }
    Ok(())
}

/// Leaves those of the codings that a client accepts which the meter can decode beside the stream.
fn restrict_codings(headers: &mut HeaderMap) -> Result<(), Box<Error>> {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    // A value that is no text names no coding that can be decoded.
    let codings = values.flat_map(|value| list::elements(value.to_str().unwrap_or("?")));
    let (mut kept, mut are_all_kept, mut are_plain) = (String::new(), true, true);
    for coding in codings {
        if !is_readable(coding) {
            are_all_kept = false;
            continue;
        }
        are_plain &= is_identity(coding);
        if !kept.is_empty() {
            kept.push_str(", ");
        }
        kept.push_str(coding);
    }
    if are_all_kept {
        Ok(())
    } else if are_plain {
        // `identity;q=0` alone would forbid every coding.
        insert(
            headers,
            ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        )
    } else {
        insert_text(headers, ACCEPT_ENCODING, kept)
    }
}

/// Whether the meter can decode a coding, which may have parameters.
fn is_readable(coding: &str) -> bool {
    let end = coding.find(';').unwrap_or(coding.len());
    let name = coding.get(..end).unwrap_or_default().trim_ascii();
    let mut known = ["gzip", "x-gzip", "identity"].iter();
    known.any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a coding begins with the name of none.
fn is_identity(coding: &str) -> bool {
    let start = coding.get(.."identity".len());
    start.is_some_and(|start| start.eq_ignore_ascii_case("identity"))
}

/// Removes from the protocols that a `WebSocket` offers those that carry what is stripped from headers: a key, and
/// `openai-organization.NAME`, which is how browsers send that header.
fn strip_protocols(route: &Route, headers: &mut HeaderMap) -> Result<(), Box<Error>> {
    let stays = |protocol: &&str| {
        let name = protocol.split('.').next().unwrap_or_default();
        !is_key_protocol(protocol) && !route.stripped.contains_text(name)
    };
    let offered = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|value| list::elements(value.to_str().unwrap_or_default()));
    let kept = offered.filter(stays).collect::<Vec<_>>().join(", ");
    if kept.is_empty() {
        headers.remove(SEC_WEBSOCKET_PROTOCOL);
        return Ok(());
    }
    insert_text(headers, SEC_WEBSOCKET_PROTOCOL, kept)
}

/// Adds a value to a header that is a list, unless the value is there.
fn add_feature(
    headers: &mut HeaderMap,
    name: &HeaderName,
    feature: &'static str,
) -> Result<(), Box<Error>> {
    let mut values = headers.get_all(name).iter();
    let is_there = values.any(|value| {
        let mut features = list::byte_elements(value.as_bytes());
        features.any(|other| other == feature.as_bytes())
    });
    if !is_there {
        let appended = headers.try_append(name, HeaderValue::from_static(feature));
        appended.or_err(ErrorType::InvalidHTTPHeader, "too many headers")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
