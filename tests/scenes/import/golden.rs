//! Golden files `tests/import/*.golden`: each contains the input of an import, the expected output, and requests to the
//! gateway that serves it. UPDATE_GOLDEN=1 rewrites the output.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use keygate::testing::config::{Purpose, Resolved};
use keygate::testing::import::Plan;
use keygate::testing::import::gloo;
use keygate::testing::import::litellm::{self, Tables};
use keygate::testing::origin::BaseUrl;
use keygate::testing::provider::Kind;
use keygate::testing::server;
use toml_edit::{DocumentMut, value};

use super::{input, section, sections, summary, variable, write_and_load};
use crate::support::{Client, Provider};

/// A gateway that serves the configuration at `path`, with every provider at `url`.
fn serve(path: PathBuf, url: &str) -> server::Gateway {
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
fn check_request(gateway: &server::Gateway, provider: &Provider, line: &str) {
    let (request, wanted) = line.split_once(" -> ").unwrap();
    let mut parts = request.split(" | ");
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
    // In every case, the client's key is not forwarded.
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
        "requests",
    ];
    let mut whole = String::new();
    for (name, body) in parts
        .iter()
        .filter(|(name, _)| inputs.contains(&name.as_str()))
    {
        write!(whole, "=== {name}\n{body}").unwrap();
    }
    whole += &summary(&plan);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &whole).unwrap();
    } else {
        assert_eq!(before, whole, "{}", path.display());
    }
    let folder = tempfile::tempdir().unwrap();
    let (config, loaded) = write_and_load(&plan, folder.path());
    loaded.unwrap_or_else(|errors| panic!("{}: {errors}", path.display()));
    let provider = Provider::start();
    let gateway = serve(config, &provider.url());
    let requests = section(&parts, "requests");
    assert!(!requests.is_empty(), "{}", path.display());
    for line in requests.lines() {
        check_request(&gateway, &provider, line);
    }
}

/// The golden files whose names start with `prefix`, in the order of their names.
pub(super) fn golden_files(prefix: &str) -> Vec<PathBuf> {
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
            let set = |name: &str| variable(section(parts, "environment"), name);
            let config = section(parts, "config.yaml");
            litellm::read_in("config.yaml", config, &tables, &set).unwrap()
        });
    }
}
