//! Streams that do not report their usage by themselves, by the setting `meter_streams`.

use crate::support::gateway::{simple, tokens};
use crate::support::http2::{self, Http2Provider};
use crate::support::provider::chat;
use crate::support::{KEY, Provider, Scene};

/// A gateway with a route `/p` with more lines, and `/plain` without, to the same provider.
fn beside_plain(provider: &Provider, route: &str) -> Scene {
    let plain = "[[routes]]\nname = \"plain\"\npath = \"/plain\"\nprovider = \"p\"\n";
    Scene::new(&(simple(&provider.url(), "", route) + plain)).key("alice", "secret", "")
}

const STREAMING: &[u8] =
    br#"{"model": "m", "stream": true, "messages": [{"content": "}\u0022{"}]}"#;

#[test]
fn a_stream_whose_client_requests_no_usage_is_metered_exactly_and_looks_the_same() {
    let provider = chat();
    let gateway = beside_plain(&provider, "meter_streams = \"exact\"").start();
    let json = [KEY[0], ("content-type", "application/json")];
    let zipped = [json[0], json[1], ("accept-encoding", "gzip")];
    let plain = gateway.request("POST", "/plain/v1/chat/completions", &json, STREAMING);
    for headers in [&json[..], &zipped] {
        let exact = gateway.request("POST", "/p/v1/chat/completions", headers, STREAMING);
        assert_eq!(exact.text(), plain.text());
    }
    let lines = gateway.access_lines(3);
    assert!(lines[0].get("output_tokens").is_none());
    for line in &lines[1..] {
        assert_eq!(
            (&line["input_tokens"], &line["output_tokens"]),
            (&5.into(), &3.into())
        );
        // Three words and the end.
        assert_eq!(
            (&line["events"], &lines[0]["events"]),
            (&4.into(), &4.into())
        );
        assert_eq!(line["response_bytes"], lines[0]["response_bytes"]);
        assert_eq!(line["request_bytes"], STREAMING.len());
    }
    let unmetered = |route: &str| {
        gateway.count(&format!(
            "keygate_unmetered_streams_total{{provider=\"p\",route=\"{route}\"}}"
        ))
    };
    assert_eq!((unmetered("r"), unmetered("plain")), (0, 1));
    let last = provider.last();
    assert_eq!(last.header("accept-encoding"), Some("identity"));
    // A client that requests usage receives it.
    let with_usage = br#"{"stream": true, "stream_options": {"include_usage": true}}"#;
    let response = gateway.request("POST", "/p", &json, with_usage);
    assert!(response.text().contains("\"choices\":[],\"usage\":{"));
    // A request without a stream, or not for chat, is not changed.
    let whole = gateway.request("POST", "/p/v1/chat/completions", &json, b"{}");
    assert_eq!(whole.status, 200);
    gateway.request("POST", "/p/v1/responses", &json, STREAMING);
    assert_eq!(provider.last().body, STREAMING);
}

#[test]
fn usage_is_requested_in_a_body_without_a_length() {
    let provider = chat();
    let gateway = beside_plain(&provider, "meter_streams = \"exact\"").start();
    let mut client = gateway.client();
    client.send("POST /p HTTP/1.1\r\nhost: x\r\napi-key: secret\r\ncontent-type: application/json; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n");
    for chunk in STREAMING.chunks(11) {
        client.send(format!(
            "{:x}\r\n{}\r\n",
            chunk.len(),
            String::from_utf8_lossy(chunk)
        ));
    }
    client.send("0\r\n\r\n");
    let response = client.response(false);
    assert_eq!(response.status, 200);
    assert!(
        response.text().ends_with("data: [DONE]\n\n") && !response.text().contains("prompt_tokens")
    );
    assert_eq!(gateway.access_lines(1)[0]["output_tokens"], 3);
    assert!(provider.only().header("content-length").is_none());
}

#[test]
fn usage_is_requested_over_http2_on_either_side() {
    let json = [KEY[0], ("content-type", "application/json")];
    // To the provider: the announced length is the length of the body.
    let upstream = Http2Provider::start(None);
    let url = format!("http://{}", upstream.address);
    let config = simple(&url, "http = \"2\"", "meter_streams = \"exact\"");
    let gateway = Scene::new(&config).key("alice", "secret", "").start();
    assert_eq!(gateway.request("POST", "/p", &json, STREAMING).status, 200);
    let (request, body) = upstream.received().remove(0);
    assert_eq!(
        request.headers()["content-length"],
        body.len().to_string().as_str()
    );
    let requested: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(requested["stream_options"]["include_usage"], true);
    // From a client.
    let provider = chat();
    let config = simple(&provider.url(), "", "meter_streams = \"exact\"");
    let scene = Scene::with_server("server.h2c = true", &config);
    let gateway = scene.key("alice", "secret", "").start();
    http2::run(async {
        let mut client = http2::connect(gateway.address()).await;
        let mut request = http::Request::post("http://gateway.test/p");
        for (name, value) in json {
            request = request.header(name, value);
        }
        let (response, mut send) = client
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        send.send_data(STREAMING.into(), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let mut text = Vec::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.unwrap();
            body.flow_control().release_capacity(chunk.len()).unwrap();
            text.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.ends_with("data: [DONE]\n\n") && !text.contains("prompt_tokens"),
            "{text}"
        );
    });
    assert_eq!(gateway.access_lines(1)[0]["output_tokens"], 3);
}

