//! Serving until a signal ends it: what each signal does, and the handover to the next process.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::Error;
use crate::runtime::systemd;
use crate::server::admin::serve_admin;
use crate::server::gateway::Gateway;
use crate::server::lifecycle::handover::{ENDING, PREDECESSOR_LOST, SERVING, SUCCEEDED};
use crate::server::lifecycle::signals::{Caught, Signals};
use crate::server::lifecycle::upgrade;

/// How often a process that was started for an upgrade checks whether its predecessor has handed over.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Why serving ended.
enum End {
    /// SIGINT: end at once.
    Interrupted,
    /// SIGTERM: end when the requests in flight have ended.
    Terminated,
    /// Another process serves.
    Succeeded(Successor),
    /// The process that took over has failed, and nobody accepts.
    SuccessorFailed(Successor),
    /// Another process serves, and the requests in flight have ended.
    Drained,
    /// The process that was to hand over to this one has died: the service manager does not know this one.
    PredecessorLost,
}

/// A process that has taken over.
struct Successor {
    process: upgrade::Successor,
    /// It was started because its predecessor had failed, and not by SIGUSR2.
    automatic: bool,
}

impl Gateway {
    /// Serves until SIGTERM (drains), or SIGINT or a second SIGTERM (ends at once). SIGHUP reloads. SIGUSR2 hands over to
    /// a process of the binary that is installed now, and drains.
    ///
    /// # Errors
    /// If the process that was to hand over to this one has died before it did.
    pub(crate) fn run_until_signal(mut self, signals: Signals) -> Result<(), Error> {
        let Signals {
            runtime,
            mut caught,
        } = signals;
        let lost = runtime.block_on(self.run(&mut caught));
        self.end();
        if lost {
            return Err(Error::Failed(PREDECESSOR_LOST.to_owned()));
        }
        Ok(())
    }

    /// Serves and drains. Returns whether the predecessor died before it had handed over.
    async fn run(&mut self, caught: &mut Caught) -> bool {
        let end = self.serve_and_succeed(caught).await;
        let lost = matches!(end, End::PredecessorLost);
        if matches!(end, End::Terminated | End::Interrupted) {
            self.predecessors.tell_all(ENDING);
        }
        match end {
            End::Terminated | End::PredecessorLost => tokio::select! {
                () = self.drain_or_give_up(lost) => {}
                _ = caught.interrupt.recv() => tracing::info!("SIGINT while draining: ending now"),
                _ = caught.terminate.recv() => tracing::info!("SIGTERM while draining: ending now"),
            },
            End::Interrupted => tracing::info!("SIGINT: ending now"),
            End::Succeeded(_) | End::SuccessorFailed(_) | End::Drained => {}
        }
        lost
    }

    async fn drain_or_give_up(&mut self, lost: bool) {
        if lost {
            self.give_up().await;
        } else {
            self.drain().await;
        }
    }

    /// Serves, and serves again if a process that took over fails while this one drains.
    async fn serve_and_succeed(&mut self, caught: &mut Caught) -> End {
        let mut upgrade = false;
        loop {
            let successor = match self.serve(caught, upgrade).await {
                End::Succeeded(successor) => successor,
                end => return end,
            };
            let failed = match self.drain_beside(successor, caught).await {
                End::SuccessorFailed(failed) => failed,
                end => return end,
            };
            if let Err(error) = self.accept_again() {
                tracing::error!("{error}: this process ends with its requests");
                return End::Terminated;
            }
            // Retry once only: a binary that fails twice must not be started for ever.
            upgrade = !failed.automatic;
        }
    }

    /// Serves until a signal ends it, or another process has taken over. With `upgrade`, one is started at once.
    async fn serve(&self, caught: &mut Caught, mut upgrade: bool) -> End {
        loop {
            if !upgrade {
                tokio::select! {
                    _ = caught.hangup.recv() => {
                        self.reload.notify_one();
                        continue;
                    }
                    _ = caught.interrupt.recv() => return End::Interrupted,
                    _ = caught.terminate.recv() => return End::Terminated,
                    _ = caught.upgrade.recv() => {}
                    () = self.predecessor_lost() => return End::PredecessorLost,
                }
            }
            let automatic = std::mem::take(&mut upgrade);
            let mut handing = pin!(self.hand_over());
            let successor = loop {
                tokio::select! {
                    successor = &mut handing => break successor,
                    _ = caught.hangup.recv() => self.reload.notify_one(),
                    _ = caught.interrupt.recv() => return End::Interrupted,
                    _ = caught.terminate.recv() => return End::Terminated,
                    () = self.predecessor_lost() => return End::PredecessorLost,
                }
            };
            if let Some(process) = successor {
                return End::Succeeded(Successor { process, automatic });
            }
        }
    }

