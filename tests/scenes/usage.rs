//! What answers took: counted beside their way, whatever becomes of them.

use std::sync::{Arc, Mutex};

use crate::support::gateway::simple;
use crate::support::http2::{self, Http2Provider};
use crate::support::provider::{begin_events, chunk, end_chunks, respond};
use crate::support::{Gateway, Provider, Scene};

fn tokens(gateway: &Gateway, kind: &str) -> u64 {
    gateway.count(&format!(
        "keygate_tokens_total{{key=\"alice\",model=\"other\",provider=\"p\",route=\"r\",type=\"{kind}\"}}"
    ))
}

const KEY: [(&str, &str); 1] = [("api-key", "secret")];

#[test]
fn a_whole_answer_is_metered_and_its_bytes_are_as_they_were() {
    // Without what it says of itself.
    let (_, body) = include_str!("../usage/anthropic.json")
        .split_once('\n')
        .unwrap();
    let provider = Provider::answering(|_, wire| {
        let media = [("content-type", "application/json")];
        respond(wire, "200 OK", &media, body.as_bytes());
    });
    let gateway = Gateway::before(&provider);
    for _ in 0..3 {
        assert_eq!(
            gateway.request("POST", "/p", &KEY, b"{}").body,
            body.as_bytes()
        );
    }
    let lines = gateway.access_lines(3);
    let said = |name: &str| lines[2][name].clone();
    assert_eq!(said("model"), "claude-sonnet-4-5");
    assert_eq!(
        (said("input_tokens"), said("output_tokens")),
        (2395.into(), 503.into())
    );
    assert_eq!(
        (said("cache_read_tokens"), said("cache_creation_tokens")),
        (2051.into(), 248.into())
    );
    assert_eq!(
        (tokens(&gateway, "input"), tokens(&gateway, "output")),
        (3 * 2395, 3 * 503)
    );
    assert_eq!(tokens(&gateway, "cache_read"), 3 * 2051);
}

#[test]
fn a_stream_is_metered_and_one_that_says_nothing_is_counted_as_such() {
    let provider = Provider::answering(|request, wire| {
        begin_events(wire);
        let text: &[u8] = if request.line().contains("/silent") {
            include_bytes!("../usage/openai-chat-unmetered.sse")
        } else {
            include_bytes!("../usage/openai-chat.sse")
        };
        for piece in text.chunks(50) {
            chunk(wire, piece);
        }
        end_chunks(wire);
    });
    let gateway = Gateway::before(&provider);
    gateway.request("POST", "/p", &KEY, b"{}");
    gateway.request("POST", "/p/silent", &KEY, b"{}");
    let lines = gateway.access_lines(2);
    assert_eq!(
        (
            &lines[0]["input_tokens"],
            &lines[0]["output_tokens"],
            &lines[0]["events"]
        ),
        (&9.into(), &3.into(), &5.into())
    );
    assert!(lines[1].get("input_tokens").is_none());
    assert_eq!(lines[1]["model"], "gpt-4o-mini");
    assert_eq!(tokens(&gateway, "input"), 9);
    assert_eq!(
        gateway.count("keygate_unmetered_streams_total{provider=\"p\",route=\"r\"}"),
        1
    );
}

#[test]
fn a_compressed_answer_is_metered_and_passes_as_it_is() {
    let (_, body) = include_str!("../usage/openai-chat.sse")
        .split_once('\n')
        .unwrap();
    let squeezed = zstd::encode_all(body.as_bytes(), 3).unwrap();
    let sent = squeezed.clone();
    let provider = Provider::answering(move |_, wire| {
        let head = [
            ("content-type", "text/event-stream"),
            ("content-encoding", "zstd"),
        ];
        respond(wire, "200 OK", &head, &sent);
    });
    let gateway = Gateway::before(&provider);
    let zipped = [KEY[0], ("accept-encoding", "zstd, br")];
    assert_eq!(gateway.request("POST", "/p", &zipped, b"{}").body, squeezed);
    let line = &gateway.access_lines(1)[0];
    assert_eq!(
        (&line["input_tokens"], &line["events"]),
        (&9.into(), &5.into())
    );
    // It was not asked for.
    assert_eq!(provider.only().header("accept-encoding"), Some("identity"));
}

