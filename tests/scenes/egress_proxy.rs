//! Providers behind an HTTP proxy: tunnels by CONNECT, TLS with the provider only, and errors without a tunnel.

use std::net::SocketAddr;

use keygate::testing::config::{Purpose, Resolved};

use crate::support::command::{keygate_for, text};
use crate::support::gateway::simple;
use crate::support::http2::Http2Provider;
use crate::support::provider::ok;
use crate::support::tls::{Authority, provider};
use crate::support::{ConnectProxy, Gateway, KEY, Provider, Scene, eventually};

/// A name that no resolver knows: only the proxy can connect to it.
const URL: &str = "https://api.provider.test";

fn tls_provider(authority: &Authority, name: &str) -> Provider {
    provider(authority.server(name, &[]), |_, wire| {
        ok(wire, b"{\"ok\":true}");
    })
}

fn scene(authority: &Authority, server: &str, provider: &str) -> Scene {
    let scene = Scene::new("").key("alice", "secret", "");
    scene.write("ca.pem", &authority.pem);
    let provider = format!("ca = \"ca.pem\"\n{provider}");
    scene.configure(server, &simple(URL, &provider, ""));
    scene
}

/// A gateway whose provider is reached through `proxy`.
fn gateway(authority: &Authority, proxy: &ConnectProxy, more: &str) -> Gateway {
    let more = format!("proxy = \"{}\"\n{more}", proxy.url());
    scene(authority, "", &more).start()
}

fn addresses(provider: SocketAddr) -> [(&'static str, SocketAddr); 1] {
    [("api.provider.test:443", provider)]
}

#[test]
fn requests_go_through_kept_tunnels_to_a_name_that_the_proxy_alone_knows() {
    let authority = Authority::new();
    let provider = tls_provider(&authority, "api.provider.test");
    let proxy = ConnectProxy::start(&addresses(provider.address()));
    let gateway = gateway(&authority, &proxy, "");
    let mut client = gateway.client();
    for _ in 0..100 {
        let response = client.request("POST", "/p", &KEY, b"{\"model\":\"canary\"}");
        assert_eq!((response.status, response.text()), (200, "{\"ok\":true}"));
    }
    assert_eq!(provider.received().len(), 100);
    assert_eq!(provider.last().header("host"), Some("api.provider.test"));
    assert_eq!(provider.last().count("proxy-authorization"), 0);
    // Pingora returns a connection to the pool in a task of its own: if that is late, the next request opens another one.
    let requested = proxy.requested();
    assert!(requested.len() <= 5, "{}", requested.len());
    let wanted = "CONNECT api.provider.test:443 HTTP/1.1\r\nHost: api.provider.test:443\r\n\r\n";
    assert!(requested.iter().all(|head| head == wanted), "{requested:?}");
    // The tunnel carries TLS: nothing of the request is readable.
    let passed = proxy.tunneled();
    assert!(passed.starts_with(&[0x16, 3]), "a handshake");
    for secret in ["provider-token", "canary", "secret"] {
        let found = passed
            .windows(secret.len())
            .any(|at| at == secret.as_bytes());
        assert!(!found, "{secret}");
    }
    let status = gateway.admin("/status");
    let shown = format!("\"proxy\":\"{}\"", proxy.address());
    assert!(
        status.text().replace(": ", ":").contains(&shown),
        "{}",
        status.text()
    );
}

#[test]
fn the_providers_certificate_is_verified_wherever_the_proxy_connects() {
    let (authority, other) = (Authority::new(), Authority::new());
    for impostor in [
        tls_provider(&authority, "elsewhere.test"),
        tls_provider(&other, "api.provider.test"),
        // Without TLS.
        Provider::start(),
    ] {
        let proxy = ConnectProxy::start(&addresses(impostor.address()));
        let gateway = gateway(&authority, &proxy, "timeouts.connect = \"2s\"");
        let refused = gateway.request("POST", "/p", &KEY, b"{}");
        assert!([502, 504].contains(&refused.status), "{}", refused.status);
        assert!(impostor.received().is_empty());
        let passed = proxy.tunneled();
        let token = b"provider-token";
        assert!(!passed.windows(token.len()).any(|at| at == token));
    }
}

#[test]
fn credentials_go_to_the_proxy_only() {
    let authority = Authority::new();
    let provider = tls_provider(&authority, "api.provider.test");
    let proxy = ConnectProxy::requiring("Basic dXNlcjpwYXNz", &addresses(provider.address()));
    let scene = scene(
        &authority,
        "",
        &format!(
            "proxy = \"{}\"\nproxy_token = \"file:proxy-token\"",
            proxy.url()
        ),
    );
    scene.write("proxy-token", "user:pass\n");
    assert_eq!(scene.problems(), "");
    let gateway = scene.start();
    assert_eq!(gateway.request("POST", "/p", &KEY, b"{}").status, 200);
    let received = provider.only().head;
    assert!(!received.contains("dXNlcjpwYXNz") && !received.to_lowercase().contains("proxy-"));
    let shown = format!(
        "{}{}",
        gateway.admin("/status").text(),
        gateway.admin("/metrics").text()
    );
    assert!(!shown.contains("dXNlcjpwYXNz") && !shown.contains("user:pass"));
    // Another token needs another connection, from the next request on.
    let generation = gateway.running.live().snapshot().rules.generation;
    gateway.scene.write("proxy-token", "user:wrong");
    gateway.wait_for_generation(generation + 1);
    let refused = gateway.request("POST", "/p", &KEY, b"{}");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (502, "provider_unreachable")
    );
    assert_eq!(provider.received().len(), 1);
}

