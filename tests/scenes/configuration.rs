//! Bad configurations: each is named with its file, its line and its cure. Good ones load.

use keygate::testing::config::{Purpose, Resolved};

use crate::support::Scene;
use crate::support::gateway::simple;

const URL: &str = "https://api.example.com/v1";

/// What `check` says about a configuration with one key, with the folder taken out.
fn problems(rest: &str) -> String {
    let scene = Scene::new(rest).key("alice", "secret", "labels = { team = \"a\" }");
    let folder = format!("{}/", scene.folder.path().display());
    scene.problems().replace(&folder, "")
}

#[test]
fn every_mistake_is_named_with_its_line_and_its_cure() {
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
    for (rest, complaint) in cases {
        let said = problems(&rest);
        assert!(
            said.contains(complaint),
            "wanted\n  {complaint}\ngot\n{said}\nfor\n{rest}"
        );
        assert!(!said.contains("sk-pasted"), "{said}");
    }
}

#[test]
fn all_mistakes_come_at_once_in_the_order_of_their_lines() {
    let said = problems(
        "[serve]\n[providers.p]\nkind = \"x\"\ntoken = \"abc\"\n[[routes]]\nname = \"r\"\n",
    );
    let lines: Vec<usize> = said
        .lines()
        .map(|line| line.split(':').nth(1).unwrap().parse().unwrap())
        .collect();
    assert!(lines.len() >= 5, "{said}");
    assert!(lines.is_sorted(), "{said}");
}

#[test]
fn headers_to_strip_and_names_of_the_admin_listener_are_named_whole() {
    let with = |setting: &str| {
        let scene = Scene::new("");
        scene.write("gateway.toml", &format!("[server]\n{setting}\n"));
        scene.problems()
    };
    for (setting, complaint) in [
        (
            "strip_headers = \"*\"",
            "`*` is neither the name of a header nor the beginning of one",
        ),
        (
            "strip_headers = \"x-*-id\"",
            "`x-*-id` is neither the name of a header",
        ),
        ("strip_headers = \"x y*\"", "`x y*` is neither the name"),
        (
            "strip_headers = \"Content-*\"",
            "`Content-*` would take out `content-length`",
        ),
        ("strip_headers = \"t*\"", "`t*` would take out `te`"),
        (
            "strip_headers = \"host\"",
            "`host` would take out `host`, which belongs to the gateway",
        ),
        (
            "admin_hosts = \"*.internal\"",
            "server.admin_hosts: `*.internal`: each is the whole name",
        ),
        (
            "admin_hosts = \"keygate.internal:9090\"",
            "server.admin_hosts: `keygate.internal:9090`: each",
        ),
        (
            "admin_hosts = [\"a.test\", \"\"]",
            "server.admin_hosts: ``: each is the whole name",
        ),
    ] {
        let said = with(setting);
        assert!(said.contains("gateway.toml:2: "), "{said}");
        assert!(
            said.contains(complaint),
            "wanted\n  {complaint}\ngot\n{said}"
        );
    }
    for setting in [
        "strip_headers = [\"X-Corp-*\", \"x-id\"]",
        "admin_hosts = [\"Keygate.svc.\", \"vm-1\"]",
    ] {
        let said = with(setting);
        assert!(!said.contains("gateway.toml:2"), "{said}");
    }
}

#[test]
fn addresses_must_be_addresses_and_the_admin_listener_stays_inside() {
    let with = |listen: &str, admin: &str| {
        let scene = Scene::new("");
        let text = format!("[server]\nlisten = {listen}\nadmin = \"{admin}\"\n");
        scene.write("gateway.toml", &text);
        scene.problems()
    };
    for bad in [
        "\"localhost\"",
        "\"8080\"",
        "[]",
        "[\"127.0.0.1:1\", \"x\"]",
        "8080",
    ] {
        assert!(
            with(bad, "127.0.0.1:1").contains("gateway.toml:2: server.listen"),
            "{bad}"
        );
    }
    for public in ["0.0.0.0:9090", "[::]:9090", "8.8.8.8:9090"] {
        let said = with("\"127.0.0.1:0\"", public);
        assert!(
            said.contains("gateway.toml:3: server.admin takes requests without a key"),
            "{public}: {said}"
        );
    }
    let said = with("[\"127.0.0.1:1\", \"127.0.0.1:9\"]", "127.0.0.1:9");
    let both = "gateway.toml:3: server.listen and server.admin are both 127.0.0.1:9";
    assert!(said.contains(both), "{said}");
    for private in ["127.0.0.1:9", "10.0.0.1:9", "[::1]:9", "[fd00::1]:9"] {
        assert!(
            !with("[\"127.0.0.1:0\", \"[::1]:0\"]", private).contains("server."),
            "{private}"
        );
    }
}

