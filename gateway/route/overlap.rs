//! Routes within routes: a broader route must not send a request to an endpoint that a narrower route serves.
//!
//! A client may write a provider's base path or leave it out (see `provider::Paths`), so several client paths lead to
//! one path at the provider. Where a narrower route takes one of them, the broader route must not serve the others, and
//! the narrower route must serve nothing beyond its part. Otherwise a client that may not use one of the routes could
//! reach its endpoints through the other.

use std::collections::{HashMap, HashSet};

use ahash::RandomState;

use super::definition::Route;
use super::pattern::HostPattern;
use crate::grammar::query::percent_decoded;
use crate::provider::Provider;

/// Stands for any endpoint.
const ENDPOINT: &str = "/x";

/// Paths of routes, found by a folded path.
type ByFolded = HashMap<String, Vec<String>, RandomState>;

/// The paths of all routes, in which the routes that take another spelling of a path are found.
#[derive(Default)]
pub(super) struct RoutePaths {
    /// The paths, by themselves.
    paths: ByFolded,
    /// The paths of routes that are a part of another route, by the place that they lead to.
    places: ByFolded,
}

impl RoutePaths {
    /// Notes the paths of `routes`, and in each route how it relates to the others.
    pub(super) fn note(routes: &mut [Route]) -> Self {
        let mut noted = Self::default();
        let mut around: HashSet<String, RandomState> = HashSet::default();
        let parts = parts(routes);
        for (route, part_of) in routes.iter_mut().zip(parts) {
            let path = route.path.as_str();
            around.extend(outside(&fold(path)).map(str::to_owned));
            add(&mut noted.paths, fold(path), path);
            if part_of.is_some() {
                route.overlap.part_of = part_of;
                for target in route.targets.iter() {
                    let place = own_place(route, &target.provider);
                    add(&mut noted.places, place, route.path.as_str());
                }
            }
        }
        for route in routes {
            route.overlap.has_inner = around.contains(&fold(route.path.as_str()));
        }
        noted
    }

    /// The paths of routes within `route` that take a spelling of `path`, which is one at `provider`.
    pub(super) fn within<'p>(
        &'p self,
        route: &Route,
        provider: &Provider,
        path: &str,
    ) -> Vec<&'p String> {
        let own = route.path.as_str();
        let longer_than = fold(own).len();
        let rests = provider.paths.spellings(path);
        let spellings = rests.map(|rest| fold(&format!("{own}{rest}")));
        let found = spellings.flat_map(|path| above(&self.paths, &path, longer_than));
        found.collect()
    }

    /// The paths of narrower routes, within the same broadest route, whose place at the provider contains `path`.
    pub(super) fn beside<'p>(
        &'p self,
        route: &Route,
        provider: &Provider,
        path: &str,
    ) -> Vec<&'p String> {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let longer_than = match route.overlap.part_of {
            Some(_) => own_place(route, provider).len(),
            None => 0,
        };
        above(&self.places, &place(route, provider, path), longer_than)
    }
}

/// Adds a path once, however many hosts have it.
fn add(paths: &mut ByFolded, folded: String, path: &str) {
    let known = paths.entry(folded).or_default();
    if !known.iter().any(|it| it == path) {
        known.push(path.to_owned());
    }
}

/// Everything in `paths` under `path` or a prefix of it that is longer than `longer_than` bytes.
fn above<'p>(paths: &'p ByFolded, path: &str, longer_than: usize) -> Vec<&'p String> {
    let prefixes = outside(path)
        .chain([path])
        .filter(|prefix| prefix.len() > longer_than);
    let found = prefixes.filter_map(|prefix| paths.get(prefix));
    found.flatten().collect()
}

/// The place of `path` at `provider`, which is compared only within the route that `route` is a part of.
fn place(route: &Route, provider: &Provider, path: &str) -> String {
    let part_of = route.overlap.part_of.as_deref();
    let whole = part_of.unwrap_or(route.path.as_str());
    format!("{whole} {}{}", provider.origin(), fold(path))
}

fn own_place(route: &Route, provider: &Provider) -> String {
    place(route, provider, provider.paths.base())
}

/// The routes that have the same path.
#[derive(Default)]
struct ByHost<'r> {
    exact: HashMap<&'r str, Vec<&'r Route>, RandomState>,
    /// The routes for a pattern of hosts.
    wild: Vec<&'r Route>,
    all: Vec<&'r Route>,
}

