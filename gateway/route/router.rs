//! Finds the route of a request, by host and path alone.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

use super::definition::Route;
use super::overlap::RoutePaths;
use super::pattern::HostPattern;

type ByPath = HashMap<String, Arc<Route>, RandomState>;

/// All routes, in an order in which the most specific is found first.
pub struct Router {
    /// The most specific host comes first; within a host, routes are found by path.
    hosts: Vec<(HostPattern, ByPath)>,
    routes: Vec<Arc<Route>>,
    pub(super) paths: RoutePaths,
}

/// The route that takes a request, and the rest of the request's path.
pub struct Match<'s, 'r> {
    /// The route.
    pub(crate) route: &'s Arc<Route>,
    /// The path behind the route's prefix; empty for the bare prefix.
    pub(crate) rest: &'r str,
}

impl Router {
    /// Builds a router of `routes`. Of two routes with the same host and path it keeps the first; the configuration's
    /// check has refused such a pair before.
    pub fn build(mut routes: Vec<Route>) -> Self {
        let paths = RoutePaths::note(&mut routes);
        let routes: Vec<Arc<Route>> = routes.into_iter().map(Arc::new).collect();
        let mut hosts: HashMap<HostPattern, ByPath, RandomState> = HashMap::default();
        for route in &routes {
            for host in &route.hosts {
                let paths = hosts.entry(host.clone()).or_default();
                paths
                    .entry(route.path.as_str().to_owned())
                    .or_insert_with(|| route.clone());
            }
        }
        // No two patterns of the same rank take the same host.
        let mut hosts: Vec<_> = hosts.into_iter().collect();
        hosts.sort_by_key(|(host, _)| std::cmp::Reverse(host.rank()));
        Self {
            hosts,
            routes,
            paths,
        }
    }

    /// All routes, in the configuration's order.
    pub(crate) fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Finds the route for `host`, in its normal form, and a normal path. Takes the most specific host pattern that has
    /// a route for the path, and its longest prefix. Costs a scan of the host patterns, and one lookup per segment for
    /// each that matches.
    pub fn find<'s, 'r>(&'s self, host: &str, path: &'r str) -> Option<Match<'s, 'r>> {
        self.hosts
            .iter()
            .filter(|(pattern, _)| pattern.takes(host))
            .find_map(|(_, paths)| {
                let mut prefix = path.trim_end_matches('/');
                loop {
                    if let Some(route) = paths.get(prefix) {
                        return Some(Match {
                            route,
                            rest: path.get(prefix.len()..).unwrap_or_default(),
                        });
                    }
                    prefix = prefix.get(..prefix.rfind('/')?)?;
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::testing::{provider, route};

    fn router(routes: &[(&str, &str, &str)]) -> Router {
        let provider = provider("custom", "");
        let routes = routes
            .iter()
            .map(|(name, host, path)| route(name, host, path, &provider));
        Router::build(routes.collect())
    }

    fn find<'r>(router: &'r Router, host: &str, path: &'r str) -> Option<(&'r str, &'r str)> {
        router
            .find(host, path)
            .map(|found| (&*found.route.name, found.rest))
    }

    #[test]
    fn the_most_specific_route_is_found() {
        let router = router(&[
            ("all", "*", "/"),
            ("openai", "*", "/openai"),
            ("audio", "*", "/openai/v1/audio"),
            ("host", "api.example.com", "/openai"),
            ("wild", "*.example.com", "/wild"),
            ("wilder", "*.b.example.com", "/wild"),
        ]);
        assert_eq!(
            find(&router, "x", "/openai/v1/chat"),
            Some(("openai", "/v1/chat"))
        );
        assert_eq!(
            find(&router, "x", "/openai/v1/audio/speech"),
            Some(("audio", "/speech"))
        );
        assert_eq!(find(&router, "x", "/openai"), Some(("openai", "")));
        assert_eq!(find(&router, "x", "/openai/"), Some(("openai", "/")));
        assert_eq!(find(&router, "x", "/openai2"), Some(("all", "/openai2")));
        assert_eq!(
            find(&router, "api.example.com", "/openai/v1/audio/x"),
            Some(("host", "/v1/audio/x"))
        );
        assert_eq!(
            find(&router, "a.b.example.com", "/wild"),
            Some(("wilder", ""))
        );
        assert_eq!(
            find(&router, "a.example.com", "/wild/x"),
            Some(("wild", "/x"))
        );
        assert_eq!(find(&router, "api.example.com", "/"), Some(("all", "/")));
    }

    #[test]
    fn a_model_is_called_by_the_entry_that_lists_it() {
        let router = router(&[("r", "*", "/")]);
        let route = &router.routes()[0];
        for (model, label) in [
            (Some("m"), "m"),
            (Some("m-1"), "m-*"),
            (Some("m-"), "m-*"),
            (Some("mm"), "other"),
            (Some("a-x"), "other"),
            (None, "other"),
        ] {
            assert_eq!(route.model_label(model), label);
        }
    }

    #[test]
    fn a_path_of_no_route_finds_none() {
        let router = router(&[("openai", "*", "/openai"), ("host", "h", "/")]);
        assert_eq!(find(&router, "x", "/"), None);
        assert_eq!(find(&router, "x", "/open"), None);
        assert_eq!(find(&router, "x", "/x/openai"), None);
    }
}
