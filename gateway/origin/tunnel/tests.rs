//! CONNECT as it is sent, and the responses of proxies.

use super::*;

fn tunnel() -> Tunnel {
    let proxy = EgressProxy::parse("http://proxy.corp:3128").unwrap();
    let url = BaseUrl::parse("https://[fd00::1]:8443/v1").unwrap();
    Tunnel::new(&proxy, &url, Duration::from_secs(1))
}

/// A connection on which the proxy sends the bytes and closes; and the bytes sent to it.
struct Responding(io::Cursor<Vec<u8>>, Vec<u8>);

impl Read for Responding {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut self.0, into)
    }
}

impl Write for Responding {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(response: &str) -> Result<(), String> {
    let mut connection = Responding(io::Cursor::new(response.into()), Vec::new());
    let opened = tunnel().open(&mut connection);
    let sent = String::from_utf8(connection.1).unwrap();
    assert_eq!(
        sent,
        "CONNECT [fd00::1]:8443 HTTP/1.1\r\nHost: [fd00::1]:8443\r\n\r\n"
    );
    opened.map_err(|error| error.to_string())
}

#[test]
fn a_tunnel_is_open_after_the_head_of_a_2xx() {
    for response in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200 OK\r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n",
        "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 204 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nVia: x\n\n",
    ] {
        assert_eq!(open(response), Ok(()), "{response}");
    }
}

/// A proxy that sends one byte after another, without end.
struct Dripping(usize);

impl Read for Dripping {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        std::thread::sleep(Duration::from_millis(5));
        let head = b"HTTP/1.1 103 Early Hints\r\n\r\n";
        into[0] = head[self.0 % head.len()];
        self.0 += 1;
        Ok(1)
    }
}

impl Write for Dripping {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_proxy_that_responds_without_end_meets_the_timeout() {
    let proxy = EgressProxy::parse("http://proxy.corp:3128").unwrap();
    let url = BaseUrl::parse("https://api.openai.com").unwrap();
    let tunnel = Tunnel::new(&proxy, &url, Duration::from_millis(50));
    let late = tunnel.open(&mut Dripping(0)).unwrap_err();
    assert!(matches!(late.failure, Failure::Late(_)), "{late}");
}

#[test]
fn every_refusal_of_a_proxy_becomes_an_error_with_a_cure() {
    for (response, expected) in [
        (
            "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n",
            "wants credentials for [fd00::1]:8443 (407): set `proxy_token`",
        ),
        (
            "HTTP/1.1 407 No\r\nproxy-authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n",
            "(407), by a scheme that keygate does not speak",
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\n\r\n",
            "wants credentials for [fd00::1]:8443 (401): set `proxy_token`",
        ),
        (
            "HTTP/1.1 403 No\r\n\r\ncanary",
            "allows no tunnel to [fd00::1]:8443 (403)",
        ),
        (
            "HTTP/1.1 503 Canary\r\n\r\n",
            "could not reach [fd00::1]:8443 (503)",
        ),
        (
            "HTTP/1.1 400 Bad\r\n\r\n",
            "is it a proxy that takes CONNECT?",
        ),
        ("", "closed the connection"),
        ("SSH-2.0-canary\r\n", "did not respond as an HTTP proxy"),
        (
            "HTTP/1.1 200 OK\r\n\r\ncanary",
            "did not respond as an HTTP proxy",
        ),
        (
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "did not respond as an HTTP proxy",
        ),
        ("HTTP/1.1 200 cut off", "did not respond as an HTTP proxy"),
    ] {
        let why = open(response).unwrap_err();
        assert!(why.contains(expected), "{response}: {why}");
        assert!(
            why.starts_with("the proxy proxy.corp:3128 ") && !why.to_lowercase().contains("canary"),
            "{why}"
        );
    }
}

#[test]
fn credentials_are_in_the_request_and_in_nothing_that_is_printed() {
    let token = crate::secret::Secret::new("user:canary".to_owned())
        .ok()
        .unwrap();
    let proxy = EgressProxy::parse("http://proxy.corp:3128")
        .unwrap()
        .with_token(&token)
        .unwrap();
    let url = BaseUrl::parse("https://api.openai.com").unwrap();
    let tunnel = Tunnel::new(&proxy, &url, Duration::from_secs(1));
    let request = String::from_utf8(tunnel.request.to_vec()).unwrap();
    assert!(
        request.contains("\r\nProxy-Authorization: Basic dXNlcjpjYW5hcnk=\r\n\r\n"),
        "{request}"
    );
    assert_eq!(
        format!("{tunnel:?}"),
        "tunnel to api.openai.com:443 through proxy.corp:3128"
    );
    let refused = tunnel.error(Failure::Refused {
        status: 407,
        challenge: Some("Basic"),
    });
    assert!(
        refused
            .to_string()
            .ends_with("it does not take those that it was given")
    );
}
