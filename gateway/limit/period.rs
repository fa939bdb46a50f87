//! The periods of budgets in the calendar of a time zone.
//!
//! The periods of one kind tile time: each moment is in exactly one of them, whatever the clocks of the zone do.
//!
//! A day begins at the first moment of its date. Where the clocks skip midnight, that is the moment of the change; where
//! they repeat it, the first of the two. Longer periods begin with the first of their days. A date that the zone skips has
//! no day, and what would begin with it begins with the next date.
//!
//! An hour begins when the local clocks show a full hour. Where they are changed by a whole hour, all hours have 60
//! minutes; where they are changed by half an hour (Lord Howe Island), the hour around the change has 90.

use jiff::civil::{Date, Time, Weekday, date};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Span, Timestamp, ToSpan};

use super::terms::Period;

/// An hour, in seconds.
const HOUR: i64 = 3600;

/// The calendar that periods follow.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    zone: TimeZone,
    week_starts: Weekday,
}

impl Calendar {
    /// The calendar of `zone`, in which weeks begin on `week_starts`.
    pub(crate) fn new(zone: TimeZone, week_starts: Weekday) -> Self {
        Self { zone, week_starts }
    }

    /// The period that contains `at`: its first moment, and that of the next one.
    ///
    /// [`Period::Ever`] is from the beginning of 1970 to [`Timestamp::MAX`]. At the ends of the range of [`Timestamp`],
    /// a period is cut there.
    pub(crate) fn span(&self, period: Period, at: Timestamp) -> (Timestamp, Timestamp) {
        match period {
            Period::Ever => (Timestamp::UNIX_EPOCH, Timestamp::MAX),
            Period::Hour => (self.hour_start(at), self.hour_end(at)),
            Period::Day => self.dates(self.date_of(at), 1.day()),
            Period::Week => {
                let date = self.date_of(at);
                let days = date.weekday().since(self.week_starts);
                let first = date.checked_sub(days.days()).unwrap_or(Date::MIN);
                self.dates(first, 7.days())
            }
            Period::Month => self.dates(self.date_of(at).first_of_month(), 1.month()),
            Period::Quarter => {
                let (year, month) = (self.date_of(at).year(), self.date_of(at).month());
                self.dates(date(year, (month - 1) / 3 * 3 + 1, 1), 3.months())
            }
            Period::Year => self.dates(self.date_of(at).first_of_year(), 1.year()),
        }
    }

    /// The days from `first` for `length`.
    fn dates(&self, first: Date, length: Span) -> (Timestamp, Timestamp) {
        let next = first.checked_add(length);
        let end = next.map_or(Timestamp::MAX, |next| self.day_start(next));
        (self.day_start(first), end)
    }

    /// The date to whose day `at` belongs. It is not the local one if clocks that were set back show a date again that is
    /// over.
    fn date_of(&self, at: Timestamp) -> Date {
        let mut date = self.zone.to_datetime(at).date();
        while let Ok(next) = date.tomorrow()
            && let start = self.day_start(next)
            && start <= at
            && start < Timestamp::MAX
        {
            date = next;
        }
        date
    }

    /// The first moment of a date, or of the next one that the zone has.
    fn day_start(&self, date: Date) -> Timestamp {
        let midnight = date.to_datetime(Time::midnight());
        let to_moment = |offset: Offset| {
            let end = if date.year() < 0 {
                Timestamp::MIN
            } else {
                Timestamp::MAX
            };
            offset.to_timestamp(midnight).unwrap_or(end)
        };
        match self.zone.to_ambiguous_timestamp(midnight).offset() {
            AmbiguousOffset::Unambiguous { offset } => to_moment(offset),
            AmbiguousOffset::Fold { before, .. } => to_moment(before),
            // Midnight is skipped: the day begins with the change of the clocks.
            AmbiguousOffset::Gap { before, after } => {
                let change = self.zone.following(to_moment(after)).next();
                change.map_or_else(|| to_moment(before), |change| change.timestamp())
            }
        }
    }

    /// The last moment up to `at` at which the clocks show a full hour.
    fn hour_start(&self, mut at: Timestamp) -> Timestamp {
        loop {
            let full = floor(at) - self.past_hour(at);
            let Ok(full) = Timestamp::from_second(full) else {
                return Timestamp::MIN;
            };
            let behind = at.checked_add(1.nanosecond()).unwrap_or(at);
            let change = self.zone.preceding(behind).next();
            let Some(change) = change.filter(|change| change.timestamp() > full) else {
                return full;
            };
            // The clocks did not show `full` as this hour: they were changed since.
            let Ok(before) = change.timestamp().checked_sub(1.nanosecond()) else {
                return Timestamp::MIN;
            };
            at = before;
        }
    }

    /// The first moment behind `at` at which the clocks show a full hour.
    fn hour_end(&self, mut at: Timestamp) -> Timestamp {
        loop {
            let full = floor(at) + HOUR - self.past_hour(at);
            let full = Timestamp::from_second(full).unwrap_or(Timestamp::MAX);
            let change = self.zone.following(at).next();
            let Some(change) = change.filter(|change| change.timestamp() <= full) else {
                return full;
            };
            at = change.timestamp();
            if self.past_hour(at) == 0 {
                return at;
            }
        }
    }

    /// The whole seconds that the clocks show behind the full hour.
    fn past_hour(&self, at: Timestamp) -> i64 {
        let offset = i64::from(self.zone.to_offset(at).seconds());
        (floor(at) + offset).rem_euclid(HOUR)
    }
}

/// The seconds since the beginning of 1970, rounded down.
fn floor(at: Timestamp) -> i64 {
    at.as_second() - i64::from(at.subsec_nanosecond() < 0)
}

#[cfg(test)]
mod tests;
