//! Whatever an import could not carry over stays closed. Generated manifests are read twice: by a model of who could
//! reach which host in the original (`original`), and by the import, whose result is tested with the code that admits
//! requests.

mod manifests;
mod original;

use std::fmt::Write as _;
use std::sync::Arc;

use http::Method;
use keygate::testing::config::Resolved;
use keygate::testing::import;
use keygate::testing::metrics::Metrics;
use keygate::testing::proxy::admit::Admission;
use keygate::testing::proxy::attempt::Attempt;
use keygate::testing::route::NormalPath;
use keygate::testing::snapshot::Live;
use pingora::http::RequestHeader;
use proptest::prelude::*;

use self::manifests::manifests;
use self::original::outcome;
use super::{read_manifests, write_and_load};

/// All keys: the team and the text of each.
const KEYS: [(&str, &str); 2] = [
    ("user", "user-key-0123456789-abcdefgh"),
    ("admin", "admin-key-0123456789-abcdefgh"),
];
const HOSTS: [&str; 3] = ["any.test", "a.test", "b.a.test"];
const METHODS: [&str; 2] = ["GET", "POST"];
/// One path is a text prefix of another: in a `RouteTable`, a prefix may end within a segment.
const SEGMENTS: [&str; 4] = ["v1", "x", "y", "xy"];

/// The path condition of a match.
#[derive(Clone, Debug)]
enum PathForm {
    Prefix(String),
    Exact(String),
    /// A regular expression: the path followed by this text.
    Regex(String, &'static str),
    /// The path with an unnecessary escape.
    Escaped(String),
}

/// Other conditions of a match.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Narrowing {
    Nothing,
    Get,
    Header,
    /// An unknown condition, which may match or not.
    Unknown,
}

/// The destination of a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Destination {
    To(usize),
    Nowhere,
    Service,
    Redirect,
    Denied,
    Weightless,
}

#[derive(Clone, Debug)]
struct Rule {
    path: PathForm,
    narrowing: Narrowing,
    destination: Destination,
}

/// Who may use an object: a team, or anyone.
type Guard = Option<usize>;

#[derive(Clone, Debug)]
struct RouteObject {
    is_table: bool,
    hosts: Vec<&'static str>,
    guard: Guard,
    rules: Vec<Rule>,
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&SEGMENTS[..]), 0..3)
        .prop_map(|segments| format!("/{}", segments.join("/")))
}

fn path_form() -> impl Strategy<Value = PathForm> {
    let behind = prop::sample::select(vec!["/.*", "", ".*", "(/.*)?", "/?", "|/v1/y"]);
    prop_oneof![
        5 => path().prop_map(PathForm::Prefix),
        1 => path().prop_map(PathForm::Exact),
        1 => (path(), behind).prop_map(|(path, behind)| PathForm::Regex(path, behind)),
        1 => path().prop_map(PathForm::Escaped),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let narrowing = prop_oneof![
        5 => Just(Narrowing::Nothing),
        1 => Just(Narrowing::Get),
        1 => Just(Narrowing::Header),
        1 => Just(Narrowing::Unknown),
    ];
    let destination = prop_oneof![
        6 => (0..2_usize).prop_map(Destination::To),
        1 => prop::sample::select(vec![
            Destination::Nowhere, Destination::Service, Destination::Redirect, Destination::Denied, Destination::Weightless,
        ]),
    ];
    (path_form(), narrowing, destination).prop_map(|(path, narrowing, destination)| Rule {
        path,
        narrowing,
        destination,
    })
}

/// Objects of one product; they are never mixed.
fn objects() -> impl Strategy<Value = Vec<RouteObject>> {
    (any::<bool>(), prop::collection::vec(object(), 1..4)).prop_map(|(is_table, mut objects)| {
        for object in &mut objects {
            object.is_table = is_table;
        }
        objects
    })
}

fn object() -> impl Strategy<Value = RouteObject> {
    let hosts = prop::sample::select(vec![
        vec![],
        vec!["a.test"],
        vec!["*.a.test"],
        vec!["b.a.test", "a.test"],
        vec!["*", "a.test"],
    ]);
    let guard = prop::sample::select(vec![None, Some(0), Some(1)]);
    let rules = prop::collection::vec(rule(), 1..4);
    (hosts, guard, rules).prop_map(|(hosts, guard, rules)| RouteObject {
        is_table: false,
        hosts,
        guard,
        rules,
    })
}

/// A request with its key.
#[derive(Debug)]
struct Request<'a> {
    host: &'a str,
    path: String,
    method: &'a str,
    header: bool,
    key: Option<usize>,
}

