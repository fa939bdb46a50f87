//! What to do about a request that would be refused: for `keygate explain`.

use std::net::SocketAddr;

use pingora::http::RequestHeader;

use super::cure;
use crate::config::{Listen, ServerConfig};
use crate::document::nearest;
use crate::key::KeyFailure;
use crate::proxy::reject::Reason;
use crate::route::{Route, Router};

use crate::grammar::host::host_of_authority;
use crate::snapshot::Snapshot;

/// How many routes are named at most.
const MOST: usize = 10;
/// Kinds whose usual SDK is `OpenAI`'s or Hugging Face's, in whose base URL the version stands.
const WITH_VERSION: [&str; 6] = [
    "openai",
    "custom",
    "deepseek",
    "ollama",
    "openrouter",
    "huggingface",
];

/// Where clients come, as a URL without a path. A wildcard address becomes the loopback address of its family.
pub(super) fn origin(server: &ServerConfig) -> String {
    let scheme = if server.listener.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let first = match &server.listener.listen {
        Listen::Addresses(listen) => listen.first().copied(),
        Listen::Systemd => None,
    };
    let Some(mut address) = first else {
        return format!("{scheme}://GATEWAY");
    };
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => [127, 0, 0, 1].into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("{scheme}://{address}")
}

/// The base URL that the SDK of a route's provider wants, at a gateway with this origin.
pub(super) fn base_url(origin: &str, path: &str, kind: &str) -> String {
    let version = if WITH_VERSION.contains(&kind) {
        "/v1"
    } else {
        ""
    };
    format!("{origin}{}{version}", path.trim_end_matches('/'))
}

/// What to do about a refusal, line by line.
pub(super) fn hints(
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
        Reason::BadFraming => vec![cure::of_framing(request).to_owned()],
        other => cure::of(other).map(str::to_owned).into_iter().collect(),
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
    fn a_base_url_is_that_of_the_documentation_for_each_sdk() {
        let origin = "http://127.0.0.1:8080";
        let page = include_str!("../../docs/providers.md");
        for (path, kind) in [
            ("/openai", "openai"),
            ("/azure", "azure-openai"),
            ("/anthropic", "anthropic"),
            ("/gemini", "gemini"),
            ("/mistral", "mistral"),
            ("/huggingface", "huggingface"),
            ("/groq", "groq"),
            ("/cohere", "cohere"),
        ] {
            let url = format!("\"{}\"", base_url(origin, path, kind));
            assert!(page.contains(&url), "{kind}: {url}");
        }
        assert_eq!(base_url(origin, "/", "openai"), "http://127.0.0.1:8080/v1");
    }

    #[test]
    fn the_first_segment_is_told() {
        for (path, first) in [("/v1/chat", "/v1"), ("/v1", "/v1"), ("/", "/"), ("", "")] {
            assert_eq!(first_segment(path), first);
        }
    }
}
