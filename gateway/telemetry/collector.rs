//! The way to the collector: spans in batches, over the connections that providers are reached by.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use pingora::http::RequestHeader;
use pingora_core::connectors::http::Connector;
use prometheus::{IntCounter, IntCounterVec};
use tokio::sync::mpsc::Receiver;

use super::TelemetrySpec;
use crate::origin::{Endpoint, HttpVersion, Resolver, Timeouts};

/// How many spans go at a time.
const BATCH: usize = 512;
/// How long spans are gathered.
const PAUSE: Duration = Duration::from_millis(500);
/// How long one batch may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of a response is read.
const MOST: usize = 64 << 10;

/// Sends spans until nobody makes any more.
pub struct Exporter {
    spans: Receiver<SpanData>,
    collector: SpanExporter,
    exported: IntCounter,
    failed: IntCounter,
}

impl Exporter {
    pub(super) fn new(
        spec: &TelemetrySpec,
        spans: Receiver<SpanData>,
        resolver: &Resolver,
        outcomes: &IntCounterVec,
    ) -> Result<Self, String> {
        let url = format!("{}/v1/traces", spec.collector.display());
        let client = Client::new(spec, resolver).ok_or("its address cannot stand in a header")?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(url)
            .with_timeout(PATIENCE)
            .build()
            .map_err(|error| error.to_string())?;
        let resource = Resource::builder()
            .with_service_name(spec.service.clone())
            .with_attribute(opentelemetry::KeyValue::new(
                "service.version",
                env!("CARGO_PKG_VERSION"),
            ));
        exporter.set_resource(&resource.build());
        Ok(Self {
            spans,
            collector: exporter,
            exported: outcomes.with_label_values(&["exported"]),
            failed: outcomes.with_label_values(&["failed"]),
        })
    }

    /// Runs until the last span is sent.
    pub async fn run(mut self) {
        let mut works = true;
        let mut batch = Vec::new();
        while self.spans.recv_many(&mut batch, BATCH).await > 0 {
            if batch.len() < BATCH && !self.spans.is_closed() {
                tokio::time::sleep(PAUSE).await;
                while batch.len() < BATCH
                    && let Ok(span) = self.spans.try_recv()
                {
                    batch.push(span);
                }
            }
            let spans = batch.len() as u64;
            match self.collector.export(std::mem::take(&mut batch)).await {
                Ok(()) => {
                    self.exported.inc_by(spans);
                    if !std::mem::replace(&mut works, true) {
                        tracing::info!("the collector takes spans again");
                    }
                }
                Err(error) => {
                    self.failed.inc_by(spans);
                    // Once, and not for each batch of an outage.
                    if std::mem::replace(&mut works, false) {
                        tracing::warn!("the collector does not take spans: {error}");
                    }
                }
            }
        }
    }
}

/// The library's client, on Pingora's connections.
struct Client {
    connector: Connector,
    endpoint: Endpoint,
    host: HeaderValue,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Client {
    fn new(spec: &TelemetrySpec, resolver: &Resolver) -> Option<Self> {
        let url = &spec.collector;
        let addresses = resolver.addresses_of(url);
        let timeouts = Timeouts {
            first_byte: PATIENCE,
            write: PATIENCE,
            ..Timeouts::default()
        };
        Some(Self {
            connector: Connector::new(None),
            endpoint: Endpoint::new(
                url,
                &url.host,
                None,
                HttpVersion::Http1,
                timeouts,
                None,
                addresses,
            ),
            host: HeaderValue::try_from(url.authority()).ok()?,
            path: format!("{}/v1/traces", url.path),
            headers: spec.headers.clone(),
        })
    }

    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Failure> {
        let broken = |error: Box<pingora_core::Error>| Failure(error.etype().as_str().to_owned());
        let (sent, body) = request.into_parts();
        let head = async {
            let mut head = RequestHeader::build("POST", self.path.as_bytes(), None)?;
            // Not what the library adds from the environment: it may be meant for another collector.
            if let Some(media) = sent.headers.get(CONTENT_TYPE) {
                head.insert_header(CONTENT_TYPE, media.clone())?;
            }
            for (name, value) in &self.headers {
                head.insert_header(name.clone(), value.clone())?;
            }
            head.insert_header(HOST, self.host.clone())?;
            head.insert_header(CONTENT_LENGTH, body.len().to_string())?;
            Ok(head)
        };
        let head = head.await.map_err(broken)?;
        let connected = self.endpoint.connect(&self.connector).await;
        let (mut session, peer) = connected
            .map_err(broken)?
            .ok_or_else(|| Failure("its name cannot be resolved".to_owned()))?;
        session
            .write_request_header(Box::new(head))
            .await
            .map_err(broken)?;
        session
            .write_request_body(body, true)
            .await
            .map_err(broken)?;
        session.finish_request_body().await.map_err(broken)?;
        session.read_response_header().await.map_err(broken)?;
        let status = session
            .response_header()
            .map_or(0, |head| head.status.as_u16());
        let mut response = BytesMut::new();
        while let Some(chunk) = session.read_response_body().await.map_err(broken)? {
            response.extend_from_slice(&chunk);
            if response.len() > MOST {
                return Err(Failure("its answer is too long".to_owned()));
            }
        }
        let kept = Some(self.endpoint.timeouts.pool_idle);
        self.connector
            .release_http_session(session, &*peer, kept)
            .await;
        let response = http::Response::builder()
            .status(status)
            .body(response.freeze());
        response.map_err(|_| Failure("its answer has no status".to_owned()))
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let response = tokio::time::timeout(PATIENCE, self.send(request)).await;
        let response =
            response.map_err(|_| Failure(format!("no answer within {PATIENCE:?}")))??;
        if !response.status().is_success() {
            return Err(Failure(format!("it answers {}", response.status().as_u16())).into());
        }
        Ok(response)
    }
}

impl fmt::Debug for Client {
    /// Its headers are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// Why a batch was not taken.
#[derive(Debug)]
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}
