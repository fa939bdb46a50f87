//! Times of a key as people write them, on the command line and in tables: a duration from now, a day, or a date with a
//! time. A day is a day of UTC, and a time without an offset is in UTC.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use crate::document::{last_moment, parse_duration, parse_moment};

/// The last second of a day. Key files have whole seconds, so whoever wrote a day sees the same day again.
const LAST: Time = Time::constant(23, 59, 59, 0);
/// The spelling of databases for a time that never comes.
const NEVER: &str = "infinity";

/// Why a text is no time of a key. Holds nothing of the text, which may be a key in the wrong column.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TimeError {
    /// The text has none of the accepted forms.
    #[error(
        "expected a time from now such as 30d, a day such as 2027-01-31, or a moment such as 2027-01-31T12:00:00Z"
    )]
    Form,
    /// The time is after the end of the calendar.
    #[error(
        "no time is later than {}: a key without an end has none written",
        last_moment()
    )]
    TooFar,
}

/// Reads the end of a key. A day means its last second, 23:59:59 UTC. 9999-12-31 and `infinity` mean the last time that
/// can be written.
pub(crate) fn parse_end(text: &str) -> Result<Timestamp, TimeError> {
    read(text, LAST)
}

/// Reads the start of a key. A day means 00:00 UTC.
pub(crate) fn parse_start(text: &str) -> Result<Timestamp, TimeError> {
    read(text, Time::midnight())
}

/// The time this far from now; `None` beyond the calendar, which ends with the year 9999.
pub(crate) fn from_now(ahead: Duration) -> Option<Timestamp> {
    Timestamp::now().checked_add(ahead).ok()
}

fn read(text: &str, of_day: Time) -> Result<Timestamp, TimeError> {
    let text = text.trim();
    if text == NEVER {
        return Ok(last_moment());
    }
    if let Some(moment) = parse_moment(text) {
        return Ok(moment);
    }
    let local = if is_day(text) {
        text.parse::<Date>().ok().map(|day| day.to_datetime(of_day))
    } else if is_time_of_day(text) {
        text.parse().ok()
    } else {
        None
    };
    if let Some(local) = local {
        // Many write 9999-12-31 for "no end".
        let is_last = local.year() == DateTime::MAX.year();
        let last = is_last.then(last_moment);
        return in_utc(local).or(last).ok_or(TimeError::TooFar);
    }
    let ahead = parse_duration(text).map_err(|_| TimeError::Form)?;
    from_now(ahead).ok_or(TimeError::TooFar)
}

/// Whether a text has the form of 2027-01-31. Checked because the parser of dates also accepts a date with a time.
fn is_day(text: &str) -> bool {
    text.len() == "2027-01-31".len() && text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}

/// Whether a text may be a date with a time. The parser accepts some dates alone as their midnight, and ignores the name
/// of a time zone.
fn is_time_of_day(text: &str) -> bool {
    text.contains(':') && !text.contains('[')
}

fn in_utc(local: DateTime) -> Option<Timestamp> {
    Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_alone_begins_at_midnight_and_ends_with_its_last_second() {
        assert_eq!(
            parse_end("2027-01-31").unwrap().to_string(),
            "2027-01-31T23:59:59Z"
        );
        assert_eq!(
            parse_start(" 2027-01-31 ").unwrap().to_string(),
            "2027-01-31T00:00:00Z"
        );
    }

    #[test]
    fn a_date_with_a_time_is_read_as_databases_write_it() {
        for (text, moment) in [
            ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
            ("2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00Z"),
            ("2027-01-31 12:00:00+00", "2027-01-31T12:00:00Z"),
            ("2027-01-31 12:00:00.123", "2027-01-31T12:00:00.123Z"),
            ("2027-01-31T12:00:00", "2027-01-31T12:00:00Z"),
            ("2027-01-31 12:00", "2027-01-31T12:00:00Z"),
        ] {
            for read in [parse_start, parse_end] {
                assert_eq!(read(text).unwrap().to_string(), moment, "{text}");
            }
        }
    }

    #[test]
    fn a_time_that_never_comes_is_the_last_time_that_can_be_written() {
        for text in [
            "9999-12-31",
            "9999-12-31T23:59:59Z",
            "9999-12-31 23:59:59.999999+00",
            "9999-12-31 23:59:59",
            "9999-12-30T23:00:00-05:00",
            "infinity",
        ] {
            let last = parse_end(text).unwrap();
            assert_eq!(last.to_string(), "9999-12-30T22:00:00Z", "{text}");
        }
        let before = parse_end("9999-12-30").unwrap_or(Timestamp::MIN);
        assert!(before <= last_moment());
    }

    #[test]
    fn a_time_from_now_lies_ahead() {
        let from = Timestamp::now() + Duration::from_secs(30 * 86_400);
        let read = parse_end("30d").unwrap();
        assert!(from <= read && read <= Timestamp::now() + Duration::from_secs(30 * 86_400));
    }

    #[test]
    fn a_text_that_is_no_time_is_refused_with_the_accepted_forms() {
        for bad in [
            "",
            "soon",
            "2027",
            "2027-02-30",
            "2027-13-01",
            "31.01.2027",
            "01/31/2027",
            "2027-1-31",
            "-3d",
            "20270131",
            "2027-01-31T",
            "2027-01-31T12:00:00[Europe/Berlin]",
            "2027-01-31 12:00 CET",
            "2027-01-31 12:00+2",
            "12:00",
        ] {
            for read in [parse_start, parse_end] {
                let why = read(bad).unwrap_err().to_string();
                assert!(why.contains("2027-01-31,"), "{bad}: {why}");
            }
        }
        for far in ["4000000d", "999999w"] {
            let why = parse_end(far).unwrap_err().to_string();
            assert!(
                why.starts_with("no time is later than 9999-12-30T22:00:00Z"),
                "{far}: {why}"
            );
        }
    }
}
