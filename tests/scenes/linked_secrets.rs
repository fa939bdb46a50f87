//! Secrets whose files are symbolic links, as certbot and tools for secrets create them: they are followed if no other
//! user could have created them, and renewed without a restart.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::gateway::simple;
use crate::support::tls::{Authority, client_config, post};
use crate::support::{Provider, Scene, eventually};

/// Writes the `nth` pair for `name` into certbot's archive, and points the links in `live` to it, as certbot does.
fn renew(scene: &Scene, authority: &Authority, name: &str, nth: u32) {
    let (certificate, key) = authority.certificate(name);
    fs::create_dir_all(scene.path("archive/x")).unwrap();
    fs::create_dir_all(scene.path("live/x")).unwrap();
    for (what, text) in [("fullchain", certificate), ("privkey", key)] {
        scene.write(&format!("archive/x/{what}{nth}.pem"), &text);
        let (link, beside) = (format!("live/x/{what}.pem"), scene.path("live/x/new"));
        symlink(format!("../../archive/x/{what}{nth}.pem"), &beside).unwrap();
        fs::rename(beside, scene.path(&link)).unwrap();
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

const TLS: &str =
    "server.tls = { certificate = \"live/x/fullchain.pem\", key = \"file:live/x/privkey.pem\" }";

#[test]
fn links_of_certbot_are_followed_and_a_renewal_is_loaded() {
    let (provider, authority) = (Provider::start(), Authority::new());
    let scene = Scene::new("").key("alice", "secret", "");
    renew(&scene, &authority, "gateway.test", 1);
    scene.configure(TLS, &simple(&provider.url(), "", ""));
    assert_eq!(scene.problems(), "");
    let gateway = scene.start();
    let config = client_config(&authority, None, &[]);
    let response = post(gateway.address(), &config, "gateway.test").unwrap();
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    renew(&gateway.scene, &authority, "renewed.test", 2);
    eventually("the renewed certificate", || {
        post(gateway.address(), &config, "renewed.test").is_ok()
    });
}

#[test]
fn the_hook_for_certbot_installs_the_renewed_certificate() {
    let (provider, authority) = (Provider::start(), Authority::new());
    let scene = Scene::new("").key("alice", "secret", "");
    let run_hook = |scene: &Scene| {
        let user = rustix::process::geteuid().as_raw().to_string();
        let ran = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/conf/certbot-hook"))
            .env("RENEWED_LINEAGE", scene.path("live/x"))
            .env("KEYGATE_TLS", scene.path("tls"))
            .env("KEYGATE_USER", user)
            .status();
        assert!(ran.unwrap().success());
    };
    renew(&scene, &authority, "gateway.test", 1);
    run_hook(&scene);
    let tls =
        "server.tls = { certificate = \"tls/fullchain.pem\", key = \"file:tls/privkey.pem\" }";
    scene.configure(tls, &simple(&provider.url(), "", ""));
    assert_eq!(scene.problems(), "");
    let gateway = scene.start();
    let config = client_config(&authority, None, &[]);
    assert!(post(gateway.address(), &config, "gateway.test").is_ok());
    renew(&gateway.scene, &authority, "renewed.test", 2);
    run_hook(&gateway.scene);
    eventually("the renewed certificate", || {
        post(gateway.address(), &config, "renewed.test").is_ok()
    });
}

#[test]
fn a_link_that_other_users_could_have_made_is_refused_with_its_folder_and_a_remedy() {
    let (provider, authority) = (Provider::start(), Authority::new());
    let scene = Scene::new("").key("alice", "secret", "");
    renew(&scene, &authority, "gateway.test", 1);
    scene.configure(TLS, &simple(&provider.url(), "", ""));
    for folder in ["live/x", "live", "archive/x", "archive"] {
        for bits in [0o777, 0o775] {
            mode(&scene.path(folder), bits);
            let found = scene.problems();
            assert!(
                found.contains("privkey.pem leads through the folder")
                    && found.contains(&format!("{folder}, which others can write"))
                    && found.contains("chmod go-w"),
                "{folder}: {found}"
            );
            mode(&scene.path(folder), 0o755);
        }
    }
    assert_eq!(scene.problems(), "");
    // The target must meet the same conditions as a file that is no link.
    mode(&scene.path("archive/x/privkey1.pem"), 0o644);
    assert!(
        scene
            .problems()
            .contains("can be read by others (mode 0644)")
    );
}

#[test]
fn a_token_file_that_is_a_link_is_followed_and_a_key_file_is_not() {
    let rest = simple("https://api.example.com/v1", "", "");
    let scene =
        Scene::new(&rest.replace("inline:provider-token", "file:token")).key("alice", "secret", "");
    fs::create_dir(scene.path("run")).unwrap();
    scene.write("run/token", "sk-1");
    symlink("run/token", scene.path("second")).unwrap();
    symlink("second", scene.path("token")).unwrap();
    assert_eq!(scene.problems(), "");
    // A circle of links, and a dangling link.
    fs::remove_file(scene.path("second")).unwrap();
    symlink("token", scene.path("second")).unwrap();
    assert!(
        scene
            .problems()
            .contains("leads through too many symbolic links")
    );
    fs::remove_file(scene.path("second")).unwrap();
    assert!(scene.problems().contains("is not there"));
    fs::rename(scene.path("keys.toml"), scene.path("real.toml")).unwrap();
    symlink("real.toml", scene.path("keys.toml")).unwrap();
    assert!(scene.problems().contains("is a symbolic link"));
}
