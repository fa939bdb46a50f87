//! Each mistake in a configuration is reported with its file, its line and what to do about it.

use super::{URL, problems};
use crate::support::Scene;
use crate::support::gateway::simple;

#[test]
fn every_mistake_is_reported_with_its_line_and_a_remedy() {
    // The configuration of a scene begins at line 4.
    let with = |provider: &str, route: &str| simple(URL, provider, route);
    let azure = "[providers.a]\nkind = \"azure-openai\"\nendpoint = \"https://r.test\"\n\
                 deployment = \"d\"\ntoken = \"inline:t\"\n[[routes]]\nname = \"r\"\npath = \"/a\"\nprovider = \"a\"\n";
    let cases: Vec<(String, &str)> = vec![
        (
            with("tokn = \"x\"", ""),
            "gateway.toml:8: unknown key `providers.p.tokn`: did you mean `token`?",
        ),
        (
            with("redirect_hosts = [\"https://storage.test/\"]", ""),
            "gateway.toml:8: providers.p.redirect_hosts: `https://storage.test/`: each is a host, such as",
        ),
        (
            with("redirect_hosts = \"*\"", ""),
            "gateway.toml:8: providers.p.redirect_hosts: `*`: each is a host, such as",
        ),
        (
            with("", "").replace("inline:provider-token", "sk-pasted"),
            "gateway.toml:7: providers.p.token: a secret is never written here as a bare string",
        ),
        (
            with("", "").replace("inline:provider-token", "inline:"),
            "gateway.toml:7: providers.p.token: inline:(hidden) is empty",
        ),
        (
            with("", "").replace("inline:provider-token", "inline:a\\nb"),
            "gateway.toml:7: providers.p.token: inline:(hidden) contains a line break",
        ),
        (
            with("", "").replace("token = \"inline:provider-token\"", ""),
            "gateway.toml:4: providers.p.token is missing: say where it is",
        ),
        (
            with("", "").replace("https://api.example.com/v1", "http://api.example.com"),
            "gateway.toml:6: providers.p.base_url would send requests and the token unencrypted to api.example.com",
        ),
        (
            with("", "").replace("https://api.example.com/v1", "https://u:p@h/"),
            "gateway.toml:6: providers.p.base_url has credentials in it",
        ),
        (
            with("", "").replace("https://api.example.com/v1", "https://h/?key=1"),
            "gateway.toml:6: providers.p.base_url has a query",
        ),
        (
            with("", "").replace("base_url = \"https://api.example.com/v1\"", ""),
            "providers.p.base_url is missing: a custom provider could be anywhere",
        ),
        (
            with("", "").replace("\"custom\"", "\"opnai\""),
            "gateway.toml:5: providers.p.kind `opnai` does not exist: did you mean `openai`?",
        ),
        (
            azure.replace("deployment = \"d\"\n", ""),
            "gateway.toml:4: providers.a.deployment is missing: it is where requests to `azure-openai` go that do not name one themselves. To do without, say `default_endpoint`",
        ),
        (
            azure.replace("endpoint = \"https://r.test\"\n", ""),
            "gateway.toml:4: providers.a.endpoint is missing: each customer has one",
        ),
        (
            azure.replace("endpoint =", "base_url ="),
            "gateway.toml:6: providers.a.base_url is called `endpoint` here",
        ),
        (
            azure.replace("\"d\"", "\"d/../e\""),
            "gateway.toml:7: providers.a.deployment has letters, digits",
        ),
        (
            azure.replace("\"d\"", "\"d\"\napi_version = \"1&a=b\""),
            "gateway.toml:8: providers.a.api_version has letters, digits",
        ),
        (
            azure.replace("https://r.test", "https://r.test/?a=b"),
            "gateway.toml:6: providers.a.endpoint has a query or a fragment",
        ),
        (
            azure.replace("https://r.test", "https://u:p@r.test"),
            "gateway.toml:6: providers.a.endpoint has credentials in it",
        ),
        (
            azure.replace("token =", "headers = { Authorization = \"x\" }\ntoken ="),
            "gateway.toml:8: `authorization` is where the token goes",
        ),
        (
            azure.replace("https://r.test", "https://r.test/openai/v1/"),
            "gateway.toml:6: providers.a.endpoint goes no further than the resource",
        ),
        (
            with("", "").replace("inline:provider-token", "inline:Bearer "),
            "gateway.toml:7: providers.p.token: inline:(hidden) holds the word `Bearer` and no token",
        ),
        (
            with(
                "",
                "transform.extractors.a = { header = \"Sec-WebSocket-Protocol\" }",
            ),
            "gateway.toml:13: `sec-websocket-protocol` may hold the gateway's own key",
        ),
        (
            with("", "transform.headers.Sec-WebSocket-Protocol = \"a\""),
            "gateway.toml:13: `sec-websocket-protocol` belongs to the gateway",
        ),
        (
            with("deployment = \"d\"", ""),
            "gateway.toml:8: providers.p.deployment means nothing here: `custom` has none",
        ),
        (
            with("", "allow_headers = [\"x-api-key\"]"),
            "gateway.toml:13: allow_headers: `x-api-key` is the client's own and never goes to a provider",
        ),
        (
            with("", "allow_headers = [\"openai-beta\"]"),
            "gateway.toml:13: allow_headers: `openai-beta` needs no permission",
        ),
        (
            with("sni = \"\"", ""),
            "gateway.toml:8: providers.p.sni is empty, which would switch off the check of the certificate",
        ),
        (
            with("ca = \"none.pem\"", ""),
            "gateway.toml:8: providers.p.ca: ",
        ),
        (
            with("http = \"3\"", ""),
            "gateway.toml:8: providers.p.http is \"1.1\", \"2\" or \"auto\"",
        ),
        (
            with("auth_header = \"host\"", ""),
            "gateway.toml:8: `host` belongs to the gateway",
        ),
        (
            with("auth_header = \"a b\"", ""),
            "gateway.toml:8: that is not the name of a header",
        ),
        (
            with("headers = { Authorization = \"x\" }", ""),
            "gateway.toml:8: `authorization` is where the token goes",
        ),
        (
            with("default_endpoint = \"/a b\"", ""),
            "gateway.toml:8: providers.p.default_endpoint is a path in its plain form",
        ),
        (
            with("default_endpoint = \"/a\\r\\nx: y\"", ""),
            "gateway.toml:8: providers.p.default_endpoint is a path in its plain form",
        ),
        (
            with("", "transform.extractors.a = { header = \"x-api-key\" }"),
            "gateway.toml:13: `x-api-key` may hold the gateway's own key, which no provider gets",
        ),
        (
            with("", "host = []"),
            "gateway.toml:13: a route without a host could never be reached",
        ),
        (
            format!("[keys]\nheaders = [\"content-type\"]\n{}", with("", "")),
            "gateway.toml:5: `content-type` is for the provider",
        ),
        (
            with("timeouts.connect = \"5\"", ""),
            "gateway.toml:8: providers.p.timeouts.connect: expected a duration with its unit",
        ),
        (
            with("timeouts.connect = \"0s\"", ""),
            "gateway.toml:8: a timeout of nothing would fail every request",
        ),
        (
            with("timeouts = { first_byte = \"5s\", idle = \"9s\" }", ""),
            "gateway.toml:8: `idle` is longer than `first_byte`",
        ),
        (
            with("", "").replace("provider = \"p\"", "provider = \"q\""),
            "gateway.toml:12: there is no provider `q`: did you mean `p`?",
        ),
        (
            with("", "").replace("provider = \"p\"", ""),
            "gateway.toml:9: routes[0].provider is missing",
        ),
        (
            with("", "keys = { team = \"b\" }"),
            "gateway.toml:9: no key satisfies the selector of the route `r` (team = b): nobody could use it; make one with `keygate keys create --id NAME --label team=b`",
        ),
        (
            with("", "auth = \"nobody\""),
            "gateway.toml:13: auth is \"key\" (as when left out) or \"none\"",
        ),
        (
            with("", "auth = \"none\"\nkeys = { team = \"a\" }"),
            "the route `r` has `auth = \"none\"` and `keys`",
        ),
        (
            with("", "host = \"a:80\""),
            "gateway.toml:13: a host is a name without port",
        ),
        (
            with("", "").replace("\"/p\"", "\"p\""),
            "gateway.toml:11: a path begins with `/`",
        ),
        (
            with("", "transform.headers.X-A = \"{{ a }}\""),
            "gateway.toml:13: the template of `X-A` `{{ a }}` is the name of no extractor",
        ),
        (
            with("", "transform.headers.Host = \"a\""),
            "gateway.toml:13: `host` belongs to the gateway",
        ),
        (
            with("", "transform.headers.Authorization = \"a\""),
            "gateway.toml:13: the provider's token goes into `authorization`",
        ),
        (
            with(
                "",
                "transform.extractors.a = { header = \"x\", regex = \"(\" }",
            ),
            "gateway.toml:13: the extractor `a`: not a usable regular expression",
        ),
        (
            with("", "transform.extractors.a = {}"),
            "the extractor `a` needs either `header` or `metadata`",
        ),
        (
            with(
                "",
                "[[routes]]\nname = \"s\"\npath = \"/p/\"\nprovider = \"p\"",
            ),
            "gateway.toml:13: the route `s` can never be reached: `r` in line 9 has the same host `*` and path `/p`",
        ),
        (
            with(
                "",
                "[[routes]]\nname = \"r\"\npath = \"/q\"\nprovider = \"p\"",
            ),
            "gateway.toml:13: the route `r` is there already, in line 9",
        ),
        (
            format!(
                "[keys]\nheaders = [\"authorization\"]\n{}",
                with("", "").replace("inline:provider-token", "passthrough")
            ),
            "passes the caller's token on in `authorization`, so the gateway's key needs another header",
        ),
        (
            format!("[keys]\nfile = \"none.toml\"\n{}", with("", "")),
            "gateway.toml:5: the key file none.toml is not there: make the first key with `keygate keys create --id NAME`",
        ),
        (
            format!("[keys]\nheaders = []\n{}", with("", "")),
            "gateway.toml:5: keys.headers is empty",
        ),
        (
            "[providers.p]\nkind = 3\n[[routes]]\n".to_owned(),
            "gateway.toml:5: providers.p.kind: expected a string, found a whole number",
        ),
        (
            "routes = 3\n".to_owned(),
            "gateway.toml:4: routes must be written as [[routes]]",
        ),
        (
            "[server.limits]\nrequest_body = 5\n".to_owned(),
            "server.limits.request_body: expected a size with its unit, such as \"32MiB\"",
        ),
    ];
    assert_eq!(problems(azure), "");
    for (rest, expected) in cases {
        let found = problems(&rest);
        assert!(
            found.contains(expected),
            "wanted\n  {expected}\ngot\n{found}\nfor\n{rest}"
        );
        assert!(!found.contains("sk-pasted"), "{found}");
    }
}

