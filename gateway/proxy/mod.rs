//! The request's path. Read [`Proxy`]'s phases downwards: that is what happens to a request.
//!
//! Each phase is a few lines that adapt Pingora's session to a decision in the file of its name.
//! Nothing here knows a configuration file; nothing here blocks.

pub mod admit;
mod body;
mod client_address;
pub mod connection;
mod consumption;
pub mod conversation;
mod cors;
mod dialect;
pub mod exchange;
mod forward;
mod header_names;
mod http10;
pub mod inject;
mod location;
mod observe;
mod record;
pub mod reject;
mod respond;
pub mod stream_usage;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use self::admit::{Admission, check_head};
use self::body::bound_the_body;
use self::client_address::ClientAddress;
use self::exchange::Exchange;
use self::reject::{Reason, Rejection};
use self::respond::{end_with_this_response, final_status, respond};
use self::stream_usage::StreamUsage;
use crate::access_log::AccessLog;
use crate::key::KeyFailure;
use crate::limit::by_address::ByAddress;
use crate::limit::failed_keys::FailedKeyLimiter;
use crate::origin::TunnelError;
use crate::route::{Access, request_path};
use crate::runtime::in_flight::InFlight;
use crate::runtime::watchdog;
use crate::snapshot::Live;
use crate::telemetry::Telemetry;

/// How often a request is tried at most, for Pingora.
pub const ATTEMPTS: usize = forward::MAX_CONNECTS + 1;

/// How long after its end an exchange that has no response yet is cut off without one.
const GRACE: Duration = Duration::from_secs(5);

/// How long an address waits that came with too many keys that open nothing.
pub const PENALTY: Duration = Duration::from_secs(1);

/// What all exchanges share.
pub struct Shared {
    /// The snapshot that serves now.
    pub live: Arc<Live>,
    /// Where access lines go.
    pub access_log: AccessLog,
    /// How many exchanges are going on.
    pub in_flight: Arc<InFlight>,
    /// Who came with too many keys that open nothing.
    pub failed_keys: FailedKeyLimiter,
    /// How many requests a client has, where proxies in front name it in a header.
    pub by_address: Arc<ByAddress>,
    /// Whether connections are to end with the next response: another process takes the ones that follow.
    pub closing: Arc<AtomicBool>,
    /// What makes spans of them, if anything does.
    pub telemetry: Option<Telemetry>,
}

/// The gateway, as Pingora sees it.
pub struct Proxy(Arc<Shared>);

impl Proxy {
    /// A gateway on `shared`.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Box<Exchange>;

    /// One snapshot for the whole exchange, whatever reloads meanwhile.
    fn new_ctx(&self) -> Box<Exchange> {
        Box::new(Exchange::new(&self.0))
    }

    /// None: answers are passed on as they are.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    /// 1 admit: route, key -> an Admission, or a refusal is sent.
    async fn request_filter(
        &self,
        session: &mut Session,
        exchange: &mut Box<Exchange>,
    ) -> Result<bool> {
        watchdog::clear();
        bound_the_client(session, exchange);
        match admit(session, exchange) {
            Ok(admission) => {
                connection::verified();
                http10::begin(session);
                let timeouts = &admission.route().provider.endpoint.timeouts;
                let server = &exchange.rules.server;
                exchange.seen.asked = session.is_body_empty();
                if session.as_http1().is_none() && !exchange.seen.asked {
                    // Over HTTP/2, Pingora has no timeout for a body that does not come. That it does
                    // not come on may also be the provider's doing, for which there are timeouts:
                    // they end it in better order, and so they go first.
                    let orderly = timeouts.write.max(timeouts.connect * 4);
                    let pause = server.limits.client_read.max(orderly) + GRACE;
                    watchdog::set_idle_timeout(pause, exchange.started);
                }
                // A client that does not read is the cause of the pause, and ends first.
                let idle = timeouts.idle.mul_f64(0.9);
                session.set_write_timeout(Some(server.limits.client_write.min(idle)));
                if let Some(total) = timeouts.total {
                    // Until the response begins, the timeouts of its parts end it in better order.
                    watchdog::set_deadline(exchange.started + total + GRACE);
                }
                if let Some(digest) = admission.digest().filter(|_| exchange.rules.cut_revoked) {
                    let live = exchange.shared.live.clone();
                    watchdog::end_when_revoked(async move { live.revoked(digest).await });
                }
                exchange.admission = Some(admission);
                let telemetry = exchange.shared.telemetry.as_ref();
                let begin =
                    |telemetry: &Telemetry| telemetry.begin(Some(&session.req_header().headers));
                exchange.trace = telemetry.map(begin).map(Box::new);
                Ok(false)
            }
            Err(rejection) => {
                // On a connection of a proxy in front, others would wait as well.
                let is_alone = exchange.place.is_none();
                if rejection.reason == Reason::TooManyFailedKeys
                    && is_alone
                    && !connection::failed_too_often()
                {
                    session.set_keepalive(None);
                    // A new connection costs more than the response does: so whoever guesses makes few.
                    tokio::time::sleep(PENALTY).await;
                }
                exchange.rejection = Some(rejection);
                respond(session, exchange).await?;
                Ok(true)
            }
        }
    }