/// A gateway's snapshots from imported manifests, its folder, and the text of its configuration.
fn imported(text: &str, allow_open: bool) -> (tempfile::TempDir, Arc<Live>, String) {
    let plan = read_manifests(text, allow_open);
    let folder = tempfile::tempdir().unwrap();
    let (_, loaded) = write_and_load(&plan, folder.path());
    let config: Resolved = loaded.unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let live = Live::start(config, Arc::new(Metrics::new().unwrap())).unwrap();
    (folder, Arc::new(live), import::gateway(&plan))
}

/// The host to which keygate sends a request; `None` if it rejects the request.
fn host_of_keygate(live: &Live, wanted: &Request<'_>) -> Option<String> {
    let mut request = RequestHeader::build(wanted.method, wanted.path.as_bytes(), None).unwrap();
    request.insert_header("host", wanted.host).unwrap();
    if wanted.header {
        request.insert_header("x-h", "1").unwrap();
    }
    if let Some(key) = wanted.key {
        request.insert_header("api-key", KEYS[key].1).unwrap();
    }
    let path = NormalPath::parse(request.raw_path()).unwrap();
    let snapshot = live.snapshot();
    let decided = Admission::decide(&snapshot, &request, &path, live.clock.now());
    let (admission, parts) = decided.ok()?;
    let attempt = Attempt::begin(&admission, &parts, &snapshot.rules.router).ok()?;
    Some(attempt.provider().origin())
}

fn paths() -> Vec<String> {
    let mut paths = vec!["/".to_owned()];
    let mut last = paths.clone();
    for _ in 0..3 {
        last = last
            .iter()
            .flat_map(|path| {
                SEGMENTS.map(|segment| format!("{}/{segment}", path.trim_end_matches('/')))
            })
            .collect();
        paths.extend(last.clone());
    }
    paths.extend(["/v1/xyz", "/v12/x", "/xyx/y"].map(str::to_owned));
    paths
}

/// Calls `each` for every combination of path, host, method, header and key.
fn for_each_request(
    mut each: impl FnMut(&Request<'_>) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    for path in paths() {
        for host in HOSTS {
            for method in METHODS {
                for header in [false, true] {
                    for key in [None, Some(0), Some(1)] {
                        let path = path.clone();
                        each(&Request {
                            host,
                            path,
                            method,
                            header,
                            key,
                        })?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Checks every request that keygate admits against the original. Returns the number of such requests.
fn check_against_the_original(
    objects: &[RouteObject],
    allow_open: bool,
) -> Result<usize, TestCaseError> {
    let text = manifests(objects);
    let (_folder, live, gateway) = imported(&text, allow_open);
    let mut open = 0;
    for_each_request(|wanted| {
        let Some(origin) = host_of_keygate(&live, wanted) else {
            return Ok(());
        };
        open += 1;
        let mut wrong = String::new();
        for outcome in &outcome(objects, wanted) {
            match outcome {
                Some(up) if origin == format!("http://127.0.0.1:900{up}") => {}
                _ => write!(wrong, " {outcome:?}").unwrap(),
            }
        }
        prop_assert!(
            wrong.is_empty(),
            "{wanted:?} goes to {origin} in keygate, and in the original to{wrong}\n{text}\n{gateway}"
        );
        Ok(())
    })?;
    Ok(open)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn an_import_admits_no_request_that_the_original_refused(
        objects in objects(),
        allow_open in any::<bool>(),
    ) {
        check_against_the_original(&objects, allow_open)?;
    }
}

/// The model admits some requests, so that the property above is not vacuous.
#[test]
fn an_imported_route_admits_only_its_own_keys() {
    let prefix = |path: &str, up| Rule {
        path: PathForm::Prefix(path.to_owned()),
        narrowing: Narrowing::Nothing,
        destination: Destination::To(up),
    };
    let route = |guard, rules| RouteObject {
        is_table: false,
        hosts: vec![],
        guard,
        rules,
    };
    let objects = [
        route(Some(0), vec![prefix("/v1", 0)]),
        route(Some(1), vec![prefix("/v1/x", 1)]),
    ];
    let (_folder, live, _) = imported(&manifests(&objects), false);
    let host = |path: &str, key| {
        host_of_keygate(
            &live,
            &Request {
                host: "any.test",
                path: path.to_owned(),
                method: Method::GET.as_str(),
                header: false,
                key,
            },
        )
    };
    assert_eq!(
        host("/v1/y", Some(0)).as_deref(),
        Some("http://127.0.0.1:9000")
    );
    assert_eq!(
        host("/v1/x", Some(1)).as_deref(),
        Some("http://127.0.0.1:9001")
    );
    assert_eq!(
        (
            host("/v1/x", Some(0)),
            host("/v1", Some(1)),
            host("/v1", None)
        ),
        (None, None, None)
    );
    assert!(check_against_the_original(&objects, true).unwrap() > 20);
}
