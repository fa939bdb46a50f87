//! The limits of Solo's rate limit service: descriptors that say how much, and actions that say which
//! descriptors a request has. Their form is that of Envoy's rate limit service.
//!
//! <https://docs.solo.io/gateway/latest/security/ratelimit/>

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::import::amounts;
use crate::import::fields::text_of;
use crate::limit::amount;
use crate::limit::terms::{Amount, Period, Window};

/// An entry of a request's descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// The same for all requests.
    Fixed { key: String, value: String },
    /// The value of a header.
    Header { key: String, header: String },
    /// The owner of the API key.
    User { key: String },
}

/// Whose requests count together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// All of them.
    All,
    /// Those of each owner of an API key.
    EachUser,
    /// Those with each value of a header, in lower case.
    EachValue(String),
    /// Those with this value of a header.
    Value { header: String, value: String },
}

/// A limit that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matched {
    /// Which of the service's counters it is.
    pub(super) counter: String,
    pub(super) counted: Counted,
    pub(super) amount: Amount,
    /// Whether tokens are counted instead of requests.
    pub(super) tokens: bool,
    /// Whether the period is one of so many days there, and of the calendar here.
    pub(super) is_of_calendar: bool,
}

/// The text of a field.
fn text(map: &Map<String, Value>, name: &str) -> Option<String> {
    map.get(name).and_then(text_of)
}

/// The items of a list of objects; empty if there is none.
fn items<'v>(
    map: &'v Map<String, Value>,
    name: &str,
) -> Result<Vec<&'v Map<String, Value>>, String> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            let items = items.iter().map(Value::as_object);
            let items: Option<_> = items.collect();
            items.ok_or_else(|| format!("`{name}` is no list of objects"))
        }
        Some(_) => Err(format!("`{name}` is no list")),
    }
}

/// Refuses fields besides `known`.
fn only(map: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    let mut fields = map.iter().filter(|(_, value)| !value.is_null());
    match fields.find(|(name, _)| !known.contains(&name.as_str())) {
        Some((name, _)) => Err(format!("keygate has nothing like `{name}`")),
        None => Ok(()),
    }
}

/// Reads the limit of a descriptor, if it has one, and whether it is of a number of days.
fn rate(map: &Map<String, Value>) -> Result<Option<(Amount, bool)>, String> {
    let limit = match map.get("rateLimit") {
        None | Some(Value::Null) => return Ok(None),
        Some(limit) => limit.as_object().ok_or("`rateLimit` is no object")?,
    };
    only(limit, &["requestsPerUnit", "unit"])?;
    let units = limit.get("requestsPerUnit");
    let units = units.map_or(Some(0), |units| {
        units.as_u64().or_else(|| units.as_str()?.parse().ok())
    });
    let units = units.ok_or("`requestsPerUnit` is no number from 0")?;
    let unit = text(limit, "unit").unwrap_or_default().to_ascii_uppercase();
    let (amount, is_of_calendar) = match unit.as_str() {
        "SECOND" => (amounts::rate(units, Window::Second), false),
        "MINUTE" => (amounts::rate(units, Window::Minute), false),
        "HOUR" => (amounts::rate(units, Window::Hour), false),
        // Its days begin at midnight in UTC.
        "DAY" => (budget(units, Period::Day), false),
        "WEEK" => (budget(units, Period::Week), true),
        "MONTH" => (budget(units, Period::Month), true),
        "YEAR" => (budget(units, Period::Year), true),
        _ => return Err(format!("`{unit}` is no unit of time")),
    };
    let amount = amount.ok_or_else(|| format!("{units} is more than keygate's limits go up to"))?;
    Ok(Some((amount, is_of_calendar)))
}

fn budget(units: u64, period: Period) -> Option<Amount> {
    let text = format!("{units} per {}", period.name());
    amount::counted(&text).ok()
}

