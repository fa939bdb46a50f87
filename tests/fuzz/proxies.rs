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

/// However the bytes are cut, the first decision is the one that all of them get.
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

/// Whatever a client writes in front, what a trusted proxy adds behind it counts; and nobody else is believed.
fn of_request(bytes: &[u8], header: &'static str, added: &str) {
    let Ok(sent) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let name = HeaderName::from_static(header);
    let proxies = TrustedProxies {
        networks: Network::parse("10.0.0.0/8").into_iter().collect(),
        named_by: NamedBy::Header(name.clone()),
    };
    let (balancer, stranger) = (([10, 0, 0, 1], 1).into(), ([8, 8, 8, 8], 1).into());
    let mut headers = HeaderMap::new();
    headers.append(&name, sent);
    let client = proxies.client(stranger, &headers);
    assert_eq!(
        (client.address, client.named),
        (stranger, Named::ByConnection)
    );
    // Alone, it says something or nothing, and does not upset anybody.
    let _ = proxies.client(balancer, &headers);
    headers.append(&name, HeaderValue::from_str(added).unwrap());
    let apart = proxies.client(balancer, &headers);
    let line = [bytes, b", ", added.as_bytes()].concat();
    headers.insert(&name, HeaderValue::from_bytes(&line).unwrap());
    let together = proxies.client(balancer, &headers);
    for client in [apart, together] {
        assert_eq!(client.address, ([1, 1, 1, 1], 0).into());
        assert_eq!(client.named, Named::ByHeader);
    }
}
