//! Configurations of other gateways, imported and served. `tests/import/*.golden` contain the input, the expected
//! output, and requests to the gateway that serves it. UPDATE_GOLDEN=1 rewrites the output.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use keygate::testing::config::{Purpose, Resolved};
use keygate::testing::import::gloo::{self, Input};
use keygate::testing::import::litellm::{self, Tables};
use keygate::testing::import::{self, Plan};
use keygate::testing::provider::Kind;

use keygate::testing::origin::BaseUrl;
use keygate::testing::server;
use toml_edit::{DocumentMut, value};

use proptest::prelude::*;

use crate::command::{keygate, text};
use crate::support::{Client, Provider};

/// Splits a text into sections, each after a line `=== name`.
fn sections(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("=== ") {
            Some(name) => found.push((name.to_owned(), String::new())),
            None => {
                let (_, body) = found.last_mut().unwrap();
                body.push_str(line);
                body.push('\n');
            }
        }
    }
    found
}

fn section<'s>(sections: &'s [(String, String)], name: &str) -> &'s str {
    let found = sections.iter().find(|(found, _)| found == name);
    found.map_or("", |(_, body)| body)
}

fn input(name: &str, text: &str) -> Vec<Input> {
    let input = Input {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    if text.is_empty() {
        Vec::new()
    } else {
        vec![input]
    }
}

/// The output without the parts that differ in each run.
fn told(plan: &Plan) -> String {
    let mut told = String::from("=== notes\n");
    for note in &plan.notes {
        writeln!(told, "{note}").unwrap();
    }
    write!(told, "=== gateway.toml\n{}", import::gateway(plan)).unwrap();
    let random =
        regex::Regex::new("(id = \"nobody-[^\n]*\nhashes = \\[\"sha256:)[0-9a-f]{64}").unwrap();
    let keys = import::keys(plan);
    write!(
        told,
        "=== keys.toml\n{}",
        random.replace_all(&keys, "${1}(random)")
    )
    .unwrap();
    let prices = import::prices(plan);
    if !prices.is_empty() {
        write!(told, "=== prices.toml\n{prices}").unwrap();
    }
    told.push_str("=== secrets\n");
    for (name, secret) in &plan.secrets {
        writeln!(told, "{name}: {}", secret.as_str()).unwrap();
    }
    told
}

/// A gateway that serves the configuration in `folder`, with every provider at `url`.
fn serve(folder: &Path, url: &str) -> server::Gateway {
    let path = folder.join("gateway.toml");
    let mut document: DocumentMut = std::fs::read_to_string(&path).unwrap().parse().unwrap();
    document["server"]["listen"] = value("127.0.0.1:0");
    document["server"]["admin"] = value("127.0.0.1:0");
    if let Some(providers) = document
        .get_mut("providers")
        .and_then(|item| item.as_table_mut())
    {
        for (_, provider) in providers.iter_mut() {
            let provider = provider.as_table_mut().unwrap();
            let kind = Kind::named(provider["kind"].as_str().unwrap()).unwrap();
            let fill = |name: &str| {
                let given = provider.get(name).and_then(|item| item.as_str());
                given
                    .or(kind.placeholder(name).and_then(|blank| blank.default))
                    .map(str::to_owned)
            };
            let own = kind.own_path(&fill).unwrap_or_default();
            let base = provider.get("base_url").and_then(|item| item.as_str());
            let path = base.map_or(own, |base| BaseUrl::parse_exposed(base).unwrap().path);
            if kind.endpoint {
                provider["endpoint"] = value(url);
            } else {
                provider["base_url"] = value(format!("{url}{path}"));
            }
            provider.remove("sni");
        }
    }
    std::fs::write(&path, document.to_string()).unwrap();
    let config = Resolved::load(&path, Purpose::Start).unwrap_or_else(|errors| panic!("{errors}"));
    server::Gateway::start(config, path, std::io::sink()).unwrap()
}

/// Sends the request of a golden file's line, and checks the result.
fn ask(gateway: &server::Gateway, provider: &Provider, line: &str) {
    let (asked, wanted) = line.split_once(" -> ").unwrap();
    let mut parts = asked.split(" | ");
    let (method, path) = parts.next().unwrap().split_once(' ').unwrap();
    let headers: Vec<(&str, &str)> = parts
        .map(|header| header.split_once(": ").unwrap())
        .collect();
    let before = provider.received().len();
    let mut client = Client::connect(gateway.listen()[0]);
    let response = client.request(method, path, &headers, b"{\"inputs\": \"Hi\"}");
    let received = provider.received();
    if let Ok(status) = wanted.parse::<u16>() {
        assert_eq!(response.status, status, "{line}");
        assert_eq!(received.len(), before, "{line}");
        return;
    }
    assert_eq!(response.status, 200, "{line}: {}", response.text());
    let received = received.last().unwrap();
    let mut wanted = wanted.split("; ");
    assert_eq!(
        received.line(),
        format!("{} HTTP/1.1", wanted.next().unwrap()),
        "{line}"
    );
    for header in wanted {
        match (header.strip_prefix('-'), header.split_once(": ")) {
            (Some(gone), _) => assert_eq!(received.count(gone), 0, "{line}: {gone}"),
            (None, Some((name, value))) => {
                assert_eq!(
                    (received.header(name), received.count(name)),
                    (Some(value), 1),
                    "{line}"
                );
            }
            _ => panic!("{line}"),
        }
    }
    // Whatever it was, the client's key stays here.
    for (name, value) in &headers {
        if name.contains("key") {
            assert!(!received.head.contains(value), "{line}");
        }
    }
}

/// Imports the input of a golden file, compares the output, and serves it.
fn golden(path: &Path, read: impl Fn(&[(String, String)]) -> Plan) {
    let before = std::fs::read_to_string(path).unwrap();
    let parts = sections(&before);
    let plan = read(&parts);
    let inputs = [
        "options",
        "environment",
        "manifests",
        "patches",
        "config.yaml",
        "tokens.csv",
        "teams.csv",
        "users.csv",
        "members.csv",
        "asked",
    ];
    let mut whole = String::new();
    for (name, body) in parts
        .iter()
        .filter(|(name, _)| inputs.contains(&name.as_str()))
    {
        write!(whole, "=== {name}\n{body}").unwrap();
    }
    whole += &told(&plan);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &whole).unwrap();
    } else {
        assert_eq!(before, whole, "{}", path.display());
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    import::write(&plan, &out, |_| Ok::<_, std::io::Error>(())).unwrap();
    let accepted = Resolved::load(&out.join("gateway.toml"), Purpose::Start);
    accepted.unwrap_or_else(|errors| panic!("{}: {errors}", path.display()));
    let provider = Provider::start();
    let gateway = serve(&out, &provider.url());
    let asked = section(&parts, "asked");
    assert!(!asked.is_empty(), "{}", path.display());
    for line in asked.lines() {
        ask(&gateway, &provider, line);
    }
}

