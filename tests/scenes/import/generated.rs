//! Generated manifests of all kinds: whatever an import writes, `check` accepts.

use keygate::testing::import;
use keygate::testing::import::gloo;
use proptest::prelude::*;

use super::{input, write_and_load};

/// Texts for the fields of generated manifests, valid and invalid.
const TEXTS: [&str; 16] = [
    "a",
    "b",
    "openai",
    "/openai",
    "/a/../b",
    "/",
    "",
    "*",
    "a.example.com",
    "a b",
    "x-api-key",
    "authorization",
    "Bearer {{ a }}",
    "{{ header(\"x\") }}",
    "host",
    "2025-01-01",
];

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c"])
}

fn any_text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&TEXTS[..])
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A manifest of any kind, with optional fields.
fn manifest() -> impl Strategy<Value = String> {
    let head = |kind: &'static str| {
        (name(), name()).prop_map(move |(name, label)| {
            format!("kind: {kind}\nmetadata: {{name: {name}, labels: {{l: {label}}}}}\n")
        })
    };
    let secret =
        (head("Secret"), any::<bool>(), any_text(), any_text()).prop_map(|(head, key, a, b)| {
            let (a, b) = (quoted(a), quoted(b));
            let kind = if key {
                "type: extauth.solo.io/apikey\n"
            } else {
                ""
            };
            format!("{head}{kind}stringData: {{Authorization: {a}, api-key: {b}, a: {a}}}\n")
        });
    let kinds = prop::sample::select(vec![
        "openai",
        "azureOpenai",
        "anthropic",
        "gemini",
        "mistral",
        "bedrock",
    ]);
    let upstream = (head("Upstream"), kinds, name(), any_text(), any_text(), 0..4usize).prop_map(
        |(head, kind, secret, a, b, host)| {
            let (a, b) = (quoted(a), quoted(b));
            let host = ["", "customHost: {host: 10.0.0.1, port: 80}, ", "customHost: {host: a b}, ", "customHost: {host: llm.test, port: 8443}, "][host];
            format!("{head}spec: {{ai: {{{kind}: {{{host}endpoint: {a}, deploymentName: {b}, apiVersion: {a}, model: {b}, authToken: {{secretRef: {{name: {secret}}}}}}}}}}}\n")
        },
    );
    let fixed = (head("Upstream"), any_text(), 0..70_000u32).prop_map(|(head, host, port)| {
        format!(
            "{head}spec: {{static: {{hosts: [{{addr: {}, port: {port}}}]}}}}\n",
            quoted(host)
        )
    });
    let route = (head("HTTPRoute"), any_text(), any_text(), name(), any_text()).prop_map(|(head, host, path, to, value)| {
        let (host, path, value) = (quoted(host), quoted(path), quoted(value));
        format!("{head}spec: {{hostnames: [{host}], rules: [{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{{kind: Upstream, name: {to}}}], filters: [{{type: URLRewrite, urlRewrite: {{path: {{replacePrefixMatch: {value}}}}}}}, {{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: {value}, value: {value}}}]}}}}]}}]}}\n")
    });
    let table = (head("RouteTable"), any_text(), any_text(), name(), name()).prop_map(|(head, path, rewrite, to, label)| {
        let (path, rewrite) = (quoted(path), quoted(rewrite));
        format!("{head}spec: {{http: [{{name: {path}, labels: {{l: {label}}}, matchers: [{{uri: {{prefix: {path}}}}}], forwardTo: {{pathRewrite: {rewrite}, destinations: [{{ref: {{name: {to}}}}}]}}}}]}}\n")
    });
    let auth = (head("ExtAuthPolicy"), name(), any_text(), any_text(), name()).prop_map(|(head, route, header, from, label)| {
        let (header, from) = (quoted(header), quoted(from));
        format!("{head}spec: {{applyToRoutes: [{{route: {{labels: {{l: {route}}}}}}}], config: {{glooAuth: {{configs: [{{apiKeyAuth: {{headerName: {header}, k8sSecretApikeyStorage: {{labelSelector: {{l: {label}}}}}, headersFromMetadataEntry: {{{header}: {{name: {from}}}}}}}}}]}}}}}}\n")
    });
    let change = (head("TransformationPolicy"), name(), any_text(), any_text(), any_text()).prop_map(|(head, route, header, value, regex)| {
        let (header, value, regex) = (quoted(header), quoted(value), quoted(regex));
        format!("{head}spec: {{applyToRoutes: [{{route: {{labels: {{l: {route}}}}}}}], config: {{request: {{injaTemplate: {{headers: {{{header}: {{text: {value}}}}}, extractors: {{a: {{header: {header}, regex: {regex}}}}}}}}}}}}}\n")
    });
    prop_oneof![
        secret,
        upstream,
        fixed,
        route,
        table,
        auth,
        change,
        bucket(),
        local_limits(),
        rate_limits()
    ]
}

