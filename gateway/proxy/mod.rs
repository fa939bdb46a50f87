//! The path of a request. Read the hooks of `Proxy` downwards: that is what happens to a request. Each hook calls
//! the adapter of its phase. Adapters know the session and `Exchange`; the modules that decide know neither.
//!
//! | phase | adapter | who decides |
//! |---|---|---|
//! | 1 admit: may it come in? | `receive` | `head` (framing, sizes), `admit` (route, key, selector, WebSocket, length: 401, 403, 404, 413, 426), `cors`; `limit` (429) |
//! | 2 forward: where does it go? | `receive`, `forward`, `hold`, `limits` | `limits` takes what the request needs of its limits (`limit`: 402, 429, 503); `receive` calls `attempt` (target, token, path: 400, 401, 404, 503); `hold` reads the body (`held_body`), `forward` connects; `retry` decides about another try, `failure` what an error means |
//! | 3 inject: what goes up? | `send`, `body` | `inject` (the client's credentials out, the provider's token in), `stream_usage` |
//! | 4 observe: what comes back? | `observe` | `response_headers`, `location` (URLs), `conversation` (WebSockets) |
//! | 5 record: what came of it? | `record`, `limits` | `consumption` (events, tokens), `spend` (cost, metrics of both) |
//! | reject: a refusal or a failure | `respond` | `reject` (status and code of every reason, headers), `dialect` (the body's form) |
//!
//! The head of `forward` describes where time limits are set, and what ends an exchange whose key is revoked.
//! Nothing here knows a configuration file, and nothing here blocks.

pub(crate) mod admit;
pub(crate) mod attempt;
mod body;
mod client_address;
pub(crate) mod connection;
mod consumption;
mod conversation;
mod cors;
mod dialect;
mod exchange;
mod failure;
mod forward;
pub(crate) mod head;
mod header_map;
mod held_body;
mod hold;
mod http10;
pub(crate) mod inject;
pub(crate) mod limit_headers;
pub(crate) mod limits;
mod location;
mod observe;
mod receive;
mod record;
pub(crate) mod reject;
mod reserved;
mod respond;
mod response_headers;
mod retry;
mod send;
mod shared;
mod spend;
mod stats;
mod stream_usage;

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use self::exchange::Exchange;
pub(crate) use self::respond::PENALTY;
// For Pingora's `max_retries`, which `server/listen/listeners.rs` sets.
pub(crate) use self::retry::ATTEMPTS;
pub(crate) use self::shared::Shared;

/// The gateway, as Pingora calls it.
pub(crate) struct Proxy(pub(crate) Arc<Shared>);

type Ctx = Box<Exchange>;

// Not formatted by rustfmt, which takes seven lines for a signature: this page is to be read as a list.
#[rustfmt::skip]
#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Ctx;

    /// The exchange takes the serving snapshot. After admission it keeps only its rules, not the keys.
    fn new_ctx(&self) -> Ctx {
        Box::new(Exchange::new(&self.0))
    }

    /// No modules: responses pass as they are.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    /// 1 admit, and 2 forward as far as it needs no connection: who may come in, and with which token it goes where.
    async fn request_filter(&self, session: &mut Session, exchange: &mut Ctx) -> Result<bool> {
        match receive::request(session, exchange) {
            Ok(admitted) => forward::begin(session, exchange, admitted).await,
            Err(rejection) => respond::refuse(session, exchange, rejection).await,
        }
    }

    /// 2 forward: the address of the next try.
    async fn upstream_peer(&self, _: &mut Session, exchange: &mut Ctx) -> Result<Box<HttpPeer>> {
        forward::next_peer(exchange).map_err(|rejection| exchange.refuse(rejection))
    }

    /// 2 forward: no connection, so nothing was sent. `retry::judge` decides whether there is another try.
    fn fail_to_connect(
        &self, _: &mut Session, _: &HttpPeer, exchange: &mut Ctx, error: Box<Error>,
    ) -> Box<Error> {
        forward::connect_failed(exchange, error)
    }

    /// 2 forward: the connection is there.
    async fn connected_to_upstream(
        &self, _: &mut Session, reused: bool, _: &HttpPeer, _: RawFd, digest: Option<&Digest>, exchange: &mut Ctx,
    ) -> Result<()> {
        forward::connected(exchange, reused, digest);
        Ok(())
    }

    /// 3 inject: `inject::rewrite` takes the client's credentials out and writes the provider's token in.
    async fn upstream_request_filter(
        &self, session: &mut Session, upstream: &mut RequestHeader, exchange: &mut Ctx,
    ) -> Result<()> {
        send::head(exchange, &session.req_header().headers, upstream)
    }

    /// 3 inject: a chunk of the request's body goes up, within the limits.
    async fn request_body_filter(
        &self, session: &mut Session, body: &mut Option<Bytes>, end: bool, exchange: &mut Ctx,
    ) -> Result<()> {
        body::up(session, exchange, body, end)?;
        let declared = head::declared_length(session.req_header());
        limits::end_of_body(exchange, end, declared).await
    }

    /// 2 forward: the connection broke. `retry::judge` decides whether the request is sent again.
    fn error_while_proxy(
        &self, _: &HttpPeer, session: &mut Session, error: Box<Error>, exchange: &mut Ctx, _: bool,
    ) -> Box<Error> {
        forward::connection_broke(session, exchange, error)
    }

    /// 4 observe: the head of a response has come. From here on the time is the gateway's own.
    async fn upstream_response_filter(
        &self, _: &mut Session, head: &mut ResponseHeader, exchange: &mut Ctx,
    ) -> Result<()> {
        observe::arrival(exchange, head).await
    }

    /// 4 observe: a chunk of the response's body has come.
    fn upstream_response_body_filter(
        &self, _: &mut Session, _: &mut Option<Bytes>, _: bool, exchange: &mut Ctx,
    ) -> Result<Option<Duration>> {
        exchange.arrive();
        Ok(None)
    }

    /// 4 observe: the head passes, without the headers that are not for clients.
    async fn response_filter(
        &self, session: &mut Session, head: &mut ResponseHeader, exchange: &mut Ctx,
    ) -> Result<()> {
        observe::head(session, exchange, head)
    }

    /// 4 observe: a chunk of the body passes, and is read for its usage.
    fn response_body_filter(
        &self, _: &mut Session, body: &mut Option<Bytes>, end: bool, exchange: &mut Ctx,
    ) -> Result<Option<Duration>> {
        observe::body(exchange, body, end).map(|()| None)
    }

    /// 4 observe: trailers have the same rules as heads.
    async fn response_trailer_filter(
        &self, _: &mut Session, trailers: &mut HeaderMap, exchange: &mut Ctx,
    ) -> Result<Option<Bytes>> {
        Ok(observe::trailers(exchange, trailers))
    }

    /// 5 record: access line, metrics and span, with the tokens (`consumption`) and their cost (`spend::price`).
    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Ctx) {
        record::end(session, exchange, error);
    }

    /// reject: a failure after admission gets its response here; `request_filter` sends refusals.
    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, exchange: &mut Ctx) -> FailToProxy {
        respond::failure(session, exchange, error).await
    }

    /// `respond::failure` logs each failure once, in words that hold no header.
    fn suppress_error_log(&self, _: &Session, _: &Ctx, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Ctx, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }

    /// Pingora's own summary would hold the query.
    fn request_summary(&self, _: &Session, exchange: &Ctx) -> String {
        format!("request {}", exchange.id.as_str())
    }
}
