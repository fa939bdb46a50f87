//! How much of a budget a process is issued: arithmetic without IO.
//!
//! Rights are issued in chunks, so that the file is not written for each request, and so that the ledger is ahead of a
//! process that spends. A process that is killed counts as having spent its rights, so a chunk is also what a kill may
//! cost. Near the end of a budget, chunks shrink with what is left, so that no process keeps from another what it does not
//! need.

use std::time::Duration;

/// The part of an amount that is issued ahead at least: 0.5 %.
const LEAST_PART: i64 = 200;
/// The part of an amount up to which all is issued at once that was missing since the last look: 2 %.
const MISSED_PART: i64 = 50;
/// How long a measured pace lasts when nothing is spent any more.
const PACE_LASTS: Duration = Duration::from_secs(2);

/// What is known of an account when its rights are decided. All amounts are totals of the period.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// The most that all processes together may spend: the amount and what operators added.
    pub(super) amount: i64,
    /// What others have been issued.
    pub(super) elsewhere: i64,
    /// What this process has been issued.
    pub(super) issued: i64,
    /// What it has spent and reserved.
    pub(super) taken: i64,
    /// The sum of what it could not take since the last look, because it was not issued.
    pub(super) missed: i64,
    /// The largest of what it ever could not take.
    pub(super) largest: i64,
    /// What it spends in a second.
    pub(super) pace: i64,
    /// How many processes hold rights, this one included.
    pub(super) holders: i64,
    /// Whether it has taken nothing for a second.
    pub(super) is_idle: bool,
    /// Whether rights may be taken back now.
    pub(super) may_lower: bool,
}

/// What is to be done with the rights of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// They stay.
    Keep,
    /// They become so many.
    Raise(i64),
    /// They become so many, or as many as are taken by then.
    Lower(i64),
}

impl Situation {
    /// What is to be done.
    pub(super) fn step(&self) -> Step {
        let ahead = self.ahead();
        let want = self.taken.saturating_add(ahead);
        let held = self.issued.saturating_sub(self.taken);
        // Debt is issued whatever is left, for it is spent.
        let is_low = held < 0 || self.missed > 0 || held <= ahead / 2;
        if is_low && want > self.issued {
            return Step::Raise(want);
        }
        let is_much = held > ahead.saturating_mul(2) || self.issued > self.most();
        let is_needed_elsewhere = self.is_idle && self.holders > 1;
        let is_lowered = self.may_lower && (is_much || is_needed_elsewhere);
        if is_lowered && want < self.issued {
            return Step::Lower(want);
        }
        Step::Keep
    }

    /// The most that this process may be issued.
    fn most(&self) -> i64 {
        self.amount.saturating_sub(self.elsewhere)
    }

    /// How much the rights are to be ahead of what is taken.
    fn ahead(&self) -> i64 {
        let free = self.most().saturating_sub(self.taken).max(0);
        // Two processes that both hold too little for a request let go, and one of them gets it.
        let is_stuck = self.missed > 0 && free < self.largest;
        let needs_nothing = self.is_idle && (self.missed == 0 || is_stuck);
        if needs_nothing && self.holders > 1 {
            return 0;
        }
        let least = if needs_nothing {
            0
        } else {
            self.largest.max(1)
        };
        let missed = self.missed.min(self.amount / MISSED_PART);
        let part = self.amount / LEAST_PART;
        let chunk = self.pace.max(part).max(missed).max(least);
        // Half for this process and those that hold rights already: one that starts later gets something, too.
        let share = (free / self.holders.max(1).saturating_mul(2)).max(least);
        chunk.min(share).min(free)
    }
}

/// How much is spent in a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    a_second: i64,
}

impl Pace {
    /// In the `time` since the last call, `units` were spent; less than zero if more was given back.
    pub(super) fn learn(&mut self, units: i64, time: Duration) {
        let micros = i128::try_from(time.as_micros()).unwrap_or(i128::MAX).max(1);
        let measured = i128::from(units.max(0)) * 1_000_000 / micros;
        let before = i128::from(self.a_second);
        let lasts = i128::try_from(PACE_LASTS.as_micros()).unwrap_or(i128::MAX);
        let next = if measured >= before {
            measured
        } else {
            before - (before - measured) * micros.min(lasts) / lasts
        };
        self.a_second = i64::try_from(next).unwrap_or(i64::MAX);
    }