#[test]
fn null_options_are_no_stream_and_a_stream_that_is_no_chat_is_estimated() {
    let provider = chat();
    let gateway = beside_plain(&provider, "meter_streams = \"exact\"").start();
    let json = [KEY[0], ("content-type", "application/json")];
    // The provider refuses stream options without a stream.
    let null = br#"{"stream": false, "stream_options": null}"#;
    assert_eq!(gateway.request("POST", "/p", &json, null).status, 200);
    // A different spelling of the same JSON makes no difference.
    let identity = [KEY[0], ("content-encoding", "identity")];
    gateway.request("POST", "/p/v1/chat/completions/", &identity, STREAMING);
    let plain = gateway.request("POST", "/p/v1/responses", &json, STREAMING);
    let hidden = gateway.request(
        "POST",
        "/p",
        &[KEY[0], ("content-type", "multipart/form-data")],
        STREAMING,
    );
    assert_eq!(hidden.text(), plain.text());
    let lines = gateway.access_lines(4);
    assert_eq!(
        (&lines[1]["output_tokens"], lines[1].get("estimated")),
        (&3.into(), None)
    );
    for line in &lines[2..] {
        assert_eq!(
            (&line["output_tokens"], &line["estimated"]),
            (&4.into(), &true.into())
        );
    }
}

#[test]
fn usage_is_removed_from_an_http_1_0_stream_with_a_length() {
    let provider = Provider::responding(|_, wire| {
        let body = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":2}}\n\ndata: [DONE]\n\n";
        let head = format!(
            "HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: identity\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        wire.write_all(head.as_bytes()).unwrap();
        wire.write_all(body.as_bytes()).unwrap();
    });
    let gateway = beside_plain(&provider, "meter_streams = \"exact\"").start();
    let mut client = gateway.client();
    client.send(crate::support::client::raw_request(
        "POST", "/p", &KEY, STREAMING,
    ));
    let head = client.read_head();
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.to_lowercase().contains("chunked"),
        "{head}"
    );
    assert_eq!(client.chunk(), "data: [DONE]\n\n");
    assert_eq!(client.try_chunk(), Some(None));
    assert_eq!(gateway.access_lines(1)[0]["input_tokens"], 2);
}

#[test]
fn a_stream_without_usage_is_estimated_if_the_route_says_so() {
    let provider = chat();
    let scene = beside_plain(&provider, "meter_streams = \"estimated\"");
    let gateway = scene.start();
    let json = [KEY[0], ("content-type", "application/json")];
    gateway.request("POST", "/p", &json, STREAMING);
    gateway.request("POST", "/p", &json, b"{}");
    let lines = gateway.access_lines(2);
    assert_eq!(
        (&lines[0]["output_tokens"], &lines[0]["estimated"]),
        (&4.into(), &true.into())
    );
    assert_eq!(
        (&lines[1]["output_tokens"], lines[1].get("estimated")),
        (&7.into(), None)
    );
    assert_eq!(
        (
            tokens(&gateway, "output"),
            tokens(&gateway, "output_estimated")
        ),
        (7, 4)
    );
    assert_eq!(
        gateway.count("keygate_unmetered_streams_total{provider=\"p\",route=\"r\"}"),
        1
    );
}

#[test]
fn a_stream_is_not_read_if_the_route_sets_off() {
    let provider = chat();
    let gateway = beside_plain(&provider, "meter_streams = \"off\"").start();
    let with_usage = br#"{"stream": true, "stream_options": {"include_usage": true}}"#;
    gateway.request("POST", "/p", &KEY, with_usage);
    gateway.request("POST", "/p", &KEY, b"{}");
    let lines = gateway.access_lines(2);
    assert!(lines[0].get("output_tokens").is_none() && lines[0]["model"].is_null());
    assert_eq!(lines[1]["output_tokens"], 7);
}

/// Servers that decode the path before they find its endpoint, such as vLLM, respond as usual.
#[test]
fn an_endpoint_whose_path_has_escaped_separators_is_metered_as_the_endpoint() {
    let provider = chat();
    let gateway = beside_plain(&provider, "meter_streams = \"exact\"").start();
    let json = [KEY[0], ("content-type", "application/json")];
    for path in [
        "/p/v1/chat%2Fcompletions",
        "/p/v1%2Fchat%2Fcompletions",
        "/p/v1/chat/completions%2F",
        "/p/v1/Chat%2FCompletions",
        "/p/v1/chat/completions%3Ba",
        "/p/v1/chat/completions%3Fa/cancel",
    ] {
        assert_eq!(gateway.request("POST", path, &json, STREAMING).status, 200);
        let requested = provider.last().body;
        let requested = String::from_utf8_lossy(&requested).into_owned();
        assert!(requested.contains("include_usage"), "{path}: {requested}");
    }
    let whole = br#"{"model": "m"}"#;
    let path = "/plain/v1/chat/completions%3Fa/cancel";
    assert_eq!(gateway.request("POST", path, &json, whole).status, 200);
    for line in gateway.access_lines(7) {
        assert_eq!(line["input_tokens"], 5, "{line}");
    }
}
