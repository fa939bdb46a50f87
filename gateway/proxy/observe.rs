//! Phase 4: what comes back is looked at and passed on; its body is not changed but by `exact`.

use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_core::{Error, ErrorType};

use super::admit::Admission;
use super::conversation::{self, Conversation};
use super::cors;
use super::exchange::Exchange;
use super::location::Asked;
use super::reject::{FOREIGN_REDIRECT, REFUSED_BY, REQUEST_ID, UNEXPECTED_SWITCH};
use crate::provider::Provider;
use crate::usage::{Meter, Metering};

/// The provider's own id of the request. A text in its place would be parsed each time that it is looked for.
static ID: HeaderName = HeaderName::from_static("x-request-id");

/// What becomes of a header of a response.
#[derive(PartialEq, Eq)]
enum Treatment {
    /// The client gets it as it is.
    Pass,
    /// No client gets it.
    Drop,
    /// It holds a URL that the client may follow.
    Lead,
}

/// What becomes of the header `name`.
fn treatment(name: &HeaderName, provider: Option<&Provider>) -> Treatment {
    match name.as_str() {
        // Cookies of an account that others share.
        "set-cookie" | "set-cookie2"
        // What would send clients past the gateway, or holds for all of the gateway's origin.
        | "alt-svc" | "refresh" | "strict-transport-security" | "clear-site-data"
        | "nel" | "report-to" | "reporting-endpoints"
        // Which pages may read a response is said for the gateway's own origin, by `cors`.
        | "access-control-allow-origin" | "access-control-allow-credentials" | "access-control-allow-methods"
        | "access-control-allow-headers" | "access-control-allow-private-network"
        | "access-control-expose-headers" | "access-control-max-age"
        // Of the connection to the gateway, or of a proxy on the way there.
        | "proxy-authenticate" | "proxy-authentication-info"
        // Only the gateway says these.
        | REFUSED_BY | REQUEST_ID => return Treatment::Drop,
        // Where HTTP clients go by themselves, and where SDKs of Azure's and Google's ask next.
        "location" | "content-location" | "link"
        | "operation-location" | "azure-asyncoperation"
        | "x-goog-upload-url" | "x-goog-upload-control-url" => return Treatment::Lead,
        _ => {}
    }
    match provider {
        Some(provider) if provider.account_headers.contains(name) => Treatment::Drop,
        _ => Treatment::Pass,
    }
}

/// Refuses a head that switches to a protocol that the client has not asked for, or does so over a version of HTTP that
/// cannot: the client would take what follows for the response to its next request.
pub(super) fn check_switch(
    exchange: &Exchange,
    response: &ResponseHeader,
) -> Result<(), Box<Error>> {
    if response.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    let admission = exchange.admission.as_ref();
    if response.version == Version::HTTP_11 && admission.is_some_and(Admission::upgrade) {
        return Ok(());
    }
    Err(failed(UNEXPECTED_SWITCH))
}

/// The error that ends an exchange for what its response says.
fn failed(why: &'static str) -> Box<Error> {
    let mut error = Error::new_up(ErrorType::new(why));
    error.set_retry(false);
    error
}

/// The head of the provider's answer to `asked`.
pub(super) fn head(
    exchange: &mut Exchange,
    asked: &RequestHeader,
    response: &mut ResponseHeader,
) -> Result<(), Box<Error>> {
    if !pass_on(exchange, asked, response)? {
        return Err(failed(FOREIGN_REDIRECT));
    }
    if response.status.is_informational() && response.status != 101 {
        return Ok(());
    }
    if let Some(admission) = &exchange.admission {
        cors::apply(admission.route(), asked, response)?;
    }
    let seen = &mut exchange.seen;
    seen.status = response.status.as_u16();
    seen.first_byte = Some(seen.arrived.unwrap_or_else(Instant::now));
    let head = |name: &HeaderName| {
        response
            .headers
            .get(name)
            .map_or(&b""[..], HeaderValue::as_bytes)
    };
    // What follows an upgrade is neither JSON nor events, but frames.
    let has_body = response.status != 101;
    let meter = Meter::of(head(&CONTENT_TYPE), head(&CONTENT_ENCODING)).filter(|_| has_body);
    let metering = exchange
        .admission
        .as_ref()
        .map(|admission| admission.route().metering);
    seen.meter = match metering {
        Some(Metering::Off) => meter.and_then(Meter::without_streams),
        _ => meter,
    };
    if !has_body && metering != Some(Metering::Off) {
        let begin = |admission| Box::new(Conversation::begin(admission));
        seen.conversation = exchange.admission.as_ref().map(begin);
    }
    if let Some(exact) = &mut exchange.exact {
        exact.head(response)?;
    }
    let id = HeaderValue::from_str(exchange.id.as_str()).unwrap_or(HeaderValue::from_static(""));
    // The provider's own id is what its support asks for: ours stands beside it.
    if !response.headers.contains_key(&ID) {
        response.insert_header("x-request-id", id.clone())?;
    }
    response.insert_header(REQUEST_ID, id)?;
    if response.status.as_u16() >= 400 {
        response.insert_header(REFUSED_BY, "provider")?;
    }
    Ok(())
}