impl<'r> ByHost<'r> {
    fn add(&mut self, route: &'r Route) {
        self.all.push(route);
        for host in &route.hosts {
            match host {
                HostPattern::Exact(name) => self.exact.entry(name).or_default().push(route),
                HostPattern::Suffix(_) | HostPattern::Any => self.wild.push(route),
            }
        }
    }

    /// The routes that may have a host in common with `route`, and perhaps some that have not.
    fn meeting<'a>(&'a self, route: &'a Route) -> impl Iterator<Item = &'r Route> + 'a {
        let meeting = |host: &HostPattern| match host {
            HostPattern::Exact(name) => [self.exact.get(name.as_str()), Some(&self.wild)],
            HostPattern::Suffix(_) | HostPattern::Any => [Some(&self.all), None],
        };
        let meeting = route.hosts.iter().flat_map(meeting);
        meeting.flatten().flatten().copied()
    }
}

/// For each route, the path of the broadest route that it is a part of.
fn parts(routes: &[Route]) -> Vec<Option<String>> {
    let mut by_path: HashMap<&str, ByHost<'_>, RandomState> = HashMap::default();
    for route in routes {
        by_path.entry(route.path.as_str()).or_default().add(route);
    }
    let part_of = |route: &Route| {
        let mut outer = outside(route.path.as_str())
            .filter_map(|path| by_path.get(path))
            .flat_map(|outer| outer.meeting(route))
            .filter(|outer| is_part_of(route, outer));
        outer.next().map(|outer| outer.path.as_str().to_owned())
    };
    routes.iter().map(part_of).collect()
}

/// Whether the requests of `route` would reach the same endpoints through `outer` if `route` did not exist.
fn is_part_of(route: &Route, outer: &Route) -> bool {
    let rest = outer.path.strip(route.path.as_str()).unwrap_or_default();
    let leads_alike = |own: &Provider| {
        let mut theirs = outer.targets.iter();
        theirs.any(|theirs| lead_alike(own, &theirs.provider, rest))
    };
    let mut own = route.targets.iter();
    let mut hosts = route.hosts.iter();
    own.any(|own| leads_alike(&own.provider))
        && hosts.any(|host| outer.hosts.iter().any(|theirs| host.meets(theirs)))
}

/// Whether a route to `theirs` sends an endpoint behind `rest` to where a route to `own` sends the bare endpoint.
fn lead_alike(own: &Provider, theirs: &Provider, rest: &str) -> bool {
    let target = format!("{}{ENDPOINT}", own.paths.base());
    let path = format!("{rest}{ENDPOINT}");
    let mut spellings = theirs.paths.spellings(&target);
    own.origin() == theirs.origin() && spellings.any(|spelling| spelling == path)
}

/// The prefixes of `path` that end before one of its segments, the shortest first.
fn outside(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(at, _)| path.get(..at))
}

