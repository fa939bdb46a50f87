//! Times on the command line: a duration before now, a day, or a moment.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use crate::document::parse_duration;
use crate::key::time;

/// The last moment of a day, as far as times are told apart.
const LAST: Time = Time::constant(23, 59, 59, 999_999_999);

/// A time as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    /// A moment.
    Moment(Timestamp),
    /// A day, in the time zone of what is read.
    Day(Date),
}

/// Why a text on the command line is no time.
#[derive(Debug, thiserror::Error)]
pub(super) enum WhenError {
    /// The text has none of the accepted forms.
    #[error(
        "expected a time before now such as 7d, a day such as 2027-01-31, or a moment such as 2027-01-31T12:00:00Z"
    )]
    Form,
    /// The time is before the calendar begins.
    #[error("is further back than any calendar goes")]
    TooFarBack,
}

impl When {
    /// Reads a time.
    pub(super) fn parse(text: &str) -> Result<Self, WhenError> {
        if let Ok(before) = parse_duration(text) {
            let time = Timestamp::now().checked_sub(before);
            return time.map(Self::Moment).map_err(|_| WhenError::TooFarBack);
        }
        let start = time::parse_start(text).map_err(|_| WhenError::Form)?;
        // A day alone has two readings, and a moment one.
        let end = time::parse_end(text).map_err(|_| WhenError::Form)?;
        if start == end {
            return Ok(Self::Moment(start));
        }
        Ok(Self::Day(TimeZone::UTC.to_datetime(start).date()))
    }

    /// The time; the start of a day.
    pub(super) fn start(self, zone: &TimeZone) -> Timestamp {
        self.at(Time::midnight(), zone)
    }

    /// The time; the end of a day.
    pub(super) fn end(self, zone: &TimeZone) -> Timestamp {
        self.at(LAST, zone)
    }

    fn at(self, of_day: Time, zone: &TimeZone) -> Timestamp {
        match self {
            Self::Moment(moment) => moment,
            Self::Day(date) => {
                let zoned = date.to_datetime(of_day).to_zoned(zone.clone());
                zoned.map_or(Timestamp::MAX, |zoned| zoned.timestamp())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_one_of_the_time_zone_and_a_moment_is_the_same_in_each() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let day = When::parse("2027-01-31").unwrap();
        assert_eq!(day.start(&zone).to_string(), "2027-01-30T22:00:00Z");
        assert_eq!(day.end(&zone).to_string(), "2027-01-31T21:59:59.999999999Z");
        assert_eq!(
            day.start(&TimeZone::UTC).to_string(),
            "2027-01-31T00:00:00Z"
        );
        let moment = When::parse("2027-01-31T12:00:00Z").unwrap();
        assert_eq!(moment.start(&zone), moment.end(&zone));
        assert!(When::parse("soon").is_err());
    }
}
