//! What goes up, compared with a second and independent statement of the policy, for random heads.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::config::{Purpose, Resolved};
use crate::key::KeyDigest;
use crate::metrics::Metrics;
use crate::proxy::admit::Admission;
use crate::proxy::attempt::Attempt;
use crate::route::NormalPath;
use crate::snapshot::Live;

/// One route for each kind of provider that gets other headers; one of them lets clients choose the account that
/// pays, one passes on the client's own token.
const CONFIGURATION: &str = r#"
    [providers]
    openai    = { kind = "openai", token = "inline:token-1" }
    azure     = { kind = "azure-openai", token = "inline:token-2", endpoint = "https://r.test", deployment = "d" }
    anthropic = { kind = "anthropic", token = "inline:token-3", headers = { OpenAI-Project = "ours" } }
    oauth     = { kind = "anthropic", token = "inline:sk-ant-oat-4" }
    gemini    = { kind = "gemini", token = "inline:token-5", model = "m" }
    own       = { kind = "custom", token = "passthrough", base_url = "https://own.test" }
    [[routes]]
    name = "openai"
    path = "/openai"
    provider = "openai"
    allow_headers = ["openai-project", "X-Goog-User-Project"]
    [[routes]]
    name = "azure"
    path = "/azure"
    provider = "azure"
    [[routes]]
    name = "anthropic"
    path = "/anthropic"
    provider = "anthropic"
    [[routes]]
    name = "oauth"
    path = "/oauth"
    provider = "oauth"
    [[routes]]
    name = "gemini"
    path = "/gemini"
    provider = "gemini"
    [[routes]]
    name = "own"
    path = "/own"
    provider = "own"
"#;

fn live() -> Live {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    let keys = folder.path().join("keys.toml");
    let digest = KeyDigest::of(b"client-key");
    std::fs::write(&path, CONFIGURATION).unwrap();
    std::fs::write(
        &keys,
        format!("[[key]]\nid = \"k\"\nhashes = [\"{digest}\"]\n"),
    )
    .unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = Resolved::load(&path, Purpose::Start).unwrap_or_else(|e| panic!("{e}"));
    let metrics = Arc::new(Metrics::new().unwrap());
    Live::start(config, metrics).unwrap_or_else(|e| panic!("{e}"))
}

/// The policy, stated a second time and in another form than in the code.
struct Policy {
    path: &'static str,
    host: &'static str,
    credential: (&'static str, &'static str),
    allowed: &'static [&'static str],
    set: &'static [(&'static str, &'static str)],
    default: &'static [(&'static str, &'static str)],
    feature: Option<(&'static str, &'static str)>,
}

const PLAIN: Policy = Policy {
    path: "",
    host: "",
    credential: ("", ""),
    allowed: &[],
    set: &[],
    default: &[],
    feature: None,
};

const POLICIES: [Policy; 6] = [
    Policy {
        path: "/openai",
        host: "api.openai.com",
        credential: ("authorization", "Bearer token-1"),
        allowed: &["openai-project", "x-goog-user-project"],
        ..PLAIN
    },
    Policy {
        path: "/azure",
        host: "r.test",
        credential: ("api-key", "token-2"),
        ..PLAIN
    },
    Policy {
        path: "/anthropic",
        host: "api.anthropic.com",
        credential: ("x-api-key", "token-3"),
        set: &[("openai-project", "ours")],
        default: &[("anthropic-version", "2023-06-01")],
        ..PLAIN
    },
    Policy {
        path: "/oauth",
        host: "api.anthropic.com",
        credential: ("authorization", "Bearer sk-ant-oat-4"),
        default: &[("anthropic-version", "2023-06-01")],
        feature: Some(("anthropic-beta", "oauth-2025-04-20")),
        ..PLAIN
    },
    Policy {
        path: "/gemini",
        host: "generativelanguage.googleapis.com",
        credential: ("x-goog-api-key", "token-5"),
        ..PLAIN
    },
    Policy {
        path: "/own",
        host: "own.test",
        credential: ("authorization", "Bearer callers-own"),
        ..PLAIN
    },
];

const NEVER: [&str; 24] = [
    "authorization",
    "api-key",
    "x-api-key",
    "x-goog-api-key",
    "proxy-authorization",
    "cookie",
    "ocp-apim-subscription-key",
    "x-goog-iam-authorization-token",
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-real-ip",
    "x-request-id",
    "x-forwarded-access-token",
    "x-auth-request-email",
    "x-amzn-oidc-data",
    "x-ms-client-principal",
    "x-goog-iap-jwt-assertion",
    "cf-access-jwt-assertion",
    "tailscale-user-login",
    "remote-user",
];
const WHO_PAYS: [&str; 5] = [
    "openai-organization",
    "openai-project",
    "x-goog-user-project",
    "x-hf-bill-to",
    "anthropic-workspace-id",
];
const PASSES: [&str; 16] = [
    "anthropic-beta",
    "openai-beta",
    "anthropic-version",
    "x-stainless-lang",
    "user-agent",
    "accept",
    "content-type",
    "idempotency-key",
    "traceparent",
    "x-api-key-id",
    "authorization-info",
    "x-goog-api-client",
    "x-ms-client-request-id",
    "x-amzn-bedrock-trace",
    "x-client-request-id",
    "cf-aig-metadata",
];

