//! Each request has one route, however it spells its host and its path.

use crate::support::gateway::simple;
use crate::support::{Gateway, Provider, Scene, http2};

/// A configuration in which any key may use `/openai`, and keys of one team `/openai/v1/fine_tuning` and
/// `/openai/v1/chat`.
fn with_narrower_routes(kind: &str, provider: &Provider) -> Gateway {
    let url = provider.url();
    let rest = format!(
        "[providers.all]\nkind = \"{kind}\"\nbase_url = \"{url}/v1\"\ntoken = \"inline:token\"\n\
         [providers.tuning]\nkind = \"{kind}\"\nbase_url = \"{url}/v1/fine_tuning\"\ntoken = \"inline:token\"\n\
         [providers.chat]\nkind = \"{kind}\"\nbase_url = \"{url}/v1/chat\"\ntoken = \"inline:token\"\n\
         [[routes]]\nname = \"all\"\npath = \"/openai\"\nprovider = \"all\"\n\
         [[routes]]\nname = \"tuning\"\npath = \"/openai/v1/fine_tuning\"\nprovider = \"tuning\"\n\
         keys = {{ team = \"audio\" }}\n\
         [[routes]]\nname = \"chat\"\npath = \"/openai/v1/chat\"\nprovider = \"chat\"\n\
         keys = {{ team = \"audio\" }}\n"
    );
    Scene::new(&rest)
        .key("alice", "secret", "")
        .key("bob", "other", "labels = { team = \"audio\" }")
        .start()
}

#[test]
fn a_narrower_route_cannot_be_bypassed_by_another_spelling_of_its_path() {
    for kind in ["openai", "custom"] {
        let provider = Provider::start();
        let gateway = with_narrower_routes(kind, &provider);
        let get = |path: &str, key: &str| {
            let response = gateway.get(path, &[("api-key", key)]);
            let code = if response.status == 200 {
                String::new()
            } else {
                response.code()
            };
            (response.status, code)
        };
        let refused = |status: u16, code: &str| (status, code.to_owned());
        for path in [
            "/openai/v1/fine_tuning/jobs",
            "/openai/v1/fine_tuning",
            "/openai/v1//fine%5Ftuning/jobs",
        ] {
            assert_eq!(
                get(path, "secret"),
                refused(403, "key_not_allowed"),
                "{path}"
            );
        }
        for path in [
            "/openai/fine_tuning/jobs",
            "/openai/fine_tuning",
            "/openai/fine_tuning/",
            "/openai/fine_tuning/jobs?after=x",
            "/openai/fine%5Ftuning/jobs",
            // Some providers treat upper and lower case, or an escape and its character, as the same.
            "/openai/v1/Fine_Tuning/jobs",
            "/openai/FINE_TUNING/jobs",
            // The bare prefix leads to chat completions.
            "/openai",
            "/openai/",
            "/openai/chat/completions",
        ] {
            // No key may use this spelling, not even one that may use the narrower route.
            for key in ["secret", "other"] {
                assert_eq!(get(path, key), refused(400, "ambiguous_path"), "{path}");
            }
        }
        assert!(provider.received().is_empty());
        for (path, target) in [
            ("/openai/v1/models", "/v1/models"),
            ("/openai/models", "/v1/models"),
            ("/openai/fine_tuning_jobs", "/v1/fine_tuning_jobs"),
            ("/openai/v1/chats", "/v1/chats"),
        ] {
            assert_eq!(get(path, "secret").0, 200, "{path}");
            assert_eq!(provider.last().line(), format!("GET {target} HTTP/1.1"));
        }
        assert_eq!(get("/openai/v1/fine_tuning/jobs", "other").0, 200);
        assert_eq!(provider.last().line(), "GET /v1/fine_tuning/jobs HTTP/1.1");
    }
}

#[test]
fn a_narrower_route_cannot_be_bypassed_by_repeating_the_base_path() {
    let provider = Provider::start();
    let url = provider.url();
    let route = |name: &str, path: &str, team: &str| {
        format!(
            "[providers.{name}]\nkind = \"custom\"\nbase_url = \"{url}{path}\"\ntoken = \"none\"\n\
             [[routes]]\nname = \"{name}\"\npath = \"{path}\"\nprovider = \"{name}\"\nkeys = {{ team = \"{team}\" }}\n"
        )
    };
    let rest = route("user", "/v1", "user") + &route("admin", "/v1/admin", "admin");
    let gateway = Scene::new(&rest)
        .key("alice", "secret", "labels = { team = \"user\" }")
        .key("bob", "other", "labels = { team = \"admin\" }")
        .start();
    for (path, status) in [("/v1/admin/keys", 403), ("/v1/v1/admin/keys", 400)] {
        let response = gateway.get(path, &[("api-key", "secret")]);
        assert_eq!(response.status, status, "{path}");
    }
    assert!(provider.received().is_empty());
    assert_eq!(
        gateway.get("/v1/keys", &[("api-key", "secret")]).status,
        200
    );
    let admin = gateway.get("/v1/admin/keys", &[("api-key", "other")]);
    assert_eq!(admin.status, 200);
    assert_eq!(provider.last().line(), "GET /v1/admin/keys HTTP/1.1");
}

