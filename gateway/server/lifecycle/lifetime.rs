//! From serving to its end: what signals do, handing over, draining.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::Error;
use crate::runtime::systemd;
use crate::server::lifecycle::signals::Caught;
use crate::server::lifecycle::upgrade;
use crate::server::listen::sockets::{ENDING, SERVING, SUCCEEDED};
use crate::server::{Gateway, Signals, serve_admin};

/// How long a connection without a request is kept when no new ones are accepted any more: what its client may
/// just be sending is answered, and not reset. Beside a successor there is more time, for those who want it.
const QUIET: Duration = Duration::from_secs(1);

/// How long connections may take to end once no request is in flight any more.
const GOODBYE: Duration = Duration::from_secs(3);

/// How long the end of the process waits for the last spans to be sent.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// What serving came to.
enum End {
    /// By SIGINT: at once.
    Interrupted,
    /// By SIGTERM: when the requests in flight have ended.
    Drain,
    /// Another process serves.
    Succeeded(Successor),
    /// The process that served has failed: what is left of it, and nobody accepts.
    Orphaned(Successor),
    /// The requests in flight have ended.
    Drained,
    /// The process that was to hand over has died: nobody knows of this one.
    Deserted,
}

/// Why a process that was to take over does not serve.
pub(crate) const DESERTED: &str = "the process that was to hand over to this one has ended, so this one does not serve: start \
                        keygate again, unless its service manager does";
/// How often it is looked whether the process before this one has handed over.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A process that has taken over.
struct Successor {
    process: upgrade::Successor,
    /// Whether it was started because the one before it had failed, and not because somebody asked for it.
    automatic: bool,
}

impl Gateway {
    /// Serves until SIGTERM (drains), SIGINT or a second SIGTERM (ends). SIGHUP reloads; SIGUSR2 hands over to a
    /// process of the binary that is installed now, and drains. Fails where the process that was to hand over to this one
    /// has died before.
    pub fn run_until_signal(mut self, signals: Signals) -> Result<(), Error> {
        let Signals {
            runtime,
            mut caught,
        } = signals;
        let deserted = runtime.block_on(async {
            let end = self.serve_and_succeed(&mut caught).await;
            let deserted = matches!(end, End::Deserted);
            if matches!(end, End::Drain | End::Interrupted) {
                self.predecessors.tell_all(ENDING);
            }
            match end {
                End::Drain | End::Deserted => tokio::select! {
                    () = self.drain_or_give_up(deserted) => {}
                    _ = caught.interrupt.recv() => tracing::info!("SIGINT while draining: ending now"),
                    _ = caught.terminate.recv() => tracing::info!("SIGTERM while draining: ending now"),
                },
                End::Interrupted => tracing::info!("SIGINT: ending now"),
                End::Succeeded(_) | End::Orphaned(_) | End::Drained => {}
            }
            deserted
        });
        self.end();
        if deserted {
            return Err(Error::Failed(DESERTED.to_owned()));
        }
        Ok(())
    }

    /// Serves, also again where a process that has taken over fails while this one drains.
    async fn serve_and_succeed(&mut self, caught: &mut Caught) -> End {
        let mut upgrade = false;
        loop {
            let successor = match self.serve(caught, upgrade).await {
                End::Succeeded(successor) => successor,
                end => return end,
            };
            let failed = match self.drain_beside(successor, caught).await {
                End::Orphaned(failed) => failed,
                end => return end,
            };
            if let Err(error) = self.accept_again() {
                tracing::error!("{error}: this process ends with its requests");
                return End::Drain;
            }
            // Once: a binary whose process fails twice is not started for ever.
            upgrade = !failed.automatic;
        }
    }

