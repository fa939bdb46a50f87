//! Closes routes whose requests keygate cannot tell apart.
//!
//! keygate chooses a route by host and longest path. The originals also choose by method, header,
//! pattern, and order in a list. A route that takes only some of the requests below its path cannot
//! be open here, because it would accept the others as well. It cannot be left out either, because
//! its requests would go to a route with a shorter path. So its path is closed, unless that other
//! route accepts nobody whom the first did not accept.

use std::collections::{BTreeMap, BTreeSet};

use crate::import::gloo::draft::{PathEnd, RouteDraft, Scope};
use crate::import::notes::Notes;
use crate::import::planned::PlannedRoute;
use crate::import::provider::PlannedProvider;
use crate::route::HostPattern;

/// Closes routes that lose requests to others, and routes that take only some requests.
pub(super) fn close(found: Vec<RouteDraft>, notes: &Notes) -> Vec<RouteDraft> {
    let mut found = found;
    close_same_place(&mut found);
    close_shadowed(&mut found, notes);
    close_behind_text(&mut found, notes);
    let mut found = close_parts(found, notes);
    found.extend(close_hosts(&found, notes));
    found
}

/// Closes routes with the same host and path, unless whichever is used accepts only what the first
/// accepts. The note is made when the routes are assembled.
fn close_same_place(found: &mut [RouteDraft]) {
    let unlike: Vec<usize> = found
        .iter()
        .enumerate()
        .filter(|(place, route)| {
            let mut others = found.iter().enumerate();
            others.any(|(other_place, other)| {
                let same_path = route.is_above(other) && other.is_above(route);
                let (first, second) = if *place < other_place {
                    (*route, other)
                } else {
                    (other, *route)
                };
                // A route for some of the requests does not stand for the others.
                let stands = match (first.scope, second.scope) {
                    (Scope::Whole, _) => second.admits(first),
                    (_, Scope::Whole) => first.admits(second),
                    _ => true,
                };
                *place != other_place && same_path && route.shares_a_host(other) && !stands
            })
        })
        .map(|(place, _)| place)
        .collect();
    for place in unlike {
        if let Some(route) = found.get_mut(place) {
            route.close();
        }
    }
}

/// Closes routes that lost some of their requests in the original: to a pattern, or to an earlier
/// route in their list.
fn close_shadowed(found: &mut [RouteDraft], notes: &Notes) {
    let shadowed: Vec<(usize, String)> = found
        .iter()
        .enumerate()
        .filter(|(_, route)| !route.closed)
        .filter_map(|(place, route)| {
            let mut others = found.iter();
            let other = others.find(|other| {
                let is_other = !std::ptr::eq(*other, route);
                let first = other.scope == Scope::Pattern
                    || comes_before(other, route)
                    || comes_between(found, other, route);
                is_other
                    && first
                    && other.covers(route)
                    && other.reaches(route)
                    && other.shares_a_host(route)
                    && !other.admits(route)
            })?;
            Some((place, other.title.clone()))
        })
        .collect();
    for (place, other) in shadowed {
        let Some(route) = found.get_mut(place) else {
            continue;
        };
        route.close();
        let path = &route.route.path;
        let why = format!(
            "a rule of {other} took some of the requests to {path}, and keygate cannot tell which: nobody can use it until it is given keys"
        );
        notes.lost(&route.title, "", why);
    }
}

/// Returns whether both are in the same ordered list, and `other` comes first.
fn comes_before(other: &RouteDraft, route: &RouteDraft) -> bool {
    other.source == route.source && other.order.is_some() && other.order < route.order
}

/// Returns whether an earlier route with a shorter path hides `route` in its own list, and `other`
/// of another object takes requests from that earlier route.
fn comes_between(found: &[RouteDraft], other: &RouteDraft, route: &RouteDraft) -> bool {
    let mut hiding = found
        .iter()
        .filter(|hiding| comes_before(hiding, route) && hiding.covers(route));
    other.source != route.source && hiding.any(|hiding| hiding.covers(other))
}

/// Closes routes that would receive what a plain text prefix matched: in the original, `/v1/adm`
/// matches `/v1/admin`, which goes to the route of `/v1` here.
fn close_behind_text(found: &mut [RouteDraft], notes: &Notes) {
    let mut behind: BTreeMap<usize, (String, String)> = BTreeMap::new();
    for text in found
        .iter()
        .filter(|route| route.path_end == PathEnd::Anywhere)
    {
        for place in nearest_above(found, text) {
            let Some(other) = found.get(place) else {
                continue;
            };
            let is_first = other.scope == Scope::Whole && comes_before(other, text);
            if !other.closed && !is_first && !text.admits(other) {
                let known = (text.route.path.clone(), text.title.clone());
                behind.entry(place).or_insert(known);
            }
        }
    }
    for (place, (path, title)) in behind {
        let Some(other) = found.get_mut(place) else {
            continue;
        };
        other.close();
        let why = format!(
            "the prefix {path} of {title} took longer names as well, such as {path}x, which would go to {} here: nobody \
             can use this route until it is given keys, or that prefix ends with a slash",
            other.route.path
        );
        notes.lost(&other.title, "", why);
    }
}

/// The routes with the longest path above that of `route`, on each of its hosts.
fn nearest_above(found: &[RouteDraft], route: &RouteDraft) -> BTreeSet<usize> {
    let hosts = &route.route.hosts;
    let any = hosts.is_empty().then_some(None);
    let hosts = hosts.iter().map(Some).chain(any);
    let length = |other: &RouteDraft| other.route.path.trim_end_matches('/').len();
    let nearest = hosts.flat_map(|host| {
        let above = found.iter().enumerate().filter(move |(_, other)| {
            let theirs = &other.route.hosts;
            let on_host = host.map_or(theirs.is_empty(), |host| theirs.contains(host));
            on_host && other.is_above(route) && !route.is_above(other)
        });
        let longest = above.clone().map(|(_, other)| length(other)).max();
        let nearest = above.filter(move |(_, other)| Some(length(other)) == longest);
        nearest.map(|(place, _)| place)
    });
    nearest.collect()
}

