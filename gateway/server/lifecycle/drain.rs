//! Draining: stops accepting, lets requests end, closes idle connections, and ends the process's threads.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use crate::runtime::systemd;
use crate::server::gateway::Gateway;
use crate::server::lifecycle::handover::PREDECESSOR_LOST;
use crate::server::limits;

/// How long idle connections stay open after the listeners have closed: a request that a client is just sending is
/// served, and not reset. With a successor, HTTP/1.1 connections get more time.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// How long connections may take to close once no request is in flight.
const CLOSE_TIME: Duration = Duration::from_secs(3);

/// How long the end of the process waits for the last spans to be sent.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// How long the end of the process waits for the serving threads to end.
const LAST_THREADS: Duration = Duration::from_secs(1);

impl Gateway {
    /// Stops accepting, and waits for the requests in flight, for as long as the configuration allows.
    pub(crate) async fn drain(&mut self) {
        self.readiness.set(false);
        systemd::stopping("Draining");
        // No client must wait at a socket that nobody accepts from.
        self.sockets = None;
        self.clients = None;
        let (delay, at_most) = (
            self.config.listener.shutdown_delay,
            self.config.listener.drain,
        );
        self.drain_within(delay, at_most, Duration::ZERO).await;
    }

    /// Drains a process that did not get to take over, without telling the service manager, which does not know it.
    pub(super) async fn give_up(&mut self) {
        tracing::error!("{PREDECESSOR_LOST}");
        self.readiness.set(false);
        self.sockets = None;
        self.clients = None;
        let at_most = self.config.listener.drain;
        self.drain_within(Duration::ZERO, at_most, Duration::ZERO)
            .await;
    }

    /// Closes the listeners after `delay`, and waits for the requests in flight for up to `at_most`. HTTP/1.1 connections
    /// without a request have `idle` to close by themselves, beyond [`IDLE_GRACE`].
    pub(super) async fn drain_within(&self, delay: Duration, at_most: Duration, idle: Duration) {
        let in_flight = &self.in_flight;
        let waiting = in_flight.count();
        tracing::info!(waiting, ?at_most, "draining");
        tokio::time::sleep(delay).await;
        let end = Instant::now() + at_most;
        // The listeners close; each connection closes after its next response.
        self.closing.store(true, Ordering::Relaxed);
        for listeners in &self.listeners {
            let _ = listeners.shutdown.send(true);
        }
        self.close_idle(end, idle).await;
        if timeout_at(end, in_flight.drained()).await.is_err() {
            return tracing::warn!(cut = in_flight.count(), "drain timed out");
        }
        // The last responses are being sent, and HTTP/2 clients get their GOAWAY.
        let _ = timeout(CLOSE_TIME, self.connections.drained()).await;
        tracing::info!("drained");
    }

    /// Closes connections without a request: those of HTTP/2 soon, those of HTTP/1.1 after `idle`, at `end` at the latest.
    async fn close_idle(&self, end: Instant, idle: Duration) {
        // A connection that was just accepted has no request yet; a TLS handshake takes several round trips.
        let grace = match self.config.listener.tls {
            Some(_) => IDLE_GRACE * 3,
            None => IDLE_GRACE,
        };
        tokio::time::sleep(grace).await;
        for listeners in &self.listeners {
            let _ = listeners.close_idle_http2.send(true);
        }
        let http1_end = end.min(Instant::now() + idle);
        let _ = timeout_at(http1_end, self.connections.drained()).await;
        for listeners in &self.listeners {
            let _ = listeners.close_idle_http1.send(true);
            // Only after this can the count of requests in flight no longer grow.
            let _ = timeout_at(end, listeners.stopped()).await;
        }
    }

    /// Ends the threads, and flushes the logs.
    pub(super) fn end(&mut self) {
        // It holds the access log, whose thread would outlive everything else.
        self.clients = None;
        if let Some(control) = self.control.take() {
            // The serving threads end first: each request that is cut still writes its access line.
            if let Some(serving) = self.serving.take() {
                control.block_on(serving.end(LAST_THREADS));
            }
            // Behind the last exchange, which has settled what it used.
            limits::save_rates(&self.live, &self.ledger);
            self.ledger.close();
            if let Some(exporting) = self.exporting.take() {
                let sent = control.block_on(async { timeout(LAST_SPANS, exporting).await });
                if sent.is_err() {
                    tracing::warn!("the collector did not take the last spans in time");
                }
            }
            control.shutdown_background();
        }
        self.access_log.flush();
        systemd::flush();
    }
}
