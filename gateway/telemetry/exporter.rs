//! Takes spans from the queue and exports them in batches, outside the path of any request.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use prometheus::{IntCounter, IntCounterVec};
use tokio::sync::mpsc::Receiver;

use super::collector::{Collector, TIMEOUT};
use super::spec::TelemetrySpec;
use crate::origin::Resolver;

/// How many spans are sent at once.
const BATCH: usize = 512;
/// How long spans are gathered into a batch.
const INTERVAL: Duration = Duration::from_millis(500);

/// Why a collector cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExporterError {
    /// Its host cannot be written into `Host`.
    #[error("its address cannot stand in a header")]
    Address,
    /// The exporter of OpenTelemetry refuses the settings.
    #[error(transparent)]
    Build(#[from] ExporterBuildError),
}

/// Sends spans until the [`Telemetry`](super::Telemetry) that makes them is dropped.
pub(crate) struct Exporter {
    spans: Receiver<SpanData>,
    otlp: SpanExporter,
    exported: IntCounter,
    failed: IntCounter,
}

impl Exporter {
    pub(super) fn new(
        spec: &TelemetrySpec,
        spans: Receiver<SpanData>,
        resolver: &Resolver,
        outcomes: &IntCounterVec,
    ) -> Result<Self, ExporterError> {
        let collector = Collector::new(spec, resolver).ok_or(ExporterError::Address)?;
        let mut otlp = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_endpoint(format!("{}/v1/traces", spec.collector.display()))
            .with_timeout(TIMEOUT)
            .build()?;
        let resource = Resource::builder()
            .with_service_name(spec.service.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        otlp.set_resource(&resource.build());
        Ok(Self {
            spans,
            otlp,
            exported: outcomes.with_label_values(&["exported"]),
            failed: outcomes.with_label_values(&["failed"]),
        })
    }

    /// Runs until the last span is sent.
    pub(crate) async fn run(mut self) {
        let mut works = true;
        while let Some(batch) = self.next_batch().await {
            let count = batch.len() as u64;
            match self.otlp.export(batch).await {
                Ok(()) => {
                    self.exported.inc_by(count);
                    if !std::mem::replace(&mut works, true) {
                        tracing::info!("the collector takes spans again");
                    }
                }
                Err(error) => {
                    self.failed.inc_by(count);
                    // Logged once for an outage, and not for each batch.
                    if std::mem::replace(&mut works, false) {
                        tracing::warn!("the collector does not take spans: {error}");
                    }
                }
            }
        }
    }

    /// The next spans, gathered for [`INTERVAL`] unless the batch is full or no more spans will come; `None` at the end.
    async fn next_batch(&mut self) -> Option<Vec<SpanData>> {
        let mut batch = Vec::new();
        if self.spans.recv_many(&mut batch, BATCH).await == 0 {
            return None;
        }
        if batch.len() < BATCH && !self.spans.is_closed() {
            tokio::time::sleep(INTERVAL).await;
            while batch.len() < BATCH
                && let Ok(span) = self.spans.try_recv()
            {
                batch.push(span);
            }
        }
        Some(batch)
    }
}
