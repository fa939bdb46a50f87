//! Routes: who may send a request, and which targets it may go to.
//!
//! A route is found by host and path alone, the most specific first; nothing else that a client sends chooses a
//! destination.

mod cors;
mod overlap;
mod path;
mod pattern;
mod target;
mod unmask;

pub use cors::{Cors, parse_origin};
pub use overlap::Overlap;
pub use path::{BadPath, NormalPath};
pub use pattern::{HostPattern, PathPrefix};
pub use target::{Target, Targets};

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use http::HeaderName;

use crate::key::Selector;
use crate::provider::{Dialect, Stripped};
use crate::template::HeaderTemplate;
use crate::usage::Metering;

/// Who may use a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Clients whose key the selector takes.
    Keys(Selector),
    /// Anyone, which the configuration must say in so many words: `auth = "none"`.
    Open,
}

/// A route as used.
pub struct Route {
    /// The route's name, which is a metric label.
    pub name: Arc<str>,
    /// The hosts whose requests it takes.
    pub hosts: Vec<HostPattern>,
    /// The paths that it takes.
    pub path: PathPrefix,
    /// Where its requests go.
    pub targets: Targets,
    /// The shape of the errors that its clients read.
    pub dialect: Dialect,
    /// Who may use it.
    pub access: Access,
    /// The headers in which a client brings the provider's token itself (`token = "passthrough"`): no client key is
    /// looked for in them. Empty for other routes.
    pub token_headers: Vec<HeaderName>,
    /// Whether a connection may be upgraded to `WebSocket`.
    pub websocket: bool,
    /// The client's headers that the provider does not get.
    pub stripped: Stripped,
    /// Headers for the provider that are made from the client's.
    pub templates: Vec<HeaderTemplate>,
    /// The web pages that may read its responses; `None` leaves that to the provider.
    pub cors: Option<Cors>,
    /// How the usage of its streams is metered.
    pub metering: Metering,
    /// The models that have metrics of their own: names, or prefixes that end in `*`.
    pub metric_models: Vec<String>,
    /// How the route's path relates to those of others. [`Router::build`] fills it in.
    pub overlap: Overlap,
}

/// The metric label of the models that a route does not list.
const OTHER_MODELS: &str = "other";

impl Route {
    /// The metric label of `model`: the first entry of the route's list that takes it.
    pub fn model_label(&self, model: Option<&str>) -> &str {
        let takes = |entry: &&String| match (entry.strip_suffix('*'), model) {
            (_, None) => false,
            (Some(beginning), Some(model)) => model.starts_with(beginning),
            (None, Some(model)) => model == entry.as_str(),
        };
        let entry = self.metric_models.iter().find(takes);
        entry.map_or(OTHER_MODELS, String::as_str)
    }
}

type ByPath = HashMap<String, Arc<Route>, RandomState>;

/// All routes, in an order in which the most specific is found first.
pub struct Router {
    /// The most specific host comes first; within a host, routes are found by path.
    hosts: Vec<(HostPattern, ByPath)>,
    routes: Vec<Arc<Route>>,
    paths: overlap::RoutePaths,
}

/// The route that takes a request, and the rest of the request's path.
pub struct Match<'s, 'r> {
    /// The route.
    pub route: &'s Arc<Route>,
    /// The path behind the route's prefix; empty for the bare prefix.
    pub rest: &'r str,
}

impl Router {
    /// Builds a router of `routes`. Of two routes with the same host and path it keeps the first; the configuration's
    /// check has refused such a pair before.
    pub fn build(mut routes: Vec<Route>) -> Self {
        let paths = overlap::RoutePaths::note(&mut routes);
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
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The route for `host`, in its normal form, and a normal path: the longest prefix that the most specific host with
    /// a route for the path has. It costs one map lookup for each segment of the path, however many routes there are.
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
    use std::sync::LazyLock;

    use super::*;
    use crate::metrics::Metrics;
    use crate::provider::{Kind, Paths, Provider, ProviderSpec, TokenSource};

    use crate::origin::{BaseUrl, HttpVersion, Resolver, Timeouts};

    /// A provider on this machine with the base path `base`.
    pub(super) fn provider(kind: &str, base: &str) -> Arc<Provider> {
        let base_url = BaseUrl::parse(&format!("http://127.0.0.1{base}")).unwrap();
        let kind = Kind::named(kind).unwrap();
        let fill = |name: &str| (name == "deployment").then(|| "D".to_owned());
        let spec = ProviderSpec {
            name: "p".into(),
            kind,
            sni: base_url.host.clone(),
            paths: Paths::new(kind, &base_url, None, &fill),
            base_url,
            ca: None,
            auth_header: http::header::AUTHORIZATION,
            auth_prefix: String::new(),
            bearer: None,
            token: TokenSource::None,
            headers: Vec::new(),
            redirect_hosts: Vec::new(),
            proxy: None,
            http: HttpVersion::Http1,
            timeouts: Timeouts::default(),
        };
        let addresses = Resolver::default().addresses("127.0.0.1", 80);
        Arc::new(Provider::build(spec, addresses).unwrap())
    }

    pub(super) fn route(name: &str, host: &str, path: &str, provider: &Arc<Provider>) -> Route {
        static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics::new().unwrap());
        Route {
            name: name.into(),
            hosts: vec![match host {
                "*" => HostPattern::Any,
                host => HostPattern::parse(host).unwrap(),
            }],
            path: PathPrefix::parse(if path.is_empty() { "/" } else { path }).unwrap(),
            targets: Targets::one(Target {
                provider: provider.clone(),
                metrics: METRICS.target(name, "p"),
            }),
            dialect: provider.kind.dialect,
            token_headers: Vec::new(),
            access: Access::Open,
            websocket: false,
            stripped: Stripped::default(),
            templates: Vec::new(),
            cors: None,
            metering: Metering::default(),
            metric_models: ["m", "m-*", "*-x"].map(str::to_owned).into(),
            overlap: Overlap::default(),
        }
    }

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