#[test]
fn a_proxy_that_opens_no_tunnel_is_502_or_504() {
    let authority = Authority::new();
    for (response, status, tries) in [
        (
            "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n",
            502,
            1,
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno!!",
            502,
            1,
        ),
        ("HTTP/1.1 503 Later\r\n\r\n", 502, 2),
        ("SSH-2.0-OpenSSH_9.2\r\n", 502, 1),
        ("HTTP/1.1 200 OK\r\n\r\nsurplus", 502, 1),
        ("", 504, 2),
    ] {
        let proxy = ConnectProxy::responding(response);
        let gateway = gateway(&authority, &proxy, "timeouts.connect = \"300ms\"");
        let refused = gateway.request("POST", "/p", &KEY, b"{}");
        assert_eq!(refused.status, status, "{response}");
        assert!(
            refused.code().starts_with("provider_"),
            "{}",
            refused.text()
        );
        assert!(!refused.text().contains("proxy"), "{}", refused.text());
        assert_eq!(proxy.requested().len(), tries, "{response}");
    }
}

#[test]
fn a_tunnel_of_one_provider_is_never_used_for_another() {
    let authority = Authority::new();
    // Both have the same certificate: only the tunnels distinguish them.
    let server = |body: &'static str| {
        provider(authority.server("shared.test", &[]), move |_, wire| {
            ok(wire, body.as_bytes());
        })
    };
    let (one, two) = (server("one"), server("two"));
    let proxy = ConnectProxy::start(&[
        ("one.test:443", one.address()),
        ("one.test:8443", two.address()),
    ]);
    let part = |name: &str, url: &str| {
        format!(
            "[providers.{name}]\nkind = \"custom\"\nbase_url = \"{url}\"\ntoken = \"inline:{name}\"\nca = \"ca.pem\"\n\
             sni = \"shared.test\"\n[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nprovider = \"{name}\"\n"
        )
    };
    let scene = Scene::new("").key("alice", "secret", "");
    scene.write("ca.pem", &authority.pem);
    let rest = part("one", "https://one.test") + &part("two", "https://one.test:8443");
    scene.configure(&format!("server.proxy = \"{}\"", proxy.url()), &rest);
    let gateway = scene.start();
    let mut client = gateway.client();
    for _ in 0..20 {
        for name in ["one", "two"] {
            let response = client.request("POST", &format!("/{name}"), &KEY, b"{}");
            assert_eq!((response.status, response.text()), (200, name));
        }
    }
    let token = |provider: &Provider| provider.last().header("authorization").map(str::to_owned);
    assert_eq!(token(&one).as_deref(), Some("Bearer one"));
    assert_eq!(token(&two).as_deref(), Some("Bearer two"));
}

#[test]
fn http2_goes_through_one_tunnel() {
    let authority = Authority::new();
    let provider = Http2Provider::start(Some(authority.server("api.provider.test", &["h2"])));
    let proxy = ConnectProxy::start(&addresses(provider.address));
    let gateway = gateway(&authority, &proxy, "http = \"2\"");
    let mut client = gateway.client();
    for _ in 0..20 {
        assert_eq!(client.request("POST", "/p", &KEY, b"{}").status, 200);
    }
    assert_eq!(
        (provider.received().len(), proxy.requested().len()),
        (20, 1)
    );
}

