//! The admin listener and the access log.

use crate::support::gateway::simple;
use crate::support::provider::{gated, ok};
use crate::support::{Client, Gateway, KEY, Provider, Scene, admin_request, eventually};

#[test]
fn the_admin_listener_serves_only_its_own_endpoints() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    assert_eq!(gateway.admin("/healthz").text(), "ok\n");
    assert_eq!(gateway.admin("/readyz").text(), "ready\n");
    let metrics = gateway.admin("/metrics");
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(gateway.admin("/").status, 404);
    assert_eq!(gateway.admin("/p").status, 404);
    let admin = gateway.running.admin();
    assert_eq!(admin_request(admin, "POST", "/status").status, 405);
    let mut client = Client::connect(admin);
    let host = [("host", "localhost")];
    assert_eq!(client.request("HEAD", "/metrics", &host, b"").status, 200);
    // The client listener serves none of the admin endpoints.
    for path in ["/metrics", "/healthz", "/readyz", "/status"] {
        assert_eq!(gateway.get(path, &KEY).status, 404);
    }
}

#[test]
fn an_access_line_describes_the_request_and_holds_no_secret() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let headers = [
        ("Authorization", "Bearer secret"),
        ("cookie", "session"),
        ("user-agent", "curious"),
    ];
    let response = gateway.request(
        "POST",
        "/p/v1/x?key=secret&page=2",
        &headers,
        b"{\"prompt\":1}",
    );
    let line = &gateway.access_lines(1)[0];
    for (name, value) in [
        ("key", "alice"),
        ("route", "r"),
        ("provider", "p"),
        ("method", "POST"),
        ("path", "/p/v1/x"),
    ] {
        assert_eq!(line[name], value, "{name}");
    }
    assert_eq!(
        line["request_id"],
        response.header("x-keygate-request-id").unwrap()
    );
    assert_eq!(line["upstream"], provider.address().to_string());
    assert_eq!(
        (line["status"].as_u64(), line["attempts"].as_u64()),
        (Some(200), Some(1))
    );
    assert_eq!(
        (
            line["request_bytes"].as_u64(),
            line["response_bytes"].as_u64()
        ),
        (Some(12), Some(11))
    );
    assert!(line["reason"].is_null() && line["refused_by"].is_null());
    let text = line.to_string();
    for absent in [
        "secret",
        "provider-token",
        "session",
        "curious",
        "page",
        "prompt",
    ] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
}

#[test]
fn the_response_the_access_line_and_the_metric_name_who_refused() {
    let provider = Provider::responding(|_, wire| {
        crate::support::provider::respond(wire, "429 Too Many Requests", &[], b"{}");
    });
    let gateway = Gateway::before(&provider);
    assert_eq!(
        gateway.get("/p", &KEY).header("x-keygate-refused-by"),
        Some("provider")
    );
    assert_eq!(
        gateway.get("/p", &[]).header("x-keygate-refused-by"),
        Some("gateway")
    );
    let lines = gateway.access_lines(2);
    assert_eq!(
        (&lines[0]["refused_by"], &lines[1]["refused_by"]),
        (&"provider".into(), &"gateway".into())
    );
    for (code, reason) in [("429", ""), ("401", "invalid_api_key")] {
        let labels = format!("code=\"{code}\",provider=\"p\",reason=\"{reason}\",route=\"r\"");
        assert_eq!(
            gateway.count(&format!("keygate_requests_total{{{labels}}}")),
            1
        );
    }
}

#[test]
fn input_of_unverified_clients_makes_no_metric_series() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let series = |gateway: &Gateway| {
        let text = gateway.admin("/metrics");
        text.text()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .count()
    };
    let send_unverified = |round: usize| {
        let key = format!("key-{round}");
        let (path, host) = (format!("/x{round}"), format!("h{round}.test"));
        gateway.get(&path, &[("api-key", &key), ("host", &host)]);
        gateway.request(&format!("M{round}"), "/p", &[("api-key", &key)], b"{}");
        gateway.request(
            "POST",
            &format!("/p/v1/{round}"),
            &KEY,
            format!("{{\"model\":\"m{round}\"}}").as_bytes(),
        );
        gateway.get(&format!("/p/../{round}"), &KEY);
    };
    send_unverified(0);
    gateway.access_lines(4);
    let before = series(&gateway);
    for round in 1..200 {
        send_unverified(round);
    }
    gateway.access_lines(800);
    assert_eq!(series(&gateway), before);
}

