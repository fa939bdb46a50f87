//! From the client's request head to the provider's: it has the token once, and no credential of the client.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, OnceLock};

use http::header::HOST;
use jiff::Timestamp;
use keygate::testing::config::{Purpose, Resolved};
use keygate::testing::key::KeyDigest;
use keygate::testing::metrics::Metrics;
use keygate::testing::proxy::admit::Admission;
use keygate::testing::proxy::attempt::Attempt;
use keygate::testing::proxy::head::check_head;
use keygate::testing::proxy::inject;
use keygate::testing::route::request_path;
use keygate::testing::snapshot::Live;
use pingora::http::RequestHeader;

/// The client's key, which is valid for all routes and must not reach the provider.
const CANARY: &str = "canary-0123456789";
const TOKEN: &str = "provider-token";
const ROUTES: [(&str, &str, &str); 4] = [
    ("openai", "", "authorization"),
    ("anthropic", "", "x-api-key"),
    ("gemini", "model = \"m\"", "x-goog-api-key"),
    (
        "azure-openai",
        "endpoint = \"https://r.test\"\ndeployment = \"d\"",
        "api-key",
    ),
];
/// Headers for credentials. The provider gets only its own.
const CREDENTIALS: [&str; 8] = [
    "authorization",
    "api-key",
    "x-api-key",
    "x-goog-api-key",
    "proxy-authorization",
    "cookie",
    "ocp-apim-subscription-key",
    "x-goog-iam-authorization-token",
];

fn live() -> &'static Live {
    static LIVE: OnceLock<Live> = OnceLock::new();
    LIVE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut text = String::new();
        for (kind, more, _) in ROUTES {
            text += &format!(
                "[providers.{kind}]\nkind = \"{kind}\"\ntoken = \"inline:{TOKEN}\"\n{more}\n"
            );
            text += &format!(
                "[[routes]]\nname = \"{kind}\"\npath = \"/{kind}\"\nprovider = \"{kind}\"\n"
            );
        }
        std::fs::write(folder.path().join("gateway.toml"), text).expect("a file");
        let mut keys = OpenOptions::new();
        let keys = keys
            .write(true)
            .create(true)
            .mode(0o600)
            .open(folder.path().join("keys.toml"));
        let digest = KeyDigest::of(CANARY.as_bytes());
        write!(
            keys.expect("a file"),
            "[[key]]\nid = \"k\"\nhashes = [\"{digest}\"]\n"
        )
        .expect("a key");
        let config = Resolved::load(&folder.path().join("gateway.toml"), Purpose::Start);
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        Live::start(config, metrics).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Input: method, target and headers, one line each; lines that are no header are skipped. Then the gateway's own code
/// admits the request and builds the provider's.
pub fn read(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let (method, target) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    let Ok(method) = http::Method::from_bytes(method) else {
        return;
    };
    let Ok(mut request) = RequestHeader::build(method, target, None) else {
        return;
    };
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        if let Ok(name) = http::HeaderName::from_bytes(name)
            && let Ok(value) = http::HeaderValue::from_bytes(value)
        {
            let _ = request.append_header(name, value);
        }
    }
    let snapshot = live().snapshot();
    if check_head(&snapshot.rules, &request, b"").is_err() {
        return;
    }
    let Ok(path) = request_path(request.raw_path()) else {
        return;
    };
    let decided = Admission::decide(&snapshot, &request, &path, Timestamp::now());
    let Ok((admission, parts)) = decided else {
        return;
    };
    let Ok(attempt) = Attempt::begin(&admission, &parts, &snapshot.rules.router) else {
        return;
    };
    let mut upstream = request.clone();
    if inject::rewrite(&admission, &attempt, &request.headers, &mut upstream).is_err() {
        return;
    }
    let kind = admission.route().name.as_ref();
    let (_, _, place) = ROUTES
        .iter()
        .find(|(name, ..)| *name == kind)
        .expect("a route");
    for name in CREDENTIALS {
        let values: Vec<_> = upstream.headers.get_all(name).iter().collect();
        if name == *place {
            assert_eq!(values.len(), 1, "{name}");
            let value = values[0].to_str().expect("text");
            assert_eq!(value.strip_prefix("Bearer ").unwrap_or(value), TOKEN);
        } else {
            assert!(values.is_empty(), "{name} is forwarded");
        }
    }
    for name in upstream.headers.keys().map(http::HeaderName::as_str) {
        // Applications fold other spellings of a name into it: such a spelling must not be forwarded either.
        let read_as = keygate::testing::provider::folded(name);
        let credential = CREDENTIALS.iter().any(|it| *it == read_as);
        assert!(!credential || read_as == name, "{name} is forwarded");
    }
    assert_eq!(upstream.headers.get_all(HOST).iter().count(), 1);
    let target = std::str::from_utf8(upstream.raw_path()).expect("text");
    let (_, query) = target.split_once('?').unwrap_or((target, ""));
    for name in ["key", "api-key", "api_key", "access_token"] {
        assert!(
            !keygate::testing::grammar::query::has_parameter(query, name),
            "{name} is forwarded in {target}"
        );
    }
}
