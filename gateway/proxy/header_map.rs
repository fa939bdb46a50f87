//! Changes the headers of Pingora's heads in the one map that they need. It knows no header and decides nothing.
//!
//! A head that Pingora has parsed holds a second map, with the spelling of each name. Each change through Pingora's
//! methods then changes two maps and parses the name again, and each copy of the head copies both. Without that map,
//! Pingora writes names in lower case over HTTP/1.1, apart from a dozen such as `Content-Type`. Names are the same in
//! any case (RFC 9110, section 5.1), and over HTTP/2 there is no other.

use std::mem;

use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Response, request, response};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_core::{Error, ErrorType, OrErr};

/// Drops the spelling of the names in a client's request, so that no copy of it holds them either.
pub(super) fn drop_spelling(request: &mut RequestHeader) {
    // Of a target in another form, a request that is put together again keeps the path alone.
    let is_kept = request.raw_path().starts_with(b"/") && request.raw_path_is_utf8();
    if request.has_case() && is_kept {
        *request = take_request(request).into();
    }
}

/// Changes the headers of a request by `edit`, and sets its target to `path`, which begins with `/`.
pub(super) fn edit_request(
    request: &mut RequestHeader,
    path: &str,
    edit: impl FnOnce(&mut HeaderMap) -> Result<(), Box<Error>>,
) -> Result<(), Box<Error>> {
    let mut parts = take_request(request);
    let edited = edit(&mut parts.headers);
    let target = PathAndQuery::try_from(path);
    let target = target.or_err(ErrorType::InvalidHTTPHeader, "a path that is none");
    let changed = edited.and(target).map(|target| parts.uri = target.into());
    *request = parts.into();
    changed
}

/// Changes the headers of a response by `edit`, and returns what that returns.
pub(super) fn edit_response<T>(
    response: &mut ResponseHeader,
    edit: impl FnOnce(&mut HeaderMap) -> T,
) -> Result<T, Box<Error>> {
    let usual = response.status.canonical_reason();
    let reason = response.get_reason_phrase();
    let reason = reason.filter(|_| reason != usual).map(ToOwned::to_owned);
    let empty = ResponseHeader::from(Response::new(()).into_parts().0);
    let mut parts = response::Parts::from(mem::replace(response, empty));
    let edited = edit(&mut parts.headers);
    *response = parts.into();
    if reason.is_some() {
        response.set_reason_phrase(reason.as_deref())?;
    }
    Ok(edited)
}

/// Takes a request apart, and leaves an empty one.
fn take_request(request: &mut RequestHeader) -> request::Parts {
    let empty = RequestHeader::from(Request::new(()).into_parts().0);
    mem::replace(request, empty).into()
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_TYPE, ETAG};
    use http::{HeaderValue, Method, Version};

    use super::*;

    fn request(target: &[u8]) -> RequestHeader {
        let mut request = RequestHeader::build(Method::PUT, target, None).unwrap();
        request.set_version(Version::HTTP_10);
        request.append_header("X-Many", "1").unwrap();
        request.append_header("ETag", "e").unwrap();
        request.append_header("x-mANY", "2").unwrap();
        request
    }

    fn written(request: &RequestHeader) -> String {
        let mut text = Vec::new();
        request.header_to_h1_wire(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_request_loses_its_spelling_and_nothing_else() {
        let lower = "x-many: 1\r\nx-many: 2\r\netag: e\r\n";
        let cases: [(&[u8], bool); 5] = [
            (b"/a?b=c", true),
            (b"/", true),
            (b"http://other.test/a", false),
            (b"/\xff", false),
            (b"*", false),
        ];
        for (target, dropped) in cases {
            let mut request = request(target);
            drop_spelling(&mut request);
            assert_eq!(request.raw_path(), target);
            assert_eq!(request.method, Method::PUT);
            assert_eq!(request.version, Version::HTTP_10);
            assert_eq!(written(&request) == lower, dropped);
            assert_eq!(written(&request).to_ascii_lowercase(), lower);
        }
    }

    #[test]
    fn a_request_is_edited_and_gets_the_path() {
        let mut request = request(b"http://other.test/a");
        let edited = edit_request(&mut request, "/v1?x=y", |headers| {
            headers.remove(ETAG);
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            Ok(())
        });
        edited.unwrap();
        assert_eq!(request.raw_path(), b"/v1?x=y");
        assert_eq!(
            written(&request),
            "x-many: 1\r\nx-many: 2\r\nContent-Type: text/plain\r\n"
        );
        assert_eq!(request.method, Method::PUT);
        assert_eq!(request.version, Version::HTTP_10);
        assert!(edit_request(&mut request, "v2", |_| Ok(())).is_err());
        assert!(
            edit_request(&mut request, "/v2", |_| Err(Error::new_in(
                ErrorType::InternalError
            )))
            .is_err()
        );
        assert_eq!(request.raw_path(), b"/v1?x=y");
        assert_eq!(request.headers.len(), 3);
    }

    #[test]
    fn a_response_keeps_its_reason_phrase() {
        for reason in [None, Some("OK"), Some("Fine"), Some("")] {
            let mut response = ResponseHeader::build(200, None).unwrap();
            response.set_reason_phrase(reason).unwrap();
            response.set_version(Version::HTTP_10);
            response.append_header("Set-It", "1").unwrap();
            let before = response.get_reason_phrase().map(str::to_owned);
            edit_response(&mut response, |headers| {
                headers.insert(ETAG, HeaderValue::from_static("e"));
            })
            .unwrap();
            assert_eq!(response.get_reason_phrase(), before.as_deref());
            assert_eq!(
                (response.status.as_u16(), response.version),
                (200, Version::HTTP_10)
            );
            let mut text = Vec::new();
            response.header_to_h1_wire(&mut text);
            assert_eq!(text, b"set-it: 1\r\netag: e\r\n");
        }
    }
}