#[test]
fn the_time_that_the_gateway_adds_is_in_a_metric() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    for _ in 0..10 {
        gateway.get("/p", &KEY);
    }
    gateway.access_lines(10);
    let labels = "phase=\"request\",provider=\"p\",route=\"r\"";
    let count = gateway.count(&format!("keygate_added_duration_seconds_count{{{labels}}}"));
    let sum = gateway.metric(&format!("keygate_added_duration_seconds_sum{{{labels}}}"));
    assert_eq!(count, 10);
    assert!(sum > 0.0 && sum < 1.0, "{sum}");
    assert_eq!(
        gateway.count("keygate_key_requests_total{code=\"200\",key=\"alice\",route=\"r\"}"),
        10
    );
}

#[test]
fn the_expiry_and_the_number_of_keys_are_in_metrics() {
    let provider = Provider::start();
    let gateway = Scene::new(&simple(&provider.url(), "", ""))
        .key("alice", "secret", "expires = 2030-01-01T00:00:00Z")
        .key("bob", "other", "")
        .start();
    assert_eq!(
        gateway.count("keygate_key_expiry_timestamp_seconds{key=\"alice\"}"),
        1_893_456_000
    );
    assert_eq!(gateway.count("keygate_keys_loaded"), 2);
}

/// Every endpoint of the admin listener, and a path that is none.
const ADMIN_ROUTES: [(&str, &str, u16); 9] = [
    ("GET", "/metrics", 200),
    ("HEAD", "/metrics", 200),
    ("GET", "/healthz", 200),
    ("GET", "/readyz", 200),
    ("GET", "/status", 200),
    ("POST", "/probe", 200),
    ("GET", "/", 404),
    ("POST", "/status", 405),
    ("OPTIONS", "/probe", 405),
];

#[test]
fn the_admin_listener_refuses_pages_of_other_sites() {
    let provider = Provider::start();
    let server = "server.admin_hosts = [\"keygate.internal\"]";
    let gateway = Scene::before(&provider, server).start();
    let admin = gateway.running.admin();
    let own = admin.to_string();
    let port = admin.port();
    let named = format!("Keygate.Internal:{port}");
    let (origin, named_origin) = (format!("http://{own}"), format!("http://{named}"));
    let rebound = format!("evil.test:{port}");
    let (rebound_origin, neighbour) = (
        format!("http://{rebound}"),
        format!("http://127.0.0.1:{}", port ^ 1),
    );
    for (method, path, served) in ADMIN_ROUTES {
        for (headers, status) in [
            // curl, Prometheus by address and by name, `keygate status`.
            (vec![("host", &*own)], served),
            (vec![("host", "localhost")], served),
            (vec![("host", &named)], served),
            // A page that the admin listener served.
            (
                vec![
                    ("host", &own),
                    ("sec-fetch-site", "same-origin"),
                    ("origin", &origin),
                ],
                served,
            ),
            (vec![("host", &named), ("origin", &named_origin)], served),
            (vec![("host", &own), ("sec-fetch-site", "none")], served),
            // A name of another site that resolves to this address (DNS rebinding).
            (vec![("host", &*rebound)], 421),
            (
                vec![
                    ("host", &rebound),
                    ("sec-fetch-site", "same-origin"),
                    ("origin", &rebound_origin),
                ],
                421,
            ),
            (vec![("host", "localhost.evil.test")], 421),
            // A page of another site, or of another port.
            (
                vec![
                    ("host", &own),
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://evil.test"),
                ],
                403,
            ),
            (
                vec![
                    ("host", &own),
                    ("sec-fetch-site", "same-site"),
                    ("origin", &neighbour),
                ],
                403,
            ),
            (vec![("host", &own), ("sec-fetch-site", "cross-site")], 403),
            (vec![("host", &own), ("origin", "https://evil.test")], 403),
            (vec![("host", &own), ("origin", "null")], 403),
        ] {
            let response = Client::connect(admin).request(method, path, &headers, b"");
            assert_eq!(response.status, status, "{method} {path} {headers:?}");
            if status == 421 || status == 403 {
                assert!(!response.text().contains("keygate_"), "{}", response.text());
                assert_eq!(response.header("access-control-allow-origin"), None);
            }
        }
        let mut client = Client::connect(admin);
        client.send(format!("{method} {path} HTTP/1.1\r\n\r\n"));
        assert_eq!(
            client.response(method == "HEAD").status,
            400,
            "{method} {path}"
        );
    }
    // Refused requests probed no provider: six of the fifteen probes were served.
    assert_eq!(provider.received().len(), 6);
}

#[test]
fn a_reload_changes_the_names_of_the_admin_listener() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let admin = gateway.running.admin();
    let status_of = || {
        let host = [("host", "keygate.monitoring.svc:9090")];
        Client::connect(admin)
            .request("GET", "/metrics", &host, b"")
            .status
    };
    assert_eq!(status_of(), 421);
    gateway.scene.configure(
        "server.admin_hosts = \"keygate.monitoring.svc.\"",
        &simple(&provider.url(), "", ""),
    );
    gateway.wait_for_generation(2);
    assert_eq!(status_of(), 200);
}