    /// 2 forward: the endpoint to try.
    async fn upstream_peer(
        &self,
        _session: &mut Session,
        exchange: &mut Box<Exchange>,
    ) -> Result<Box<HttpPeer>> {
        forward::next_peer(exchange).map_err(|rejection| exchange.refuse(rejection))
    }

    /// Nothing was sent: another try is safe.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Box<Exchange>,
        error: Box<Error>,
    ) -> Box<Error> {
        exchange.seen.waited_for_connection(Instant::now());
        forward::after_failed_connect(exchange, error)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        let now = Instant::now();
        exchange.seen.waited_for_connection(now);
        exchange.seen.connected = Some(now);
        exchange.seen.reused = Some(reused);
        if let Some(admission) = &exchange.admission {
            let metrics = &admission.route().metrics;
            if reused {
                &metrics.connections_reused
            } else {
                &metrics.connections_new
            }
            .inc();
        }
        if !reused {
            forward::note_reached(exchange);
        }
        Ok(())
    }

    /// 3 inject: the client's credentials out, the provider's token in.
    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        let Some(admission) = &exchange.admission else {
            return Err(exchange.refuse(Rejection::unrouted(Reason::Internal)));
        };
        inject::rewrite(admission, &session.req_header().headers, upstream)?;
        exchange.exact = StreamUsage::begin(admission, upstream)?.map(Box::new);
        if let Some(trace) = &exchange.trace {
            trace.pass_on(upstream)?;
        }
        let seen = &mut exchange.seen;
        seen.added = exchange.started.elapsed().saturating_sub(seen.connecting);
        seen.ready = Some(seen.added);
        Ok(())
    }

    /// The body goes up as it comes, up to the limit.
    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        if end_of_stream && exchange.seen.first_byte.is_none() {
            // From here on it is the provider that is waited for.
            exchange.seen.asked = true;
            watchdog::clear_idle();
        }
        if let Some(chunk) = body {
            watchdog::touch();
            exchange.seen.request_bytes += chunk.len() as u64;
            // As the client's failure: what else fails here is swallowed where the provider is sent the body over HTTP/2.
            bound_the_body(session, exchange).map_err(Error::into_down)?;
            conversation::from_client(exchange, chunk);
        }
        if let Some(exact) = &mut exchange.exact {
            exact.request_body(body, end_of_stream);
        }
        if end_of_stream {
            // Pingora would write an empty last chunk as a chunk, which is the last one, and another last one after
            // it: the beginning of whatever comes next on this connection.
            body.take_if(|chunk| chunk.is_empty());
        }
        Ok(())
    }

    /// A request on a connection that had been closed meanwhile is sent once more, if that is safe.
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        exchange: &mut Box<Exchange>,
        client_reused: bool,
    ) -> Box<Error> {
        let body_lost = session.as_ref().retry_buffer_truncated();
        let error = forward::after_broken_connection(exchange, error, client_reused, body_lost);
        if error.retry() {
            // The body is sent, and so counted, again.
            exchange.seen.request_bytes = 0;
            exchange.seen.waited_in_vain();
        }
        error
    }

    /// A head is there: what follows is the gateway's own time.
    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        exchange.seen.begun = true;
        if !head.status.is_informational() || head.status == 101 {
            exchange.seen.arrives();
        }
        observe::check_switch(exchange, head)
    }

    /// Likewise a chunk of the body.
    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        _end_of_stream: bool,
        exchange: &mut Box<Exchange>,
    ) -> Result<Option<Duration>> {
        exchange.seen.arrives();
        Ok(None)
    }

    /// 4 observe: status, first byte, ids; what is not for clients goes.
    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        observe::head(exchange, session.req_header(), head)?;
        end_with_this_response(session, exchange);
        http10::end_with_body(session, head);
        if let Some(admission) = &exchange.admission {
            if let Some(first_byte) = exchange.seen.first_byte {
                let timeouts = &admission.route().provider.endpoint.timeouts;
                watchdog::set_idle_timeout(timeouts.idle, first_byte);
                if let Some(total) = timeouts.total {
                    watchdog::set_deadline(exchange.started + total);
                }
            }
            if head.status == 101 {
                // From here on it is a conversation: pauses of either side are bounded by `idle`.
                session.set_read_timeout(None);
                connection::switch();
            }
            if let Some(took) = exchange.seen.departs() {
                let metrics = &admission.route().metrics;
                metrics.added_first_byte.observe(took.as_secs_f64());
            }
        }
        Ok(())
    }

    /// Trailers are a head by another way.
    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut http::HeaderMap,
        exchange: &mut Box<Exchange>,
    ) -> Result<Option<Bytes>> {
        observe::trailers(exchange, trailers);
        // In their place, if there is something: of the two, a client misses the body sooner.
        Ok(exchange.exact.as_deref_mut().and_then(StreamUsage::rest))
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Box<Exchange>,
    ) -> Result<Option<Duration>> {
        if body.is_some() {
            let now = exchange.seen.arrived.unwrap_or_else(Instant::now);
            watchdog::touched(now);
            exchange.seen.is_body(now);
        }
        observe::body(exchange, body, end_of_stream);
        if let (Some(took), Some(admission)) = (exchange.seen.departs(), &exchange.admission) {
            let metrics = &admission.route().metrics;
            metrics.added_chunk.observe(took.as_secs_f64());
        }
        Ok(None)
    }

    /// 5 record: access line, metrics.
    async fn logging(
        &self,
        session: &mut Session,
        error: Option<&Error>,
        exchange: &mut Box<Exchange>,
    ) {
        watchdog::clear();
        // What is left to be sent, for which Pingora has no time limit, is the client's to take.
        watchdog::set_deadline(Instant::now() + exchange.rules.server.limits.client_write);
        if let Some(status) = final_status(session) {
            exchange.seen.status = status;
        }
        if let Some(error) = error {
            exchange.seen.aborted |= *error.esource() == ErrorSource::Downstream
                && exchange
                    .rejection
                    .as_ref()
                    .is_none_or(|r| r.reason == Reason::ClientClosed);
        }
        exchange.record();
    }

    /// reject: any failure becomes a status and a body here, and nowhere else.
    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Box<Exchange>,
    ) -> FailToProxy {
        if exchange.rejection.is_none() {
            let reason = reject::reason_of(error);
            log_failure(exchange, reason, error);
            let admission = exchange.admission.as_ref();
            exchange.rejection = Some(admission.map_or_else(
                || Rejection::unrouted(reason),
                |admission| admission.rejection(reason),
            ));
        }
        // A client that closed reads nothing; a response that has begun cannot begin again.
        let reason = exchange
            .rejection
            .as_ref()
            .map_or(Reason::Internal, |r| r.reason);
        if reason != Reason::ClientClosed && final_status(session).is_none() {
            // Pingora closes the connection after a failure; the response says so.
            session.set_keepalive(None);
            let _ = respond(session, exchange).await;
        }
        FailToProxy {
            error_code: reason.status(),
            can_reuse_downstream: false,
        }
    }

    /// Failures are logged once, by `fail_to_proxy`, in words that hold no header.
    fn suppress_error_log(&self, _: &Session, _: &Box<Exchange>, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Box<Exchange>,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    /// Pingora's own would hold the query.
    fn request_summary(&self, _session: &Session, exchange: &Box<Exchange>) -> String {
        format!("request {}", exchange.id.as_str())
    }
}

