//! The admin listener: `/metrics`, `/healthz`, `/readyz`, `/status`, `/probe`. Answers without a key, so it
//! listens on loopback or a private address only, says nothing that is secret, and nothing to pages of other sites
//! (`guard`).

mod guard;
pub mod probe;
pub mod status;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Response, StatusCode};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v1::server::HttpSession;

use self::status::Status;
use crate::metrics::CONTENT_TYPE as METRICS_TYPE;
use crate::proxy::admit::check_head;
use crate::proxy::connection;
use crate::runtime::in_flight::InFlight;
use crate::runtime::watchdog;
use crate::snapshot::Live;

/// Whether the gateway takes new requests.
#[derive(Default)]
pub struct Readiness {
    ready: AtomicBool,
    provisional: AtomicBool,
    failed_upgrades: Mutex<FailedUpgrades>,
}

/// Upgrades that left this process serving.
#[derive(Clone, Default)]
pub struct FailedUpgrades {
    /// How many.
    pub count: u64,
    /// Why the last one failed.
    pub why: Option<String>,
}

impl Readiness {
    /// From now on, or no longer.
    pub fn set(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Whether it does now.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Whether the process before this one has yet to hand over.
    pub fn set_provisional(&self, provisional: bool) {
        self.provisional.store(provisional, Ordering::Release);
    }

    /// Whether it has, now: this one ends if that one dies before.
    pub fn is_provisional(&self) -> bool {
        self.provisional.load(Ordering::Acquire)
    }

    /// An upgrade has failed.
    pub fn upgrade_failed(&self, why: &str) {
        let mut failed = self
            .failed_upgrades
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        failed.count += 1;
        failed.why = Some(why.to_owned());
    }

    /// The upgrades that have failed.
    pub fn failed_upgrades(&self) -> FailedUpgrades {
        let failed = self.failed_upgrades.lock();
        failed.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The admin listener's application.
pub struct Admin {
    /// What is shown.
    pub live: Arc<Live>,
    /// Requests in flight.
    pub in_flight: Arc<InFlight>,
    /// Whether new requests are taken.
    pub readiness: Arc<Readiness>,
    /// When the process began to serve.
    pub started: Instant,
    /// Held while providers are probed.
    pub probing: tokio::sync::Mutex<()>,
}

/// How long a request and its response may take in all: longer than a probe.
const EXCHANGE: Duration = Duration::from_secs(60);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

impl Admin {
    /// Shows what serves, which began at `started`.
    pub fn new(
        live: &Arc<Live>,
        in_flight: &Arc<InFlight>,
        readiness: &Arc<Readiness>,
        started: Instant,
    ) -> Self {
        Self {
            live: live.clone(),
            in_flight: in_flight.clone(),
            readiness: readiness.clone(),
            started,
            probing: tokio::sync::Mutex::default(),
        }
    }

    /// Whether a request may be answered at all.
    fn guard(&self, session: &ServerSession) -> Result<(), guard::Refusal> {
        let (rules, request) = (&self.live.snapshot().rules, session.req_header());
        let raw = session.as_http1().map(HttpSession::get_headers_raw_bytes);
        let read = connection::refused().map_or(Ok(()), Err);
        read.and_then(|()| check_head(rules, request, &raw.unwrap_or_default()))
            .map_err(guard::refusal)?;
        guard::check(request, &rules.server.limits.admin_hosts)
    }

    async fn response(&self, method: &Method, path: &str) -> (StatusCode, &'static str, Vec<u8>) {
        // What asks others is no GET, which crawlers and previews make without being told to. A page in a browser could
        // make either; those of other sites do not come this far.
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
            "/status" => json(&Status::of(self)),
            _ => (
                StatusCode::NOT_FOUND,
                TEXT,
                b"there is /metrics /healthz /readyz /status\n".to_vec(),
            ),
        }
    }

    /// The status, with what probes found out.
    async fn probe(&self) -> (StatusCode, &'static str, Vec<u8>) {
        let Ok(_alone) = self.probing.try_lock() else {
            return (
                StatusCode::TOO_MANY_REQUESTS,
                TEXT,
                b"a probe is going on\n".to_vec(),
            );
        };
        let mut status = Status::of(self);
        let providers = self.live.snapshot().rules.providers.clone();
        status.add_probes(probe::all(&providers).await);
        json(&status)
    }
}

fn json(status: &Status) -> (StatusCode, &'static str, Vec<u8>) {
    match serde_json::to_vec_pretty(status) {
        Ok(mut json) => {
            json.push(b'\n');
            (StatusCode::OK, JSON, json)
        }
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            TEXT,
            format!("{error}\n").into_bytes(),
        ),
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        watchdog::clear();
        watchdog::set_deadline(Instant::now() + EXCHANGE);
        let request = session.req_header();
        let (method, uri) = (request.method.clone(), request.uri.clone());
        let (status, media_type, body) = match self.guard(session) {
            Ok(()) => self.response(&method, uri.path()).await,
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
            // No page takes it for a script, a style or a frame of its own.
            .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(
                CONTENT_SECURITY_POLICY,
                "default-src 'none'; frame-ancestors 'none'",
            )
            .header("cross-origin-resource-policy", "same-origin")
            .body(body);
        // Built from constants: it cannot fail, and an empty answer is what is left if it does.
        response.unwrap_or_default()
    }
}