/// Reads an action: what it adds to a request's descriptor.
fn entry(action: &Map<String, Value>) -> Result<Entry, String> {
    let mut fields = action.iter().filter(|(_, value)| !value.is_null());
    let (Some((name, value)), None) = (fields.next(), fields.next()) else {
        return Err("an action has one field".to_owned());
    };
    let empty = Map::new();
    let inner = value.as_object().unwrap_or(&empty);
    let wanted =
        |field: &str| text(inner, field).ok_or_else(|| format!("`{name}` has no `{field}`"));
    match name.as_str() {
        "genericKey" => {
            only(inner, &["descriptorKey", "descriptorValue"])?;
            let key = text(inner, "descriptorKey").filter(|key| !key.is_empty());
            Ok(Entry::Fixed {
                key: key.unwrap_or_else(|| "generic_key".to_owned()),
                value: wanted("descriptorValue")?,
            })
        }
        "requestHeaders" => {
            only(inner, &["descriptorKey", "headerName"])?;
            Ok(Entry::Header {
                key: wanted("descriptorKey")?,
                header: wanted("headerName")?.to_ascii_lowercase(),
            })
        }
        "metadata" if is_user(inner) => Ok(Entry::User {
            key: wanted("descriptorKey")?,
        }),
        "remoteAddress" => Err(
            "it counts by the client's address, and keygate by keys, labels, routes and providers"
                .to_owned(),
        ),
        other => Err(format!("keygate cannot count by `{other}`")),
    }
}

/// Whether metadata is the owner of the API key, as the external authorization tells it.
fn is_user(metadata: &Map<String, Value>) -> bool {
    let key = metadata.get("metadataKey");
    let place = key.and_then(|key| key.get("key")).and_then(text_of);
    let path = key
        .and_then(|key| key.pointer("/path"))
        .and_then(Value::as_array);
    let path: Vec<String> = path
        .into_iter()
        .flatten()
        .filter_map(|part| text_of(part.get("key")?))
        .collect();
    place.as_deref() == Some("envoy.filters.http.ext_authz")
        && path == ["userId"]
        && only(metadata, &["descriptorKey", "metadataKey", "source"]).is_ok()
}

/// The limits of one item of `rateLimits` in `raw`, whose descriptors are in `server`. The error is
/// the reason why it is not carried over.
pub(super) fn limits(
    item: &Map<String, Value>,
    server: &Map<String, Value>,
) -> Result<Vec<Matched>, String> {
    only(item, &["actions", "setActions", "type"])?;
    let tokens = match text(item, "type").as_deref() {
        None | Some("REQUEST") => false,
        Some("TOKEN") => true,
        Some(other) => return Err(format!("keygate does not know the type `{other}`")),
    };
    let read = |name| -> Result<Vec<Entry>, String> {
        items(item, name)?.into_iter().map(entry).collect()
    };
    let (actions, set) = (read("actions")?, read("setActions")?);
    let mut found = Vec::new();
    if !actions.is_empty() {
        found = in_tree(&actions, &items(server, "descriptors")?, &Walked::default())?;
    }
    if !set.is_empty() {
        found.extend(in_sets(&set, &items(server, "setDescriptors")?)?);
    }
    for limit in &mut found {
        limit.tokens = tokens;
    }
    Ok(found)
}

/// What was found on the way to a descriptor.
#[derive(Clone, Default)]
struct Walked {
    counter: String,
    counted: Option<Counted>,
}

