//! Whatever an import could not carry over stays closed. Generated manifests are read twice: by a model of who could
//! reach which host in the original, and by the import, whose result is tested with the code that admits requests.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use http::Method;
use keygate::testing::config::{Purpose, Resolved};
use keygate::testing::import;
use keygate::testing::import::gloo::{self, Input};
use keygate::testing::metrics::Metrics;
use keygate::testing::proxy::admit::Admission;
use keygate::testing::proxy::attempt::Attempt;
use keygate::testing::route::NormalPath;
use keygate::testing::snapshot::Live;
use pingora::http::RequestHeader;
use proptest::prelude::*;
use regex::Regex;

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
enum Leads {
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
    leads: Leads,
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
    let leads = prop_oneof![
        6 => (0..2_usize).prop_map(Leads::To),
        1 => prop::sample::select(vec![
            Leads::Nowhere, Leads::Service, Leads::Redirect, Leads::Denied, Leads::Weightless,
        ]),
    ];
    (path_form(), narrowing, leads).prop_map(|(path, narrowing, leads)| Rule {
        path,
        narrowing,
        leads,
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

// What the manifests look like.

fn escaped(path: &str) -> String {
    path.replace('x', "%78")
}

fn match_of(rule: &Rule, is_table: bool) -> String {
    let path = match (&rule.path, is_table) {
        (PathForm::Prefix(path), false) => format!("path: {{type: PathPrefix, value: '{path}'}}"),
        (PathForm::Exact(path), false) => format!("path: {{type: Exact, value: '{path}'}}"),
        (PathForm::Regex(path, behind), false) => {
            format!("path: {{type: RegularExpression, value: '{path}{behind}'}}")
        }
        (PathForm::Escaped(path), false) => {
            format!("path: {{type: PathPrefix, value: '{}'}}", escaped(path))
        }
        (PathForm::Prefix(path), true) => format!("uri: {{prefix: '{path}'}}"),
        (PathForm::Exact(path), true) => format!("uri: {{exact: '{path}'}}"),
        (PathForm::Regex(path, behind), true) => format!("uri: {{regex: '{path}{behind}'}}"),
        (PathForm::Escaped(path), true) => format!("uri: {{prefix: '{}'}}", escaped(path)),
    };
    let more = match (rule.narrowing, is_table) {
        (Narrowing::Nothing, _) => "",
        (Narrowing::Get, false) => ", method: GET",
        (Narrowing::Get, true) => ", method: {name: GET}",
        (Narrowing::Header, _) => ", headers: [{name: x-h, value: '1'}]",
        (Narrowing::Unknown, _) => ", tomorrow: {of: it}",
    };
    format!("{{{path}{more}}}")
}

fn rule_of(rule: &Rule) -> String {
    let leads = match rule.leads {
        Leads::To(up) => format!("backendRefs: [{{kind: Upstream, name: up{up}}}]"),
        Leads::Nowhere => "timeouts: {}".to_owned(),
        Leads::Service => "backendRefs: [{name: svc, port: 80}]".to_owned(),
        Leads::Redirect => {
            "filters: [{type: RequestRedirect, requestRedirect: {hostname: x}}]".to_owned()
        }
        Leads::Denied => {
            "filters: [{type: ExtensionRef, extensionRef: {kind: DirectResponse, name: d}}]"
                .to_owned()
        }
        Leads::Weightless => "backendRefs: [{kind: Upstream, name: up0, weight: 0}]".to_owned(),
    };
    format!("{{matches: [{}], {leads}}}", match_of(rule, false))
}

fn entry_of(rule: &Rule, label: usize) -> String {
    let forward = |name: &str, weight: &str| {
        format!("forwardTo: {{destinations: [{{kind: UPSTREAM, ref: {{name: {name}}}{weight}}}]}}")
    };
    let leads = match rule.leads {
        Leads::To(up) => forward(&format!("up{up}"), ""),
        Leads::Nowhere => "forwardTo: {destinations: []}".to_owned(),
        Leads::Service => forward("svc", ""),
        Leads::Redirect => "redirectTo: {hostRedirect: x}".to_owned(),
        Leads::Denied => "directResponse: {status: 403}".to_owned(),
        Leads::Weightless => forward("up0", ", weight: 0"),
    };
    format!(
        "{{labels: {{l: o{label}}}, matchers: [{}], {leads}}}",
        match_of(rule, true)
    )
}

fn manifests(objects: &[RouteObject]) -> String {
    let mut documents = Vec::new();
    for up in 0..2 {
        documents.push(format!("kind: Upstream\nmetadata: {{name: up{up}}}\nspec: {{ai: {{openai: {{customHost: {{host: 127.0.0.1, port: 900{up}}}, authToken: {{inline: sk-up{up}}}}}}}}}\n"));
    }
    for (team, key) in KEYS {
        documents.push(format!("kind: Secret\nmetadata: {{name: {team}, labels: {{team: {team}}}}}\ntype: extauth.solo.io/apikey\nstringData: {{api-key: {key}}}\n"));
    }
    for (number, object) in objects.iter().enumerate() {
        let hosts: Vec<String> = object
            .hosts
            .iter()
            .map(|host| format!("'{host}'"))
            .collect();
        let (hosts, rules) = (hosts.join(", "), object.rules.iter());
        documents.push(if object.is_table {
            let http: Vec<String> = rules.map(|rule| entry_of(rule, number)).collect();
            format!("kind: RouteTable\nmetadata: {{name: o{number}}}\nspec: {{hosts: [{hosts}], http: [{}]}}\n", http.join(", "))
        } else {
            let rules: Vec<String> = rules.map(rule_of).collect();
            format!("kind: HTTPRoute\nmetadata: {{name: o{number}, labels: {{l: o{number}}}}}\nspec: {{hostnames: [{hosts}], rules: [{}]}}\n", rules.join(", "))
        });
        if let Some(team) = object.guard {
            let (team, _) = KEYS[team];
            documents.push(format!("kind: ExtAuthPolicy\nmetadata: {{name: p{number}}}\nspec: {{applyToRoutes: [{{route: {{labels: {{l: o{number}}}}}}}], config: {{glooAuth: {{configs: [{{apiKeyAuth: {{headerName: api-key, k8sSecretApikeyStorage: {{labelSelector: {{team: {team}}}}}}}}}]}}}}}}\n"));
        }
    }
    documents.join("---\n")
}

// What was open there.

/// A request with its key.
#[derive(Debug)]
struct Asked<'a> {
    host: &'a str,
    path: String,
    method: &'a str,
    header: bool,
    key: Option<usize>,
}

/// The hosts to which the original may send the request: one for each rule that may apply.
type Outcome = BTreeSet<Option<usize>>;

/// How specific a host pattern is for a host. Only the routes of the most specific pattern apply.
fn nearness(pattern: &str, host: &str) -> Option<usize> {
    match pattern.strip_prefix('*') {
        Some("") => Some(0),
        Some(suffix) => {
            (host.len() > suffix.len() && host.ends_with(suffix)).then_some(suffix.len())
        }
        None => (pattern == host).then_some(usize::MAX),
    }
}

/// Returns whether a regular expression matches, and caches compiled ones.
fn matches(regex: &str, path: &str) -> bool {
    thread_local! {
        static KNOWN: RefCell<HashMap<String, Regex>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        let compiled = known
            .entry(regex.to_owned())
            .or_insert_with(|| Regex::new(regex).unwrap());
        compiled.is_match(path)
    })
}

/// Returns whether a rule matches a request; `None` if that is not known.
fn is_for(rule: &Rule, is_table: bool, requested: &Asked<'_>) -> Option<bool> {
    let below = |prefix: &str| {
        if is_table {
            return requested.path.starts_with(prefix);
        }
        let rest = requested.path.strip_prefix(prefix.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let by_path = match &rule.path {
        PathForm::Prefix(path) => below(path),
        PathForm::Exact(path) => requested.path == *path,
        PathForm::Regex(path, behind) => matches(&format!("^(?:{path}{behind})$"), &requested.path),
        // As it is spelled, or brought into one form before.
        PathForm::Escaped(path) if path.contains('x') => {
            return if below(path) { None } else { Some(false) };
        }
        PathForm::Escaped(path) => below(path),
    };
    match rule.narrowing {
        _ if !by_path => Some(false),
        Narrowing::Nothing => Some(true),
        Narrowing::Get => Some(requested.method == "GET"),
        Narrowing::Header => Some(requested.header),
        Narrowing::Unknown => None,
    }
}

/// What comes first of the rules that match: in a table the first, else the longest path and the most conditions.
/// Of objects, and of regular expressions, it is not said.
fn outcome(objects: &[RouteObject], requested: &Asked<'_>) -> Outcome {
    let nearnesses = |object: &RouteObject| -> Vec<usize> {
        let any = ["*"];
        let hosts = if object.hosts.is_empty() {
            &any[..]
        } else {
            &object.hosts[..]
        };
        let near = hosts
            .iter()
            .filter_map(|host| nearness(host, requested.host));
        near.collect()
    };
    let Some(nearest) = objects.iter().flat_map(nearnesses).max() else {
        return Outcome::from([None]);
    };
    let mut first: Vec<(&RouteObject, &Rule)> = Vec::new();
    // Of each object, what may count in it; then all of those that no other object's rule surely beats.
    let mut candidates: Vec<(&RouteObject, &Rule, bool)> = Vec::new();
    for object in objects {
        if !nearnesses(object).contains(&nearest) {
            continue;
        }
        if object.is_table {
            for rule in &object.rules {
                match is_for(rule, true, requested) {
                    Some(false) => {}
                    None => candidates.push((object, rule, false)),
                    Some(true) => {
                        candidates.push((object, rule, true));
                        break;
                    }
                }
            }
        } else {
            let rules = object.rules.iter();
            candidates.extend(rules.filter_map(|rule| {
                let sure = is_for(rule, false, requested);
                (sure != Some(false)).then_some((object, rule, sure == Some(true)))
            }));
        }
    }
    for (object, rule, _) in &candidates {
        let beaten = candidates.iter().any(|(other_object, other, sure)| {
            *sure && !std::ptr::eq(*other, *rule) && beats(other_object, other, object, rule)
        });
        if !beaten {
            first.push((object, rule));
        }
    }
    let mut outcome: Outcome = first
        .iter()
        .map(|(object, rule)| match rule.leads {
            Leads::To(up) if object.guard.is_none() || object.guard == requested.key => Some(up),
            _ => None,
        })
        .collect();
    if !candidates.iter().any(|(_, _, sure)| *sure) {
        outcome.insert(None);
    }
    outcome
}

/// Returns whether a rule certainly takes precedence over another one that matches as well.
fn beats(object: &RouteObject, rule: &Rule, other_object: &RouteObject, other: &Rule) -> bool {
    let rank = |rule: &Rule| match &rule.path {
        PathForm::Prefix(path) | PathForm::Escaped(path) => {
            Some((false, path.trim_end_matches('/').len()))
        }
        PathForm::Exact(path) => Some((true, path.trim_end_matches('/').len())),
        // In tables, it is the order that says how they compare: between tables, let it be the text.
        PathForm::Regex(path, _) if object.is_table => {
            Some((false, path.trim_end_matches('/').len()))
        }
        PathForm::Regex(..) => None,
    };
    let (Some(ours), Some(theirs)) = (rank(rule), rank(other)) else {
        return false;
    };
    let same = std::ptr::eq(object, other_object);
    if same && object.is_table {
        // The first that surely matches ended the list.
        return false;
    }
    if ours != theirs {
        return ours > theirs;
    }
    let conditions = |rule: &Rule| match rule.narrowing {
        Narrowing::Nothing => 0,
        Narrowing::Header => 1,
        Narrowing::Get => 2,
        Narrowing::Unknown => 3,
    };
    if same && conditions(rule) == conditions(other) {
        let place = |wanted: &Rule| {
            object
                .rules
                .iter()
                .position(|rule| std::ptr::eq(rule, wanted))
        };
        return place(rule) < place(other);
    }
    conditions(rule) > conditions(other)
}

// What is open here.

fn imported(text: &str, allow_open: bool) -> (tempfile::TempDir, Arc<Live>, String) {
    let input = Input {
        name: "m".to_owned(),
        text: text.to_owned(),
    };
    let plan = gloo::read(&[input], &[], allow_open).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    import::write(&plan, &out, |_| Ok::<_, std::io::Error>(())).unwrap();
    let config = Resolved::load(&out.join("gateway.toml"), Purpose::Start)
        .unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let live = Live::start(config, Arc::new(Metrics::new().unwrap())).unwrap();
    (folder, Arc::new(live), import::gateway(&plan))
}

/// The host to which keygate sends a request; `None` if it rejects the request.
fn decided(live: &Live, requested: &Asked<'_>) -> Option<String> {
    let mut request =
        RequestHeader::build(requested.method, requested.path.as_bytes(), None).unwrap();
    request.insert_header("host", requested.host).unwrap();
    if requested.header {
        request.insert_header("x-h", "1").unwrap();
    }
    if let Some(key) = requested.key {
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

fn requested(
    mut each: impl FnMut(&Asked<'_>) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    for path in paths() {
        for host in HOSTS {
            for method in METHODS {
                for header in [false, true] {
                    for key in [None, Some(0), Some(1)] {
                        let path = path.clone();
                        each(&Asked {
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

fn holds(objects: &[RouteObject], allow_open: bool) -> Result<usize, TestCaseError> {
    let text = manifests(objects);
    let (_folder, live, gateway) = imported(&text, allow_open);
    let mut open = 0;
    requested(|requested| {
        let Some(origin) = decided(&live, requested) else {
            return Ok(());
        };
        open += 1;
        let there = outcome(objects, requested);
        let mut wrong = String::new();
        for outcome in &there {
            match outcome {
                Some(up) if origin == format!("http://127.0.0.1:900{up}") => {}
                _ => write!(wrong, " {outcome:?}").unwrap(),
            }
        }
        prop_assert!(
            wrong.is_empty(),
            "{requested:?} goes to {origin} here, there{wrong}\n{text}\n{gateway}"
        );
        Ok(())
    })?;
    Ok(open)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_was_refused_there_is_let_in_here(
        objects in objects(),
        allow_open in any::<bool>(),
    ) {
        holds(&objects, allow_open)?;
    }
}

/// The model admits some requests, so that the property above is not vacuous.
#[test]
fn what_can_be_carried_over_is_open_to_its_keys_alone() {
    let prefix = |path: &str, up| Rule {
        path: PathForm::Prefix(path.to_owned()),
        narrowing: Narrowing::Nothing,
        leads: Leads::To(up),
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
    let ask = |path: &str, key| {
        decided(
            &live,
            &Asked {
                host: "any.test",
                path: path.to_owned(),
                method: Method::GET.as_str(),
                header: false,
                key,
            },
        )
    };
    assert_eq!(
        ask("/v1/y", Some(0)).as_deref(),
        Some("http://127.0.0.1:9000")
    );
    assert_eq!(
        ask("/v1/x", Some(1)).as_deref(),
        Some("http://127.0.0.1:9001")
    );
    assert_eq!(
        (ask("/v1/x", Some(0)), ask("/v1", Some(1)), ask("/v1", None)),
        (None, None, None)
    );
    assert!(holds(&objects, true).unwrap() > 20);
}