#[test]
fn a_missing_file_and_a_key_lacking_its_entry_are_said() {
    let missing = Resolved::load(
        std::path::Path::new("/nowhere/gateway.toml"),
        Purpose::Start,
    );
    let said = missing.err().unwrap().to_string();
    assert_eq!(said, "/nowhere/gateway.toml: is not there");
    let said = problems(&simple(URL, "", "").replace("inline:provider-token", "key:own-token"));
    assert!(
        said.contains(
            "warning: the route `r` sends each key's own `own-token`, which alice has not"
        ),
        "{said}"
    );
}

#[test]
fn files_that_are_not_private_are_refused_with_their_cure() {
    let rest = simple(URL, "", "").replace("inline:provider-token", "file:token");
    let scene = Scene::new(&rest).key("alice", "secret", "");
    scene.write("token", "sk-1");
    let mode = |name: &str, mode: u32| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(scene.path(name), mode).unwrap();
    };
    assert_eq!(scene.problems(), "");
    for name in ["keys.toml", "token"] {
        for (bits, complaint) in [
            (0o644, "can be read by others (mode 0644): chmod 600 "),
            (0o604, "can be read by others (mode 0604): chmod 600 "),
            (0o620, "can be written by others (mode 0620): chmod 600 "),
            (0o602, "can be written by others (mode 0602): chmod 600 "),
        ] {
            mode(name, bits);
            let said = scene.problems();
            assert!(said.contains(name) && said.contains(complaint), "{said}");
        }
        // The group is that of the process, as Kubernetes' fsGroup makes it.
        for bits in [0o400, 0o440, 0o640] {
            mode(name, bits);
            assert_eq!(scene.problems(), "");
        }
        let real = scene.path(&format!("real-{name}"));
        std::fs::rename(scene.path(name), &real).unwrap();
        std::os::unix::fs::symlink(&real, scene.path(name)).unwrap();
        // A token's link is followed; an edit of the key file would replace it.
        let said = scene.problems();
        let refused = said.contains("is a symbolic link");
        assert_eq!(refused, name == "keys.toml", "{said}");
        std::fs::rename(&real, scene.path(name)).unwrap();
    }
    // A running gateway takes over what is in it: perhaps a key was revoked.
    mode("keys.toml", 0o644);
    let config = Resolved::load(&scene.path("gateway.toml"), Purpose::Reload);
    assert_eq!(config.ok().unwrap().warnings.len(), 1);
}

#[test]
fn every_file_in_conf_loads() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/conf");
    // With the modes that are theirs in service: git keeps none.
    let scene = Scene::new("");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        scene.write(&name, &std::fs::read_to_string(&path).unwrap());
        if name == "prices.toml" {
            keygate::testing::config::load_prices(&path)
                .unwrap_or_else(|errors| panic!("{errors}"));
        } else if !name.ends_with("keys.toml") {
            names.push(name);
        }
    }
    let mut loaded = 0;
    for name in names {
        let config = Resolved::load(&scene.path(&name), Purpose::Start);
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        assert!(!config.routes.is_empty(), "{name}");
        loaded += 1;
    }
    assert!(loaded >= 3);
}

#[test]
fn the_commented_configuration_shows_every_key_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/gateway.toml");
    let text = std::fs::read_to_string(path).unwrap();
    // Every line that is commented out as `#key = value` is a setting, at its default.
    let shown: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
                setting
            }
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let load = |text: &str| {
        let scene = Scene::new("").key("alice", "secret", "labels = { team = \"search\" }");
        scene.write("ca.pem", &crate::support::tls::Authority::new().pem);
        scene.write("gateway.toml", text);
        Resolved::load(&scene.path("gateway.toml"), Purpose::Start)
            .unwrap_or_else(|e| panic!("{e}\n{text}"))
    };
    let (mut shown, plain) = (load(&shown), load(&text));
    // Whether it was written is all that differs.
    assert_eq!(
        shown.server.limits.configured_connections.take(),
        Some(50_000)
    );
    assert_eq!(shown.server, plain.server);
    assert_eq!(shown.server, load("").server);
    assert_eq!(shown.key_headers, load("").key_headers);
    for provider in &plain.providers {
        let same = shown
            .providers
            .iter()
            .find(|p| p.name == provider.name)
            .unwrap();
        assert_eq!(same.timeouts, provider.timeouts, "{}", provider.name);
        assert_eq!(same.http, provider.http);
        assert_eq!(same.paths.target("", None), provider.paths.target("", None));
        assert_eq!(
            (&same.auth_header, &same.auth_prefix),
            (&provider.auth_header, &provider.auth_prefix)
        );
        assert_eq!(same.base_url, provider.base_url);
    }
    // And it shows every key there is: what the loader knows is in the text.
    let known = include_str!("../../gateway/config/file.rs");
    for (at, _) in known.match_indices("(\"") {
        let key = known[at + 2..].split('"').next().unwrap();
        if !key
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b"_2".contains(&b))
        {
            continue;
        }
        assert!(
            text.contains(key),
            "conf/gateway.toml does not show `{key}`"
        );
    }
}