fn golden_files(prefix: &str) -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/import");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(prefix)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn manifests_of_gloo_and_kgateway_are_imported_and_served() {
    let mut files = golden_files("0");
    files.extend(golden_files("1"));
    files.extend(golden_files("2"));
    files.extend(golden_files("3"));
    files.extend(golden_files("4"));
    assert!(files.len() >= 16);
    for path in files {
        golden(&path, |parts| {
            let manifests = input("manifests", section(parts, "manifests"));
            let patches = input("patches", section(parts, "patches"));
            let open = section(parts, "options").contains("allow-open");
            gloo::read(&manifests, &patches, open)
                .unwrap_or_else(|why| panic!("{}: {why}", path.display()))
        });
    }
}

#[test]
fn a_configuration_of_litellm_is_imported_and_served() {
    let files = golden_files("litellm");
    assert!(!files.is_empty());
    for path in files {
        golden(&path, |parts| {
            let table = |name: &'static str| {
                let text = section(parts, name);
                (!text.is_empty()).then_some((name, text))
            };
            let tables = Tables {
                keys: table("tokens.csv"),
                teams: table("teams.csv"),
                users: table("users.csv"),
                members: table("members.csv"),
            };
            // What is set where the tests run changes nothing.
            let environment = section(parts, "environment");
            let set = |name: &str| {
                let mut lines = environment.lines().filter_map(|line| line.split_once('='));
                lines
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| value.to_owned())
            };
            let config = section(parts, "config.yaml");
            litellm::read_in("config.yaml", config, &tables, &set).unwrap()
        });
    }
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let secret = "kind: Secret\nmetadata: {name: s}\ndata: {Authorization: '%%%'}\n";
    for (manifests, patches, why) in [
        ("a: [1\nb: 2\n", "", "m:2:2: not valid YAML"),
        (
            secret,
            "",
            "Secret s (m:1): data.Authorization: is not base64",
        ),
        (
            "kind: Secret\nmetadata: {name: s}\ndata: {Authorization: /w==}\n",
            "",
            "Secret s (m:1): data.Authorization: is not text",
        ),
        (
            "kind: X\nmetadata: {name: s}\n",
            "kubectl patch secret t -p='[]'",
            "p:1: there is no secret `t` in the files",
        ),
        (
            "kind: X\nmetadata: {name: s}\n",
            "kubectl patch x s -p='[{\"op\":\"remove\",\"path\":\"/a\"}]'",
            "p:1: X s (m:1)",
        ),
        (
            "kind: X\nmetadata: {name: s}\n",
            "- 1\n",
            "p:1: a patch has `target`",
        ),
    ] {
        let said = gloo::read(&input("m", manifests), &input("p", patches), false)
            .err()
            .unwrap()
            .to_string();
        assert!(said.starts_with(why), "{said}\nwanted {why}");
    }
    for (config, keys, why) in [
        ("a: [1\nb: 2\n", None, "c:2:2: not valid YAML"),
        ("[]\n", None, "c: there is no LiteLLM configuration in it"),
        ("a: 1\n", Some("id\n1\n"), "k:1: there is no column `token`"),
        (
            "a: 1\n",
            Some(
                "token,blocked,expires,models,metadata,permissions,team_id,user_id,spend,max_budget,rpm_limit,tpm_limit,max_parallel_requests\n\
                 abc,,,,,,,,,,,,\n",
            ),
            "k:2: `token` is not the SHA-256 of a key",
        ),
    ] {
        let tables = Tables {
            keys: keys.map(|keys| ("k", keys)),
            ..Tables::default()
        };
        let said = litellm::read("c", config, &tables)
            .err()
            .unwrap()
            .to_string();
        assert!(said.starts_with(why), "{said}\nwanted {why}");
    }
}

