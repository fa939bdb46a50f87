//! How many exchanges are going on: what a drain waits for.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::runtime::atomic::{AtomicUsize, Ordering};

/// How many exchanges are going on, and a way to wait until there is none.
#[derive(Default)]
pub struct InFlight {
    count: AtomicUsize,
    gauge: Option<prometheus::IntGauge>,
    idle: Notify,
}

impl InFlight {
    /// None yet, shown in `gauge`.
    pub fn new(gauge: prometheus::IntGauge) -> Arc<Self> {
        Arc::new(Self {
            gauge: Some(gauge),
            ..Self::default()
        })
    }

    /// One more, until the guard is gone.
    pub fn enter(self: &Arc<Self>) -> InFlightGuard {
        self.count.fetch_add(1, Ordering::AcqRel);
        if let Some(gauge) = &self.gauge {
            gauge.inc();
        }
        InFlightGuard(self.clone())
    }

    /// How many there are now.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until there is none.
    pub async fn drained(&self) {
        loop {
            let notified = self.idle.notified();
            // Read by adding nothing, which sees the last value whatever else orders the two.
            if self.count.fetch_add(0, Ordering::AcqRel) == 0 {
                return;
            }
            notified.await;
        }
    }
}

/// One of them.
pub struct InFlightGuard(Arc<InFlight>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if let Some(gauge) = &self.0.gauge {
            gauge.dec();
        }
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_ends_with_the_last_exchange() {
        let in_flight = Arc::new(InFlight::default());
        in_flight.drained().await;
        let (a, b) = (in_flight.enter(), in_flight.enter());
        let waiting = tokio::spawn({
            let in_flight = in_flight.clone();
            async move { in_flight.drained().await }
        });
        drop(a);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(b);
        waiting.await.unwrap();
        assert_eq!(in_flight.count(), 0);
    }
}