/// A path as the most tolerant provider reads it: in lower case, without escapes.
fn fold(path: &str) -> String {
    let bytes = percent_decoded(path.as_bytes());
    // Each byte becomes one character, so that bytes which are no UTF-8 stay distinct.
    let folded = bytes.iter().map(u8::to_ascii_lowercase);
    folded.map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::route::testing::{provider, route};
    use crate::route::{NormalPath, Overlap, Router, request_path};

    const SEGMENTS: &[&str] = &[
        "v1",
        "V1",
        "v1beta",
        "openai",
        "fine_tuning",
        "Fine_Tuning",
        "fine%5Ftuning",
        "jobs",
        "models",
        "m:x",
        "m%3Ax",
        "deployments",
        "D",
        "d",
        "upload",
        "hf-inference",
        "chat",
        "completions",
        "admin",
    ];
    const PROVIDERS: &[(&str, &str)] = &[
        ("openai", "/v1"),
        ("custom", ""),
        ("custom", "/v1"),
        ("custom", "/openai/v1"),
        ("custom", "/v1/admin"),
        ("azure-openai", "/openai/deployments/D"),
        ("gemini", "/v1beta"),
        ("groq", "/openai/v1"),
        ("huggingface", "/v1"),
        ("deepseek", "/v1"),
    ];

    fn path(segments: &[&str]) -> String {
        segments.iter().flat_map(|segment| ["/", segment]).collect()
    }

    /// A route at `outer`, and a narrower one for each of `inner`, all to one origin. A narrower route leads to where
    /// the route at `outer` would send its path.
    fn nested(outer: &str, kind: &str, base: &str, inner: &[String], inner_kind: &str) -> Router {
        let broad = provider(kind, base);
        let mut routes = vec![route("outer", "*", outer, &broad)];
        for (at, rest) in inner.iter().enumerate() {
            let target = broad.paths.target(rest, None).unwrap();
            let base = target.split_once('?').map_or(&*target, |(path, _)| path);
            let narrow = provider(inner_kind, base);
            routes.push(route(
                &at.to_string(),
                "*",
                &format!("{outer}{rest}"),
                &narrow,
            ));
        }
        Router::build(routes)
    }

    /// The route that takes a path, and all paths that a provider may read if it decodes escaped separators.
    fn sent(router: &Router, path: &str) -> Option<(String, Vec<String>)> {
        let normal = request_path(path.as_bytes()).ok()?;
        let found = router.find("h", &normal.path)?;
        let provider = &found.route.targets.primary().provider;
        let target = provider.paths.target(found.rest, None)?;
        let passes = !router.belongs_to_other("h", found.route, provider, &target)
            && !router.unescaped_belongs_to_other("h", found.route, provider, &normal, &target);
        let mut targets = normal.readings_of(&target);
        targets.push(target);
        // Paths that differ only by a slash at the end, or in what some provider reads as the same, count as the same.
        let plain = |target: &String| {
            let path = target.split_once('?').map_or(&**target, |(path, _)| path);
            fold(path.trim_end_matches('/'))
        };
        let places = targets.iter().map(plain).collect();
        passes.then(|| (found.route.name.to_string(), places))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// If two paths lead to the same place at a provider, the same route serves both.
        #[test]
        fn one_target_has_one_route(
            outer in prop::sample::select(vec!["", "/openai", "/v1"]),
            (kind, base) in prop::sample::select(PROVIDERS),
            inner in prop::collection::vec(prop::collection::vec(prop::sample::select(SEGMENTS), 1..4), 1..3),
            same_kind in any::<bool>(),
            requested in prop::collection::vec(prop::collection::vec(prop::sample::select(SEGMENTS), 0..5), 12),
        ) {
            let normal = |path: &String| NormalPath::parse(path.as_bytes()).is_ok_and(|it| it.path == *path && !path.contains('%'));
            let inner: Vec<String> = inner.iter().map(|it| path(it)).filter(normal).collect();
            prop_assume!(!inner.is_empty());
            let alone = provider(kind, base);
            let places: Vec<String> = inner.iter().map(|it| fold(&alone.paths.target(it, None).unwrap())).collect();
            // Two routes for two spellings of the same place are outside of this property.
            prop_assume!(places.len() == places.iter().collect::<HashSet<_>>().len());
            let inner_kind = if same_kind { kind } else { "custom" };
            let router = nested(outer, kind, base, &inner, inner_kind);
            // Hugging Face has its models elsewhere than their list.
            prop_assume!(router.routes()[1..].iter().all(|route| route.overlap.part_of.is_some()));
            let mut paths: Vec<String> = requested.iter().map(|it| path(it)).collect();
            // More spellings of the endpoints that the inner routes serve.
            for place in inner.iter().chain(&places) {
                for behind in ["", "/jobs"] {
                    paths.push(format!("{place}{behind}"));
                    paths.extend(place.match_indices('/').map(|(at, _)| format!("{}{behind}", &place[at..])));
                }
            }
            let slashes = |path: &String| -> Vec<String> {
                let at = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
                let with = |at, other| format!("{}{other}{}", &path[..at], &path[at + 1..]);
                let others = ["%2F", "%3Bx%2F", "%3Fx/"];
                let all = path.get(1..).map(|rest| format!("/{}", rest.replace('/', "%2F")));
                at.flat_map(|at| others.map(|other| with(at, other))).chain(all).collect()
            };
            let masked: Vec<String> = paths.iter().flat_map(slashes).collect();
            paths.extend(masked);
            let mut routes: HashMap<String, (String, String)> = HashMap::new();
            for path in paths.iter().flat_map(|it| [format!("{outer}{it}"), format!("{outer}{}{it}", inner[0])]) {
                let Some((name, targets)) = sent(&router, &path) else { continue };
                for target in targets {
                    let (first, by) = routes.entry(target).or_insert_with(|| (name.clone(), path.clone()));
                    prop_assert!(*first == name, "{path} by {name}, {by} by {first}");
                }
            }
        }
    }

    #[test]
    fn the_full_path_of_an_endpoint_chooses_its_route_and_no_other_spelling_does() {
        let inner = ["/v1/fine_tuning".to_owned()];
        let router = nested("/openai", "openai", "/v1", &inner, "openai");
        for (path, wanted) in [
            ("/openai/v1/fine_tuning/jobs", Some("0")),
            ("/openai/fine_tuning/jobs", None),
            ("/openai/v1/Fine_Tuning/jobs", None),
            ("/openai/v1/fine_tunings", Some("outer")),
            ("/openai/v1/models", Some("outer")),
            ("/openai/models", Some("outer")),
            ("/openai", Some("outer")),
        ] {
            let found = sent(&router, path).map(|(name, _)| name);
            assert_eq!(found.as_deref(), wanted, "{path}");
        }
    }

    #[test]
    fn routes_side_by_side_or_of_other_origins_are_left_alone() {
        let one = provider("openai", "/v1");
        let tuning = provider("openai", "/v1/fine_tuning");
        let router = Router::build(vec![
            route("a", "*", "/a", &one),
            route("b", "*", "/b", &tuning),
            route("c", "*", "/a/eu", &one),
        ]);
        let mut overlaps = router.routes().iter().map(|route| &route.overlap);
        let has_inner = Overlap {
            has_inner: true,
            part_of: None,
        };
        assert_eq!(overlaps.next(), Some(&has_inner));
        assert!(overlaps.all(|overlap| *overlap == Overlap::default()));
        assert!(sent(&router, "/a/fine_tuning").is_some());
        assert!(sent(&router, "/a/eu/v1/models").is_some());
    }

    #[test]
    fn a_route_that_leads_elsewhere_is_not_walked_around_either() {
        let (one, closed) = (provider("openai", "/v1"), provider("custom", "/elsewhere"));
        let router = Router::build(vec![
            route("a", "*", "/a", &one),
            route("closed", "*", "/a/v1/fine_tuning", &closed),
        ]);
        for path in ["/a/fine_tuning/jobs", "/a/FINE_tuning", "/a/v1/fine_Tuning"] {
            assert_eq!(sent(&router, path), None, "{path}");
        }
        assert!(sent(&router, "/a/models").is_some());
    }

    #[test]
    fn a_path_is_noted_once_however_many_hosts_have_it() {
        let (one, tuning) = (
            provider("openai", "/v1"),
            provider("openai", "/v1/fine_tuning"),
        );
        let hosts = ["a", "b", "*.c", "*"];
        let pairs = hosts.iter().flat_map(|host| {
            let part = route(&format!("part {host}"), host, "/a/v1/fine_tuning", &tuning);
            [route(host, host, "/a", &one), part]
        });
        let router = Router::build(pairs.collect());
        let paths = router.paths.paths.values();
        assert!(
            paths
                .chain(router.paths.places.values())
                .all(|it| it.len() == 1)
        );
        for host in ["a", "b", "x.c", "other"] {
            let found = router.find(host, "/a/fine_tuning").unwrap();
            assert!(
                router.belongs_to_other(host, found.route, &one, "/v1/fine_tuning"),
                "{host}"
            );
        }
        let mut parts = router
            .routes()
            .iter()
            .filter(|route| route.name.starts_with("part"));
        assert!(parts.all(|part| part.overlap.part_of.as_deref() == Some("/a")));
    }

    #[test]
    fn a_route_of_another_host_takes_nothing_away() {
        let (one, tuning) = (
            provider("openai", "/v1"),
            provider("openai", "/v1/fine_tuning"),
        );
        let router = Router::build(vec![
            route("a", "*", "/a", &one),
            route("b", "other", "/a/v1/fine_tuning", &tuning),
        ]);
        assert!(sent(&router, "/a/fine_tuning").is_some());
        let found = router.find("other", "/a/fine_tuning").unwrap();
        assert!(router.belongs_to_other("other", found.route, &one, "/v1/fine_tuning"));
        // A route is no part of another one if no host has both.
        for (host, is_part) in [("other", true), ("third", false)] {
            let beside = [
                route("a", "other", "/a", &one),
                route("b", host, "/a/v1/fine_tuning", &tuning),
            ];
            let router = Router::build(beside.into());
            assert_eq!(router.routes()[1].overlap.part_of.is_some(), is_part);
        }
    }
}