/// A CSV table without one of its columns.
fn without(table: &str, column: &str) -> String {
    let mut lines = table
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let place = head.iter().position(|name| *name == column).unwrap();
    let rest = |mut line: Vec<&str>| {
        line.remove(place);
        line.join(",") + "\n"
    };
    rest(head.clone()) + &lines.map(rest).collect::<String>()
}

#[test]
fn a_table_of_litellm_that_lacks_a_column_which_closes_keys_is_refused() {
    let digest = "0".repeat(64);
    let keys = format!(
        "token,key_alias,blocked,models,expires,metadata,permissions,team_id,user_id,spend,max_budget,rpm_limit,tpm_limit,max_parallel_requests\n\
         {digest},a,,{{}},,{{}},,t,u,0,,,,\n"
    );
    let teams = "team_id,team_alias,blocked,models,metadata,spend,max_budget,rpm_limit,tpm_limit,max_parallel_requests\n\
                 t,T,f,{},{},0,,,,\n";
    let users = "user_id,user_alias,user_role,models,metadata,spend,max_budget,rpm_limit,tpm_limit,max_parallel_requests\n\
                 u,U,internal_user,{},{},0,,,,\n";
    let members = "user_id,team_id,spend,budget_id\nu,t,3,\n";
    let read_all = |keys: &str, teams: &str, users: &str, members: &str| {
        let tables = Tables {
            keys: Some(("k", keys)),
            teams: Some(("t", teams)),
            users: Some(("u", users)),
            members: Some(("m", members)),
        };
        let plan = litellm::read("c", "a: 1\n", &tables);
        plan.map(|plan| import::keys(&plan).contains("disabled"))
    };
    let read = |keys: &str, teams: &str, users: &str| read_all(keys, teams, users, members);
    assert_eq!(read(&keys, teams, users), Ok(false));
    for column in ["user_id", "team_id", "budget_id"] {
        let said = read_all(&keys, teams, users, &without(members, column))
            .unwrap_err()
            .to_string();
        assert!(
            said.starts_with("m:1") && said.contains(&format!("`{column}`")),
            "{said}"
        );
    }
    for (table, names) in [(&*keys, "k:1"), (teams, "t:1"), (users, "u:1")] {
        let with = |other: &str| {
            let choose = |whole: &str| {
                if whole == table {
                    other.to_owned()
                } else {
                    whole.to_owned()
                }
            };
            read(&choose(&keys), &choose(teams), &choose(users))
        };
        let columns = table.lines().next().unwrap().split(',');
        for column in columns.filter(|name| !name.ends_with("_alias")) {
            let said = with(&without(table, column)).unwrap_err().to_string();
            assert!(
                said.starts_with(names)
                    && said.contains(&format!("`{column}`"))
                    && said.contains("csv header"),
                "{column}: {said}"
            );
        }
    }
    assert!(read(&without(&keys, "key_alias"), teams, users).is_ok());
    assert!(read(&keys, &without(teams, "team_alias"), users).is_ok());
    assert!(read(&keys, teams, &without(users, "user_alias")).is_ok());
    let few = without(&without(&without(&keys, "blocked"), "models"), "expires");
    let said = read(&few, teams, users).unwrap_err().to_string();
    assert!(said.contains("`blocked`, `expires`, `models`"), "{said}");
}

