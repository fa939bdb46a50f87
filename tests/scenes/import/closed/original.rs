//! A model of the original gateway: the hosts to which it may send a request.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use regex::Regex;

use super::{Destination, Narrowing, PathForm, Request, RouteObject, Rule};

/// The hosts to which the original may send the request: one for each rule that may apply.
pub(super) type Outcome = BTreeSet<Option<usize>>;

/// How specific a host pattern is for a host. Only the routes of the most specific pattern apply.
fn specificity(pattern: &str, host: &str) -> Option<usize> {
    match pattern.strip_prefix('*') {
        Some("") => Some(0),
        Some(suffix) => {
            (host.len() > suffix.len() && host.ends_with(suffix)).then_some(suffix.len())
        }
        None => (pattern == host).then_some(usize::MAX),
    }
}

/// Returns whether a regular expression matches, and caches compiled ones.
fn matches(regex: &str, path: &str) -> bool {
    thread_local! {
        static KNOWN: RefCell<HashMap<String, Regex>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        let compiled = known
            .entry(regex.to_owned())
            .or_insert_with(|| Regex::new(regex).unwrap());
        compiled.is_match(path)
    })
}

/// Returns whether a rule matches a request; `None` if that is not known.
fn is_for(rule: &Rule, is_table: bool, request: &Request<'_>) -> Option<bool> {
    let below = |prefix: &str| {
        if is_table {
            return request.path.starts_with(prefix);
        }
        let rest = request.path.strip_prefix(prefix.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let by_path = match &rule.path {
        PathForm::Prefix(path) => below(path),
        PathForm::Exact(path) => request.path == *path,
        PathForm::Regex(path, behind) => matches(&format!("^(?:{path}{behind})$"), &request.path),
        // The documentation does not say whether paths are unescaped before they are compared.
        PathForm::Escaped(path) if path.contains('x') => {
            return if below(path) { None } else { Some(false) };
        }
        PathForm::Escaped(path) => below(path),
    };
    match rule.narrowing {
        _ if !by_path => Some(false),
        Narrowing::Nothing => Some(true),
        Narrowing::Get => Some(request.method == "GET"),
        Narrowing::Header => Some(request.header),
        Narrowing::Unknown => None,
    }
}

/// The destinations of the rules that may apply. In a table, the first match applies; otherwise the longest path and the
/// most conditions. The documentation does not say which object, or which regular expression, takes precedence.
pub(super) fn outcome(objects: &[RouteObject], request: &Request<'_>) -> Outcome {
    let specificities = |object: &RouteObject| -> Vec<usize> {
        let any = ["*"];
        let hosts = if object.hosts.is_empty() {
            &any[..]
        } else {
            &object.hosts[..]
        };
        let found = hosts
            .iter()
            .filter_map(|host| specificity(host, request.host));
        found.collect()
    };
    let Some(highest) = objects.iter().flat_map(specificities).max() else {
        return Outcome::from([None]);
    };
    let mut first: Vec<(&RouteObject, &Rule)> = Vec::new();
    // The rules of each object that may match, with whether they certainly do; a rule that certainly matches and takes
    // precedence removes others.
    let mut candidates: Vec<(&RouteObject, &Rule, bool)> = Vec::new();
    for object in objects {
        if !specificities(object).contains(&highest) {
            continue;
        }
        if object.is_table {
            for rule in &object.rules {
                match is_for(rule, true, request) {
                    Some(false) => {}
                    None => candidates.push((object, rule, false)),
                    Some(true) => {
                        candidates.push((object, rule, true));
                        break;
                    }
                }
            }
        } else {
            let rules = object.rules.iter();
            candidates.extend(rules.filter_map(|rule| {
                let sure = is_for(rule, false, request);
                (sure != Some(false)).then_some((object, rule, sure == Some(true)))
            }));
        }
    }
    for (object, rule, _) in &candidates {
        let beaten = candidates.iter().any(|(other_object, other, sure)| {
            *sure && !std::ptr::eq(*other, *rule) && beats(other_object, other, object, rule)
        });
        if !beaten {
            first.push((object, rule));
        }
    }
    let mut outcome: Outcome = first
        .iter()
        .map(|(object, rule)| match rule.destination {
            Destination::To(up) if object.guard.is_none() || object.guard == request.key => {
                Some(up)
            }
            _ => None,
        })
        .collect();
    if !candidates.iter().any(|(_, _, sure)| *sure) {
        outcome.insert(None);
    }
    outcome
}

/// Returns whether a rule certainly takes precedence over another one that matches as well.
fn beats(object: &RouteObject, rule: &Rule, other_object: &RouteObject, other: &Rule) -> bool {
    let rank = |rule: &Rule| match &rule.path {
        PathForm::Prefix(path) | PathForm::Escaped(path) => {
            Some((false, path.trim_end_matches('/').len()))
        }
        PathForm::Exact(path) => Some((true, path.trim_end_matches('/').len())),
        // Within a table the order decides; between tables, the model compares the texts of regular expressions.
        PathForm::Regex(path, _) if object.is_table => {
            Some((false, path.trim_end_matches('/').len()))
        }
        PathForm::Regex(..) => None,
    };
    let (Some(ours), Some(theirs)) = (rank(rule), rank(other)) else {
        return false;
    };
    let same = std::ptr::eq(object, other_object);
    if same && object.is_table {
        // The candidates of a table end with the first rule that certainly matches.
        return false;
    }
    if ours != theirs {
        return ours > theirs;
    }
    let conditions = |rule: &Rule| match rule.narrowing {
        Narrowing::Nothing => 0,
        Narrowing::Header => 1,
        Narrowing::Get => 2,
        Narrowing::Unknown => 3,
    };
    if same && conditions(rule) == conditions(other) {
        let place = |wanted: &Rule| {
            object
                .rules
                .iter()
                .position(|rule| std::ptr::eq(rule, wanted))
        };
        return place(rule) < place(other);
    }
    conditions(rule) > conditions(other)
}
