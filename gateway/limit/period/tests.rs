//! Periods tile time in every zone, and are those of the calendar.

use std::sync::LazyLock;

use jiff::tz;
use proptest::prelude::*;

use super::*;

const DAY: i64 = 24 * HOUR;
const ALL: [Period; 6] = Period::ALL;

fn calendar(zone: &str) -> Calendar {
    Calendar::new(TimeZone::get(zone).unwrap(), Weekday::Monday)
}

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn assert_span(zone: &str, period: Period, at: &str, start: &str, end: &str) {
    let found = calendar(zone).span(period, moment(at));
    assert_eq!(
        found,
        (moment(start), moment(end)),
        "{zone} {period:?} {at}"
    );
}

#[test]
fn periods_are_those_of_the_calendar_of_the_zone() {
    let at = "2028-02-29T22:30:15.5Z";
    for (period, start, end) in [
        (Period::Hour, "2028-02-29T22:00:00Z", "2028-02-29T23:00:00Z"),
        (Period::Day, "2028-02-28T23:00:00Z", "2028-02-29T23:00:00Z"),
        (Period::Week, "2028-02-27T23:00:00Z", "2028-03-05T23:00:00Z"),
        (
            Period::Month,
            "2028-01-31T23:00:00Z",
            "2028-02-29T23:00:00Z",
        ),
        (
            Period::Quarter,
            "2027-12-31T23:00:00Z",
            "2028-03-31T22:00:00Z",
        ),
        (Period::Year, "2027-12-31T23:00:00Z", "2028-12-31T23:00:00Z"),
    ] {
        assert_span("Europe/Berlin", period, at, start, end);
    }
    let ever = calendar("UTC").span(Period::Ever, moment(at));
    assert_eq!(ever, (Timestamp::UNIX_EPOCH, Timestamp::MAX));
}

#[test]
fn years_have_366_days_only_if_they_are_leap_years() {
    let utc = calendar("UTC");
    for (year, days) in [
        (1900, 365),
        (2000, 366),
        (2026, 365),
        (2028, 366),
        (2100, 365),
    ] {
        let (start, end) = utc.span(Period::Year, moment(&format!("{year}-07-01T00:00:00Z")));
        assert_eq!(end.as_second() - start.as_second(), days * DAY, "{year}");
    }
    let (start, end) = utc.span(Period::Month, moment("2100-02-28T23:59:59.999999999Z"));
    assert_eq!(end.as_second() - start.as_second(), 28 * DAY);
}

#[test]
fn a_week_begins_on_the_day_that_is_set() {
    for (day, start) in [
        (Weekday::Monday, "2026-11-23"),
        (Weekday::Sunday, "2026-11-22"),
        (Weekday::Saturday, "2026-11-28"),
    ] {
        let calendar = Calendar::new(TimeZone::UTC, day);
        let (found, end) = calendar.span(Period::Week, moment("2026-11-28T12:00:00Z"));
        assert_eq!(found, moment(&format!("{start}T00:00:00Z")));
        assert_eq!(end.as_second() - found.as_second(), 7 * DAY);
    }
}

#[test]
fn days_have_23_or_25_hours_when_the_clocks_change() {
    let berlin = "Europe/Berlin";
    let (begin, end) = ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
    assert_span(berlin, Period::Day, "2026-03-29T12:00:00Z", begin, end);
    let (begin, end) = ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
    assert_span(berlin, Period::Day, "2026-10-25T12:00:00Z", begin, end);
    // The hour from 2 to 3 is there twice, and each is an hour.
    for hour in ["00", "01", "02"] {
        let at = |minute: &str| format!("2026-10-25T{hour}:{minute}:00Z");
        let (_, next) = calendar(berlin).span(Period::Hour, moment(&at("30")));
        assert_span(
            berlin,
            Period::Hour,
            &at("30"),
            &at("00"),
            &next.to_string(),
        );
        assert_eq!(next.as_second() - moment(&at("00")).as_second(), HOUR);
    }
}

