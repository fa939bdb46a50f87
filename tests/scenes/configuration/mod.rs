//! Configurations that `check` refuses or warns of, and the examples in `conf`, which load.

mod limits;
mod mistakes;

use keygate::testing::config::{Purpose, Resolved};

use crate::support::Scene;
use crate::support::gateway::simple;

const URL: &str = "https://api.example.com/v1";

/// The output of `check` for a configuration with one key, without the name of its folder.
fn problems(rest: &str) -> String {
    let scene = Scene::new(rest).key("alice", "secret", "labels = { team = \"a\" }");
    let folder = format!("{}/", scene.folder.path().display());
    scene.problems().replace(&folder, "")
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_their_lines() {
    let found = problems(
        "[serve]\n[providers.p]\nkind = \"x\"\ntoken = \"abc\"\n[[routes]]\nname = \"r\"\n",
    );
    let lines: Vec<usize> = found
        .lines()
        .map(|line| line.split(':').nth(1).unwrap().parse().unwrap())
        .collect();
    assert!(lines.len() >= 5, "{found}");
    assert!(lines.is_sorted(), "{found}");
}

#[test]
fn invalid_values_of_strip_headers_and_admin_hosts_are_reported() {
    let with = |setting: &str| {
        let scene = Scene::new("");
        scene.write("gateway.toml", &format!("[server]\n{setting}\n"));
        scene.problems()
    };
    for (setting, expected) in [
        (
            "strip_headers = \"*\"",
            "`*` is neither the name of a header nor a prefix of one",
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
        let found = with(setting);
        assert!(found.contains("gateway.toml:2: "), "{found}");
        assert!(
            found.contains(expected),
            "wanted\n  {expected}\ngot\n{found}"
        );
    }
    for setting in [
        "strip_headers = [\"X-Corp-*\", \"x-id\"]",
        "admin_hosts = [\"Keygate.svc.\", \"vm-1\"]",
    ] {
        let found = with(setting);
        assert!(!found.contains("gateway.toml:2"), "{found}");
    }
}

#[test]
fn invalid_listen_addresses_and_a_public_admin_address_are_refused() {
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
        let found = with("\"127.0.0.1:0\"", public);
        assert!(
            found.contains("gateway.toml:3: server.admin takes requests without a key"),
            "{public}: {found}"
        );
    }
    let found = with("[\"127.0.0.1:1\", \"127.0.0.1:9\"]", "127.0.0.1:9");
    let both = "gateway.toml:3: server.listen and server.admin are both 127.0.0.1:9";
    assert!(found.contains(both), "{found}");
    for private in ["127.0.0.1:9", "10.0.0.1:9", "[::1]:9", "[fd00::1]:9"] {
        assert!(
            !with("[\"127.0.0.1:0\", \"[::1]:0\"]", private).contains("server."),
            "{private}"
        );
    }
}

#[test]
fn a_missing_file_and_a_key_without_its_metadata_are_reported() {
    let missing = Resolved::load(
        std::path::Path::new("/nowhere/gateway.toml"),
        Purpose::Start,
    );
    let found = missing.err().unwrap().to_string();
    assert_eq!(found, "/nowhere/gateway.toml: is not there");
    let found = problems(&simple(URL, "", "").replace("inline:provider-token", "key:own-token"));
    assert!(
        found.contains(
            "warning: the route `r` sends each key's own `own-token`, which alice has not"
        ),
        "{found}"
    );
}

#[test]
fn files_that_are_not_private_are_refused_with_a_remedy() {
    let rest = simple(URL, "", "").replace("inline:provider-token", "file:token");
    let scene = Scene::new(&rest).key("alice", "secret", "");
    scene.write("token", "sk-1");
    let mode = |name: &str, mode: u32| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(scene.path(name), mode).unwrap();
    };
    assert_eq!(scene.problems(), "");
    for name in ["keys.toml", "token"] {
        for (bits, expected) in [
            (0o644, "can be read by others (mode 0644): chmod 600 "),
            (0o604, "can be read by others (mode 0604): chmod 600 "),
            (0o620, "can be written by others (mode 0620): chmod 600 "),
            (0o602, "can be written by others (mode 0602): chmod 600 "),
        ] {
            mode(name, bits);
            let found = scene.problems();
            assert!(found.contains(name) && found.contains(expected), "{found}");
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
        let found = scene.problems();
        let refused = found.contains("is a symbolic link");
        assert_eq!(refused, name == "keys.toml", "{found}");
        std::fs::rename(&real, scene.path(name)).unwrap();
    }
    // A reload accepts the file with a warning, because it may revoke a key.
    mode("keys.toml", 0o644);
    let config = Resolved::load(&scene.path("gateway.toml"), Purpose::Reload);
    assert_eq!(config.ok().unwrap().warnings.len(), 1);
}

#[test]
fn every_file_in_conf_loads() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/conf");
    // The files are copied with private modes, because git does not store modes.
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
fn the_commented_settings_of_the_example_are_the_defaults() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/gateway.toml");
    let text = std::fs::read_to_string(path).unwrap();
    // Every line that is commented out as `#key = value` is a setting with its default.
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
    // Only here, the configuration with the setting differs from the one without.
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
}
