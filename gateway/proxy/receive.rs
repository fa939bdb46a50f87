//! Phase 1: takes in a request. Its head is checked, its client's address noted, and then it is decided whether it may
//! come in ([`Admission`]) and what is tried for it ([`Attempt`]).

use std::net::IpAddr;

use pingora_core::protocols::http::v1::server::HttpSession;
use pingora_proxy::Session;

use super::admit::{Admission, RequestParts};
use super::attempt::Attempt;
use super::client_address::ClientAddress;
use super::connection;
use super::exchange::Exchange;
use super::head::check_head;
use super::header_map::drop_spelling;
use super::reject::{Reason, Rejection};
use crate::key::KeyFailure;
use crate::limit::by_address::AtAddress;
use crate::limit::failed_keys::FailedKeyLimiter;
use crate::route::{Access, request_path};

/// Decides about the request whose head is in `session`. Fails with the refusal that the client is to get.
pub(super) fn request(
    session: &mut Session,
    exchange: &mut Exchange,
) -> Result<(Admission, Attempt), Rejection> {
    set_timeouts(session, exchange);
    let client = client_address(session, exchange);
    check(session, exchange).map_err(Rejection::unrouted)?;
    drop_spelling(session.req_header_mut());
    let request = session.req_header();
    let path =
        request_path(request.raw_path()).map_err(|_| Rejection::unrouted(Reason::BadPath))?;
    exchange.stats.path.push_str(&path.path);
    exchange.address_permit = address_permit(exchange, &client)?;
    let now = exchange.clock_time();
    // The exchange goes on without the snapshot: a stream must not hold keys that are replaced meanwhile.
    let Some(snapshot) = exchange.snapshot.take() else {
        return Err(Rejection::unrouted(Reason::Internal));
    };
    let decided = Admission::decide(&snapshot, request, &path, now);
    let (admission, parts) = limit_failed_keys(exchange, client.limited, decided)?;
    let attempt = Attempt::begin(&admission, &parts, &snapshot.rules.router)?;
    Ok((admission, attempt))
}

/// Ends the deadline of the head, which is complete, and sets the timeouts on the client's side.
fn set_timeouts(session: &mut Session, exchange: &Exchange) {
    exchange.watchdog.clear();
    let server = &exchange.rules.server;
    session.set_read_timeout(Some(server.limits.client_read));
    session.set_write_timeout(Some(server.limits.client_write));
}

/// Notes the client's address and the method.
fn client_address(session: &Session, exchange: &mut Exchange) -> ClientAddress {
    let request = session.req_header();
    let peer = session
        .client_addr()
        .and_then(|address| address.as_inet().copied());
    let client = ClientAddress::of(peer, &request.headers, &exchange.rules);
    exchange.stats.client = client.address;
    exchange.stats.method = known_method(&request.method);
    client
}

/// Checks the head for itself, without a route.
fn check(session: &Session, exchange: &Exchange) -> Result<(), Reason> {
    if let Some(reason) = connection::refused() {
        return Err(reason);
    }
    let raw = session
        .as_http1()
        .map(HttpSession::get_headers_raw_bytes)
        .unwrap_or_default();
    check_head(&exchange.rules, session.req_header(), &raw)
}

/// Counts the request for its client's address, where the connection counts for none.
fn address_permit(
    exchange: &Exchange,
    client: &ClientAddress,
) -> Result<Option<Box<AtAddress>>, Rejection> {
    let (Some(address), true) = (client.limited, client.shares_connection) else {
        return Ok(None);
    };
    let most = exchange.rules.server.limits.max_connections_per_address;
    let permit = exchange
        .shared
        .by_address
        .enter(address, most)
        .ok_or_else(|| Rejection::unrouted(Reason::TooManyConnections))?;
    Ok(Some(Box::new(permit)))
}

/// What [`Admission::decide`] decided.
type Decided<'r> = Result<(Admission, RequestParts<'r>), Rejection>;

/// Refuses the request instead if its client's address came with too many invalid keys, whatever was decided: such a
/// client must not learn whether its next key is valid. Counts the failure otherwise, if there is one.
fn limit_failed_keys<'r>(
    exchange: &Exchange,
    address: Option<IpAddr>,
    decided: Decided<'r>,
) -> Decided<'r> {
    let limit = exchange.rules.server.limits.failed_keys_per_address;
    let limiter = &exchange.shared.failed_keys;
    match address {
        Some(address) if limit > 0 => limit_address(limiter, address, limit, decided),
        _ => decided,
    }
}

fn limit_address<'r>(
    limiter: &FailedKeyLimiter,
    address: IpAddr,
    limit: u32,
    decided: Decided<'r>,
) -> Decided<'r> {
    let route = match &decided {
        Ok((admission, _)) => Some(admission.route()),
        Err(rejection) => rejection.route.as_ref(),
    };
    // Only where a key is wanted can one be guessed.
    let Some(route) = route.filter(|route| route.access != Access::Open) else {
        return decided;
    };
    let failure = decided.as_ref().err().map(|rejection| rejection.reason);
    if failure == Some(Reason::Preflight) {
        return decided;
    }
    let now = limiter.now();
    if limiter.is_over(&address, now) {
        return Err(Rejection::on(route, Reason::TooManyFailedKeys));
    }
    if matches!(failure, Some(Reason::InvalidKey(why)) if why != KeyFailure::Missing) {
        limiter.failed(&address, limit, now);
    }
    decided
}

/// The method for logs and metrics, which a client could fill with any text.
fn known_method(method: &http::Method) -> &'static str {
    const KNOWN: [&str; 8] = [
        "POST", "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE",
    ];
    let known = KNOWN.into_iter().find(|known| *known == method.as_str());
    known.unwrap_or("other")
}