impl Walked {
    /// The same, and an entry that the descriptor with `value` matches.
    fn with(&self, entry: &Entry, value: Option<&str>) -> Result<Self, String> {
        let mut next = self.clone();
        let key = match entry {
            Entry::Fixed { key, .. } | Entry::Header { key, .. } | Entry::User { key } => key,
        };
        // Writing to a String cannot fail.
        let _ = write!(next.counter, "/{key}={}", value.unwrap_or("*"));
        let counted = match (entry, value) {
            (Entry::Fixed { value, .. }, None) => {
                next.counter += value;
                return Ok(next);
            }
            (Entry::Fixed { .. }, Some(_)) => return Ok(next),
            (Entry::User { .. }, None) => Counted::EachUser,
            (Entry::User { .. }, Some(_)) => {
                return Err("it is of one owner of a key: write the limit into that key".to_owned());
            }
            (Entry::Header { header, .. }, None) => Counted::EachValue(header.clone()),
            (Entry::Header { header, .. }, Some(value)) => Counted::Value {
                header: header.clone(),
                value: value.to_owned(),
            },
        };
        if next.counted.replace(counted).is_some() {
            return Err(
                "it counts by two things of a request at once, and keygate by one".to_owned(),
            );
        }
        Ok(next)
    }

    fn limit(self, (amount, is_of_calendar): (Amount, bool)) -> Matched {
        Matched {
            counter: self.counter,
            counted: self.counted.unwrap_or(Counted::All),
            amount,
            tokens: false,
            is_of_calendar,
        }
    }
}

/// The limits that a request's entries have in a tree of descriptors: each entry leads one step down,
/// and only the last one's limit counts.
fn in_tree(
    entries: &[Entry],
    descriptors: &[&Map<String, Value>],
    walked: &Walked,
) -> Result<Vec<Matched>, String> {
    let [entry, rest @ ..] = entries else {
        return Ok(Vec::new());
    };
    let key = match entry {
        Entry::Fixed { key, .. } | Entry::Header { key, .. } | Entry::User { key } => key,
    };
    let of_key = |map: &&&Map<String, Value>| text(map, "key").as_ref() == Some(key);
    let theirs: Vec<_> = descriptors.iter().filter(of_key).collect();
    let any = theirs.iter().find(|map| text(map, "value").is_none());
    let chosen: Vec<_> = if let Entry::Fixed { value, .. } = entry {
        let same = theirs
            .iter()
            .find(|map| text(map, "value").as_ref() == Some(value));
        same.or(any).into_iter().collect()
    } else {
        if any.is_some() && theirs.len() > 1 {
            return Err(
                "some values have a limit of their own, and the others another one".to_owned(),
            );
        }
        theirs.iter().collect()
    };
    let mut found = Vec::new();
    for map in chosen {
        only(map, &["key", "value", "rateLimit", "descriptors"])?;
        let walked = walked.with(entry, text(map, "value").as_deref())?;
        if rest.is_empty() {
            found.extend(rate(map)?.map(|rate| walked.limit(rate)));
        } else {
            found.extend(in_tree(rest, &items(map, "descriptors")?, &walked)?);
        }
    }
    Ok(found)
}

/// The limits that a request's entries have in a list of sets. The first set counts of which a request
/// has all entries.
fn in_sets(entries: &[Entry], sets: &[&Map<String, Value>]) -> Result<Vec<Matched>, String> {
    let mut found = Vec::new();
    for set in sets {
        only(set, &["simpleDescriptors", "rateLimit"])?;
        let simple = items(set, "simpleDescriptors")?;
        let mut walked = Some(Walked::default());
        for wanted in simple {
            only(wanted, &["key", "value"])?;
            let (key, value) = (text(wanted, "key"), text(wanted, "value"));
            let entry = entries.iter().find(|entry| match entry {
                Entry::Fixed {
                    key: known,
                    value: own,
                } => key.as_ref() == Some(known) && value.as_ref().is_none_or(|value| value == own),
                Entry::Header { key: known, .. } | Entry::User { key: known } => {
                    key.as_ref() == Some(known)
                }
            });
            walked = match (entry, walked) {
                (Some(entry), Some(walked)) => Some(walked.with(entry, value.as_deref())?),
                _ => None,
            };
        }
        if let (Some(walked), Some(rate)) = (walked, rate(set)?) {
            found.push(walked.limit(rate));
        }
    }
    if found.len() > 1 {
        return Err(
            "several sets may apply, of which the first one counts there, and all here".to_owned(),
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
