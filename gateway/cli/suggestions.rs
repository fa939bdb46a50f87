//! What to do about a request that would be refused: for `keygate explain`.

use pingora::http::RequestHeader;

use super::advice;
use super::client_url::base_url;
use crate::document::nearest;
use crate::key::KeyFailure;
use crate::proxy::reject::Reason;
use crate::route::{Route, Router};

use crate::grammar::host::host_of_authority;
use crate::snapshot::Snapshot;

/// How many routes are named at most.
const MOST: usize = 10;
/// What to do about a refusal, line by line.
pub(super) fn for_refusal(
    reason: Reason,
    request: &RequestHeader,
    path: &str,
    snapshot: &Snapshot,
    origin: &str,
) -> Vec<String> {
    match reason {
        Reason::NoRoute => no_route(request, path, &snapshot.rules.router, origin),
        Reason::InvalidKey(KeyFailure::Missing) if is_preflight(request) => vec![
            "a browser's preflight carries no key: name the page's origin in the route's `cors = { origins = [...] }`"
                .to_owned(),
        ],
        Reason::BadFraming => vec![advice::for_framing(request).to_owned()],
        other => advice::for_reason(other).map(str::to_owned).into_iter().collect(),
    }
}

fn is_preflight(request: &RequestHeader) -> bool {
    let asked = http::header::ACCESS_CONTROL_REQUEST_METHOD;
    request.method == http::Method::OPTIONS && request.headers.contains_key(asked)
}

fn no_route(request: &RequestHeader, path: &str, router: &Router, origin: &str) -> Vec<String> {
    let all = router.routes();
    if all.is_empty() {
        return vec!["the configuration has no [[routes]]".to_owned()];
    }
    let mut hints = Vec::new();
    let host = request.headers.get(http::header::HOST);
    let host = host.and_then(|host| host_of_authority(host.to_str().ok()?));
    let host = host.unwrap_or_default();
    let takes = |route: &Route| route.hosts.iter().any(|pattern| pattern.takes(&host));
    // Of those that would do but for the host, the longest.
    let elsewhere = all.iter().filter(|route| route.path.strip(path).is_some());
    if let Some(route) = elsewhere.max_by_key(|route| route.path.as_str().len()) {
        hints.push(format!(
            "the route `{}` has this path, for the host {} alone, and the request is for `{host}`: explain another \
             with -H 'Host: NAME'",
            route.name,
            hosts_of(route)
        ));
        return hints;
    }
    let first = first_segment(path);
    hints.push(format!(
        "no route has a path that begins {first}. Routes here:"
    ));
    for route in all.iter().take(MOST) {
        hints.push(format!(
            "  {} (provider {}, host {})",
            route.path,
            route.provider.name,
            hosts_of(route)
        ));
    }
    if all.len() > MOST {
        hints.push(format!(
            "  and {} more: `keygate status` shows them",
            all.len() - MOST
        ));
    }
    let reachable: Vec<_> = all.iter().filter(|route| takes(route)).collect();
    let paths = reachable.iter().map(|route| route.path.as_str());
    let near = nearest(&first.to_lowercase(), paths);
    let meant = reachable
        .iter()
        .find(|route| Some(route.path.as_str()) == near);
    if let Some(route) = meant.or(reachable.first()) {
        let url = base_url(origin, route.path.as_str(), route.provider.kind.name);
        let which = if meant.is_some() {
            format!(": did you mean {url}?")
        } else {
            format!(", for example {url}")
        };
        hints.push(format!(
            "set the base URL of the client's SDK to that of a route{which}"
        ));
    }
    hints
}

fn hosts_of(route: &Route) -> String {
    let hosts: Vec<_> = route.hosts.iter().map(ToString::to_string).collect();
    hosts.join(" or ")
}

fn first_segment(path: &str) -> &str {
    let end = path.get(1..).and_then(|rest| rest.find('/'));
    end.and_then(|end| path.get(..=end)).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_segment_is_told() {
        for (path, first) in [("/v1/chat", "/v1"), ("/v1", "/v1"), ("/", "/"), ("", "")] {
            assert_eq!(first_segment(path), first);
        }
    }
}