#[test]
fn a_day_without_midnight_begins_with_the_change_of_the_clocks() {
    // At 0:00 it was 1:00.
    let (begin, end) = ("2022-09-11T04:00:00Z", "2022-09-12T03:00:00Z");
    assert_span(
        "America/Santiago",
        Period::Day,
        "2022-09-11T12:00:00Z",
        begin,
        end,
    );
    // At 23:30 on the day before it was 0:30.
    let (begin, end) = ("1919-03-31T04:30:00Z", "1919-04-01T04:00:00Z");
    assert_span(
        "America/Toronto",
        Period::Day,
        "1919-03-31T12:00:00Z",
        begin,
        end,
    );
}

#[test]
fn a_day_with_two_midnights_begins_with_the_first() {
    // At 1:00 it was 0:00 again.
    let (begin, end) = ("2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z");
    for at in ["2025-11-02T04:30:00Z", "2025-11-02T05:30:00Z"] {
        assert_span("America/Havana", Period::Day, at, begin, end);
    }
    // At 0:01 it was 23:01 of the day before, which was over.
    let begin = "2010-11-07T02:30:00Z";
    for at in [
        "2010-11-07T02:30:30Z",
        "2010-11-07T02:45:00Z",
        "2010-11-07T04:00:00Z",
    ] {
        assert_span(
            "America/St_Johns",
            Period::Day,
            at,
            begin,
            "2010-11-08T03:30:00Z",
        );
    }
}

#[test]
fn a_date_that_a_zone_skips_has_no_day() {
    // Samoa had no 30 December 2011.
    let change = "2011-12-30T10:00:00Z";
    let (before, after) = ("2011-12-30T09:59:59.999999999Z", change);
    let apia = "Pacific/Apia";
    assert_span(apia, Period::Day, before, "2011-12-29T10:00:00Z", change);
    assert_span(apia, Period::Day, after, change, "2011-12-31T10:00:00Z");
    assert_span(apia, Period::Hour, after, change, "2011-12-30T11:00:00Z");
    let week = ("2011-12-26T10:00:00Z", "2012-01-01T10:00:00Z");
    assert_span(apia, Period::Week, after, week.0, week.1);
}

#[test]
fn full_hours_are_those_that_the_clocks_show() {
    let (begin, end) = ("2026-01-01T00:15:00Z", "2026-01-01T01:15:00Z");
    assert_span(
        "Asia/Kathmandu",
        Period::Hour,
        "2026-01-01T01:00:00Z",
        begin,
        end,
    );
    assert_span("Asia/Kathmandu", Period::Hour, begin, begin, end);
    // At 2:00 it was 2:30; then, at 2:00 it was 1:30.
    for (at, begin, end) in [
        (
            "2026-10-03T15:45:00Z",
            "2026-10-03T14:30:00Z",
            "2026-10-03T16:00:00Z",
        ),
        (
            "2026-10-03T15:00:00Z",
            "2026-10-03T14:30:00Z",
            "2026-10-03T16:00:00Z",
        ),
        (
            "2026-04-04T14:30:00Z",
            "2026-04-04T14:00:00Z",
            "2026-04-04T15:30:00Z",
        ),
        (
            "2026-04-04T15:15:00Z",
            "2026-04-04T14:00:00Z",
            "2026-04-04T15:30:00Z",
        ),
    ] {
        assert_span("Australia/Lord_Howe", Period::Hour, at, begin, end);
    }
}

#[test]
fn at_the_ends_of_time_periods_are_cut() {
    for zone in [
        "UTC",
        "Pacific/Kiritimati",
        "Pacific/Pago_Pago",
        "Europe/Berlin",
    ] {
        for period in ALL {
            for at in [Timestamp::MIN, Timestamp::MAX] {
                let (start, end) = calendar(zone).span(period, at);
                assert!(start <= at && at <= end && start < end, "{zone} {period:?}");
            }
        }
    }
}

