//! Routes: which provider a request goes to, and who may send it.
//!
//! Decides by host and path alone, the most specific first; nothing else a client sends chooses a
//! destination.

mod cors;
mod escaped_separators;
mod overlap;
mod pattern;

pub use cors::{Cors, parse_origin};
pub use escaped_separators::request_path;
pub use overlap::Overlap;
pub use pattern::{HostPattern, PathPrefix};

pub use crate::grammar::path::{BadPath, NormalPath};

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

use crate::key::Selector;
use crate::metrics::RouteMetrics;
use crate::provider::{Provider, Stripped};
use crate::template::HeaderTemplate;
use crate::usage::Metering;

/// Who may use a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Keys that the selector takes.
    Keys(Selector),
    /// Anyone: `auth = "none"`, said aloud.
    Open,
}

/// A route as used.
pub struct Route {
    /// Its name, a metric label.
    pub name: Arc<str>,
    /// The hosts it answers to.
    pub hosts: Vec<HostPattern>,
    /// The paths it answers to.
    pub path: PathPrefix,
    /// Where it goes.
    pub provider: Arc<Provider>,
    /// Who may come in.
    pub access: Access,
    /// Whether connections may be upgraded to `WebSocket`.
    pub websocket: bool,
    /// The client's headers that the provider does not get.
    pub stripped: Stripped,
    /// Headers made for the provider from the client's.
    pub templates: Vec<HeaderTemplate>,
    /// Which pages in browsers may read its responses; nothing leaves that to the provider.
    pub cors: Option<Cors>,
    /// What is done about the usage of its streams.
    pub metering: Metering,
    /// The models that the metrics tell apart: names, and beginnings of names with a `*` behind them.
    pub metric_models: Vec<String>,
    /// Its metrics.
    pub metrics: RouteMetrics,
    /// How its path lies to those of others: [`Router::build`] finds it out.
    pub overlap: Overlap,
}

/// The models that a route does not list.
const OTHER_MODELS: &str = "other";

impl Route {
    /// What the metrics call a model: the first entry of the list that takes it.
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

/// All routes, so arranged that the most specific is met first.
pub struct Router {
    /// By how specific the host is; within a host, by path.
    hosts: Vec<(HostPattern, ByPath)>,
    routes: Vec<Arc<Route>>,
    paths: overlap::RoutePaths,
}

/// A route, and what follows its prefix in the path.
pub struct Match<'r> {
    /// The route.
    pub route: &'r Arc<Route>,
    /// The path behind its prefix; empty for the bare prefix.
    pub rest: &'r str,
}

impl Router {
    /// Arranges `routes`. Of two with one host and one path the first stays; the configuration's
    /// check refuses them.
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
        // Of one rank, no two patterns take the same host.
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

    /// The route for a host in its one form (see [`normal_host`]) and a normal path: the most specific host that
    /// has a route for the path, and of that host's the longest prefix. One look into a map for
    /// each segment of the path, however many routes there are.
    pub fn find<'r>(&'r self, host: &str, path: &'r str) -> Option<Match<'r>> {
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
    use crate::provider::{Kind, Paths, ProviderSpec, TokenSource};

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
            provider: provider.clone(),
            access: Access::Open,
            websocket: false,
            stripped: Stripped::default(),
            templates: Vec::new(),
            cors: None,
            metering: Metering::default(),
            metric_models: ["m", "m-*", "*-x"].map(str::to_owned).into(),
            metrics: METRICS.route(name, "p"),
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
