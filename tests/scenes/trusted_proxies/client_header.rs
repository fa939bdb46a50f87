//! A header such as `X-Forwarded-For` names the client of each request.

use super::*;

#[test]
fn a_trusted_header_names_the_client_from_its_end_and_goes_to_no_provider() {
    let provider = Provider::start();
    let mut requested = 0;
    for (more, headers, client) in [
        ("", &[("X-Forwarded-For", "203.0.113.7")][..], "203.0.113.7"),
        (
            "",
            &[("x-forwarded-for", "6.6.6.6, 203.0.113.7, 10.0.0.2")],
            "203.0.113.7",
        ),
        (
            "",
            &[
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-for", "203.0.113.7:99"),
            ],
            "203.0.113.7:99",
        ),
        ("", &[("x-forwarded-for", "2001:db8::7")], "2001:db8::7"),
        // Only one header counts: nobody knows who wrote the others.
        (
            "",
            &[
                ("x-forwarded-for", "203.0.113.7"),
                ("forwarded", "for=6.6.6.6"),
                ("x-real-ip", "6.6.6.6"),
            ],
            "203.0.113.7",
        ),
        (
            "forwarded",
            &[(
                "forwarded",
                "for=6.6.6.6, for=\"[2001:db8::7]:99\";proto=https",
            )],
            "[2001:db8::7]:99",
        ),
        (
            "forwarded",
            &[
                ("forwarded", "for=203.0.113.7"),
                ("x-forwarded-for", "6.6.6.6"),
            ],
            "203.0.113.7",
        ),
        (
            "X-Corp-Client",
            &[("x-corp-client", "203.0.113.7")],
            "203.0.113.7",
        ),
    ] {
        let header = format!("{HEADER}\nserver.client_ip_header = \"{more}\"");
        let gateway =
            Scene::before(&provider, if more.is_empty() { HEADER } else { &header }).start();
        let headers = [headers, &[KEY]].concat();
        assert_eq!(post(&mut gateway.client(), &headers).status, 200);
        assert_eq!(client_in_line(&gateway, 1), client, "{headers:?}");
        requested += 1;
        let head = provider.last().head.to_ascii_lowercase();
        for address in [
            "203.0.113.7",
            "2001:db8",
            "6.6.6.6",
            "10.0.0.2",
            "x-corp-client",
        ] {
            assert!(!head.contains(address), "{head}");
        }
    }
    assert_eq!(provider.received().len(), requested);
}

#[test]
fn a_header_names_the_client_of_each_request_also_over_http2() {
    let provider = Provider::start();
    let gateway = Scene::before(&provider, &format!("{HEADER}\nserver.h2c = true")).start();
    let mut client = gateway.client();
    for (count, address) in ["203.0.113.7", "203.0.113.8"].into_iter().enumerate() {
        assert_eq!(
            post(&mut client, &[KEY, ("x-forwarded-for", address)]).status,
            200
        );
        assert_eq!(client_in_line(&gateway, count + 1), address);
    }
    http2::run(async {
        let mut client = http2::connect(gateway.address()).await;
        for address in ["203.0.113.9", "203.0.113.10"] {
            let request = http::Request::post("http://gateway.test/p");
            let request = request
                .header(KEY.0, KEY.1)
                .header("x-forwarded-for", address);
            let response = http2::send(&mut client, request).await;
            assert_eq!(response.status(), 200);
        }
    });
    assert_eq!(client_in_line(&gateway, 3), "203.0.113.9");
    assert_eq!(client_in_line(&gateway, 4), "203.0.113.10");
}

#[test]
fn an_untrusted_peer_cannot_name_the_client() {
    let provider = Provider::start();
    for server in ["", ELSEWHERE, "server.trusted_proxies = []"] {
        let gateway = Scene::before(&provider, server).start();
        let spoofed = [
            ("x-forwarded-for", "203.0.113.7"),
            ("forwarded", "for=203.0.113.7"),
            KEY,
        ];
        assert_eq!(post(&mut gateway.client(), &spoofed).status, 200);
        assert!(
            client_in_line(&gateway, 1).starts_with("127.0.0.1:"),
            "{server}"
        );
        // A PROXY header cannot name the client either: without the protocol, it is no valid request.
        let mut client = behind(gateway.address(), &v1("203.0.113.7"));
        let _ = client.try_send(crate::support::client::raw_request(
            "POST",
            "/p",
            &[KEY],
            b"{}",
        ));
        assert_ne!(
            client.try_response(false).map(|response| response.status),
            Some(200)
        );
    }
    // With the PROXY protocol, no header of a request names the client, not even from a trusted address.
    let gateway = Scene::before(&provider, PROTOCOL).start();
    let mut client = behind(gateway.address(), &v1("10.1.2.3"));
    assert_eq!(
        post(&mut client, &[KEY, ("x-forwarded-for", "203.0.113.7")]).status,
        200
    );
    assert_eq!(client_in_line(&gateway, 1), "10.1.2.3:4711");
}