    /// Until a signal ends it, or another process has taken over; one is started at once if it is to `upgrade`.
    async fn serve(&self, caught: &mut Caught, mut upgrade: bool) -> End {
        loop {
            if !upgrade {
                tokio::select! {
                    _ = caught.hangup.recv() => {
                        self.reload.notify_one();
                        continue;
                    }
                    _ = caught.interrupt.recv() => return End::Interrupted,
                    _ = caught.terminate.recv() => return End::Drain,
                    _ = caught.upgrade.recv() => {}
                    () = self.deserted() => return End::Deserted,
                }
            }
            let automatic = std::mem::take(&mut upgrade);
            let mut handing = pin!(self.hand_over());
            let successor = loop {
                tokio::select! {
                    successor = &mut handing => break successor,
                    _ = caught.hangup.recv() => self.reload.notify_one(),
                    _ = caught.interrupt.recv() => return End::Interrupted,
                    _ = caught.terminate.recv() => return End::Drain,
                    () = self.deserted() => return End::Deserted,
                }
            };
            if let Some(process) = successor {
                return End::Succeeded(Successor { process, automatic });
            }
        }
    }

    /// Lets exchanges end while another process serves, and as long as that one does not fail.
    async fn drain_beside(&self, mut successor: Successor, caught: &mut Caught) -> End {
        // By then they have ended by themselves, and no request of theirs was reset.
        let server = &self.config;
        let quiet = server.limits.keepalive + server.limits.client_head;
        let drain = self.drain_within(Duration::ZERO, server.listener.upgrade_drain, quiet);
        tokio::select! {
            () = drain => End::Drained,
            _ = caught.interrupt.recv() => End::Interrupted,
            // The service ends, and this process with it, if not sooner than others.
            _ = caught.terminate.recv() => End::Drain,
            status = successor.process.failed() => {
                let why = format!("the process that took over has failed: {status}");
                tracing::error!("{why}");
                self.readiness.upgrade_failed(&why);
                End::Orphaned(successor)
            }
        }
    }

    /// Accepts on the sockets that this process has kept: nobody else does, as the process that took over has failed.
    fn accept_again(&mut self) -> Result<(), Error> {
        let failed = |error| Error::failed("accept connections again", error);
        let (Some(sockets), Some(listen), Some(serving), Some(control)) =
            (&self.sockets, &self.listen_on, &self.serving, &self.control)
        else {
            return Err(failed(std::io::ErrorKind::NotConnected.into()));
        };
        let sockets = sockets.copy().map_err(failed)?;
        self.closing.store(false, Ordering::Relaxed);
        self.listening.push(listen(serving, sockets.listen)?);
        self.admin_shutdown = serve_admin(control, self.app(), sockets.admin)?.1;
        self.predecessors.tell_last(SERVING);
        tracing::warn!("this process accepts connections again");
        systemd::again(&self.live.summary());
        Ok(())
    }

    /// Starts a process of the binary that is installed now, and gives it the sockets; the process, once it serves. Not
    /// before the process before this one has handed over: nobody would know of the one that is started either.
    async fn hand_over(&self) -> Option<upgrade::Successor> {
        if !self.handed_over().await {
            // Whoever waits for this hears by `deserted` that it is over.
            std::future::pending::<()>().await;
        }
        let (Some(program), Some(sockets)) = (&self.program, &self.sockets) else {
            self.readiness
                .upgrade_failed("it does not know its own binary");
            return None;
        };
        tracing::info!("starting the process that takes over");
        systemd::status("Starting the process that takes over");
        match program.start(sockets, &self.predecessors).await {
            Ok(successor) => {
                let process = successor.id();
                tracing::info!(
                    process,
                    "another process serves: this one ends with its requests"
                );
                systemd::succeeded_by(process, &self.live.summary());
                // Whoever would start the service, or accept, where this process dies is to know before that one does.
                systemd::flush();
                self.predecessors.tell_last(SUCCEEDED);
                successor.hand_over();
                // From here on, it is the other one that answers operators.
                let _ = self.admin_shutdown.send(true);
                Some(successor)
            }
            Err(why) => {
                tracing::error!("no process could take over: {why}");
                self.readiness.upgrade_failed(&why);
                systemd::status(&self.live.summary());
                None
            }
        }
    }

