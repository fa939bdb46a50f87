//! Limits beside the requests: the ledger that is opened at the start, and what is written to it from time to time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Runtime;

use super::limit_metrics::{Reported, show_in_background};
use crate::config::Resolved;
use crate::error::Error;
use crate::ledger::{Ledger, RateRow};
use crate::limit::book::{Book, Per, RateState};
use crate::runtime::sleep;
use crate::snapshot::Live;

/// How often the state of rates is written.
const BEAT: Duration = Duration::from_secs(1);
/// How often cells are forgotten that nobody uses: after so many beats.
const FORGET: u32 = 60;
/// By how much a clock may be set back between two processes without a warning.
const CLOCK_CORRECTED: SignedDuration = SignedDuration::from_mins(5);
/// The seconds of a day.
const DAY: u64 = 86_400;

/// Opens the ledger that `config` names; one that remembers nothing if it names none.
///
/// # Errors
/// If the file cannot be used: budgets would begin anew.
pub(super) fn open_ledger(config: &Resolved) -> Result<Arc<Ledger>, Error> {
    let limits = &config.limits;
    let Some(path) = &limits.ledger else {
        return Ok(Arc::new(Ledger::memory()));
    };
    let days = limits.retention.as_secs().div_ceil(DAY);
    let opened = Ledger::open(path, u32::try_from(days).unwrap_or(u32::MAX));
    let ledger = opened.map_err(|error| Error::Failed(format!("[ledger] store: {error}")))?;
    if let Some(last) = ledger.last_commit()
        && is_behind(Timestamp::now(), last)
    {
        tracing::warn!(
            "the clock is behind the last entry of the ledger, of {last}: one of them is wrong, and budgets count in the \
             periods that the clock shows"
        );
    }
    Ok(Arc::new(ledger))
}

/// Whether a clock that shows `now` is behind the time of the `last` commit, by more than clocks are corrected by.
fn is_behind(now: Timestamp, last: Timestamp) -> bool {
    last.duration_since(now) > CLOCK_CORRECTED
}

/// The cells of all limits, with what processes before this one have used of rates.
///
/// # Errors
/// If the ledger cannot be read.
pub(super) fn book(ledger: &Arc<Ledger>) -> Result<Book, Error> {
    let rows = ledger
        .load_rates()
        .map_err(|error| Error::Failed(format!("[ledger] store: {error}")))?;
    let states = rows.into_iter().filter_map(RateRow::state);
    Ok(Book::new(ledger.clone()).with_rates(states))
}

/// Writes the state of rates each second, forgets cells that nobody uses, and shows operators what they need to know.
pub(super) fn keep_in_background(control: &Runtime, live: &Arc<Live>, ledger: &Arc<Ledger>) {
    show_in_background(control, live);
    let (live, ledger) = (live.clone(), ledger.clone());
    let asleep = sleep::asleep();
    control.spawn(async move {
        let mut reported = Reported::default();
        for beat in 1_u32.. {
            tokio::time::sleep(BEAT).await;
            live.book
                .note_asleep(sleep::asleep().saturating_sub(asleep));
            save_rates(&live, &ledger);
            reported.report(&live, &ledger);
            if beat.is_multiple_of(FORGET) {
                live.book.forget_unused(now(&live));
            }
        }
    });
}

/// Writes the state of rates for the next process.
pub(super) fn save_rates(live: &Live, ledger: &Ledger) {
    if ledger.has_file() {
        let states = live.book.rates(now(live));
        ledger.save_rates(states.into_iter().filter_map(row_of).collect());
    }
}

fn now(live: &Live) -> crate::limit::moment::Moment {
    live.book.moment(Instant::now(), live.clock.now())
}

fn row_of(state: RateState) -> Option<RateRow> {
    let Per::Window(window) = state.id.per else {
        return None;
    };
    Some(RateRow {
        limit: state.id.limit,
        scope: state.id.scope,
        counts: state.id.counts,
        window,
        full_at: state.full_at.as_microsecond(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_behind_the_ledger_is_noticed_and_one_that_was_corrected_is_not() {
        let now = Timestamp::now();
        for (minutes, behind) in [
            (-1440, false),
            (0, false),
            (4, false),
            (6, true),
            (1440, true),
        ] {
            let last = now + SignedDuration::from_mins(minutes);
            assert_eq!(is_behind(now, last), behind, "{minutes}");
        }
    }
}