#[test]
fn an_unreachable_address_of_the_proxy_is_left_out_but_not_for_a_failed_provider() {
    let authority = Authority::new();
    let provider = tls_provider(&authority, "api.provider.test");
    let proxy = ConnectProxy::start(&addresses(provider.address()));
    let gateway = gateway(&authority, &proxy, "");
    let snapshot = gateway.running.live().snapshot();
    let addresses = snapshot.rules.providers[0].endpoint.addresses();
    let dead = SocketAddr::from(([127, 0, 0, 2], proxy.address().port()));
    addresses.learn(vec![dead, proxy.address()]);
    for _ in 0..6 {
        assert_eq!(gateway.request("POST", "/p", &KEY, b"{}").status, 200);
    }
    assert_eq!(addresses.pick(0, &[]), Some(proxy.address()));
    assert_eq!(addresses.pick(1, &[]), Some(proxy.address()));

    // A proxy address that cannot reach the provider stays in use, for it may reach others; the request uses the next one.
    let lost = ConnectProxy::start(&[]);
    let gateway = self::gateway(&authority, &lost, "");
    let snapshot = gateway.running.live().snapshot();
    let addresses = snapshot.rules.providers[0].endpoint.addresses();
    addresses.learn(vec![lost.address(), proxy.address()]);
    eventually("a request by the proxy without a provider", || {
        assert_eq!(gateway.request("POST", "/p", &KEY, b"{}").status, 200);
        !lost.requested().is_empty()
    });
    let turns = [addresses.pick(0, &[]), addresses.pick(1, &[])];
    assert_eq!(turns, [Some(lost.address()), Some(proxy.address())]);
}

#[test]
fn the_servers_proxy_is_the_default_for_https_providers() {
    let authority = Authority::new();
    let (near, direct) = (Provider::start(), tls_provider(&authority, "localhost"));
    let proxy = ConnectProxy::start(&[]);
    let scene = Scene::new("").key("alice", "secret", "");
    scene.write("ca.pem", &authority.pem);
    let part = |name: &str, url: &str, more: &str| {
        format!(
            "[providers.{name}]\nkind = \"custom\"\nbase_url = \"{url}\"\ntoken = \"none\"\n{more}\n\
             [[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nprovider = \"{name}\"\n"
        )
    };
    let https = format!("https://localhost:{}", direct.address().port());
    let rest = part("near", &near.url(), "")
        + &part("direct", &https, "ca = \"ca.pem\"\nproxy = \"none\"")
        + &part("through", &https, "ca = \"ca.pem\"");
    scene.configure(&format!("server.proxy = \"{}\"", proxy.url()), &rest);
    let gateway = scene.start();
    let status = |path: &str| gateway.request("POST", path, &KEY, b"{}").status;
    assert_eq!(
        (status("/near"), status("/direct"), status("/through")),
        (200, 200, 502)
    );
    assert!(
        proxy
            .requested()
            .iter()
            .all(|head| head.starts_with("CONNECT localhost:"))
    );
}

#[test]
fn problems_of_a_proxy_are_reported_with_line_and_remedy_without_credentials() {
    let with = |server: &str, more: &str| {
        let scene = Scene::new("").key("alice", "secret", "");
        scene.configure(server, &simple(URL, more, ""));
        scene.problems()
    };
    for (server, more, expected) in [
        (
            "",
            "proxy = \"http://u:canary@p:1\"",
            "gateway.toml:8: providers.p.proxy has credentials in it: they belong in `proxy_token`",
        ),
        (
            "",
            "proxy = \"p:3128\"",
            "providers.p.proxy is no proxy such as http://",
        ),
        ("", "proxy = \"http://p\"", "providers.p.proxy has no port"),
        (
            "",
            "proxy = \"https://p:1\"",
            "providers.p.proxy begins with https://",
        ),
        (
            "",
            "proxy = \"socks5://p:1\"",
            "providers.p.proxy is a SOCKS proxy",
        ),
        (
            "",
            "proxy = \"http://169.254.169.254:80\"",
            "providers.p.proxy leads to 169.254.169.254",
        ),
        (
            "",
            "proxy_token = \"inline:u:canary\"",
            "providers.p.proxy_token is for a `proxy`, which providers.p does not name",
        ),
        (
            "",
            "proxy = \"http://p:1\"\nproxy_token = \"u:canary\"",
            "providers.p.proxy_token: a secret is never written here",
        ),
        (
            "",
            "proxy = \"http://p:1\"\nproxy_token = \"inline:canary\"",
            "providers.p.proxy_token is neither `user:password` nor",
        ),
        (
            "",
            "proxy = \"http://p:1\"\nproxy_token = \"env:KEYGATE_NOT_SET\"",
            "providers.p.proxy_token: environment variable KEYGATE_NOT_SET is not set",
        ),
        (
            "",
            "proxy = \"http://p:1\"\nproxy_token = \"inline:'u:canary'\"",
            "warning: providers.p.proxy_token: inline:(hidden) begins or ends with a quotation mark",
        ),
        (
            "server.proxy = \"ftp://p:1\"",
            "",
            "gateway.toml:3: server.proxy is no proxy such as",
        ),
    ] {
        let found = with(server, more);
        assert!(
            found.contains(expected) && !found.contains("canary"),
            "{expected}: {found}"
        );
    }
    let plain = simple("http://10.0.0.1", "proxy = \"http://p:1\"", "");
    let found = Scene::new(&plain).key("alice", "secret", "").problems();
    assert!(
        found.contains("providers.p.proxy: http://10.0.0.1 is not encrypted"),
        "{found}"
    );
    assert_eq!(with("server.proxy = \"http://proxy.corp:3128\"", ""), "");
}