    /// Waits until the process before this one has died without having handed over: for ever where it has, and where there
    /// is none.
    async fn deserted(&self) {
        if self.handed_over().await {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the process before this one has handed over, or has died without: whether it has. At once where there
    /// is none.
    async fn handed_over(&self) -> bool {
        while self.readiness.is_provisional() {
            if self.predecessors.has_handed_over() {
                tracing::info!("the process before this one has handed over");
                self.readiness.set_provisional(false);
            } else if self.predecessors.has_lost_last() {
                return false;
            } else {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        true
    }

    async fn drain_or_give_up(&mut self, deserted: bool) {
        if deserted {
            self.give_up().await;
        } else {
            self.drain().await;
        }
    }

    /// Lets requests end, and does not tell the service manager, which does not know of this process.
    async fn give_up(&mut self) {
        tracing::error!("{DESERTED}");
        self.readiness.set(false);
        self.sockets = None;
        self.listen_on = None;
        let at_most = self.config.listener.drain;
        self.drain_within(Duration::ZERO, at_most, Duration::ZERO)
            .await;
    }

    /// Takes no new requests and waits for those in flight, for as long as the configuration says.
    pub async fn drain(&mut self) {
        self.readiness.set(false);
        systemd::stopping("Draining");
        // Nobody is to wait at a socket that nobody accepts from.
        self.sockets = None;
        self.listen_on = None;
        let (delay, at_most) = (
            self.config.listener.shutdown_delay,
            self.config.listener.drain,
        );
        self.drain_within(delay, at_most, Duration::ZERO).await;
    }

    /// Connections of HTTP/1.1 without a request have `quiet` to end by themselves.
    async fn drain_within(&self, delay: Duration, at_most: Duration, quiet: Duration) {
        let in_flight = &self.in_flight;
        let waiting = in_flight.count();
        tracing::info!(waiting, ?at_most, "draining");
        tokio::time::sleep(delay).await;
        let end = tokio::time::Instant::now() + at_most;
        // The listeners close; connections end with their next answer, and those without a request soon.
        self.closing.store(true, Ordering::Relaxed);
        for listening in &self.listening {
            let _ = listening.shutdown.send(true);
        }
        // What was accepted just now has no request yet: a handshake takes some ways there and back.
        let soon = if self.config.listener.tls.is_some() {
            QUIET * 3
        } else {
            QUIET
        };
        tokio::time::sleep(soon).await;
        for listening in &self.listening {
            let _ = listening.quiet_http2.send(true);
        }
        let later = end.min(tokio::time::Instant::now() + quiet);
        let _ = tokio::time::timeout_at(later, self.connections.drained()).await;
        for listening in &self.listening {
            let _ = listening.quiet_http1.send(true);
            // Only then is the count of requests in flight not about to grow.
            let _ = tokio::time::timeout_at(end, listening.over()).await;
        }
        if tokio::time::timeout_at(end, in_flight.drained())
            .await
            .is_err()
        {
            return tracing::warn!(cut = in_flight.count(), "drain timed out");
        }
        // The last answers are on their way, and clients of HTTP/2 are told.
        let _ = tokio::time::timeout(GOODBYE, self.connections.drained()).await;
        tracing::info!("drained");
    }

    fn end(&mut self) {
        // It would keep the log's thread after everything else has ended.
        self.listen_on = None;
        if let Some(control) = self.control.take() {
            // Requests end first, each with its access line; then the lines are written.
            if let Some(serving) = self.serving.take() {
                control.block_on(serving.end(Duration::from_secs(1)));
            }
            if let Some(exporting) = self.exporting.take() {
                let last =
                    control.block_on(async { tokio::time::timeout(LAST_SPANS, exporting).await });
                if last.is_err() {
                    tracing::warn!("the collector did not take the last spans in time");
                }
            }
            control.shutdown_background();
        }
        self.access_log.flush();
        systemd::flush();
    }
}