#[test]
fn what_a_stream_had_said_counts_when_its_client_leaves() {
    let (left, gone) = std::sync::mpsc::channel();
    let gone = std::sync::Mutex::new(gone);
    let provider = Provider::answering(move |_, wire| {
        begin_events(wire);
        let text = include_str!("../usage/anthropic.sse");
        let (begin, _) = text.split_once("event: content_block_delta").unwrap();
        chunk(wire, begin.as_bytes());
        gone.lock().unwrap().recv().unwrap();
    });
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    client.send(crate::support::client::raw_request(
        "POST", "/p", &KEY, b"{}",
    ));
    client.read_head();
    client.chunk();
    drop(client);
    let line = &gateway.access_lines(1)[0];
    left.send(()).unwrap();
    assert_eq!(
        (
            &line["aborted"],
            &line["input_tokens"],
            &line["output_tokens"]
        ),
        (&true.into(), &125.into(), &1.into())
    );
    assert_eq!(
        (tokens(&gateway, "input"), tokens(&gateway, "output")),
        (125, 1)
    );
}

#[test]
fn lies_and_made_up_models_make_no_series_and_no_trouble() {
    let provider = Provider::answering(|request, wire| {
        let number = String::from_utf8_lossy(&request.body).into_owned();
        let body = format!(
            "{{\"model\": \"made-up-{number}\", \"usage\": {{\"prompt_tokens\": 18446744073709551615, \"completion_tokens\": -1}}}}"
        );
        respond(
            wire,
            "200 OK",
            &[("content-type", "application/json")],
            body.as_bytes(),
        );
    });
    let gateway = Scene::new(&simple(&provider.url(), "", ""))
        .key("alice", "secret", "")
        .start();
    let series = |gateway: &Gateway| {
        gateway
            .admin("/metrics")
            .text()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .count()
    };
    gateway.request("POST", "/p", &KEY, b"0");
    gateway.access_lines(1);
    let before = series(&gateway);
    for number in 1..50 {
        gateway.request("POST", "/p", &KEY, number.to_string().as_bytes());
    }
    gateway.access_lines(50);
    assert_eq!(series(&gateway), before);
    assert_eq!(
        gateway.count("keygate_malformed_usage_total{provider=\"p\",route=\"r\"}"),
        50
    );
    // At the end of what a counter can say, and not beyond.
    let series = "keygate_tokens_total{key=\"alice\",model=\"other\",provider=\"p\",route=\"r\",type=\"input\"}";
    assert!(gateway.metric(series) > 1.8e19);
}

/// What a provider says that its answers took.
#[derive(Default)]
struct Books {
    input: u64,
    output: u64,
}

