//! Part of phase 4: which headers of a provider's response the client gets. The policy is a plain function of the head;
//! it knows no session.

use http::header::LOCATION;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::limit_headers::BUDGET_REMAINING;
use super::location::Request;
use super::reject::{LIMIT_RESET, REFUSED_BY, REQUEST_ID};
use crate::provider::Provider;

/// What is done with a header of a response.
#[derive(PartialEq, Eq)]
enum Treatment {
    /// The client gets it unchanged.
    Pass,
    /// No client gets it.
    Drop,
    /// It holds a URL that the client may follow, which is rewritten.
    Rewrite,
}

/// What is done with the header `name`.
fn treatment(name: &HeaderName, provider: Option<&Provider>) -> Treatment {
    match name.as_str() {
        // Cookies of an account that several clients share.
        "set-cookie" | "set-cookie2"
        // Headers that would send clients past the gateway, or that hold for the gateway's whole origin.
        | "alt-svc" | "refresh" | "strict-transport-security" | "clear-site-data"
        | "nel" | "report-to" | "reporting-endpoints"
        // `cors` decides which pages may read a response, for the gateway's own origin.
        | "access-control-allow-origin" | "access-control-allow-credentials" | "access-control-allow-methods"
        | "access-control-allow-headers" | "access-control-allow-private-network"
        | "access-control-expose-headers" | "access-control-max-age"
        // Headers of the connection to the gateway, or of a proxy on the way there.
        | "proxy-authenticate" | "proxy-authentication-info"
        // Headers that only the gateway writes.
        | REFUSED_BY | REQUEST_ID | LIMIT_RESET | BUDGET_REMAINING => return Treatment::Drop,
        // URLs that HTTP clients follow by themselves, and that the SDKs of Azure and Google use next.
        "location" | "content-location" | "link"
        | "operation-location" | "azure-asyncoperation"
        | "x-goog-upload-url" | "x-goog-upload-control-url" => return Treatment::Rewrite,
        _ => {}
    }
    match provider {
        Some(provider) if provider.account_headers.contains(name) => Treatment::Drop,
        _ => Treatment::Pass,
    }
}

/// Removes from the headers of a response with `status` what is not for the client, and rewrites their URLs for
/// `request`. Without a request, as for an interim response, headers with URLs are removed. Returns whether the client may
/// have the response: a redirect to a foreign host is not for it.
pub(super) fn pass_on(
    headers: &mut HeaderMap,
    status: StatusCode,
    provider: Option<&Provider>,
    request: Option<&Request<'_>>,
) -> bool {
    let (mut dropped, mut rewritten) = (Vec::new(), Vec::new());
    for name in headers.keys() {
        match treatment(name, provider) {
            Treatment::Pass => {}
            Treatment::Drop => dropped.push(name.clone()),
            Treatment::Rewrite => rewritten.push(name.clone()),
        }
    }
    for name in &dropped {
        headers.remove(name);
    }
    let redirects = status.is_redirection();
    for name in rewritten {
        let is_left = rewrite(request, &name, headers);
        // The `Location` of a 305 is a proxy to use.
        if redirects && name == LOCATION && (!is_left || status == 305) {
            return false;
        }
    }
    true
}

/// Rewrites the URLs of one header to lead through the gateway, because a client that follows them to the provider
/// would send its key there. URLs at foreign hosts are removed. Returns whether there is one left.
fn rewrite(request: Option<&Request<'_>>, name: &HeaderName, headers: &mut HeaderMap) -> bool {
    let values: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    headers.remove(name);
    // Clients differ in which of several locations they follow.
    if *name == LOCATION && values.len() != 1 {
        return false;
    }
    let mut is_left = false;
    for value in values {
        let text = request.zip(value.to_str().ok());
        let rewritten = text.and_then(|(request, text)| request.rewrite(name, text));
        // What was rewritten is a URL, which can stand in a header.
        if let Some(Ok(rewritten)) = rewritten.map(HeaderValue::try_from) {
            headers.append(name, rewritten);
            is_left = true;
        }
    }
    is_left
}

/// Removes from the trailers of a response what is not for the client. URLs in trailers are not rewritten but removed.
pub(super) fn pass_on_trailers(trailers: &mut HeaderMap, provider: Option<&Provider>) {
    let names: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| treatment(name, provider) != Treatment::Pass)
        .cloned()
        .collect();
    for name in &names {
        trailers.remove(name);
    }
}
