//! Usage of responses is counted beside the stream, however the response ends.

use std::sync::{Arc, Mutex};

use crate::support::gateway::{simple, tokens};
use crate::support::provider::{begin_events, chat, chunk, end_chunks, respond};
use crate::support::{Gateway, KEY, Provider, Scene};

#[test]
fn a_response_without_a_stream_is_metered_and_passes_unchanged() {
    // The first line of the file describes it.
    let (_, body) = include_str!("../usage/anthropic.json")
        .split_once('\n')
        .unwrap();
    let provider = Provider::responding(|_, wire| {
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
    let field = |name: &str| lines[2][name].clone();
    assert_eq!(field("model"), "claude-sonnet-4-5");
    assert_eq!(
        (field("input_tokens"), field("output_tokens")),
        (2395.into(), 503.into())
    );
    assert_eq!(
        (field("cache_read_tokens"), field("cache_creation_tokens")),
        (2051.into(), 248.into())
    );
    assert_eq!(
        (tokens(&gateway, "input"), tokens(&gateway, "output")),
        (3 * 2395, 3 * 503)
    );
    assert_eq!(tokens(&gateway, "cache_read"), 3 * 2051);
}

#[test]
fn a_stream_is_metered_and_one_without_usage_is_counted_as_unmetered() {
    let provider = Provider::responding(|request, wire| {
        begin_events(wire);
        let text: &[u8] = if request.line().contains("/silent") {
            include_bytes!("../usage/openai-chat-unmetered.sse")
        } else {
            include_bytes!("../usage/openai-chat.sse")
        };
        for part in text.chunks(50) {
            chunk(wire, part);
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
fn a_compressed_response_is_metered_and_passes_unchanged() {
    let (_, body) = include_str!("../usage/openai-chat.sse")
        .split_once('\n')
        .unwrap();
    let compressed = zstd::encode_all(body.as_bytes(), 3).unwrap();
    let sent = compressed.clone();
    let provider = Provider::responding(move |_, wire| {
        let head = [
            ("content-type", "text/event-stream"),
            ("content-encoding", "zstd"),
        ];
        respond(wire, "200 OK", &head, &sent);
    });
    let gateway = Gateway::before(&provider);
    let zipped = [KEY[0], ("accept-encoding", "zstd, br")];
    assert_eq!(
        gateway.request("POST", "/p", &zipped, b"{}").body,
        compressed
    );
    let line = &gateway.access_lines(1)[0];
    assert_eq!(
        (&line["input_tokens"], &line["events"]),
        (&9.into(), &5.into())
    );
    // The provider was not asked to compress.
    assert_eq!(provider.only().header("accept-encoding"), Some("identity"));
}

#[test]
fn usage_that_a_stream_reported_counts_when_its_client_leaves() {
    let (left, gone) = std::sync::mpsc::channel();
    let gone = std::sync::Mutex::new(gone);
    let provider = Provider::responding(move |_, wire| {
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
fn impossible_usage_and_made_up_models_make_no_metric_series() {
    let provider = Provider::responding(|request, wire| {
        let number = String::from_utf8_lossy(&request.body).into_owned();
        // Only the first response reports its true usage.
        let tokens = if number == "0" {
            "7"
        } else {
            "18446744073709551615"
        };
        let body = format!(
            "{{\"model\": \"made-up-{number}\", \"usage\": {{\"prompt_tokens\": {tokens}, \"completion_tokens\": -1}}}}"
        );
        respond(
            wire,
            "200 OK",
            &[("content-type", "application/json")],
            body.as_bytes(),
        );
    });
    let gateway = Gateway::before(&provider);
    let all = |gateway: &Gateway| {
        gateway
            .admin("/metrics")
            .text()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .count()
    };
    gateway.request("POST", "/p", &KEY, b"0");
    gateway.access_lines(1);
    let before = all(&gateway);
    for number in 1..50 {
        gateway.request("POST", "/p", &KEY, number.to_string().as_bytes());
    }
    gateway.access_lines(50);
    assert_eq!(all(&gateway), before);
    assert_eq!(
        gateway.count("keygate_malformed_usage_total{provider=\"p\",route=\"r\"}"),
        50 + 49
    );
    // True usage is still counted.
    gateway.request("POST", "/p", &KEY, b"0");
    gateway.access_lines(51);
    assert_eq!(tokens(&gateway, "input"), 14);
}

/// The usage that a provider reports.
#[derive(Default)]
struct Books {
    input: u64,
    output: u64,
}

#[test]
fn the_gateways_totals_equal_the_usage_that_the_provider_reported() {
    const CLIENTS: usize = 8;
    const EACH: usize = 1250;
    let books = Arc::new(Mutex::new(Books::default()));
    let ours = books.clone();
    let provider = Provider::responding(move |request, wire| {
        // The path is `/p/KIND/NUMBER`.
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
                // Neither half may be empty: an empty chunk ends the body.
                let at = usize::try_from(number).unwrap() % (last.len() - 1);
                let (begin, end) = last.split_at(at + 1);
                chunk(wire, begin.as_bytes());
                chunk(wire, end.as_bytes());
                chunk(wire, b"data: [DONE]\n\n");
                end_chunks(wire);
            }
            "aborted" => {
                // The usage that was reported before the client left counts.
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

#[test]
fn a_response_that_cannot_be_decoded_is_counted_as_unreadable() {
    let provider = Provider::responding(|_, wire| {
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

const PRICES: &str =
    "currency = \"EUR\"\n[[price]]\nmodel = \"m-*\"\ninput = \"2\"\noutput = \"0.1\"\n";

#[test]
fn a_request_costs_what_the_price_file_says_from_its_reload_on() {
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
    // 5 tokens at 2 and 7 at 0.1 for a million.
    assert_eq!(
        (&line["cost"], &line["currency"]),
        (&"0.0000107".into(), &"EUR".into())
    );
    let series = "keygate_cost_total{currency=\"EUR\",key=\"alice\",model=\"m-*\",provider=\"p\",route=\"r\"}";
    let text = gateway.admin("/metrics").text().to_owned();
    assert!(text.contains(&format!("{series} 0.000107\n")), "{text}");
    // The file now has a price for another model only.
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
    // An invalid price file does not stop a reload, which may revoke a key.
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
    // The previous prices stay in use.
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
fn mistakes_in_the_settings_of_usage_are_reported_with_their_line() {
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
        "11: meter_streams: streams of `anthropic` report usage without a request for it",
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