/// The notes about a `LiteLLM` file with these environment variables set.
fn told_of_litellm(config: &str, set: &[&str]) -> String {
    let set = |name: &str| {
        set.contains(&name)
            .then(|| "sk-of-the-environment".to_owned())
    };
    told(&litellm::read_in("c", config, &Tables::default(), &set).unwrap())
}

#[test]
fn a_row_behind_one_of_several_lines_is_said_with_its_own_line() {
    let columns = "token,key_alias,blocked,expires,models,metadata,permissions,team_id,user_id,spend,max_budget,rpm_limit,\
                   tpm_limit,max_parallel_requests\n";
    let digest = "0".repeat(64);
    let keys = format!("{columns}{digest},a,,,,\"{{\n\n}}\",,,,,,,,\nabc,search bot,,,,,,,,,,,,\n");
    let tables = Tables {
        keys: Some(("k", &keys)),
        ..Tables::default()
    };
    let said = litellm::read("c", "a: 1\n", &tables)
        .err()
        .map(|error| error.to_string());
    let wanted =
        "k:5: `token` of the key `search bot` is not the SHA-256 of a key, in hexadecimal digits";
    assert_eq!(said.as_deref(), Some(wanted));
}

#[test]
fn any_model_is_imported_for_the_providers_whose_tokens_are_there() {
    let any = "model_list: [{model_name: '*', litellm_params: {model: '*'}}]\n";
    let told = told_of_litellm(
        any,
        &["GROQ_API_KEY", "TOGETHER_API_KEY", "UNKNOWN_API_KEY"],
    );
    assert!(told.contains("token = \"env:GROQ_API_KEY\""), "{told}");
    assert!(told.contains("token = \"env:TOGETHER_API_KEY\""), "{told}");
    assert_eq!(told.matches("[[routes]]").count(), 2, "{told}");
    // Where one of them may go elsewhere, that one is left out, and said.
    let told = told_of_litellm(any, &["GROQ_API_KEY", "GROQ_API_BASE", "XAI_API_KEY"]);
    assert_eq!(told.matches("[[routes]]").count(), 1, "{told}");
    assert!(
        told.contains("model `*` (c:1): litellm_params: `groq/*`: GROQ_API_BASE is set here"),
        "{told}"
    );
    let told = told_of_litellm(any, &[]);
    assert!(
        !told.contains("[[routes]]") && told.contains("here there is none: set the variables"),
        "{told}"
    );
}