    /// Lets exchanges end while another process serves, unless that one fails.
    async fn drain_beside(&self, mut successor: Successor, caught: &mut Caught) -> End {
        // In this time idle connections close by themselves, without resetting a request of theirs.
        let server = &self.config;
        let idle = server.limits.keepalive + server.limits.client_head;
        let drain = self.drain_within(Duration::ZERO, server.listener.upgrade_drain, idle);
        tokio::select! {
            () = drain => End::Drained,
            _ = caught.interrupt.recv() => End::Interrupted,
            // The service is being stopped: this process ends with it, at the latest.
            _ = caught.terminate.recv() => End::Terminated,
            status = successor.process.failed() => {
                let why = format!("the process that took over has failed: {status}");
                tracing::error!("{why}");
                self.readiness.upgrade_failed(&why);
                End::SuccessorFailed(successor)
            }
        }
    }

    /// Accepts on the sockets that this process has kept. Nobody else does: the process that took over has failed.
    fn accept_again(&mut self) -> Result<(), Error> {
        let failed = |error| Error::failed("accept connections again", error);
        let (Some(sockets), Some(clients), Some(serving), Some(control)) =
            (&self.sockets, &self.clients, &self.serving, &self.control)
        else {
            return Err(failed(std::io::ErrorKind::NotConnected.into()));
        };
        let sockets = sockets.copy().map_err(failed)?;
        self.closing.store(false, Ordering::Relaxed);
        self.listeners
            .push(clients.listen(serving, sockets.listen)?);
        self.admin_shutdown = serve_admin(control, self.admin_app(), sockets.admin)?.1;
        self.ledger.retire(false);
        self.predecessors.tell_last(SERVING);
        tracing::warn!("this process accepts connections again");
        systemd::resumed(&self.live.summary());
        Ok(())
    }

    /// Starts a process of the binary that is installed now, with this process's sockets, and returns it once it serves.
    /// Waits first until this process's own predecessor has handed over: before that, the service manager would know
    /// neither of the two.
    async fn hand_over(&self) -> Option<upgrade::Successor> {
        if !self.handed_over().await {
            // `predecessor_lost` ends the wait.
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
                self.announce(&successor);
                Some(successor)
            }
            Err(why) => {
                tracing::error!("no process could take over: {why}");
                self.readiness.upgrade_failed(&why.to_string());
                systemd::status(&self.live.summary());
                None
            }
        }
    }

    /// Tells the service manager, the predecessors and `successor` that `successor` serves from now on.
    fn announce(&self, successor: &upgrade::Successor) {
        let process = successor.id();
        tracing::info!(
            process,
            "another process serves: this one ends with its requests"
        );
        systemd::succeeded_by(process, &self.live.summary());
        // The manager and the predecessor act if this process dies: both must know before the successor does.
        systemd::flush();
        self.predecessors.tell_last(SUCCEEDED);
        successor.hand_over();
        self.ledger.retire(true);
        // The successor responds to operators from now on.
        let _ = self.admin_shutdown.send(true);
    }

    /// Waits until the predecessor has died without handing over. Never ends if it has handed over, or if there is none.
    async fn predecessor_lost(&self) {
        if self.handed_over().await {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the predecessor has handed over, or has died without; returns whether it has handed over. Returns true
    /// at once if there is none.
    async fn handed_over(&self) -> bool {
        while self.readiness.is_provisional() {
            if self.predecessors.has_handed_over() {
                tracing::info!("the process before this one has handed over");
                self.readiness.set_provisional(false);
            } else if self.predecessors.has_lost_last() {
                return false;
            } else {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
        true
    }
}
