//! The cost of requests: reported by the provider, computed from the price file, or counted as unknown.

use crate::support::command::keygate;
use crate::support::gateway::simple;
use crate::support::provider::echo_json as echo;
use crate::support::{Gateway, KEY, Provider, Scene};

const UNPRICED: &str = "keygate_unpriced_answers_total{provider=\"p\",route=\"r\"}";

const PRICES: &str = r#"
[[price]]
model = "gemini-3.1-pro*"
input = "2"
output = "12"
[[price.tier]]
above = 200_000
input = "4"
output = "18"

[[price]]
model = "claude-opus-5"
input = "5"
cache_creation = "6.25"
cache_creation_1h = "10"
output = "25"
per_search = "0.01"

[[price]]
model = "gpt-5"
input = "1.25"
output = "10"
[[price.tier]]
service = ["flex", "batch"]
input = "0.625"
output = "5"

[[price]]
model = "sonar"
input = "1"
output = "1"
per_request = "0.005"
"#;

fn gateway(provider: &Provider, prices: Option<&str>) -> Gateway {
    let usage = prices.map_or("", |_| "\n[usage]\nprices = \"prices.toml\"\n");
    let config = simple(&provider.url(), "", "") + usage;
    let scene = Scene::new(&config).key("alice", "secret", "");
    scene.write("prices.toml", prices.unwrap_or_default());
    scene.start()
}

/// Responses, and the bill for each; the last ones have no known cost.
const RESPONSES: [(&str, Option<&str>); 11] = [
    (
        r#"{"modelVersion":"gemini-3.1-pro","usageMetadata":{"promptTokenCount":250000,"candidatesTokenCount":1000}}"#,
        Some("1.018"),
    ),
    (
        r#"{"model":"claude-opus-5","usage":{"input_tokens":0,"output_tokens":0,"cache_creation_input_tokens":344139,"cache_creation":{"ephemeral_1h_input_tokens":344139}}}"#,
        Some("3.44139"),
    ),
    (
        r#"{"model":"claude-opus-5","usage":{"input_tokens":1000,"output_tokens":100,"server_tool_use":{"web_search_requests":3}}}"#,
        Some("0.0375"),
    ),
    (
        r#"{"model":"gpt-5","service_tier":"flex","usage":{"prompt_tokens":1000000}}"#,
        Some("0.625"),
    ),
    (
        r#"{"model":"openai/gpt-5","service_tier":"default","usage":{"prompt_tokens":1000000}}"#,
        Some("1.25"),
    ),
    (
        r#"{"model":"GPT-5","usage":{"prompt_tokens":1000000}}"#,
        Some("1.25"),
    ),
    (
        r#"{"model":"sonar","usage":{"prompt_tokens":1000,"completion_tokens":1000}}"#,
        Some("0.007"),
    ),
    (
        r#"{"model":"gpt-5","service_tier":"priority","usage":{"prompt_tokens":1000000}}"#,
        None,
    ),
    (
        r#"{"model":"claude-opus-5","usage":{"input_tokens":7,"output_tokens":1,"iterations":[{"type":"message","input_tokens":7,"output_tokens":1},{"type":"advisor_message","model":"other","input_tokens":900,"output_tokens":90}]}}"#,
        None,
    ),
    (
        r#"{"model":"gpt-5-mini","usage":{"prompt_tokens":1000000}}"#,
        None,
    ),
    (
        r#"{"model":"gpt-5","usage":{"prompt_tokens":1000000,"num_search_queries":1}}"#,
        None,
    ),
];

#[test]
fn a_request_costs_what_the_provider_bills_or_has_no_cost() {
    let provider = echo();
    let gateway = gateway(&provider, Some(PRICES));
    let mut unpriced = 0;
    for (number, (response, billed)) in RESPONSES.iter().enumerate() {
        gateway.request("POST", "/p", &KEY, response.as_bytes());
        let line = gateway.access_lines(number + 1).remove(number);
        let cost = line.get("cost").map(|cost| cost.as_str().unwrap());
        assert_eq!(cost, *billed, "{response}");
        let source = line
            .get("cost_source")
            .map(|source| source.as_str().unwrap());
        assert_eq!(source, billed.map(|_| "prices"), "{response}");
        unpriced += u64::from(billed.is_none());
        assert_eq!(gateway.count(UNPRICED), unpriced, "{response}");
    }
    let lines = gateway.access_lines(RESPONSES.len());
    assert_eq!(lines[1]["cache_creation_1h_tokens"], 344_139);
    assert_eq!(lines[2]["searches"], 3);
    assert_eq!(lines[3]["service_tier"], "flex");
    for rare in ["cache_creation_1h_tokens", "searches", "service_tier"] {
        assert!(lines[4].get(rare).is_none(), "{rare}");
    }
}