    /// The units in a second.
    pub(super) fn a_second(self) -> i64 {
        self.a_second
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRESH: Situation = Situation {
        amount: 10_000,
        elsewhere: 0,
        issued: 0,
        taken: 0,
        missed: 0,
        largest: 0,
        pace: 0,
        holders: 1,
        is_idle: false,
        may_lower: true,
    };

    #[test]
    fn a_chunk_is_half_a_percent_or_a_second_of_spending_or_what_was_missing() {
        let ahead = |situation: Situation| situation.ahead();
        assert_eq!(ahead(FRESH), 50);
        assert_eq!(ahead(Situation { pace: 300, ..FRESH }), 300);
        let missed = Situation {
            missed: 150,
            largest: 30,
            ..FRESH
        };
        assert_eq!(ahead(missed), 150);
        let much = Situation {
            missed: 5_000,
            ..missed
        };
        assert_eq!(ahead(much), 200);
        // One request is issued however large it is.
        let large = Situation {
            largest: 900,
            ..much
        };
        assert_eq!(ahead(large), 900);
        // A small budget is issued one by one.
        let small = Situation {
            amount: 10,
            ..FRESH
        };
        assert_eq!(ahead(small), 1);
    }

    #[test]
    fn an_idle_process_gives_back_when_there_is_another_one() {
        let idle = Situation {
            issued: 70,
            is_idle: true,
            ..FRESH
        };
        assert_eq!(idle.step(), Step::Keep);
        let of_two = Situation { holders: 2, ..idle };
        assert_eq!(of_two.step(), Step::Lower(0));
        // And takes nothing again until it needs it.
        let without = Situation {
            issued: 0,
            largest: 10,
            ..of_two
        };
        assert_eq!(without.step(), Step::Keep);
        let asked = Situation {
            missed: 10,
            ..without
        };
        assert_eq!(asked.step(), Step::Raise(50));
    }

    #[test]
    fn of_two_processes_that_hold_too_little_for_a_request_one_gets_it() {
        let first = Situation {
            amount: 9,
            elsewhere: 4,
            issued: 5,
            missed: 7,
            largest: 7,
            holders: 2,
            is_idle: true,
            ..FRESH
        };
        assert_eq!(first.step(), Step::Lower(0));
        let second = Situation {
            elsewhere: 0,
            issued: 4,
            ..first
        };
        assert_eq!(second.step(), Step::Raise(7));
    }

    #[test]
    fn a_pace_is_followed_at_once_and_forgotten_slowly() {
        let mut pace = Pace::default();
        pace.learn(100, Duration::from_millis(50));
        assert_eq!(pace.a_second(), 2_000);
        pace.learn(0, Duration::from_secs(1));
        assert_eq!(pace.a_second(), 1_000);
        pace.learn(-500, Duration::from_secs(9));
        assert_eq!(pace.a_second(), 0);
    }

    proptest! {
        #[test]
        fn no_step_issues_more_than_is_left_or_less_than_is_taken(
            amount in 0..1_000_000_i64, elsewhere in 0..1_000_000_i64, issued in 0..1_000_000_i64,
            taken in 0..1_000_000_i64, missed in 0..1_000_000_i64, largest in 0..1_000_000_i64,
            pace in 0..1_000_000_i64, holders in 1..9_i64, is_idle: bool, may_lower: bool,
        ) {
            let situation = Situation {
                amount, elsewhere, issued, taken, missed, largest, pace, holders, is_idle, may_lower,
            };
            match situation.step() {
                Step::Keep => {}
                Step::Raise(to) => {
                    prop_assert!(to > issued && to >= taken);
                    prop_assert!(to <= (amount - elsewhere).max(taken));
                }
                Step::Lower(to) => prop_assert!(may_lower && to < issued && to >= taken),
            }
            // Debt is always issued.
            let is_debt = taken > issued;
            prop_assert!(!is_debt || matches!(situation.step(), Step::Raise(_)));
        }
    }
}