#[test]
fn an_azure_deployment_with_its_own_route_has_no_other_spelling() {
    let provider = Provider::start();
    let url = provider.url();
    let rest = format!(
        "[providers.a]\nkind = \"azure-openai\"\nendpoint = \"{url}\"\ndeployment = \"A\"\ntoken = \"inline:t\"\n\
         [providers.b]\nkind = \"azure-openai\"\nendpoint = \"{url}\"\ndeployment = \"B\"\ntoken = \"inline:t\"\n\
         [[routes]]\nname = \"a\"\npath = \"/azure\"\nprovider = \"a\"\n\
         [[routes]]\nname = \"b\"\npath = \"/azure/openai/deployments/B\"\nprovider = \"b\"\n\
         keys = {{ team = \"audio\" }}\n"
    );
    let gateway = Scene::new(&rest)
        .key("alice", "secret", "")
        .key("bob", "other", "labels = { team = \"audio\" }")
        .start();
    for (path, status) in [
        ("/azure/openai/deployments/B/embeddings", 403),
        ("/azure/deployments/B/embeddings", 400),
        ("/azure/openai/deployments/b/embeddings", 400),
        ("/azure/deployments/A/embeddings", 200),
        ("/azure/embeddings", 200),
    ] {
        let response = gateway.get(path, &[("api-key", "secret")]);
        assert_eq!(response.status, status, "{path}");
    }
    assert_eq!(provider.received().len(), 2);
}

/// A configuration in which any key may use `/p`, and keys of a team the hosts `llm.corp.example` and `[::1]`.
fn with_host_route(provider: &Provider) -> Gateway {
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
    let gateway = with_host_route(&provider);
    let get = |host: &str| {
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
        assert_eq!(get(host), 403, "{host}");
    }
    for host in [
        "llm.corp.example..",
        "[::1%25lo]",
        "llm.corp.example:x",
        ".",
    ] {
        assert_eq!(get(host), 400, "{host}");
    }
    assert!(provider.received().is_empty());
    for host in ["other.example.", "other.example", "[::2]"] {
        assert_eq!(get(host), 200, "{host}");
    }
}

#[test]
fn an_authority_of_http2_chooses_the_same_route_in_every_spelling() {
    let provider = Provider::start();
    let gateway = with_host_route(&provider);
    http2::run(async {
        let mut client = http2::connect(gateway.address()).await;
        for (authority, status) in [
            ("llm.corp.example", 403),
            ("llm.corp.example.", 403),
            ("LLM.corp.example.:443", 403),
            ("[0:0:0:0:0:0:0:1]", 403),
            ("other.example", 200),
        ] {
            let request =
                http::Request::get(format!("http://{authority}/p")).header("api-key", "secret");
            let response = http2::send(&mut client, request).await;
            assert_eq!(response.status(), status, "{authority}");
        }
    });
}

#[test]
fn check_warns_of_two_routes_to_one_target_with_different_access() {
    let url = "https://api.example.com";
    let scene = |routes: &str| {
        let providers = format!(
            "[providers.all]\nkind = \"custom\"\nbase_url = \"{url}/v1\"\ntoken = \"inline:a\"\n\
             [providers.tuning]\nkind = \"custom\"\nbase_url = \"{url}/v1/fine_tuning\"\ntoken = \"inline:a\"\n\
             [providers.other]\nkind = \"custom\"\nbase_url = \"{url}/v1/fine_tuning\"\ntoken = \"inline:b\"\n"
        );
        let scene = Scene::new(&(providers + routes))
            .key("alice", "secret", "labels = { team = \"audio\" }")
            .key("bob", "other", "");
        let found = scene.problems();
        let lines = found
            .lines()
            .filter(|line| !line.contains("no route leads"));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let route = |name: &str, path: &str, provider: &str, more: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"{path}\"\nprovider = \"{provider}\"\n{more}\n"
        )
    };
    let audio = "keys = { team = \"audio\" }";
    let all = route("all", "/openai", "all", "");
    // The narrower route leads elsewhere than the broader one would.
    let found = scene(&(all.clone() + &route("tuning", "/openai/tuning", "tuning", audio)));
    assert!(
        found.contains("`tuning`") && found.contains("`all`") && found.contains("/v1/fine_tuning"),
        "{found}"
    );
    let found = scene(&(all.clone() + &route("tuning", "/tuning", "tuning", audio)));
    assert!(
        found.contains("`tuning`") && found.contains("`all`"),
        "{found}"
    );
    // A route with broader access inside a narrower one, which leads to everything and not to a part.
    let narrow = route("narrow", "/openai", "all", audio);
    let found = scene(&(narrow.clone() + &route("models", "/openai/v1/models", "all", "")));
    assert!(
        found.contains("`models`") && found.contains("`narrow`"),
        "{found}"
    );
    // A route for another host restricts nothing of the broader one on all other hosts.
    let hosted = format!("host = \"tuning.example\"\n{audio}");
    let hosted = route("hosted", "/openai/v1/fine_tuning", "tuning", &hosted);
    let found = scene(&(all.clone() + &hosted));
    assert!(
        found.contains("give `hosted` the hosts of `all` as well"),
        "{found}"
    );
    let found = scene(&(all.clone() + &hosted + &route("tuning", "/tuning", "tuning", audio)));
    assert!(
        found.contains("give `tuning` the path `/openai/v1/fine_tuning`"),
        "{found}"
    );
    for good in [
        all.clone() + &route("tuning", "/openai/v1/fine_tuning", "tuning", audio),
        all.clone() + &route("tuning", "/tuning", "tuning", ""),
        all.clone() + &route("tuning", "/tuning", "other", audio),
        all.clone() + &route("audio", "/audio", "all", audio),
        narrow + &route("tuning", "/tuning", "tuning", audio),
    ] {
        assert_eq!(scene(&good), "", "{good}");
    }
}