#[test]
fn an_invalid_proxy_token_does_not_bypass_the_proxy() {
    for token in ["env:KEYGATE_NOT_SET", "inline:canary", "file:nowhere"] {
        let server = "server.proxy = \"http://proxy.corp:3128\"\nserver.proxy_token = ";
        let scene = Scene::new("").key("alice", "secret", "");
        scene.configure(&format!("{server}\"{token}\""), &simple(URL, "", ""));
        let path = scene.path("gateway.toml");
        assert!(Resolved::load(&path, Purpose::Start).is_err(), "{token}");
        // A reload accepts the rest of the configuration, which may revoke a key.
        let reloaded = Resolved::load(&path, Purpose::Reload).unwrap();
        let proxy = reloaded.providers[0]
            .proxy
            .as_ref()
            .map(ToString::to_string);
        assert_eq!(proxy.as_deref(), Some("proxy.corp:3128"), "{token}");
    }
}

#[test]
fn the_proxy_of_the_environment_is_used_if_configured() {
    let authority = Authority::new();
    let provider = tls_provider(&authority, "api.provider.test");
    let proxy = ConnectProxy::requiring("Basic dXNlcjpwYXNz", &addresses(provider.address()));
    let doctor = |scene: &Scene, variables: &[(&str, &str)]| {
        let config = scene.path("gateway.toml").display().to_string();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_keygate"))
            .args(["doctor", "--config", &config])
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        text(&output.stdout).to_owned()
    };
    let url = format!("http://user:pass@{}", proxy.address());
    let by_environment = scene(&authority, "server.proxy = \"env\"", "");
    let found = doctor(&by_environment, &[("https_proxy", &url)]);
    let through = format!(
        "there is a tunnel to api.provider.test:443 through {}",
        proxy.address()
    );
    assert!(found.contains(&through), "{found}");
    assert!(!found.contains("pass"), "{found}");
    // Without the setting, or if NO_PROXY names the host, the gateway resolves the host's own addresses.
    let direct = scene(&authority, "", "");
    let exempt = [("https_proxy", &*url), ("NO_PROXY", "provider.test")];
    for found in [
        doctor(&direct, &[("https_proxy", &url)]),
        doctor(&by_environment, &exempt),
    ] {
        assert!(
            found.contains("api.provider.test cannot be resolved"),
            "{found}"
        );
    }
    let wrong = format!("http://user:other@{}", proxy.address());
    let found = doctor(&by_environment, &[("https_proxy", &wrong)]);
    assert!(
        found.contains("(407): it does not take those that it was given"),
        "{found}"
    );
    assert_eq!(proxy.requested().len(), 2);
    let named = scene(&authority, "", "proxy = \"http://proxy.corp:3128\"");
    let request = ["explain", "POST", "/p", "-H", "api-key: secret"];
    let explained = keygate_for(&named, &request);
    let shown = "https://api.provider.test through the proxy proxy.corp:3128";
    assert!(
        text(&explained.stdout).contains(shown),
        "{}",
        text(&explained.stdout)
    );
    let check = keygate_for(&by_environment, &["check"]);
    assert!(check.status.success(), "{}", text(&check.stderr));
}