/// The trailers of the provider's response.
pub(super) fn trailers(exchange: &Exchange, trailers: &mut HeaderMap) {
    let provider = provider(exchange);
    let names = trailers.keys();
    let names = names.filter(|name| treatment(name, provider) != Treatment::Pass);
    let names: Vec<HeaderName> = names.cloned().collect();
    for name in &names {
        trailers.remove(name);
    }
}

fn provider(exchange: &Exchange) -> Option<&Provider> {
    let admission = exchange.admission.as_ref()?;
    Some(&admission.route().provider)
}

/// Takes out of the head of a response what is not for the client, and leads its URLs here. Whether the client may have
/// what is left: a redirect to elsewhere is not for it.
fn pass_on(
    exchange: &Exchange,
    client: &RequestHeader,
    response: &mut ResponseHeader,
) -> Result<bool, Box<Error>> {
    let provider = provider(exchange);
    let (mut dropped, mut leading) = (Vec::new(), Vec::new());
    for name in response.headers.keys() {
        match treatment(name, provider) {
            Treatment::Pass => {}
            Treatment::Drop => dropped.push(name.clone()),
            Treatment::Lead => leading.push(name.clone()),
        }
    }
    let interim = response.status.is_informational() && response.status != 101;
    let asked = exchange.admission.as_ref().filter(|_| !interim);
    let asked = asked.map(|admission| Asked {
        route: admission.route(),
        client,
        target: admission.target(),
        tls: exchange.rules.server.listener.tls.is_some(),
    });
    for name in &dropped {
        response.remove_header(name);
    }
    for name in leading {
        let redirects = name == LOCATION && response.status.is_redirection() && !interim;
        let led = lead(asked.as_ref(), &name, response)?;
        // That of a 305 is a proxy to use.
        if redirects && (!led || response.status == 305) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the URLs of one header lead here: asked at the provider, they would take the client's key there. Those that
/// lead elsewhere are taken out. Whether there is one left of a header that was sent once.
fn lead(
    asked: Option<&Asked<'_>>,
    name: &HeaderName,
    response: &mut ResponseHeader,
) -> Result<bool, Box<Error>> {
    let values: Vec<HeaderValue> = response.headers.get_all(name).iter().cloned().collect();
    response.remove_header(name);
    // Clients differ in which of several locations they take.
    if *name == LOCATION && values.len() != 1 {
        return Ok(false);
    }
    let mut left = false;
    for value in values {
        let text = value.to_str().ok();
        let Some(text) = asked
            .zip(text)
            .and_then(|(asked, text)| asked.lead(name, text))
        else {
            continue;
        };
        response.append_header(name.clone(), text)?;
        left = true;
    }
    Ok(left)
}

/// A chunk of the response's body; `end` says that none follows.
pub(super) fn body(exchange: &mut Exchange, body: &mut Option<Bytes>, end: bool) {
    if let Some(chunk) = body {
        match &mut exchange.seen.meter {
            Some(meter) => meter.feed(chunk),
            None => conversation::from_provider(exchange, chunk),
        }
    }
    if let Some(exact) = &mut exchange.exact {
        exact.response_body(body, end);
    }
    exchange.seen.response_bytes += body.as_ref().map_or(0, Bytes::len) as u64;
}
