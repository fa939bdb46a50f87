//! Suggestions of `keygate explain` for a request that would be refused, from the reason and the configuration.

use pingora::http::RequestHeader;

use super::advice;
use super::client_url::base_url;
use crate::document::nearest;
use crate::grammar::host::host_of_authority;
use crate::key::KeyFailure;
use crate::proxy::reject::Reason;
use crate::route::{Route, Router};
use crate::snapshot::Snapshot;

/// The greatest number of routes that are listed.
const LISTED: usize = 10;

/// What to do about a refusal, one line each.
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
    let method = http::header::ACCESS_CONTROL_REQUEST_METHOD;
    request.method == http::Method::OPTIONS && request.headers.contains_key(method)
}

fn no_route(request: &RequestHeader, path: &str, router: &Router, origin: &str) -> Vec<String> {
    let all = router.routes();
    if all.is_empty() {
        return vec!["the configuration has no [[routes]]".to_owned()];
    }
    let host = request
        .headers
        .get(http::header::HOST)
        .and_then(|host| host_of_authority(host.to_str().ok()?))
        .unwrap_or_default();
    // The longest of the routes that match except for the host.
    let other_host = all
        .iter()
        .filter(|route| route.path.strip(path).is_some())
        .max_by_key(|route| route.path.as_str().len());
    if let Some(route) = other_host {
        return vec![format!(
            "the route `{}` has this path, for the host {} alone, and the request is for `{host}`: explain another \
             with -H 'Host: NAME'",
            route.name,
            hosts_of(route)
        )];
    }
    let first = first_segment(path);
    let mut suggestions = vec![format!(
        "no route has a path that begins {first}. Routes here:"
    )];
    suggestions.extend(all.iter().take(LISTED).map(|route| {
        let (provider, hosts) = (&route.targets.primary().provider.name, hosts_of(route));
        format!("  {} (provider {provider}, host {hosts})", route.path)
    }));
    if all.len() > LISTED {
        let more = all.len() - LISTED;
        suggestions.push(format!("  and {more} more: `keygate status` shows them"));
    }
    let takes = |route: &&Route| route.hosts.iter().any(|pattern| pattern.takes(&host));
    let reachable: Vec<_> = all.iter().map(|route| &**route).filter(takes).collect();
    suggestions.extend(nearest_base_url(&reachable, first, origin));
    suggestions
}

/// The base URL of the route with the most similar path, or of the first route.
fn nearest_base_url(routes: &[&Route], first: &str, origin: &str) -> Option<String> {
    let paths = routes.iter().map(|route| route.path.as_str());
    let nearest = nearest(&first.to_lowercase(), paths);
    let similar = routes
        .iter()
        .find(|route| Some(route.path.as_str()) == nearest);
    let route = similar.or(routes.first())?;
    let url = base_url(
        origin,
        route.path.as_str(),
        route.targets.primary().provider.kind.name,
    );
    let which = if similar.is_some() {
        format!(": did you mean {url}?")
    } else {
        format!(", for example {url}")
    };
    Some(format!(
        "set the base URL of the client's SDK to that of a route{which}"
    ))
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
    fn the_first_segment_of_a_path_is_found() {
        for (path, first) in [("/v1/chat", "/v1"), ("/v1", "/v1"), ("/", "/"), ("", "")] {
            assert_eq!(first_segment(path), first);
        }
    }
}
