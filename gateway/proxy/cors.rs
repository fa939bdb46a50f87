//! What a response says about pages in browsers, on routes whose configuration says so (`cors`).

use http::Method;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, VARY,
};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_core::Error;

use crate::route::Route;

/// What pages may do. A `*` does not hold for `Authorization` (Fetch standard, section 3.3.3).
const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
const HEADERS: &str = "authorization, *";
/// How long a browser may rely on it, in seconds.
const MAX_AGE: &str = "600";

/// Whether a request is a browser's question what a page may do, which comes without a key, and its page is one that
/// may do something.
pub(super) fn is_preflight(route: &Route, request: &RequestHeader) -> bool {
    let Some(cors) = &route.cors else {
        return false;
    };
    request.method == Method::OPTIONS
        && request.headers.contains_key(http::header::ORIGIN)
        && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && cors.allowed(&request.headers).is_some()
}

/// Writes the answer to that question into `response`.
pub(super) fn answer_preflight(response: &mut ResponseHeader) -> Result<(), Box<Error>> {
    response.insert_header(ACCESS_CONTROL_ALLOW_METHODS, METHODS)?;
    response.insert_header(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS)?;
    response.insert_header(ACCESS_CONTROL_MAX_AGE, MAX_AGE)
}

/// Writes into the head of a response of `route` who may read it. What the provider says about its pages is not in there.
pub(super) fn apply(
    route: &Route,
    request: &RequestHeader,
    response: &mut ResponseHeader,
) -> Result<(), Box<Error>> {
    let Some(cors) = &route.cors else {
        return Ok(());
    };
    if cors.varies() {
        response.append_header(VARY, "Origin")?;
    }
    if let Some(origin) = cors.allowed(&request.headers) {
        response.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, origin)?;
        response.insert_header(ACCESS_CONTROL_EXPOSE_HEADERS, "*")?;
    }
    Ok(())
}
