//! Part of phase 4: which headers of a provider's response the client gets. The policy is a plain function of the head;
//! it knows no session.

use http::header::LOCATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::ResponseHeader;
use pingora_core::Error;

use super::location::Request;
use super::reject::{REFUSED_BY, REQUEST_ID};
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
        | REFUSED_BY | REQUEST_ID => return Treatment::Drop,
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

/// Removes from the head of a response what is not for the client, and rewrites its URLs for `request`. Without a
/// request, as for an interim response, headers with URLs are removed. Returns whether the client may have the response:
/// a redirect to a foreign host is not for it.
pub(super) fn pass_on(
    response: &mut ResponseHeader,
    provider: Option<&Provider>,
    request: Option<&Request<'_>>,
) -> Result<bool, Box<Error>> {
    let (mut dropped, mut rewritten) = (Vec::new(), Vec::new());
    for name in response.headers.keys() {
        match treatment(name, provider) {
            Treatment::Pass => {}
            Treatment::Drop => dropped.push(name.clone()),
            Treatment::Rewrite => rewritten.push(name.clone()),
        }
    }
    for name in &dropped {
        response.remove_header(name);
    }
    let redirects = response.status.is_redirection();
    for name in rewritten {
        let is_left = rewrite(request, &name, response)?;
        // The `Location` of a 305 is a proxy to use.
        if redirects && name == LOCATION && (!is_left || response.status == 305) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Rewrites the URLs of one header to lead through the gateway, because a client that follows them to the provider
/// would send its key there. URLs at foreign hosts are removed. Returns whether there is one left.
fn rewrite(
    request: Option<&Request<'_>>,
    name: &HeaderName,
    response: &mut ResponseHeader,
) -> Result<bool, Box<Error>> {
    let values: Vec<HeaderValue> = response.headers.get_all(name).iter().cloned().collect();
    response.remove_header(name);
    // Clients differ in which of several locations they follow.
    if *name == LOCATION && values.len() != 1 {
        return Ok(false);
    }
    let mut is_left = false;
    for value in values {
        let text = request.zip(value.to_str().ok());
        let rewritten = text.and_then(|(request, text)| request.rewrite(name, text));
        if let Some(rewritten) = rewritten {
            response.append_header(name.clone(), rewritten)?;
            is_left = true;
        }
    }
    Ok(is_left)
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
