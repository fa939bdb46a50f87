//! The search against comparing each route with each, and what it takes in large tables.

use std::path::Path;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use proptest::prelude::*;

use super::super::place::hosts_of;
use super::*;
use crate::config::RouteSpec;
use crate::document::Location;
use crate::key::Selector;
use crate::provider::{Kind, Paths, ProviderSpec};

use crate::origin::{BaseUrl, HttpVersion, Timeouts};
use crate::route::{HostPattern, PathPrefix};
use crate::secret::{Secret, SecretError};
use crate::usage::Metering;

fn token(text: &str) -> TokenSource {
    match text.split_once(':') {
        Some(("inline", token)) => TokenSource::Fixed(Ok(Secret::new(token.to_owned()).unwrap())),
        Some(("env", _)) => TokenSource::Fixed(Err(SecretError::Missing(String::new()))),
        Some((_, name)) => TokenSource::Key(name.to_owned()),
        None if text == "none" => TokenSource::None,
        None => TokenSource::Passthrough,
    }
}

fn provider(kind: &str, url: &str, from: &str) -> ProviderSpec {
    let base_url = BaseUrl::parse(url).unwrap();
    let kind = Kind::named(kind).unwrap();
    let fill = |name: &str| (name == "deployment").then(|| "D".to_owned());
    ProviderSpec {
        name: "p".into(),
        kind,
        sni: base_url.host.clone(),
        paths: Paths::new(kind, &base_url, None, &fill),
        base_url,
        ca: None,
        auth_header: AUTHORIZATION,
        auth_prefix: String::new(),
        bearer: None,
        token: token(from),
        headers: Vec::new(),
        redirect_hosts: Vec::new(),
        proxy: None,
        http: HttpVersion::Http1,
        timeouts: Timeouts::default(),
    }
}

/// `labels` is `open`, or `name=value` by commas.
fn route(name: usize, hosts: &[&str], path: &str, labels: &str) -> RouteSpec {
    let pattern = |host: &&str| match *host {
        "" => HostPattern::Any,
        host => HostPattern::parse(host).unwrap(),
    };
    let labels = labels
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    RouteSpec {
        name: name.to_string().into(),
        hosts: hosts.iter().map(pattern).collect(),
        path: PathPrefix::parse(path).unwrap(),
        provider: "p".into(),
        access: Access::Keys(Selector(labels.collect())),
        websocket: false,
        allowed_headers: Vec::new(),
        templates: Vec::new(),
        cors: None,
        metering: Metering::default(),
        metric_models: Vec::new(),
    }
}

/// Routes, and the number of the provider that each has.
struct Table {
    providers: Vec<ProviderSpec>,
    routes: Vec<RouteSpec>,
    of: Vec<usize>,
    at: Location,
}

impl Table {
    fn new(providers: Vec<ProviderSpec>) -> Self {
        let file: Arc<Path> = Path::new("gateway.toml").into();
        Self {
            providers,
            routes: Vec::new(),
            of: Vec::new(),
            at: Location { file, line: 1 },
        }
    }

    fn add(&mut self, hosts: &[&str], path: &str, labels: &str, provider: usize) {
        let mut route = route(self.routes.len(), hosts, path, labels);
        if labels == "open" {
            route.access = Access::Open;
        }
        self.routes.push(route);
        self.of.push(provider);
    }

    fn places(&self) -> Vec<Place<'_>> {
        let routes = self.routes.iter().zip(&self.of);
        let places = routes.map(|(route, of)| Place {
            route,
            provider: &self.providers[*of],
            at: &self.at,
        });
        places.collect()
    }

    /// By which route each one is led around, and the comparisons that it took to find out.
    fn found(&self) -> (Vec<Option<usize>>, usize) {
        let (places, paths) = (self.places(), hosts_of(&self.routes));
        let mut index = Index::new(&places, &paths);
        let number = |place: &Place<'_>| place.route.name.parse().unwrap();
        let found = places
            .iter()
            .map(|narrow| index.around(narrow).map(number))
            .collect();
        (found, index.search.comparisons)
    }

    /// The same by comparing each with each.
    fn found_by_comparing(&self) -> Vec<Option<usize>> {
        let (places, paths) = (self.places(), hosts_of(&self.routes));
        let found = places.iter().map(|narrow| {
            let mut others = places.iter();
            others.position(|broad| leads_around(broad, narrow, &paths))
        });
        found.collect()
    }
}

