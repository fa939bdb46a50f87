//! What proxies in front say of a client: the header of the PROXY protocol, and a header of a request.

use http::{HeaderMap, HeaderName, HeaderValue};
use keygate::testing::grammar::network::Network;
use keygate::testing::trusted_proxies::proxy_protocol::{LONGEST, Progress, read as read_header};
use keygate::testing::trusted_proxies::{Named, NamedBy, TrustedProxies};

pub fn read(bytes: &[u8]) {
    of_connection(bytes);
    for (header, added) in [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=1.1.1.1")] {
        of_request(bytes, header, added);
    }
}

/// The first prefix of the bytes that gets a decision gets the same one as all bytes.
fn of_connection(bytes: &[u8]) {
    let at_once = read_header(bytes);
    let mut ends = (0..=bytes.len()).map(|end| read_header(&bytes[..end]));
    let first = ends.find(|progress| *progress != Progress::More);
    assert_eq!(first.unwrap_or(Progress::More), at_once);
    match at_once {
        Progress::More => assert!(bytes.len() < LONGEST),
        Progress::Whole(header) => assert!(header.length <= bytes.len().min(LONGEST)),
        Progress::Refused(_) => {}
    }
}

/// The entry that a trusted proxy appends counts, whatever the client sent before it. Peers that are not trusted are ignored.
fn of_request(bytes: &[u8], header: &'static str, added: &str) {
    let Ok(sent) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let name = HeaderName::from_static(header);
    let proxies = TrustedProxies {
        networks: Network::parse("10.0.0.0/8").into_iter().collect(),
        named_by: NamedBy::Header(name.clone()),
    };
    let (balancer, untrusted) = (([10, 0, 0, 1], 1).into(), ([8, 8, 8, 8], 1).into());
    let mut headers = HeaderMap::new();
    headers.append(&name, sent);
    let client = proxies.client(untrusted, &headers);
    assert_eq!(
        (client.address, client.named),
        (untrusted, Named::ByConnection)
    );
    // Alone, the header may be valid or not; parsing it must not panic.
    let _ = proxies.client(balancer, &headers);
    headers.append(&name, HeaderValue::from_str(added).unwrap());
    let in_two_lines = proxies.client(balancer, &headers);
    let line = [bytes, b", ", added.as_bytes()].concat();
    headers.insert(&name, HeaderValue::from_bytes(&line).unwrap());
    let in_one_line = proxies.client(balancer, &headers);
    for client in [in_two_lines, in_one_line] {
        assert_eq!(client.address, ([1, 1, 1, 1], 0).into());
        assert_eq!(client.named, Named::ByHeader);
    }
}