#[test]
fn a_cost_that_the_provider_reports_takes_precedence_over_the_price_file() {
    let response = r#"{"model":"openai/gpt-5","usage":{"prompt_tokens":1000000,"completion_tokens":1,"cost":0.95,"is_byok":false,"cost_details":{"upstream_inference_cost":0.9}}}"#;
    let euros = format!("currency = \"EUR\"\n{PRICES}");
    for prices in [None, Some(&*euros)] {
        let provider = echo();
        let gateway = gateway(&provider, prices);
        gateway.request("POST", "/p", &KEY, response.as_bytes());
        let line = &gateway.access_lines(1)[0];
        for (name, value) in [
            ("cost", "0.95"),
            ("currency", "USD"),
            ("cost_source", "provider"),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
        let series = "keygate_cost_total{currency=\"USD\",key=\"alice\",model=\"other\",provider=\"p\",route=\"r\"}";
        assert!((gateway.metric(series) - 0.95).abs() < 1e-9);
        assert_eq!(gateway.count(UNPRICED), 0);
    }
}

#[test]
fn access_lines_hold_everything_that_recomputing_their_costs_needs() {
    let provider = echo();
    let gateway = gateway(&provider, None);
    for (response, _) in RESPONSES {
        gateway.request("POST", "/p", &KEY, response.as_bytes());
    }
    let reported = r#"{"model":"gpt-5","usage":{"prompt_tokens":1000000,"cost":0.5}}"#;
    gateway.request("POST", "/p", &KEY, reported.as_bytes());
    let lines = gateway.access_lines(RESPONSES.len() + 1);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    gateway.scene.write("access.log", &text);
    gateway.scene.write("prices.toml", PRICES);
    let path = |name: &str| gateway.scene.path(name).display().to_string();
    let (log, prices) = (path("access.log"), path("prices.toml"));
    let output = keygate(&["usage", "--json", "--by", "key", "--prices", &prices, &log]);
    let sums: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // The sum of all bills, and of the cost that the provider reported.
    assert_eq!(sums[0]["cost"]["USD"], "8.12889");
}

#[test]
fn an_invalid_tier_is_reported_with_its_line_and_keeps_the_previous_prices() {
    let provider = echo();
    let broken = "[[price]]\nmodel = \"m\"\ninput = \"1\"\noutput = \"2\"\n[[price.tier]]\nservice = \"slow\"\ninput = \"1\"\n";
    let config = simple(&provider.url(), "", "") + "\n[usage]\nprices = \"prices.toml\"\n";
    let scene = Scene::new(&config).key("alice", "secret", "");
    scene.write("prices.toml", broken);
    let problems = scene.problems();
    let expected = "prices.toml:6: `service` is one of flex, priority, batch, fast and other";
    assert!(problems.contains(expected), "{problems}");
    scene.write("prices.toml", &broken.replace("\"slow\"", "\"flex\""));
    let problems = scene.problems();
    let expected = "prices.toml:5: the tier does not say `output`, as its price does";
    assert!(problems.contains(expected), "{problems}");
    scene.write(
        "prices.toml",
        "[[price]]\nmodel = \"m\"\nprovider = \"p\"\ninput = \"1\"\n[[price]]\nmodel = \"m\"\nprovider = \"q\"\ninput = \"1\"\n",
    );
    let expected = "prices.toml:5: warning: there is no provider `q`: this price is for nothing\n";
    let problems = scene.problems();
    assert!(problems.ends_with(expected), "{problems}");
    assert_eq!(problems.lines().count(), 1, "{problems}");
    scene.write("prices.toml", PRICES);
    let gateway = scene.start();
    gateway.scene.write("prices.toml", broken);
    gateway.wait_for_generation(2);
    gateway.request("POST", "/p", &KEY, RESPONSES[3].0.as_bytes());
    assert_eq!(gateway.access_lines(1)[0]["cost"], "0.625");
}