/// Whether clients that may not use `narrow` reach by `broad` what it leads to.
fn leads_around(broad: &Place<'_>, narrow: &Place<'_>, paths: &HostsOf<'_>) -> bool {
    let (own, theirs) = (&narrow.route.path, &broad.route.path);
    let is_related = own != theirs
        && (own.strip(theirs.as_str()).is_some() || theirs.strip(own.as_str()).is_some());
    broad.provider.base_url.origin() == narrow.provider.base_url.origin()
        && (broad.base() != narrow.base() || is_related)
        && lets_in_others(&broad.route.access, &narrow.route.access)
        && is_same_account(&broad.provider.token, &narrow.provider.token)
        && broad.reaches(narrow.base(), paths)
}

fn is_same_account(one: &TokenSource, other: &TokenSource) -> bool {
    match (one, other) {
        (TokenSource::Fixed(Ok(one)), TokenSource::Fixed(Ok(other))) => {
            one.expose() == other.expose()
        }
        (TokenSource::Key(one), TokenSource::Key(other)) => one == other,
        (TokenSource::Fixed(_), TokenSource::Fixed(_)) | (TokenSource::None, TokenSource::None) => {
            true
        }
        _ => false,
    }
}

const KINDS: &[&str] = &[
    "openai",
    "custom",
    "azure-openai",
    "gemini",
    "huggingface",
    "deepseek",
    "groq",
];
const BASES: &[&str] = &[
    "",
    "/v1",
    "/v2",
    "/openai",
    "/openai/v1",
    "/openai/deployments/D",
    "/openai/deployments/E",
    "/v1beta",
    "/v1/fine_tuning",
    "/t/v1",
    "/v1/fine_tuning/jobs",
    "/hf-inference",
];
const URLS: &[&str] = &["https://a.test", "https://a.test", "https://b.test"];
const TOKENS: &[&str] = &[
    "inline:1",
    "inline:1",
    "inline:2",
    "env:T",
    "key:up",
    "none",
    "passthrough",
];
const PATHS: &[&str] = &[
    "/",
    "/a",
    "/a/v1",
    "/a/v1/fine_tuning",
    "/a/fine_tuning",
    "/a/openai",
    "/b",
    "/b/openai/v1",
    "/b/openai/deployments/D",
    "/b/deployments/E",
    "/a/v1/fine_tuning/jobs",
    "/ab",
    "/b/hf-inference",
];
const HOSTS: &[&[&str]] = &[&[""], &[""], &["h"], &["h", "i"], &["*.h"]];
const LABELS: &[&str] = &["open", "", "", "team=x", "team=y", "team=x,env=p"];

fn one<T: Copy + std::fmt::Debug>(of: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(of)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_search_finds_what_comparing_each_with_each_finds(
        providers in prop::collection::vec((one(KINDS), one(URLS), one(BASES), one(TOKENS)), 1..4),
        routes in prop::collection::vec((one(HOSTS), one(PATHS), one(LABELS), any::<prop::sample::Index>()), 1..14),
    ) {
        let providers = providers.iter().map(|(kind, url, base, token)| provider(kind, &format!("{url}{base}"), token));
        let mut table = Table::new(providers.collect());
        for (hosts, path, labels, of) in &routes {
            let of = of.index(table.providers.len());
            table.add(hosts, path, labels, of);
        }
        prop_assert_eq!(table.found().0, table.found_by_comparing());
    }
}

#[test]
fn the_tables_of_the_property_have_findings() {
    let openai = ["https://a.test/v1", "https://a.test/v1/fine_tuning"];
    let openai = openai.map(|url| provider("openai", url, "inline:1"));
    let mut table = Table::new(openai.into());
    table.add(&[""], "/a", "", 0);
    table.add(&[""], "/f", "team=x", 1);
    table.add(&[""], "/b", "team=x", 0);
    table.add(&[""], "/b/c", "team=y", 0);
    let wanted = vec![None, Some(0), Some(3), Some(2)];
    assert_eq!(table.found().0, wanted);
    assert_eq!(table.found_by_comparing(), wanted);
}

