//! The time zone of the calendar, from the machine's database.

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::fetcher::Fetcher;
use crate::document::{Located, Problems, nearest};

impl Fetcher<'_> {
    /// The time zone of the name that is `given`, UTC without one.
    pub(super) fn timezone(&self, given: Option<&Located<String>>) -> TimeZone {
        timezone_of(given, self.problems)
    }
}

/// The time zone of the name that is `given`, UTC without one.
pub(crate) fn timezone_of(given: Option<&Located<String>>, problems: &Problems) -> TimeZone {
    // UTC is known without a database.
    let Some(given) = given.filter(|given| !given.value.eq_ignore_ascii_case("UTC")) else {
        return TimeZone::UTC;
    };
    let database = jiff::tz::db();
    database.get(&given.value).unwrap_or_else(|_| {
        let why = unknown(&given.value, database);
        problems.fatal(&given.at, why);
        TimeZone::UTC
    })
}

/// Why there is no time zone of this name.
fn unknown(name: &str, database: &TimeZoneDatabase) -> String {
    let known: Vec<String> = database.available().map(|name| name.to_string()).collect();
    if known.is_empty() {
        return format!(
            "usage.timezone: `{name}` needs the database of time zones, which this machine has not: install tzdata"
        );
    }
    let hint = match similar(name, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "names are those of the IANA database, such as `Europe/Berlin`".to_owned(),
    };
    format!("usage.timezone: there is no time zone `{name}`: {hint}")
}

/// The zone of a city that is named without its continent, or the one with the most similar name.
fn similar<'k>(name: &str, known: &'k [String]) -> Option<&'k str> {
    let is_city = |zone: &&str| {
        let city = zone.rsplit('/').next();
        city.is_some_and(|city| city.eq_ignore_ascii_case(&name.replace(' ', "_")))
    };
    let known = || known.iter().map(String::as_str);
    known().find(is_city).or_else(|| nearest(name, known()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_zone_and_a_city_alone_are_recognised() {
        let known = ["America/New_York", "Europe/Berlin", "UTC"].map(str::to_owned);
        for (name, expected) in [
            ("Europe/Berln", Some("Europe/Berlin")),
            ("berlin", Some("Europe/Berlin")),
            ("New York", Some("America/New_York")),
            ("UTCC", Some("UTC")),
            ("Middle-earth/Shire", None),
        ] {
            assert_eq!(similar(name, &known), expected, "{name}");
        }
    }

    #[test]
    fn a_machine_without_a_database_is_told_apart_from_a_mistake() {
        let said = unknown("Europe/Berlin", &TimeZoneDatabase::none());
        assert!(said.contains("install tzdata"), "{said}");
    }
}