impl Policy {
    /// The headers that go up for those that a client `sent`, sorted.
    fn expected(&self, sent: &[(String, String)]) -> Vec<(String, String)> {
        let lower = sent
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        let mut up: Vec<(String, String)> = lower
            .filter(|(name, _)| {
                let name = name.as_str();
                !NEVER.contains(&name)
                    && (!WHO_PAYS.contains(&name) || self.allowed.contains(&name))
            })
            .collect();
        for (name, value) in self.default {
            if !up.iter().any(|(sent, _)| sent == name) {
                up.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        if let Some((name, value)) = self.feature {
            let there = |(sent, values): &(String, String)| {
                sent == name && values.split(',').any(|part| part.trim() == value)
            };
            if !up.iter().any(there) {
                up.push((name.to_owned(), value.to_owned()));
            }
        }
        for (name, value) in self.set {
            up.retain(|(sent, _)| sent != name);
            up.push(((*name).to_owned(), (*value).to_owned()));
        }
        let (name, value) = self.credential;
        up.push((name.to_owned(), value.to_owned()));
        up.push(("host".to_owned(), self.host.to_owned()));
        up.sort();
        up
    }
}

fn letters(name: &str, upper: u64) -> String {
    let cased = name
        .bytes()
        .enumerate()
        .map(|(at, byte)| match upper >> (at % 64) & 1 {
            1 => char::from(byte.to_ascii_uppercase()),
            _ => char::from(byte),
        });
    cased.collect()
}

/// Headers whose values are changed, and the values that go up.
const LOOKED_INTO: [(&str, &[u8], &str); 9] = [
    ("accept-encoding", b"gzip", "gzip"),
    ("accept-encoding", b"gzip;q=0.5, deflate, br", "gzip;q=0.5"),
    ("accept-encoding", b"br, identity;q=0", "identity"),
    ("accept-encoding", b"br, zstd, x\xff", "identity"),
    ("accept-encoding", b"*", "identity"),
    (
        "sec-websocket-protocol",
        b"realtime, openai-insecure-api-key.client-key",
        "realtime",
    ),
    (
        "sec-websocket-protocol",
        b"OpenAI-Insecure-API-Key.client-key",
        "",
    ),
    (
        "sec-websocket-protocol",
        b"a,OpenAI-Organization.theirs , b",
        "a, b",
    ),
    (
        "sec-websocket-protocol",
        b"authorization.x, openai-beta.realtime-v1",
        "openai-beta.realtime-v1",
    ),
];

/// A header that a client might send, its name in upper and lower case.
fn header() -> impl Strategy<Value = (String, String)> {
    let names = [&NEVER[4..], &WHO_PAYS, &PASSES].concat();
    let values = prop::sample::select(vec![
        "v",
        "theirs",
        "a, b",
        "oauth-2025-04-20",
        "x,oauth-2025-04-20",
    ]);
    (prop::sample::select(names), any::<u64>(), values)
        .prop_map(|(name, upper, value)| (letters(name, upper), value.to_owned()))
}

/// The client's key, in one or several of the headers for it.
fn keys() -> impl Strategy<Value = Vec<(String, String)>> {
    let place = prop::sample::select(vec![
        "authorization",
        "api-key",
        "x-api-key",
        "x-goog-api-key",
    ]);
    let spelling = prop::sample::select(vec![
        "client-key",
        "Bearer client-key",
        "bearer  client-key ",
    ]);
    let one = (place, any::<u64>(), spelling)
        .prop_map(|(name, upper, value)| (letters(name, upper), value.to_owned()));
    prop::collection::vec(one, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_up_is_what_the_policy_says(
        which in 0..POLICIES.len(),
        keys in keys(),
        others in prop::collection::vec(header(), 0..12),
        looked_into in prop::option::of(prop::sample::select(&LOOKED_INTO[..])),
        order in any::<usize>(),
    ) {
        static LIVE: std::sync::OnceLock<Live> = std::sync::OnceLock::new();
        let policy = &POLICIES[which];
        let own = policy.path == "/own";
        let mut sent = others;
        for (at, (name, value)) in keys.into_iter().enumerate() {
            // The client's own token takes the place of its key.
            let name = if own && name.eq_ignore_ascii_case("authorization") { "Api-Key".to_owned() } else { name };
            sent.insert((order >> (at * 8)) % (sent.len() + 1), (name, value));
        }
        if own {
            sent.push(("Authorization".to_owned(), "Bearer callers-own".to_owned()));
        }
        let mut head = RequestHeader::build("POST", policy.path.as_bytes(), None).unwrap();
        head.append_header("Host", "gateway.test").unwrap();
        for (name, value) in &sent {
            head.append_header(name.clone(), value.as_str()).unwrap();
        }
        if let Some((name, value, _)) = looked_into {
            head.append_header(name, http::HeaderValue::from_bytes(value).unwrap()).unwrap();
        }
        let snapshot = LIVE.get_or_init(live).snapshot();
        let path = NormalPath::parse(policy.path.as_bytes()).unwrap();
        let decided = Admission::decide(&snapshot, &head, &path, Timestamp::UNIX_EPOCH);
        let (admission, parts) = decided.map_err(|refused| refused.reason).unwrap();
        let attempt = Attempt::begin(&admission, &parts, &snapshot.rules.router)
            .map_err(|refused| refused.reason)
            .unwrap();
        let client = head.headers.clone();
        // Twice, as for a second try: each begins with a fresh copy of the head.
        for _ in 0..2 {
            let mut upstream = head.clone();
            rewrite(&admission, &attempt, &client, &mut upstream).unwrap();
            let mut wire = Vec::new();
            upstream.header_to_h1_wire(&mut wire);
            let mut up: Vec<(String, String)> = std::str::from_utf8(&wire).unwrap().split("\r\n")
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            up.sort();
            let mut expected = policy.expected(&sent);
            expected.extend(looked_into.filter(|(_, _, kept)| !kept.is_empty()).map(
                |(name, _, kept)| (name.to_owned(), kept.to_owned()),
            ));
            expected.sort();
            prop_assert_eq!(&up, &expected);
            prop_assert!(!String::from_utf8_lossy(&wire).contains("client-key"));
        }
    }
}