/// Makes a table of so many routes.
type Shape = fn(usize) -> Table;

/// Two providers, of one account, the second one of a part of what the first one is.
fn two() -> Table {
    let both = ["https://a.test/v1", "https://a.test/v1/fine_tuning"];
    Table::new(both.map(|url| provider("openai", url, "inline:1")).into())
}

/// The usual large tables: what grows is another thing in each.
const SHAPES: &[(&str, Shape)] = &[
    ("routes side by side", |count| {
        let mut table = two();
        for number in 0..count {
            table.add(&[""], &format!("/t{number}"), "team=x", 0);
        }
        table
    }),
    ("a team each", |count| {
        let mut table = two();
        for number in 0..count {
            table.add(&[""], &format!("/t{number}"), &format!("team={number}"), 0);
        }
        table
    }),
    ("within one route", |count| {
        let mut table = two();
        table.add(&[""], "/", "", 0);
        for number in 1..count {
            table.add(&[""], &format!("/t{number}"), &format!("team={number}"), 0);
        }
        table
    }),
    ("a part for others, within each", |count| {
        let mut table = two();
        for number in 0..count / 2 {
            let path = format!("/t{number}");
            table.add(&[""], &path, &format!("team={number}"), 0);
            let part = format!("{path}/v1/fine_tuning");
            table.add(&[""], &part, &format!("team={number},role=tuner"), 1);
        }
        table
    }),
    ("a part for others, beside each", |count| {
        let mut table = two();
        for number in 0..count / 2 {
            table.add(&[""], &format!("/t{number}"), "team=x", 0);
            table.add(&[""], &format!("/u{number}"), "team=y", 1);
        }
        table
    }),
    ("a host each, with two routes", |count| {
        let mut table = two();
        for number in 0..count / 2 {
            let (host, labels) = (format!("h{number}.test"), format!("team={number}"));
            table.add(&[&host], "/", &labels, 0);
            table.add(&[&host], "/v1/fine_tuning", &labels, 1);
        }
        table
    }),
    ("any key for one half, a team each for the other", |count| {
        let mut table = two();
        for number in 0..count / 2 {
            table.add(&[""], &format!("/t{number}"), "", 1);
            table.add(&[""], &format!("/u{number}"), &format!("team={number}"), 0);
        }
        table.add(&[""], "/open", "open", 0);
        table
    }),
    ("a provider each, with an account each", |count| {
        let provider =
            |number| provider("openai", "https://a.test/v1", &format!("inline:{number}"));
        let mut table = Table::new((0..count).map(provider).collect());
        for number in 0..count {
            table.add(
                &[""],
                &format!("/t{number}"),
                &format!("team={number}"),
                number,
            );
        }
        table
    }),
    ("a provider each, at a path each", |count| {
        let provider =
            |number| provider("custom", &format!("https://a.test/t{number}/v1"), "env:T");
        let mut table = Table::new((0..count).map(provider).collect());
        for number in 0..count {
            table.add(
                &[""],
                &format!("/t{number}"),
                &format!("team={number}"),
                number,
            );
        }
        table
    }),
    ("a deployment each", |count| {
        let url = |number| format!("https://a.test/openai/deployments/d{number}");
        let provider = |number| provider("azure-openai", &url(number), "inline:1");
        let mut table = Table::new((0..count).map(provider).collect());
        for number in 0..count {
            table.add(
                &[""],
                &format!("/t{number}"),
                &format!("team={number}"),
                number,
            );
        }
        table
    }),
];

#[test]
fn many_routes_take_few_comparisons_each() {
    for (name, shape) in SHAPES {
        let (_, comparisons) = shape(20_000).found();
        assert!(comparisons <= 20_000 * 8, "{name}: {comparisons}");
    }
}

#[test]
fn what_is_found_in_large_tables_is_what_comparing_each_with_each_finds() {
    for (name, shape) in SHAPES {
        let table = shape(120);
        assert_eq!(table.found().0, table.found_by_comparing(), "{name}");
    }
}
