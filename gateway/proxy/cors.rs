//! The CORS headers of responses, on routes whose configuration decides about web pages (`cors`).

use http::Method;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, VARY,
};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_core::Error;

use crate::route::Route;

/// The methods and headers that pages may use. A `*` does not include `Authorization` (Fetch standard, section 3.3.3).
const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
const HEADERS: &str = "authorization, *";
/// How long a browser may cache the response to a preflight, in seconds.
const MAX_AGE: &str = "600";

/// Whether a request is a preflight, which a browser sends without a key, for a page that the route allows.
pub(super) fn is_preflight(route: &Route, request: &RequestHeader) -> bool {
    let Some(cors) = &route.cors else {
        return false;
    };
    request.method == Method::OPTIONS
        && request.headers.contains_key(http::header::ORIGIN)
        && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && cors.allowed(&request.headers).is_some()
}

/// Writes the headers of a response to a preflight into `response`.
pub(super) fn allow_preflight(response: &mut ResponseHeader) -> Result<(), Box<Error>> {
    response.insert_header(ACCESS_CONTROL_ALLOW_METHODS, METHODS)?;
    response.insert_header(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS)?;
    response.insert_header(ACCESS_CONTROL_MAX_AGE, MAX_AGE)
}

/// Writes into a response of `route` which page may read it. The provider's own CORS headers have been removed before.
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
