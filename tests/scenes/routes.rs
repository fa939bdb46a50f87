//! Which route answers: one, however a request spells its host and its path.

use crate::support::gateway::simple;
use crate::support::{Gateway, Provider, Scene, http2};

/// Any key may use `/p`, and by the hosts `llm.corp.example` and `[::1]` those of a team.
fn by_host(provider: &Provider) -> Gateway {
    let named = "[[routes]]\nname = \"named\"\nhost = [\"LLM.corp.example.\", \"[0:0::1]\"]\npath = \"/p\"\n\
                 provider = \"p\"\nkeys = { team = \"audio\" }\n";
    Scene::with_server(
        "server.h2c = true",
        &(simple(&provider.url(), "", "") + named),
    )
    .key("alice", "secret", "")
    .key("bob", "other", "labels = { team = \"audio\" }")
    .start()
}

#[test]
fn a_host_chooses_the_same_route_in_every_spelling() {
    let provider = Provider::start();
    let gateway = by_host(&provider);
    let ask = |host: &str| {
        gateway
            .get("/p", &[("host", host), ("api-key", "secret")])
            .status
    };
    for host in [
        "llm.corp.example",
        "LLM.Corp.Example",
        "llm.corp.example:443",
        "llm.corp.example.",
        "llm.corp.example.:443",
        "llm.corp.example:",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::0001]:8080",
    ] {
        assert_eq!(ask(host), 403, "{host}");
    }
    for host in [
        "llm.corp.example..",
        "[::1%25lo]",
        "llm.corp.example:x",
        ".",
    ] {
        assert_eq!(ask(host), 400, "{host}");
    }
    assert!(provider.received().is_empty());
    for host in ["other.example.", "other.example", "[::2]"] {
        assert_eq!(ask(host), 200, "{host}");
    }
}

#[test]
fn an_authority_of_http2_chooses_the_same_route_in_every_spelling() {
    let provider = Provider::start();
    let gateway = by_host(&provider);
    http2::run(async {
        let mut client = http2::connect(gateway.address()).await;
        for (authority, status) in [
            ("llm.corp.example", 403),
            ("llm.corp.example.", 403),
            ("LLM.corp.example.:443", 403),
            ("[0:0:0:0:0:0:0:1]", 403),
            ("other.example", 200),
        ] {
            let request = http::Request::get(format!("http://{authority}/p"))
                .header("api-key", "secret")
                .body(())
                .unwrap();
            let (answer, _) = client.send_request(request, true).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), status, "{authority}");
            client = client.ready().await.unwrap();
        }
    });
}