/// Numbers in limits.
fn any_number() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "0",
        "1",
        "7",
        "60",
        "-1",
        "1.5",
        "4294967295",
        "1000000001",
        "\"9\"",
        "x",
        "[]",
        "null",
    ])
}

/// A token bucket of kgateway.
fn bucket() -> impl Strategy<Value = String> {
    let interval = prop::sample::select(vec![
        "1s", "60s", "1m", "7s", "0s", "500ms", "-1s", "soon", "100h", "1ns",
    ]);
    (name(), any_number(), any_number(), interval, any::<bool>()).prop_map(|(route, most, fill, interval, is_all)| {
        let target = if is_all { "{kind: Gateway, name: g}".to_owned() } else { format!("{{kind: HTTPRoute, name: {route}}}") };
        format!("kind: TrafficPolicy\nmetadata: {{name: max_budget}}\nspec: {{targetRefs: [{target}], rateLimit: {{local: {{tokenBucket: {{maxTokens: {most}, tokensPerFill: {fill}, fillInterval: {interval}}}}}}}}}\n")
    })
}

/// Limits of agentgateway.
fn local_limits() -> impl Strategy<Value = String> {
    let unit = prop::sample::select(vec!["Seconds", "Minutes", "Hours", "Days", "null"]);
    let what = prop::sample::select(vec!["requests", "tokens"]);
    (name(), what, any_number(), any_number(), unit).prop_map(|(route, what, most, burst, unit)| {
        format!("kind: AgentgatewayPolicy\nmetadata: {{name: {route}}}\nspec: {{targetRefs: [{{kind: HTTPRoute, name: {route}}}, {{kind: Gateway, name: g}}], traffic: {{rateLimit: {{local: [{{{what}: {most}, burst: {burst}, unit: {unit}}}]}}}}}}\n")
    })
}

/// Limits of a rate limit service, and the policy that names them.
fn rate_limits() -> impl Strategy<Value = String> {
    let unit = prop::sample::select(vec![
        "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "YEAR", "UNKNOWN", "AGE",
    ]);
    let kind = prop::sample::select(vec!["REQUEST", "TOKEN", "null", "OTHER"]);
    let action = prop::sample::select(vec![
        "genericKey: {descriptorKey: k, descriptorValue: v}",
        "requestHeaders: {descriptorKey: k, headerName: x-api-key}",
        "requestHeaders: {descriptorKey: k, headerName: a}",
        "metadata: {descriptorKey: k, metadataKey: {key: envoy.filters.http.ext_authz, path: [{key: userId}]}}",
        "remoteAddress: {}",
    ]);
    let value = prop::sample::select(vec!["", ", value: v", ", value: a"]);
    ((name(), name(), any_number(), unit), (kind, action, value)).prop_map(|((config, route, most, unit), (kind, action, value))| {
        format!("kind: RateLimitConfig\nmetadata: {{name: {config}}}\nspec: {{raw: {{descriptors: [{{key: k{value}, rateLimit: {{requestsPerUnit: {most}, unit: {unit}}}}}], setDescriptors: [{{simpleDescriptors: [{{key: k{value}}}], rateLimit: {{requestsPerUnit: {most}, unit: {unit}}}}}], rateLimits: [{{actions: [{{{action}}}], type: {kind}}}, {{setActions: [{{{action}}}]}}]}}}}\n---\nkind: EnterpriseAgentgatewayPolicy\nmetadata: {{name: {route}}}\nspec: {{targetRefs: [{{kind: HTTPRoute, name: {route}}}], traffic: {{entRateLimit: {{global: {{rateLimitConfigRefs: [{{name: {config}}}]}}}}}}}}\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn check_accepts_every_imported_configuration(manifests in prop::collection::vec(manifest(), 1..12)) {
        let text = manifests.join("---\n");
        let plan = gloo::read(&input("m", &text), &[], false);
        let plan = plan.map_err(|why| TestCaseError::fail(format!("{why}\n{text}")))?;
        prop_assert!(!import::gateway(&plan).contains("auth = \"none\""), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let (_, loaded) = write_and_load(&plan, folder.path());
        if let Err(errors) = loaded {
            prop_assert!(false, "{errors}\n{text}\n{}", import::gateway(&plan));
        }
    }
}
