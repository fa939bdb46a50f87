//! Who may use the admin listener: programs, and pages that it has served itself.
//!
//! It requires no key: whoever can connect to it can use it. So can a browser on this machine, on behalf of any page that
//! it shows: one whose host name was made to resolve to this address (DNS rebinding), and one that sends
//! requests to other sites. The first sends a foreign name in `Host`, the second a foreign site in `Origin` or
//! `Sec-Fetch-Site`. Both are refused, whatever the path.

use std::net::Ipv4Addr;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use pingora::http::RequestHeader;

use crate::grammar::host::host_of_authority;
use crate::grammar::url::split_scheme;
use crate::proxy::reject::Reason;

/// A refusal: its status, and a sentence that says why and what to do.
pub(super) type Refusal = (StatusCode, &'static str);

const TOO_LARGE: Refusal = (
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the head is larger than server.limits.header_bytes\n",
);
const BAD_FRAMING: Refusal = (
    StatusCode::BAD_REQUEST,
    "the request's framing cannot be read in one way only\n",
);
const NO_HOST: Refusal = (
    StatusCode::BAD_REQUEST,
    "a request names one host, in the header Host\n",
);
const FOREIGN_HOST: Refusal = (
    StatusCode::MISDIRECTED_REQUEST,
    "this listener is reached by its IP address, as localhost, or by a name that server.admin_hosts lists\n",
);
const FOREIGN_SITE: Refusal = (
    StatusCode::FORBIDDEN,
    "pages of other sites may not use this listener; open its address in a tab of its own\n",
);

/// The refusal of a head that the listeners of clients refuse as well, for `reason`.
pub(super) fn refusal(reason: Reason) -> Refusal {
    match reason {
        Reason::HeadersTooLarge => TOO_LARGE,
        _ => BAD_FRAMING,
    }
}

/// Refuses pages of other sites, whatever the method and path. `names` are the hosts, in lower case, that `request` may
/// name the listener by, beside an address and `localhost`.
pub(super) fn check(request: &RequestHeader, names: &[String]) -> Result<(), Refusal> {
    let host = host(request)?;
    let target = request.uri.authority().map(http::uri::Authority::as_str);
    if !host
        .into_iter()
        .chain(target)
        .all(|host| is_ours(host, names))
    {
        return Err(FOREIGN_HOST);
    }
    if is_cross_site(&request.headers, host) {
        return Err(FOREIGN_SITE);
    }
    Ok(())
}

/// The request's `Host`. Only HTTP/1.0 allows a request without one.
fn host(request: &RequestHeader) -> Result<Option<&str>, Refusal> {
    let mut hosts = request.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().map(Some).map_err(|_| NO_HOST),
        (None, None) if request.version < Version::HTTP_11 => Ok(None),
        _ => Err(NO_HOST),
    }
}

/// Whether `authority`, a host with or without a port, is an address, `localhost` or one of `names`. Any other name could
/// have been made to resolve to this address by somebody else.
fn is_ours(authority: &str, names: &[String]) -> bool {
    let Some(host) = host_of_authority(authority) else {
        return false;
    };
    // Between brackets, a host is an IPv6 address.
    let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    let mut names = names.iter().map(String::as_str).chain(["localhost"]);
    is_address || names.any(|known| known == host)
}

/// Whether a browser sends the request for a page of another site. Programs send none of these headers.
fn is_cross_site(headers: &HeaderMap, host: Option<&str>) -> bool {
    // For pages that were loaded by plain http from another machine, browsers send `Origin` only.
    const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    let is_own_site =
        |site: &HeaderValue| [&b"same-origin"[..], b"none"].contains(&site.as_bytes());
    let is_own_origin = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(split_scheme);
        origin.zip(host).is_some_and(|((scheme, authority), host)| {
            ["http", "https"].contains(&scheme) && authority.eq_ignore_ascii_case(host)
        })
    };
    !headers.get_all(SITE).iter().all(is_own_site)
        || !headers.get_all(ORIGIN).iter().all(is_own_origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(headers: &[(&'static str, &str)]) -> Result<(), StatusCode> {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in headers {
            request.append_header(*name, *value).unwrap();
        }
        check(&request, &["keygate.internal".to_owned()]).map_err(|(status, _)| status)
    }

    #[test]
    fn a_host_is_an_address_localhost_or_a_name_that_is_known() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9090",
            "10.1.2.3:1",
            "[::1]:9090",
            "[fd00::1]",
            "localhost",
            "LOCALHOST:9090",
            "localhost.:9090",
            "keygate.internal",
            "Keygate.Internal:80",
            "keygate.internal.",
        ] {
            assert_eq!(checked(&[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.test",
            "evil.test:9090",
            "localhost.evil.test",
            "localhostevil.test",
            "evil.localhost.test",
            "127.0.0.1.evil.test",
            "127.0.0.1@evil.test",
            "evil.test@127.0.0.1",
            "evil.test:127.0.0.1",
            "keygate.internal.evil.test",
            "xkeygate.internal",
            "[::1",
            "[::1].evil.test",
            "[evil.test]",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "*",
            ".",
            "",
            ":9090",
        ] {
            assert_eq!(
                checked(&[("host", host)]),
                Err(StatusCode::MISDIRECTED_REQUEST),
                "{host}"
            );
        }
        assert_eq!(checked(&[]), Err(StatusCode::BAD_REQUEST));
        let two = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(checked(&two), Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn a_page_is_known_by_its_site_or_its_origin() {
        let host = ("host", "10.1.2.3:9090");
        for (header, good) in [
            (("sec-fetch-site", "same-origin"), true),
            (("sec-fetch-site", "none"), true),
            (("sec-fetch-site", "same-site"), false),
            (("sec-fetch-site", "cross-site"), false),
            (("sec-fetch-site", "new-word"), false),
            (("origin", "http://10.1.2.3:9090"), true),
            (("origin", "https://10.1.2.3:9090"), true),
            (("origin", "http://10.1.2.3:3000"), false),
            (("origin", "http://10.1.2.3"), false),
            (("origin", "http://10.1.2.3:9090.evil.test"), false),
            (("origin", "http://evil.test"), false),
            (("origin", "null"), false),
            (("origin", ""), false),
            (("referer", "http://evil.test/"), true),
        ] {
            let expected = if good {
                Ok(())
            } else {
                Err(StatusCode::FORBIDDEN)
            };
            assert_eq!(checked(&[host, header]), expected, "{header:?}");
        }
        let both = [
            host,
            ("sec-fetch-site", "same-origin"),
            ("origin", "http://evil.test"),
        ];
        assert_eq!(checked(&both), Err(StatusCode::FORBIDDEN));
    }

    #[test]
    fn an_absolute_target_names_a_host_as_well() {
        for (target, version, expected) in [
            ("http://127.0.0.1:9090/status", Version::HTTP_11, Ok(())),
            (
                "http://evil.test/status",
                Version::HTTP_11,
                Err(FOREIGN_HOST),
            ),
        ] {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            request.set_uri(target.parse().unwrap());
            request.set_version(version);
            request.append_header("host", "127.0.0.1:9090").unwrap();
            assert_eq!(check(&request, &[]), expected, "{target}");
        }
        let mut old = RequestHeader::build("GET", b"/", None).unwrap();
        old.set_version(Version::HTTP_10);
        assert_eq!(check(&old, &[]), Ok(()));
    }
}