#[test]
fn a_password_in_a_url_is_in_no_error_wherever_the_url_was_written() {
    const PASTED: &str = "https://user:hunter2@storage.test";
    let with = |provider: &str, route: &str| simple(URL, provider, route);
    let rest = with("", "");
    let cases = [
        rest.replace("\"custom\"", &format!("\"{PASTED}\"")),
        rest.replace("provider = \"p\"", &format!("provider = \"{PASTED}\"")),
        rest.replace(URL, PASTED),
        rest.replace("\"/p\"", &format!("\"{PASTED}\"")),
        with(&format!("redirect_hosts = [\"{PASTED}\"]"), ""),
        with(&format!("ca = \"{PASTED}\""), ""),
        with(&format!("proxy = \"{PASTED}\"\nproxy_token = 1"), ""),
        with(&format!("\"{PASTED}\" = 1"), ""),
        with("", &format!("cors = {{ origins = [\"{PASTED}\"] }}")),
        with("", &format!("strip_headers = [\"{PASTED}\"]")),
    ];
    for rest in cases {
        let found = problems(&rest);
        assert!(!found.is_empty(), "{rest}");
        assert!(!found.contains("hunter2"), "{found}");
    }
    for setting in ["trusted_proxies", "admin_hosts", "strip_headers"] {
        let scene = Scene::new("");
        scene.write(
            "gateway.toml",
            &format!("[server]\n{setting} = \"{PASTED}\"\n"),
        );
        let found = scene.problems();
        assert!(found.contains("gateway.toml:2: "), "{found}");
        assert!(found.contains("https://***@storage.test"), "{found}");
        assert!(!found.contains("hunter2"), "{found}");
    }
}
