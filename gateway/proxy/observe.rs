//! Phase 4: what comes back is looked at and passed on; its body is not changed but by `exact`.

use std::time::Instant;

use bytes::Bytes;
use http::header::{
    ALT_SVC, CONTENT_ENCODING, CONTENT_TYPE, HOST, SET_COOKIE, STRICT_TRANSPORT_SECURITY,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_core::Error;

use super::admit::Admission;
use super::exchange::Exchange;
use super::reject::{REFUSED_BY, REQUEST_ID};
use crate::route::Route;
use crate::usage::{Meter, Metering};

/// Headers that no client gets, whatever the kind of the provider: cookies of an account that others
/// share, and what would send browsers past the gateway.
const NOT_PASSED_ON: [HeaderName; 3] = [SET_COOKIE, ALT_SVC, STRICT_TRANSPORT_SECURITY];

/// The same names, where they are looked for: as texts they would be read each time.
static ID: HeaderName = HeaderName::from_static("x-request-id");
static REFUSER: HeaderName = HeaderName::from_static(REFUSED_BY);

/// The head of the provider's answer to `asked`.
pub(super) fn head(
    exchange: &mut Exchange,
    asked: &RequestHeader,
    answer: &mut ResponseHeader,
) -> Result<(), Box<Error>> {
    let admission = exchange.admission.as_ref();
    let dropped = |name: &&HeaderName| not_passed_on(admission).any(|dropped| dropped == *name);
    // The names that there are, and not those that there might be: of either there are few.
    let names = answer.headers.keys();
    let dropped: Vec<HeaderName> = names.filter(dropped).cloned().collect();
    for name in &dropped {
        answer.remove_header(name);
    }
    if let Some(admission) = &exchange.admission {
        let tls = exchange.rules.server.tls.is_some();
        lead_here(admission.route(), asked, tls, answer)?;
    }
    if answer.status.is_informational() && answer.status != 101 {
        return Ok(());
    }
    let seen = &mut exchange.seen;
    seen.status = answer.status.as_u16();
    seen.first_byte = Some(seen.arrived.unwrap_or_else(Instant::now));
    let head = |name: &HeaderName| {
        answer
            .headers
            .get(name)
            .map_or(&b""[..], HeaderValue::as_bytes)
    };
    let meter = Meter::of(head(&CONTENT_TYPE), head(&CONTENT_ENCODING));
    let metering = exchange
        .admission
        .as_ref()
        .map(|admission| admission.route().metering);
    seen.meter = meter.filter(|meter| !(meter.is_stream() && metering == Some(Metering::Off)));
    if let Some(exact) = &mut exchange.exact {
        exact.head(answer)?;
    }
    let id = HeaderValue::from_str(exchange.id.as_str()).unwrap_or(HeaderValue::from_static(""));
    // The provider's own id is what its support asks for: ours stands beside it.
    if !answer.headers.contains_key(&ID) {
        answer.insert_header("x-request-id", id.clone())?;
    }
    answer.insert_header(REQUEST_ID, id)?;
    if answer.status.as_u16() >= 400 {
        answer.insert_header(REFUSED_BY, "provider")?;
    } else if answer.headers.contains_key(&REFUSER) {
        // Only the gateway says this.
        answer.remove_header(&REFUSER);
    }
    Ok(())
}

/// The trailers of the provider's answer.
pub(super) fn trailers(exchange: &Exchange, trailers: &mut HeaderMap) {
    for name in not_passed_on(exchange.admission.as_ref()) {
        trailers.remove(name);
    }
}

fn not_passed_on(admission: Option<&Admission>) -> impl Iterator<Item = &HeaderName> {
    let account = admission.map(|admission| &admission.route().provider.account_headers);
    NOT_PASSED_ON.iter().chain(account.into_iter().flatten())
}

/// A URL at the provider that the client is to ask next becomes one here: asked there, the client's key
/// would go to the provider, and open nothing.
fn lead_here(
    route: &Route,
    asked: &RequestHeader,
    tls: bool,
    answer: &mut ResponseHeader,
) -> Result<(), Box<Error>> {
    for name in &route.provider.links {
        if !answer.headers.contains_key(name) {
            continue;
        }
        let urls: Vec<HeaderValue> = answer.headers.get_all(name).iter().cloned().collect();
        answer.remove_header(name);
        for url in urls {
            let here = url
                .to_str()
                .ok()
                .and_then(|url| here(route, asked, tls, url));
            answer.append_header(name.clone(), here.unwrap_or(url))?;
        }
    }
    Ok(())
}

/// Where a client finds what the provider has at `url`; `None` where that is not the provider's.
fn here(route: &Route, asked: &RequestHeader, tls: bool, url: &str) -> Option<HeaderValue> {
    let known = |path| {
        format!(
            "{}{}",
            route.path.as_str(),
            route.provider.paths.client_side(path)
        )
    };
    if url.starts_with('/') && !url.starts_with("//") {
        return HeaderValue::from_str(&known(url)).ok();
    }
    let path = route.provider.path_of(url)?;
    let authority = asked.headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority =
        authority.or_else(|| asked.uri.authority().map(http::uri::Authority::as_str))?;
    // Said by the client or by whatever ended its TLS: it only tells the client where it came from.
    let proto = asked.headers.get("x-forwarded-proto");
    let secure = tls || proto.is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
    let scheme = if secure { "https" } else { "http" };
    HeaderValue::from_str(&format!("{scheme}://{authority}{}", known(path))).ok()
}

/// A piece of the answer's body; `end` says that none follows.
pub(super) fn body(exchange: &mut Exchange, body: &mut Option<Bytes>, end: bool) {
    if let (Some(meter), Some(piece)) = (&mut exchange.seen.meter, &body) {
        meter.feed(piece);
    }
    if let Some(exact) = &mut exchange.exact {
        exact.answer_body(body, end);
    }
    exchange.seen.response_bytes += body.as_ref().map_or(0, Bytes::len) as u64;
}
