//! The admin listener: `/metrics`, `/healthz`, `/readyz`, `/status`, `/limits`, `/probe`.
//!
//! It responds without a key. So it listens on loopback or a private address only, its responses hold no secret, and
//! pages of other sites get none (`guard`).

mod guard;
pub(crate) mod limits;
pub(crate) mod probe;
mod readiness;
pub(crate) mod status;

pub(crate) use self::readiness::Readiness;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Response, StatusCode, Uri};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v1::server::HttpSession;
use serde::Serialize;

use self::limits::{LimitsReport, Wanted};
use self::status::{LedgerStatus, Status};
use crate::ledger::Ledger;
use crate::metrics::CONTENT_TYPE as METRICS_TYPE;
use crate::proxy::connection;
use crate::proxy::head::check_head;
use crate::runtime::in_flight::InFlight;
use crate::runtime::watchdog::Watchdog;
use crate::snapshot::Live;

/// The admin listener's application.
pub(crate) struct Admin {
    /// The configuration that serves, and the metrics.
    pub(crate) live: Arc<Live>,
    in_flight: Arc<InFlight>,
    readiness: Arc<Readiness>,
    ledger: Arc<Ledger>,
    /// When the process began to serve.
    started: Instant,
    /// Held while providers are probed.
    probing: tokio::sync::Mutex<()>,
}

/// The deadline of a request and its response; longer than a probe takes.
const EXCHANGE: Duration = Duration::from_secs(60);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

impl Admin {
    /// The application of a gateway that began to serve at `started`.
    pub(crate) fn new(
        live: &Arc<Live>,
        in_flight: &Arc<InFlight>,
        readiness: &Arc<Readiness>,
        ledger: &Arc<Ledger>,
        started: Instant,
    ) -> Self {
        Self {
            live: live.clone(),
            in_flight: in_flight.clone(),
            readiness: readiness.clone(),
            ledger: ledger.clone(),
            started,
            probing: tokio::sync::Mutex::default(),
        }
    }

    /// Refuses heads that the listeners of clients refuse as well, and pages of other sites.
    fn guard(&self, session: &ServerSession) -> Result<(), guard::Refusal> {
        let (rules, request) = (&self.live.snapshot().rules, session.req_header());
        let raw = session.as_http1().map(HttpSession::get_headers_raw_bytes);
        let read = connection::refused().map_or(Ok(()), Err);
        read.and_then(|()| check_head(rules, request, &raw.unwrap_or_default()))
            .map_err(guard::refusal)?;
        guard::check(request, &rules.server.limits.admin_hosts)
    }

    async fn response(&self, method: &Method, uri: &Uri) -> (StatusCode, &'static str, Vec<u8>) {
        let path = uri.path();
        // A probe sends requests to others. So it is no GET, which crawlers and previews send on their own.
        if (method, path) == (&Method::POST, "/probe") {
            return self.probe().await;
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return (StatusCode::METHOD_NOT_ALLOWED, TEXT, b"only GET\n".to_vec());
        }
        match path {
            "/metrics" => (StatusCode::OK, METRICS_TYPE, self.live.metrics.render()),
            "/healthz" => (StatusCode::OK, TEXT, b"ok\n".to_vec()),
            "/readyz" if self.readiness.is_ready() => (StatusCode::OK, TEXT, b"ready\n".to_vec()),
            "/readyz" => (
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                b"draining\n".to_vec(),
            ),
            "/status" => json(&self.status()),
            "/limits" => self.limits(uri.query().unwrap_or_default()).await,
            _ => (
                StatusCode::NOT_FOUND,
                TEXT,
                b"there is /metrics /healthz /readyz /status /limits\n".to_vec(),
            ),
        }
    }

    fn status(&self) -> Status {
        let mut status = Status::of(&self.live, &self.in_flight, &self.readiness, self.started);
        status.ledger = LedgerStatus::of(&self.ledger);
        status
    }

    /// The limits that `query` selects.
    async fn limits(&self, query: &str) -> (StatusCode, &'static str, Vec<u8>) {
        let wanted = match Wanted::parse(query) {
            Ok(wanted) => wanted,
            Err(why) => {
                return (
                    StatusCode::BAD_REQUEST,
                    TEXT,
                    format!("{why}\n").into_bytes(),
                );
            }
        };
        let (live, ledger) = (self.live.clone(), self.ledger.clone());
        // It reads the ledger's file, and sorts what may be many rows.
        let made =
            tokio::task::spawn_blocking(move || LimitsReport::of_gateway(&live, &ledger, &wanted));
        match made.await {
            Ok(Ok(report)) => json(&report),
            Ok(Err(error)) => failed(&error),
            Err(error) => failed(&error),
        }
    }

    /// The status with the results of probing all providers. One probe runs at a time.
    async fn probe(&self) -> (StatusCode, &'static str, Vec<u8>) {
        let Ok(_alone) = self.probing.try_lock() else {
            return (
                StatusCode::TOO_MANY_REQUESTS,
                TEXT,
                b"a probe is going on\n".to_vec(),
            );
        };
        let mut status = self.status();
        let providers = self.live.snapshot().rules.providers.clone();
        status.add_probes(probe::all(&providers).await);
        json(&status)
    }
}

fn failed(error: &dyn std::error::Error) -> (StatusCode, &'static str, Vec<u8>) {
    let why = format!("{error}\n").into_bytes();
    (StatusCode::INTERNAL_SERVER_ERROR, TEXT, why)
}

fn json(value: &impl Serialize) -> (StatusCode, &'static str, Vec<u8>) {
    match serde_json::to_vec_pretty(value) {
        Ok(mut json) => {
            json.push(b'\n');
            (StatusCode::OK, JSON, json)
        }
        Err(error) => failed(&error),
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let watchdog = Watchdog::current();
        watchdog.clear();
        watchdog.set_deadline(Instant::now() + EXCHANGE);
        let request = session.req_header();
        let (method, uri) = (request.method.clone(), request.uri.clone());
        let (status, media_type, body) = match self.guard(session) {
            Ok(()) => self.response(&method, &uri).await,
            Err((status, why)) => {
                session.set_keepalive(None);
                (status, TEXT, why.as_bytes().to_vec())
            }
        };
        let length = body.len();
        let body = if method == Method::HEAD {
            Vec::new()
        } else {
            body
        };
        let response = Response::builder()
            .status(status)
            .header(CONTENT_TYPE, media_type)
            .header(CONTENT_LENGTH, length)
            .header(CACHE_CONTROL, "no-store")
            // No page can use the response as a script, a style or a frame of its own.
            .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(
                CONTENT_SECURITY_POLICY,
                "default-src 'none'; frame-ancestors 'none'",
            )
            .header("cross-origin-resource-policy", "same-origin")
            .body(body);
        // Building from constants cannot fail. If it did, the response would be empty.
        response.unwrap_or_default()
    }
}