#[test]
fn the_command_writes_what_it_says_and_nothing_over_anything() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let parts = sections(&std::fs::read_to_string(golden_files("03").remove(0)).unwrap());
    std::fs::write(at("in.yaml"), section(&parts, "manifests")).unwrap();
    let (manifests, out) = (at("in.yaml"), at("out"));
    let import = ["import", "gloo", &manifests, "--out", &out];
    let strict = keygate(&[&import[..], &["--strict"]].concat());
    assert_eq!(strict.status.code(), Some(1));
    assert!(text(&strict.stderr).contains("nothing was written (--strict)"));
    assert!(!folder.path().join("out").exists());
    let done = keygate(&import);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(
        text(&done.stdout).contains("4 routes, 2 providers, 2 keys, 2 secrets"),
        "{}",
        text(&done.stdout)
    );
    assert!(
        text(&done.stderr).contains("not carried over: HTTPRoute gloo-system/llm ("),
        "{}",
        text(&done.stderr)
    );
    let config = std::fs::read_to_string(folder.path().join("out/gateway.toml")).unwrap();
    assert!(!config.contains("sk-azure") && !config.contains("sk-gemini"));
    let mode = |name: &str| {
        let about = std::fs::metadata(folder.path().join(name)).unwrap();
        std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o777
    };
    assert_eq!(
        (
            mode("out"),
            mode("out/gateway.toml"),
            mode("out/keys.toml"),
            mode("out/secrets"),
            mode("out/secrets/azure-token")
        ),
        (0o700, 0o600, 0o600, 0o700, 0o600)
    );
    let again = keygate(&import);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("is there already: nothing was written"));
    let check = keygate(&["check", "--config", &at("out/gateway.toml")]);
    assert!(check.status.success());
}

/// Texts for the fields of generated manifests, valid and invalid.
const TEXTS: [&str; 16] = [
    "a",
    "b",
    "openai",
    "/openai",
    "/a/../b",
    "/",
    "",
    "*",
    "a.example.com",
    "a b",
    "x-api-key",
    "authorization",
    "Bearer {{ a }}",
    "{{ header(\"x\") }}",
    "host",
    "2025-01-01",
];

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c"])
}

