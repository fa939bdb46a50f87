//! The types that a TOML value can be read as, and their units.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use toml::Spanned;
use toml::de::DeValue;

pub(super) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Why a value was not read. Neither the text of the value nor the error of its parser, which may quote the text, is part
/// of it: the text may be a secret in the wrong place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValueError {
    /// It is of another type.
    #[error("expected {expected}, found {found}")]
    Type {
        /// The type that was expected.
        expected: &'static str,
        /// The type of the value.
        found: &'static str,
    },
    /// It has another form.
    #[error("expected {0}")]
    Form(&'static str),
    /// It is no duration.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// It cannot be used for another reason.
    #[error("{0}")]
    Unusable(Cow<'static, str>),
}

impl From<&'static str> for ValueError {
    fn from(why: &'static str) -> Self {
        Self::Unusable(why.into())
    }
}

/// Why a text is no duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationError {
    /// It has another form.
    #[error("expected a duration with its unit, such as \"45s\", \"10m\" or \"30d\"")]
    Form,
    /// It is less than nothing.
    #[error("a duration cannot be negative")]
    Negative,
}

/// A type that a TOML value can be read as.
pub(crate) trait Value: Sized {
    /// Reads the value.
    fn read(value: &DeValue<'_>) -> Result<Self, ValueError>;
}

fn expected<T>(what: &'static str, found: &DeValue<'_>) -> Result<T, ValueError> {
    Err(ValueError::Type {
        expected: what,
        found: kind_of(found),
    })
}

impl Value for String {
    fn read(value: &DeValue<'_>) -> Result<Self, ValueError> {
        match value {
            DeValue::String(text) => Ok(text.clone().into_owned()),
            other => expected("a string", other),
        }
    }
}

impl Value for bool {
    fn read(value: &DeValue<'_>) -> Result<Self, ValueError> {
        match value {
            DeValue::Boolean(flag) => Ok(*flag),
            other => expected("true or false", other),
        }
    }
}

impl Value for usize {
    fn read(value: &DeValue<'_>) -> Result<Self, ValueError> {
        match value {
            DeValue::Integer(number) => Self::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| ValueError::Form("a whole number, zero or more")),
            other => expected("a whole number", other),
        }
    }
}

impl Value for Duration {
    fn read(value: &DeValue<'_>) -> Result<Self, ValueError> {
        match value {
            DeValue::String(text) => Ok(parse_duration(text)?),
            other => expected("a duration with its unit, such as \"45s\"", other),
        }
    }
}

/// A point in time, written as a TOML date with time and offset: `2027-01-31T12:00:00Z`.
impl Value for Timestamp {
    fn read(value: &DeValue<'_>) -> Result<Self, ValueError> {
        let wanted = "a date with time and offset, such as 2027-01-31T12:00:00Z";
        match value {
            DeValue::Datetime(date) => {
                parse_moment(&date.to_string()).ok_or(ValueError::Form(wanted))
            }
            DeValue::String(text) => parse_moment(text).ok_or(ValueError::Form(wanted)),
            other => expected(wanted, other),
        }
    }
}

/// The last second that a [`Timestamp`] can hold, some hours before the year 9999 ends.
pub(crate) fn last_moment() -> Timestamp {
    Timestamp::from_second(Timestamp::MAX.as_second()).unwrap_or(Timestamp::MAX)
}

/// Parses a date with time and offset. The last hours of the year 9999, which often stand for "no end", become the
/// [`last_moment`].
pub(crate) fn parse_moment(text: &str) -> Option<Timestamp> {
    if let Ok(moment) = text.parse() {
        return Some(moment);
    }
    let parts = Pieces::parse(text).ok()?;
    let is_whole = parts.time().is_some() && parts.offset().is_some();
    let is_last = parts.date() >= last_moment().to_zoned(TimeZone::UTC).date();
    (is_whole && is_last).then(last_moment)
}

/// A day, written as a TOML date: `2027-01-31`.
impl Value for Date {
    fn read(value: &DeValue<'_>) -> Result<Self, ValueError> {
        let wanted = "a day, such as 2027-01-31";
        match value {
            DeValue::Datetime(date) if date.time.is_none() => date
                .to_string()
                .parse()
                .map_err(|_| ValueError::Form(wanted)),
            DeValue::Datetime(_) => Err(ValueError::Form(
                "a day, such as 2027-01-31, without a time",
            )),
            DeValue::String(text) => text.parse().map_err(|_| ValueError::Form(wanted)),
            other => expected(wanted, other),
        }
    }
}

/// A number of bytes, written with its unit: `"32MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteSize(pub(crate) u64);

impl Value for ByteSize {
    fn read(value: &DeValue<'_>) -> Result<Self, ValueError> {
        match value {
            DeValue::String(text) => parse_size(text).map(Self),
            other => expected("a size with its unit, such as \"32MiB\"", other),
        }
    }
}

/// One string, or a list of them.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMany(pub(crate) Vec<String>);

impl Value for OneOrMany {
    fn read(value: &DeValue<'_>) -> Result<Self, ValueError> {
        let wanted = "a string or a list of strings";
        match value {
            DeValue::String(text) => Ok(Self(vec![text.clone().into_owned()])),
            DeValue::Array(items) => items
                .iter()
                .map(Spanned::get_ref)
                .map(|item| match item {
                    DeValue::String(text) => Ok(text.clone().into_owned()),
                    other => expected(wanted, other),
                })
                .collect::<Result<_, _>>()
                .map(Self),
            other => expected(wanted, other),
        }
    }
}

/// Parses `"45s"`, `"1h 30m"`, `"250ms"`, `"30d"`; a day has 24 hours.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let span: jiff::Span = text.parse().map_err(|_| DurationError::Form)?;
    let signed = span
        .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|_| DurationError::Form)?;
    Duration::try_from(signed).map_err(|_| DurationError::Negative)
}

/// Parses `"512B"`, `"64KiB"`, `"32MiB"`, `"1GiB"`, and the decimal `kB`, `MB`, `GB`.
fn parse_size(text: &str) -> Result<u64, ValueError> {
    let form = ValueError::Form("a size with its unit, such as \"64KiB\" or \"32MiB\"");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let Ok(number) = number.parse::<u64>() else {
        return Err(form);
    };
    let unit: u64 = match unit.trim() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(form),
    };
    number
        .checked_mul(unit)
        .ok_or_else(|| "a size this large cannot be meant".into())
}

/// A list of names for a sentence: `a`, `a and b`, `a, b and c`.
pub(crate) fn enumerate<'a>(names: impl IntoIterator<Item = &'a str>) -> Cow<'a, str> {
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [] => Cow::Borrowed("none"),
        [one] => Cow::Borrowed(one),
        [most @ .., last] => Cow::Owned(format!("{} and {last}", most.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_need_their_units() {
        assert_eq!(parse_duration("45s"), Ok(Duration::from_secs(45)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(parse_size("32MiB").unwrap(), 32 << 20);
        assert_eq!(parse_size("1 kB").unwrap(), 1000);
        for bad in ["45", "", "s", "-3s", "5 parsecs"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        for bad in ["45", "", "MiB", "-1B", "99999999999GiB", "5 stone"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