/// The start of a head that never ends.
const HALF: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n";
const LOCALHOST: [(&str, &str); 1] = [("host", "localhost")];

/// Requests the metrics on a new connection, and checks that they arrive within a second.
fn metrics_arrive_within_a_second(admin: std::net::SocketAddr) {
    let start = std::time::Instant::now();
    let response = Client::connect(admin).request("GET", "/metrics", &LOCALHOST, b"");
    assert_eq!(response.status, 200);
    let taken = start.elapsed();
    assert!(taken < std::time::Duration::from_secs(1), "{taken:?}");
}

#[test]
fn endless_heads_do_not_block_the_admin_listener() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let admin = gateway.running.admin();
    let mut held = Vec::new();
    for _ in 0..10 {
        for _ in 0..20 {
            let mut client = Client::connect(admin);
            // The connection may have been closed for a newer one.
            let _ = client.try_send(HALF);
            held.push(client);
        }
        metrics_arrive_within_a_second(admin);
    }
    let closed = held.iter_mut().take(100).all(|client| client.is_closed());
    assert!(closed, "the oldest are closed");
    let refused = "keygate_connections_refused_total{limit=\"admin\"}";
    assert!(gateway.count(refused) >= 136);
    // Client connections have a limit of their own.
    assert_eq!(gateway.get("/p", &KEY).status, 200);
}

#[test]
fn the_admin_listener_closes_an_idle_connection_for_a_new_one() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let admin = gateway.running.admin();
    let mut halves = Vec::new();
    for _ in 0..32 {
        let mut client = Client::connect(admin);
        client.send(HALF);
        halves.push(client);
    }
    let mut idle: Vec<_> = (0..32).map(|_| Client::connect(admin)).collect();
    for client in &mut idle {
        let response = client.request("GET", "/healthz", &LOCALHOST, b"");
        assert_eq!(response.status, 200);
    }
    metrics_arrive_within_a_second(admin);
    assert!(idle[0].is_closed());
    for client in &mut halves {
        client.send("\r\n");
        assert_eq!(client.response(false).status, 200);
    }
    // A running exchange is not interrupted.
    assert_eq!(
        idle[31].request("GET", "/healthz", &LOCALHOST, b"").status,
        200
    );
}

#[test]
fn a_running_probe_is_not_closed_for_new_connections() {
    let (provider, release) = gated(|_, wire| ok(wire, b"{}"));
    let openai = "[providers.p]\nkind = \"openai\"\ntoken = \"inline:provider-token\"\n";
    let rest = format!(
        "{openai}base_url = \"{}\"\n[[routes]]\nname = \"r\"\npath = \"/p\"\nprovider = \"p\"\n",
        provider.url()
    );
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    let admin = gateway.running.admin();
    let mut probe = Client::connect(admin);
    probe.send("POST /probe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    eventually("the probe", || provider.received().len() == 1);
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut client = Client::connect(admin);
        let _ = client.try_send(HALF);
        held.push(client);
    }
    metrics_arrive_within_a_second(admin);
    release.send(()).unwrap();
    assert_eq!(probe.response(false).status, 200);
}

#[test]
fn the_admin_listener_limits_the_time_of_a_head() {
    let provider = Provider::start();
    let timeouts = "server.timeouts.client_head = \"300ms\"\nserver.timeouts.keepalive = \"300ms\"";
    let gateway = Scene::with_server(timeouts, &simple(&provider.url(), "", "")).start();
    let admin = gateway.running.admin();
    assert!(
        Client::connect(admin).is_closed(),
        "a silent connection is still open"
    );
    let mut slow = Client::connect(admin);
    slow.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n");
    // The connection is cut even if bytes keep arriving.
    eventually("the connection is cut", || {
        slow.try_send("x: y\r\n").is_err()
    });
    let mut idle = Client::connect(admin);
    let response = idle.request("GET", "/healthz", &[("host", "localhost")], b"");
    assert_eq!(response.status, 200);
    assert!(idle.is_closed());
}

#[test]
fn the_admin_listener_limits_the_size_of_a_head() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let status_of = |bytes| {
        let long = "x".repeat(bytes);
        let headers = [("host", "localhost"), ("x-long", &*long)];
        let mut client = Client::connect(gateway.running.admin());
        // The connection may be closed before all of it is sent.
        let _ = client.try_send(crate::support::client::raw_request(
            "GET", "/healthz", &headers, b"",
        ));
        client
            .try_response(false)
            .map_or(431, |response| response.status)
    };
    assert_eq!((status_of(15 << 10), status_of(17 << 10)), (200, 431));
    let mut client = Client::connect(gateway.running.admin());
    client.send("GET /healthz x HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.response(false).status, 400);
}