impl Exchange {
    /// Notes why, and gives the error that makes Pingora stop here.
    fn refuse(&mut self, rejection: Rejection) -> Box<Error> {
        let status = rejection.reason.status();
        self.rejection = Some(rejection);
        let mut error = Error::new_in(ErrorType::HTTPStatus(status));
        error.set_retry(false);
        error
    }
}

/// Sets what Pingora leaves unlimited on the client's side.
fn bound_the_client(session: &mut Session, exchange: &Exchange) {
    let server = &exchange.rules.server;
    session.set_read_timeout(Some(server.limits.client_read));
    session.set_write_timeout(Some(server.limits.client_write));
}

fn admit(session: &Session, exchange: &mut Exchange) -> Result<Admission, Rejection> {
    let request = session.req_header();
    let peer = session.client_addr();
    let peer = peer.and_then(|address| address.as_inet().copied());
    let client = ClientAddress::of(peer, &request.headers, &exchange.rules);
    exchange.seen.client = client.address;
    exchange.seen.method = known_method(&request.method);
    if let Some(reason) = connection::refused() {
        return Err(Rejection::unrouted(reason));
    }
    let raw = session
        .as_http1()
        .map(pingora_core::protocols::http::v1::server::HttpSession::get_headers_raw_bytes)
        .unwrap_or_default();
    check_head(&exchange.rules, request, &raw).map_err(Rejection::unrouted)?;
    let path =
        request_path(request.raw_path()).map_err(|_| Rejection::unrouted(Reason::BadPath))?;
    exchange.seen.path.push_str(&path.path);
    if let (Some(address), true) = (client.limited, client.shares_connection) {
        let most = exchange.rules.server.limits.max_connections_per_address;
        let place = exchange.shared.by_address.enter(address, most);
        let place = place.ok_or_else(|| Rejection::unrouted(Reason::TooManyConnections))?;
        exchange.place = Some(Box::new(place));
    }
    let live = &exchange.shared.live;
    let now = live.clock.at(exchange.time, exchange.started);
    // From here on, the keys are not looked at again, nor held.
    let snapshot = exchange.snapshot.take().unwrap_or_else(|| live.snapshot());
    let decided = Admission::decide(&snapshot, request, &path, now);
    let limit = exchange.rules.server.limits.failed_keys_per_address;
    match client.limited {
        Some(address) if limit > 0 => {
            limit_failed_keys(&exchange.shared.failed_keys, address, limit, decided)
        }
        _ => decided,
    }
}