fn any_text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&TEXTS[..])
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A manifest of any kind, with optional fields.
fn manifest() -> impl Strategy<Value = String> {
    let head = |kind: &'static str| {
        (name(), name()).prop_map(move |(name, label)| {
            format!("kind: {kind}\nmetadata: {{name: {name}, labels: {{l: {label}}}}}\n")
        })
    };
    let secret =
        (head("Secret"), any::<bool>(), any_text(), any_text()).prop_map(|(head, key, a, b)| {
            let (a, b) = (quoted(a), quoted(b));
            let kind = if key {
                "type: extauth.solo.io/apikey\n"
            } else {
                ""
            };
            format!("{head}{kind}stringData: {{Authorization: {a}, api-key: {b}, a: {a}}}\n")
        });
    let kinds = prop::sample::select(vec![
        "openai",
        "azureOpenai",
        "anthropic",
        "gemini",
        "mistral",
        "bedrock",
    ]);
    let upstream = (head("Upstream"), kinds, name(), any_text(), any_text(), 0..4usize).prop_map(
        |(head, kind, secret, a, b, host)| {
            let (a, b) = (quoted(a), quoted(b));
            let host = ["", "customHost: {host: 10.0.0.1, port: 80}, ", "customHost: {host: a b}, ", "customHost: {host: llm.test, port: 8443}, "][host];
            format!("{head}spec: {{ai: {{{kind}: {{{host}endpoint: {a}, deploymentName: {b}, apiVersion: {a}, model: {b}, authToken: {{secretRef: {{name: {secret}}}}}}}}}}}\n")
        },
    );
    let fixed = (head("Upstream"), any_text(), 0..70_000u32).prop_map(|(head, host, port)| {
        format!(
            "{head}spec: {{static: {{hosts: [{{addr: {}, port: {port}}}]}}}}\n",
            quoted(host)
        )
    });
    let route = (head("HTTPRoute"), any_text(), any_text(), name(), any_text()).prop_map(|(head, host, path, to, value)| {
        let (host, path, value) = (quoted(host), quoted(path), quoted(value));
        format!("{head}spec: {{hostnames: [{host}], rules: [{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{{kind: Upstream, name: {to}}}], filters: [{{type: URLRewrite, urlRewrite: {{path: {{replacePrefixMatch: {value}}}}}}}, {{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: {value}, value: {value}}}]}}}}]}}]}}\n")
    });
    let table = (head("RouteTable"), any_text(), any_text(), name(), name()).prop_map(|(head, path, rewrite, to, label)| {
        let (path, rewrite) = (quoted(path), quoted(rewrite));
        format!("{head}spec: {{http: [{{name: {path}, labels: {{l: {label}}}, matchers: [{{uri: {{prefix: {path}}}}}], forwardTo: {{pathRewrite: {rewrite}, destinations: [{{ref: {{name: {to}}}}}]}}}}]}}\n")
    });
    let auth = (head("ExtAuthPolicy"), name(), any_text(), any_text(), name()).prop_map(|(head, route, header, from, label)| {
        let (header, from) = (quoted(header), quoted(from));
        format!("{head}spec: {{applyToRoutes: [{{route: {{labels: {{l: {route}}}}}}}], config: {{glooAuth: {{configs: [{{apiKeyAuth: {{headerName: {header}, k8sSecretApikeyStorage: {{labelSelector: {{l: {label}}}}}, headersFromMetadataEntry: {{{header}: {{name: {from}}}}}}}}}]}}}}}}\n")
    });
    let change = (head("TransformationPolicy"), name(), any_text(), any_text(), any_text()).prop_map(|(head, route, header, value, regex)| {
        let (header, value, regex) = (quoted(header), quoted(value), quoted(regex));
        format!("{head}spec: {{applyToRoutes: [{{route: {{labels: {{l: {route}}}}}}}], config: {{request: {{injaTemplate: {{headers: {{{header}: {{text: {value}}}}}, extractors: {{a: {{header: {header}, regex: {regex}}}}}}}}}}}}}\n")
    });
    prop_oneof![secret, upstream, fixed, route, table, auth, change]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn check_accepts_what_an_import_wrote(manifests in prop::collection::vec(manifest(), 1..12)) {
        let text = manifests.join("---\n");
        let plan = gloo::read(&input("m", &text), &[], false);
        let plan = plan.map_err(|why| TestCaseError::fail(format!("{why}\n{text}")))?;
        prop_assert!(!import::gateway(&plan).contains("auth = \"none\""), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        import::write(&plan, &out, |_| Ok::<_, std::io::Error>(())).unwrap();
        let loaded = Resolved::load(&out.join("gateway.toml"), Purpose::Start);
        if let Err(errors) = loaded {
            prop_assert!(false, "{errors}\n{text}\n{}", import::gateway(&plan));
        }
    }
}
