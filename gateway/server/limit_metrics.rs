//! What operators see of the limits as a whole: how much of each is used, how the ledger is, and the calendar's clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::ledger::Ledger;
use crate::limit::book::PARTS;
use crate::limit::level::Levels;
use crate::snapshot::Live;

/// How often the levels of limits are shown, unless that would take more than a share of [`SHARE`] of a processor.
const PAUSE: Duration = Duration::from_secs(2);
/// One part in so many of a processor is the most that the levels take.
const SHARE: u32 = 50;
/// A ledger that is behind by so much, or by less than the second again, is worth an event.
const BEHIND: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));

/// Shows how much of each limit is used, again and again.
pub(super) fn show_in_background(control: &Runtime, live: &Arc<Live>) {
    let live = live.clone();
    control.spawn(async move {
        loop {
            let took = show(&live).await;
            tokio::time::sleep(PAUSE.max(took * SHARE)).await;
        }
    });
}

/// Shows how much of each limit is used. Returns the time that it took, without that of other tasks meanwhile.
async fn show(live: &Live) -> Duration {
    let plan = live.snapshot().rules.plan.clone();
    let now = live.book.moment(Instant::now(), live.clock.now());
    let mut levels = Levels::new(plan.limits(), now);
    let mut took = Duration::ZERO;
    for part in 0..PARTS {
        let begin = Instant::now();
        live.book
            .visit(part, |id, cell, limit| levels.add(id, cell, limit));
        took += begin.elapsed();
        // A million cells must not keep scrapes and reloads waiting.
        tokio::task::yield_now().await;
    }
    let metrics = &live.metrics.limits;
    metrics.show(&levels);
    metrics.keep_limits(|name| plan.limits().iter().any(|limit| *limit.name == *name));
    took
}

/// What was reported of the ledger and the clock.
#[derive(Default)]
pub(super) struct Reported {
    is_behind: bool,
    is_ahead: bool,
}

impl Reported {
    /// Shows how the ledger and the calendar's clock are, and logs once when one of them begins to be wrong, and when it is
    /// right again.
    pub(super) fn report(&mut self, live: &Live, ledger: &Ledger) {
        let state = ledger.state();
        let ahead = live.book.clock_ahead(Instant::now(), live.clock.now());
        let metrics = &live.metrics.limits;
        metrics.ledger(state.behind, state.dropped, state.holders);
        metrics.clock_ahead(ahead);
        match self.behind(state.behind) {
            Some(true) => tracing::warn!(
                behind = ?state.behind,
                "the ledger is behind: budgets whose issued rights are used up refuse requests until it is written"
            ),
            Some(false) => tracing::info!("the ledger is written again"),
            None => {}
        }
        match self.ahead(ahead) {
            Some(true) => tracing::error!(
                ?ahead,
                "the clock was set forward: no period of a budget begins by it; if it is right now, restart keygate"
            ),
            Some(false) => tracing::info!("periods of budgets begin by the clock again"),
            None => {}
        }
    }

    /// Whether the ledger begins or ends to be behind.
    fn behind(&mut self, behind: Duration) -> Option<bool> {
        let (begin, end) = BEHIND;
        let is = behind >= if self.is_behind { end } else { begin };
        (std::mem::replace(&mut self.is_behind, is) != is).then_some(is)
    }

    /// Whether the clock begins or ends to be ahead.
    fn ahead(&mut self, ahead: Duration) -> Option<bool> {
        let is = !ahead.is_zero();
        (std::mem::replace(&mut self.is_ahead, is) != is).then_some(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_is_behind_is_told_once_and_again_when_it_has_caught_up() {
        let mut reported = Reported::default();
        let told = [0, 4, 5, 6, 3, 1, 0, 4, 9, 0].map(|seconds| {
            let behind = Duration::from_secs(seconds);
            match reported.behind(behind) {
                Some(true) => 'b',
                Some(false) => 'e',
                None => '-',
            }
        });
        assert_eq!(told.iter().collect::<String>(), "--b---e-be");
    }

    #[test]
    fn a_clock_that_is_ahead_is_told_once() {
        let mut reported = Reported::default();
        let mut ahead = |seconds| reported.ahead(Duration::from_secs(seconds));
        assert_eq!((ahead(0), ahead(1), ahead(900)), (None, Some(true), None));
        assert_eq!((ahead(0), ahead(0)), (Some(false), None));
    }
}