/// Where a key is wanted, an address that came with too many wrong ones learns nothing of the next.
fn limit_failed_keys(
    failed_keys: &FailedKeyLimiter,
    address: IpAddr,
    limit: u32,
    decided: Result<Admission, Rejection>,
) -> Result<Admission, Rejection> {
    let route = match &decided {
        Ok(admission) => Some(admission.route()),
        Err(rejection) => rejection.route.as_ref(),
    };
    let Some(route) = route.filter(|route| route.access != Access::Open) else {
        return decided;
    };
    if matches!(&decided, Err(rejection) if rejection.reason == Reason::Preflight) {
        return decided;
    }
    let now = failed_keys.now();
    if failed_keys.is_over(&address, now) {
        return Err(Rejection::on(route, Reason::TooManyFailedKeys));
    }
    if let Err(rejection) = &decided
        && matches!(rejection.reason, Reason::InvalidKey(why) if why != KeyFailure::Missing)
    {
        failed_keys.failed(&address, limit, now);
    }
    decided
}

/// The method as it is logged: a client can make up any.
fn known_method(method: &http::Method) -> &'static str {
    const KNOWN: [&str; 8] = [
        "POST", "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE",
    ];
    let mut known = KNOWN.into_iter();
    known
        .find(|known| *known == method.as_str())
        .unwrap_or("other")
}

/// One line for a failure that isn't the client's. The error's own text may hold bytes of a
/// provider's response, so only its kind and, for IO and TLS, its cause are said.
fn log_failure(exchange: &Exchange, reason: Reason, error: &Error) {
    if matches!(
        reason,
        Reason::ClientClosed | Reason::RequestTimeout | Reason::BadFraming
    ) {
        return;
    }
    let route = exchange.admission.as_ref().map(Admission::route);
    let cause = error.root_cause();
    let io = cause.downcast_ref::<std::io::Error>();
    let tunnel = cause.downcast_ref::<TunnelError>();
    let cause = io
        .map(ToString::to_string)
        .or_else(|| tunnel.map(ToString::to_string));
    tracing::warn!(
        request = exchange.id.as_str(),
        route = route.map(|route| &*route.name),
        provider = route.map(|route| &*route.provider.name),
        upstream = exchange.seen.upstream.map(tracing::field::display),
        // Then the address is the proxy's.
        proxy = route.and_then(|route| route.provider.proxy()),
        reason = reason.code(),
        kind = error.etype().as_str(),
        cause,
        "exchange failed"
    );
}