#[test]
fn the_gateways_totals_are_those_of_the_providers_books() {
    const CLIENTS: usize = 8;
    const EACH: usize = 1250;
    let books = Arc::new(Mutex::new(Books::default()));
    let ours = books.clone();
    let provider = Provider::answering(move |request, wire| {
        // How many, and what kind of answer, is in the path: `/p/KIND/NUMBER`.
        let mut path = request.line().split(' ').nth(1).unwrap().rsplit('/');
        let number: u64 = path.next().unwrap().parse().unwrap();
        let kind = path.next().unwrap();
        let (input, output) = (number % 97 + 1, number % 31 + 1);
        let note = |output: u64| {
            let mut books = ours.lock().unwrap();
            books.input += input;
            books.output += output;
        };
        match kind {
            "whole" => {
                note(output);
                let body = format!(
                    "{{\"choices\": [], \"usage\": {{\"prompt_tokens\": {input}, \"completion_tokens\": {output}}}}}"
                );
                respond(
                    wire,
                    "200 OK",
                    &[("content-type", "application/json")],
                    body.as_bytes(),
                );
            }
            "stream" => {
                note(output);
                begin_events(wire);
                chunk(wire, b"data: {\"choices\": [{}]}\n\n");
                let last = format!(
                    "data: {{\"usage\": {{\"prompt_tokens\": {input}, \"completion_tokens\": {output}}}}}\n\n"
                );
                // An empty chunk would be the end.
                let at = usize::try_from(number).unwrap() % (last.len() - 1);
                let (begin, end) = last.split_at(at + 1);
                chunk(wire, begin.as_bytes());
                chunk(wire, end.as_bytes());
                chunk(wire, b"data: [DONE]\n\n");
                end_chunks(wire);
            }
            "aborted" => {
                // What was said before the client left is what it took.
                note(1);
                begin_events(wire);
                let first = format!(
                    "data: {{\"message\": {{\"usage\": {{\"input_tokens\": {input}, \"output_tokens\": 1}}}}}}\n\n"
                );
                chunk(wire, first.as_bytes());
                while chunk(wire, b"data: {\"type\": \"ping\"}\n\n") {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
            other => panic!("{other}"),
        }
    });
    let gateway = Gateway::before(&provider);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut connection = gateway.client();
                for i in 0..EACH {
                    let number = client * EACH + i;
                    let kind = ["whole", "stream", "stream", "aborted"][number % 4];
                    let path = format!("/p/{kind}/{number}");
                    if kind == "aborted" {
                        let mut leaving = gateway.client();
                        leaving.send(crate::support::client::raw_request(
                            "POST", &path, &KEY, b"{}",
                        ));
                        leaving.read_head();
                        leaving.chunk();
                    } else {
                        assert_eq!(connection.request("POST", &path, &KEY, b"{}").status, 200);
                    }
                }
            });
        }
    });
    let lines = gateway.access_lines(CLIENTS * EACH);
    let books = books.lock().unwrap();
    assert_eq!(
        (tokens(&gateway, "input"), tokens(&gateway, "output")),
        (books.input, books.output)
    );
    let sum = |name: &str| {
        lines
            .iter()
            .map(|line| line[name].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(
        (sum("input_tokens"), sum("output_tokens")),
        (books.input, books.output)
    );
    let aborted = lines.iter().filter(|line| line["aborted"] == true).count();
    assert_eq!(aborted, CLIENTS * EACH / 4);
}

/// Like `OpenAI`'s chat, as far as usage is concerned: refuses what it would refuse.
fn chat() -> Provider {
    Provider::answering(|request, wire| {
        let asked: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let options = asked
            .get("stream_options")
            .filter(|options| !options.is_null());
        if asked["stream"] != true {
            if options.is_some() {
                return respond(wire, "400 Bad Request", &[], b"only with a stream");
            }
            let body = br#"{"model":"m-1","choices":[{}],"usage":{"prompt_tokens":5,"completion_tokens":7}}"#;
            return respond(
                wire,
                "200 OK",
                &[("content-type", "application/json")],
                body,
            );
        }
        let with_usage = options.is_some_and(|options| options["include_usage"] == true);
        let more = if with_usage { r#","usage":null"# } else { "" };
        begin_events(wire);
        for word in ["one", "two", "\\\"usage\\\":null"] {
            let event = format!(
                "data: {{\"model\":\"m-1\",\"choices\":[{{\"delta\":{{\"content\":\"{word}\"}}}}]{more}}}\n\n"
            );
            let (begin, end) = event.split_at(event.len() / 2);
            chunk(wire, begin.as_bytes());
            chunk(wire, end.as_bytes());
        }
        if with_usage {
            chunk(wire, b"data: {\"model\":\"m-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3}}\n\n");
        }
        chunk(wire, b"data: [DONE]\n\n");
        end_chunks(wire);
    })
}

/// `/p` with more lines, and `/plain` without, to the same provider.
fn beside_plain(provider: &Provider, route: &str) -> Scene {
    let plain = "[[routes]]\nname = \"plain\"\npath = \"/plain\"\nprovider = \"p\"\n";
    Scene::new(&(simple(&provider.url(), "", route) + plain)).key("alice", "secret", "")
}

const STREAMING: &[u8] =
    br#"{"model": "m", "stream": true, "messages": [{"content": "}\u0022{"}]}"#;

#[test]
fn a_stream_that_was_not_asked_for_usage_is_metered_exactly_and_its_client_sees_no_difference() {
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
    // Somebody who asks for usage gets it.
    let asks = br#"{"stream": true, "stream_options": {"include_usage": true}}"#;
    let told = gateway.request("POST", "/p", &json, asks);
    assert!(told.text().contains("\"choices\":[],\"usage\":{"));
    // And nothing changes that is no stream, or not for the chat.
    let whole = gateway.request("POST", "/p/v1/chat/completions", &json, b"{}");
    assert_eq!(whole.status, 200);
    gateway.request("POST", "/p/v1/responses", &json, STREAMING);
    assert_eq!(provider.last().body, STREAMING);
}

#[test]
fn a_body_without_a_length_is_asked_for_usage_as_well() {
    let provider = chat();
    let gateway = beside_plain(&provider, "meter_streams = \"exact\"").start();
    let mut client = gateway.client();
    client.send("POST /p HTTP/1.1\r\nhost: x\r\napi-key: secret\r\ncontent-type: application/json; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n");
    for piece in STREAMING.chunks(11) {
        client.send(format!(
            "{:x}\r\n{}\r\n",
            piece.len(),
            String::from_utf8_lossy(piece)
        ));
    }
    client.send("0\r\n\r\n");
    let answer = client.response(false);
    assert_eq!(answer.status, 200);
    assert!(
        answer.text().ends_with("data: [DONE]\n\n") && !answer.text().contains("prompt_tokens")
    );
    assert_eq!(gateway.access_lines(1)[0]["output_tokens"], 3);
    assert!(provider.only().header("content-length").is_none());
}

#[test]
fn streams_are_asked_over_http2_as_well_on_either_side() {
    let json = [KEY[0], ("content-type", "application/json")];
    // To a provider: the length that is announced is the length that comes.
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
    let asked: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(asked["stream_options"]["include_usage"], true);
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
        let (answer, mut send) = client
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        send.send_data(STREAMING.into(), true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        let mut text = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece.unwrap();
            body.flow_control().release_capacity(piece.len()).unwrap();
            text.extend_from_slice(&piece);
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
fn a_null_is_not_taken_for_a_stream_and_who_hides_from_the_meter_is_estimated() {
    let provider = chat();
    let gateway = beside_plain(&provider, "meter_streams = \"exact\"").start();
    let json = [KEY[0], ("content-type", "application/json")];
    // The provider refuses options where there is no stream.
    let null = br#"{"stream": false, "stream_options": null}"#;
    assert_eq!(gateway.request("POST", "/p", &json, null).status, 200);
    // Said in other words, it is asked all the same.
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
fn a_stream_with_a_length_or_of_an_old_version_is_changed_in_order() {
    let provider = Provider::answering(|_, wire| {
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
fn an_answer_that_cannot_be_read_is_counted_as_such() {
    let provider = Provider::answering(|_, wire| {
        let head = [
            ("content-type", "application/json"),
            ("content-encoding", "br"),
        ];
        respond(wire, "200 OK", &head, b"compressed");
    });
    let gateway = Gateway::before(&provider);
    gateway.request("POST", "/p", &KEY, b"{}");
    gateway.access_lines(1);
    assert_eq!(
        gateway.count("keygate_unreadable_answers_total{provider=\"p\",route=\"r\"}"),
        1
    );
}

#[test]
fn a_silent_stream_is_estimated_where_the_route_says_so_and_said_to_be() {
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
fn a_stream_is_not_read_where_the_route_says_off() {
    let provider = chat();
    let gateway = beside_plain(&provider, "meter_streams = \"off\"").start();
    let asks = br#"{"stream": true, "stream_options": {"include_usage": true}}"#;
    gateway.request("POST", "/p", &KEY, asks);
    gateway.request("POST", "/p", &KEY, b"{}");
    let lines = gateway.access_lines(2);
    assert!(lines[0].get("output_tokens").is_none() && lines[0]["model"].is_null());
    assert_eq!(lines[1]["output_tokens"], 7);
}

const PRICES: &str =
    "currency = \"EUR\"\n[[price]]\nmodel = \"m-*\"\ninput = \"2\"\noutput = \"0.1\"\n";

#[test]
fn a_request_costs_what_the_price_file_says_from_the_moment_it_says_so() {
    let provider = chat();
    let prices = "\n[usage]\nprices = \"prices.toml\"\n";
    let config = simple(&provider.url(), "", "metric_models = [\"m-*\"]") + prices;
    let scene = Scene::new(&config).key("alice", "secret", "");
    scene.write("prices.toml", PRICES);
    let gateway = scene.start();
    for _ in 0..10 {
        gateway.request("POST", "/p", &KEY, b"{}");
    }
    let line = &gateway.access_lines(10)[9];
    // 5 at 2 and 7 at 0.1, of a million.
    assert_eq!(
        (&line["cost"], &line["currency"]),
        (&"0.0000107".into(), &"EUR".into())
    );
    let series = "keygate_cost_total{currency=\"EUR\",key=\"alice\",model=\"m-*\",provider=\"p\",route=\"r\"}";
    let text = gateway.admin("/metrics").text().to_owned();
    assert!(text.contains(&format!("{series} 0.000107\n")), "{text}");
    // Another model, and no price for it; and it is no model of the list.
    gateway
        .scene
        .write("prices.toml", &PRICES.replace("m-*", "n"));
    gateway.wait_for_generation(2);
    gateway.request("POST", "/p", &KEY, b"{}");
    assert!(gateway.access_lines(11)[10].get("cost").is_none());
    assert_eq!(
        gateway.count("keygate_unpriced_answers_total{provider=\"p\",route=\"r\"}"),
        1
    );
    // A price file that is broken stops no reload: a key may have been revoked with it.
    gateway.scene.write(
        "prices.toml",
        &PRICES.replace("m-*", "m-1").replace("0.1", "0,1"),
    );
    gateway.wait_for_generation(3);
    let status = gateway.admin("/status").text().to_owned();
    assert!(
        status.contains("prices.toml:5: warning: a price for a million tokens"),
        "{status}"
    );
    // Nothing has become free: the prices of before go on.
    gateway.request("POST", "/p", &KEY, b"{}");
    assert!(gateway.access_lines(12)[11].get("cost").is_none());
    gateway.scene.write("prices.toml", PRICES);
    gateway.wait_for_generation(4);
    gateway.scene.write("prices.toml", "currency = 1");
    gateway.wait_for_generation(5);
    gateway.request("POST", "/p", &KEY, b"{}");
    assert_eq!(gateway.access_lines(13)[12]["cost"], "0.0000107");
}

#[test]
fn what_is_wrong_about_usage_is_said_with_its_line() {
    let kind = "[providers.a]\nkind = \"anthropic\"\ntoken = \"inline:t\"\n";
    let route = |name: &str, line: &str| {
        format!("[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nprovider = \"a\"\n{line}\n")
    };
    let config = format!(
        "{kind}{}{}{}[usage]\nprices = \"nowhere.toml\"\npricess = \"x\"\n",
        route("x", "meter_streams = \"exact\""),
        route("y", "meter_streams = \"exactly\""),
        route("z", "metric_models = [\"*\"]"),
    );
    let problems = Scene::new(&config).key("alice", "secret", "").problems();
    for expected in [
        "11: meter_streams: streams of `anthropic` say what they took",
        "16: meter_streams is one of off, reported, estimated and exact",
        "21: metric_models: a model is a name",
        "23: the price file",
        "24: unknown key `usage.pricess`: did you mean `prices`?",
    ] {
        assert!(
            problems.contains(expected),
            "{expected}\nnot in\n{problems}"
        );
    }
}
