//! The lab and the guide on which this gateway is modelled, served with `conf/lab.toml`; and requests that they would let
//! pass wrongly.

use crate::support::gateway::key_table;
use crate::support::{Gateway, Provider, Scene};

/// A gateway with `conf/lab.toml`, and two sandbox providers.
fn lab(huggingface: &Provider, openai: &Provider, metadata: &str) -> Gateway {
    let conf = concat!(env!("CARGO_MANIFEST_DIR"), "/conf");
    let text = std::fs::read_to_string(format!("{conf}/lab.toml")).unwrap();
    let text = text
        .replace("https://router.huggingface.co", &huggingface.url())
        .replace("https://api.openai.com", &openai.url())
        .replace("env:OPENAI_API_KEY", "inline:sk-openai")
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9090", "127.0.0.1:0")
        .replace("lab-keys.toml", "keys.toml");
    let keys = std::fs::read_to_string(format!("{conf}/lab-keys.toml")).unwrap();
    let scene = Scene::new("");
    scene.write("gateway.toml", &text);
    let metadata_of_the_lab = "{ huggingface-api-key = \"env:HF_API_TOKEN\" }";
    assert!(keys.contains(metadata_of_the_lab));
    let keys = keys.replace("disabled = true\n", "");
    scene.write("keys.toml", &keys.replace(metadata_of_the_lab, metadata));
    scene.start()
}

const TOKEN: &str = "{ huggingface-api-key = \"inline:hf_token\" }";

#[test]
fn without_a_key_the_lab_answers_401_and_head_gets_no_body() {
    let (huggingface, openai) = (Provider::start(), Provider::start());
    let gateway = lab(&huggingface, &openai, TOKEN);
    let refused = gateway.get("/huggingface", &[]);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "invalid_api_key")
    );
    let mut client = gateway.client();
    let refused = client.request("HEAD", "/huggingface", &[], b"");
    assert_eq!(refused.status, 401);
    // The connection stays usable: no body followed the head.
    let refused = client.request("GET", "/huggingface", &[("api-key", "wrong")], b"");
    assert_eq!(refused.status, 401);
    assert!(huggingface.received().is_empty());
}

#[test]
fn with_its_key_the_lab_answers_200_and_the_provider_gets_the_token_alone() {
    let (huggingface, openai) = (Provider::start(), Provider::start());
    let gateway = lab(&huggingface, &openai, TOKEN);
    let response = gateway.get("/huggingface", &[("api-key", "mysecretkey")]);
    assert_eq!(response.status, 200);
    let body = br#"{"inputs": "Explain in 1-2 sentences why EKS value significantly increases"}"#;
    let json = ("Content-Type", "application/json");
    let response = gateway.request(
        "POST",
        "/huggingface",
        &[json, ("api-key", "mysecretkey")],
        body,
    );
    assert_eq!(response.text(), "{\"ok\":true}");

    let received = huggingface.last();
    assert_eq!(received.line(), "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(received.header("authorization"), Some("Bearer hf_token"));
    assert_eq!(received.count("authorization"), 1);
    assert_eq!(received.body, body);
    assert_eq!(
        received.header("host"),
        Some(huggingface.address().to_string().as_str())
    );
    for absent in ["api-key", "x-api-key"] {
        assert_eq!(received.count(absent), 0, "{absent}");
    }
    assert!(!received.head.contains("mysecretkey"));
}

#[test]
fn the_poem_of_the_guide_reaches_the_chat_endpoint_with_the_providers_token() {
    let (huggingface, openai) = (Provider::start(), Provider::start());
    let gateway = lab(&huggingface, &openai, TOKEN);
    let body = br#"{"model": "gpt-3.5-turbo", "messages": []}"#;
    let response = gateway.request(
        "POST",
        "/openai",
        &[("content-type", "application/json")],
        body,
    );
    assert_eq!(response.status, 200);
    let received = openai.only();
    assert_eq!(received.line(), "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(received.header("authorization"), Some("Bearer sk-openai"));
    assert_eq!(received.body, body);
}

#[test]
fn a_missing_metadata_entry_is_503_and_a_clients_own_header_does_not_stand_in_for_it() {
    let (huggingface, openai) = (Provider::start(), Provider::start());
    let gateway = lab(&huggingface, &openai, "{}");
    for headers in [
        vec![("api-key", "mysecretkey")],
        vec![("api-key", "mysecretkey"), ("x-api-key", "mysecretkey")],
        vec![
            ("api-key", "mysecretkey"),
            ("huggingface-api-key", "anything"),
        ],
    ] {
        let refused = gateway.get("/huggingface", &headers);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (503, "provider_unavailable")
        );
    }
    let refused = gateway.get(
        "/huggingface",
        &[("api-key", "mysecretkey"), ("x-api-key", "anything")],
    );
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "ambiguous_credentials")
    );
    assert!(huggingface.received().is_empty());
}

#[test]
fn the_labs_selector_refuses_a_key_of_another_team() {
    let (huggingface, openai) = (Provider::start(), Provider::start());
    let gateway = lab(&huggingface, &openai, TOKEN);
    let keys = std::fs::read_to_string(gateway.scene.path("keys.toml")).unwrap();
    let other = key_table(
        "mallory",
        "otherkey",
        "labels = { api-key = \"api-other\" }",
    );
    gateway
        .scene
        .write("keys.toml", &format!("{keys}\n{other}"));
    gateway.wait_for_generation(2);
    let refused = gateway.get("/huggingface", &[("api-key", "otherkey")]);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (403, "key_not_allowed")
    );
    assert!(huggingface.received().is_empty());
}