/// The least and the most seconds of a period. A change of the clocks makes one shorter or longer, in Antarctica by up to
/// three hours.
fn bounds(period: Period) -> (i64, i64) {
    let days = |least: i64, most: i64| (least * DAY - 3 * HOUR, most * DAY + 3 * HOUR);
    match period {
        Period::Hour => (HOUR, HOUR * 3 / 2),
        Period::Day => days(1, 1),
        Period::Week => days(7, 7),
        Period::Month => days(28, 31),
        Period::Quarter => days(90, 92),
        Period::Year | Period::Ever => days(365, 366),
    }
}

/// Asserts that from `at` on, so many periods follow each other without gap or overlap, or those up to `end`.
fn assert_tiling(calendar: &Calendar, period: Period, at: Timestamp, count: usize, end: Timestamp) {
    let nanosecond = 1.nanosecond();
    let (mut start, mut next) = calendar.span(period, at);
    assert!(start <= at && at < next);
    assert_eq!(
        calendar
            .span(period, start.checked_sub(nanosecond).unwrap())
            .1,
        start
    );
    for _ in 0..count {
        let seen = (&calendar.zone, period, start, next);
        let length = next.as_second() - start.as_second();
        let (least, most) = bounds(period);
        assert!((least..=most).contains(&length), "{length} s: {seen:?}");
        let middle = Timestamp::from_second(start.as_second() + length / 2).unwrap();
        for inside in [start, middle, next.checked_sub(nanosecond).unwrap()] {
            assert_eq!(
                calendar.span(period, inside),
                (start, next),
                "{inside}: {seen:?}"
            );
        }
        let local = calendar.zone.to_datetime(start);
        if period == Period::Week {
            assert_eq!(local.weekday(), calendar.week_starts, "{seen:?}");
        }
        let ended = next;
        (start, next) = calendar.span(period, next);
        assert_eq!(start, ended, "{seen:?}");
        if start >= end {
            break;
        }
    }
}

static ZONES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let names: Vec<_> = tz::db().available().map(|name| name.to_string()).collect();
    assert!(names.len() > 300, "the system has no time zone database");
    names
});

const WEEKDAYS: [Weekday; 7] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn periods_tile_time_in_every_zone(
        zone in any::<prop::sample::Index>(),
        week_starts in 0..7_usize,
        at in moment("2020-01-01T00:00:00Z").as_second()..moment("2040-01-01T00:00:00Z").as_second(),
        is_at_change in any::<bool>(),
    ) {
        let calendar = Calendar::new(TimeZone::get(zone.get::<String>(&ZONES)).unwrap(), WEEKDAYS[week_starts]);
        let at = Timestamp::from_second(at).unwrap();
        let change = calendar.zone.following(at).next().filter(|_| is_at_change);
        let at = change.map_or(at, |change| change.timestamp() - 5.hours());
        for period in ALL {
            assert_tiling(&calendar, period, at, 12, Timestamp::MAX);
        }
    }
}

/// All periods of all zones; of hours, those around the changes of the clocks. Takes minutes, so `.ci/soak` asks for
/// it.
#[test]
fn all_periods_of_all_zones_tile_time() {
    if std::env::var_os("CALENDAR_WHOLE").is_none() {
        return;
    }
    let (begin, end) = (
        moment("2020-01-01T00:00:00Z"),
        moment("2040-12-31T00:00:00Z"),
    );
    for (place, zone) in ZONES.iter().enumerate() {
        let calendar = Calendar::new(TimeZone::get(zone).unwrap(), WEEKDAYS[place % 7]);
        for period in ALL.into_iter().skip(1) {
            assert_tiling(&calendar, period, begin, usize::MAX, end);
        }
        let changes = calendar
            .zone
            .following(begin)
            .map(|change| change.timestamp());
        for change in changes.take_while(|change| *change < end) {
            assert_tiling(&calendar, Period::Hour, change - 30.hours(), 60, end);
        }
    }
}