/// Routes that take only some of the requests below their path: closes each, or leaves it out if
/// another route may take its requests.
fn close_parts(found: Vec<RouteDraft>, notes: &Notes) -> Vec<RouteDraft> {
    let (mut parts, mut done): (Vec<RouteDraft>, Vec<RouteDraft>) = found
        .into_iter()
        .partition(|route| route.scope != Scope::Whole);
    // Shorter paths are decided first. The sort is stable.
    parts.sort_by_key(|route| route.route.path.trim_end_matches('/').len());
    for mut part in parts {
        if part.closed {
            done.push(part);
            continue;
        }
        let path = part.route.path.clone();
        if let Some(name) = stands_in(&part, &done) {
            let why = format!(
                "keygate chooses by host and path only: the route `{name}` takes its requests to {path}, for no more keys"
            );
            notes.note(&part.title, "", why);
            continue;
        }
        part.close();
        let why = format!(
            "it is for some of the requests to {path} only, and keygate chooses by host and path: nobody can use the route until it is given keys"
        );
        notes.lost(&part.title, "", why);
        done.push(part);
    }
    done
}

/// The name of the route that would take the requests of `part` on each of its hosts, if it accepts
/// nobody else.
fn stands_in(part: &RouteDraft, others: &[RouteDraft]) -> Option<String> {
    let hosts: Vec<Option<&String>> = if part.route.hosts.is_empty() {
        vec![None]
    } else {
        part.route.hosts.iter().map(Some).collect()
    };
    let mut name = None;
    for host in hosts {
        let on_host = |route: &&RouteDraft| match host {
            None => route.route.hosts.is_empty(),
            Some(host) => route.route.hosts.contains(host),
        };
        let above = others
            .iter()
            .filter(on_host)
            .filter(|other| other.is_above(part));
        let nearest = above.max_by_key(|other| other.route.path.trim_end_matches('/').len())?;
        let nearest_path = nearest.route.path.trim_end_matches('/');
        // All routes with the same path must match, because it is decided later which one stays.
        let same = others
            .iter()
            .filter(on_host)
            .filter(|other| other.route.path.trim_end_matches('/') == nearest_path);
        for other in same {
            let alike = part.admits(other) && other.route.headers == part.route.headers;
            if other.closed || other.rewritten || part.rewritten || !alike {
                return None;
            }
        }
        name = Some(nearest.route.name.clone());
    }
    name
}

/// A closed route for all other paths on each host that has routes of its own, if a wider host
/// pattern has routes as well. In the original, a host with routes of its own uses no others.
fn close_hosts(found: &[RouteDraft], notes: &Notes) -> Option<RouteDraft> {
    let lacking = hosts_without_root(found);
    let first = found
        .iter()
        .find(|route| route.route.hosts.iter().any(|host| lacking.contains(host)))?;
    notes.note(
        &first.title,
        "hostnames",
        format!(
            "requests to {} without a route of their own are refused: there, they did not go to the routes of other hosts",
            lacking.join(", ")
        ),
    );
    Some(closed_root(lacking, &first.title))
}

/// The hosts that have routes but none for `/`, if a wider host pattern has routes as well.
fn hosts_without_root(found: &[RouteDraft]) -> Vec<String> {
    let pattern = |host: &String| HostPattern::parse(host).ok();
    let hosts: BTreeSet<&String> = found.iter().flat_map(|route| &route.route.hosts).collect();
    let has_any = found.iter().any(|route| route.route.hosts.is_empty());
    let narrower = |host: &&&String| {
        let Some(own) = pattern(host) else {
            return false;
        };
        let sample = match &own {
            HostPattern::Exact(name) => name.clone(),
            HostPattern::Suffix(suffix) => format!("a{suffix}"),
            HostPattern::Any => return false,
        };
        has_any
            || hosts.iter().any(|other| {
                pattern(other).is_some_and(|wide| wide.rank() < own.rank() && wide.takes(&sample))
            })
    };
    let has_root = |host: &&&String| {
        let mut routes = found.iter();
        routes.any(|route| route.route.path == "/" && route.route.hosts.contains(**host))
    };
    hosts
        .iter()
        .filter(narrower)
        .filter(|host| !has_root(host))
        .map(|host| (*host).clone())
        .collect()
}

/// A closed route for all paths on these hosts.
fn closed_root(hosts: Vec<String>, title: &str) -> RouteDraft {
    let mut rest = RouteDraft {
        route: PlannedRoute {
            name: "elsewhere-on-hosts".to_owned(),
            hosts,
            path: "/".to_owned(),
            from: title.to_owned(),
            ..PlannedRoute::default()
        },
        provider: PlannedProvider::nowhere(),
        title: title.to_owned(),
        source: <(String, String, String)>::default(),
        rule: String::new(),
        labels: BTreeMap::new(),
        from_metadata: BTreeMap::new(),
        required: Vec::new(),
        scope: Scope::Whole,
        beginning: String::new(),
        path_end: PathEnd::Segment,
        order: None,
        rewritten: false,
        nowhere: false,
        keys: None,
        key_check: None,
        closed: false,
        limits: Vec::new(),
    };
    rest.remove_destination();
    rest
}
