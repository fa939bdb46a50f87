//! Phase 1: may this request go up, and where to? The decision is a plain function of the snapshot,
//! the request's head and the time; only it makes an [`Admission`], and without one nothing goes up.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, Method, Version};
use jiff::Timestamp;
use pingora::http::RequestHeader;

use super::cors;
use super::header_names;
use super::reject::{Reason, Rejection};
use crate::key::{
    AmbiguousCredentials, ClientKey, KeyDigest, PresentedKey, VerifiedKey, is_our_credential,
    remove_from_query,
};
use crate::provider::{Credential, NoCredential, folded};
use crate::route::{Access, NormalPath, Route};

use crate::grammar::host::host_of_authority;
use crate::grammar::list;
use crate::snapshot::{Rules, Snapshot};

/// Headers in which frameworks, and Google, take another method than the request line's.
const METHOD_HEADERS: [&str; 3] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// The proof that a request may go to a route's provider: a key was verified that the route takes,
/// or the route is open; and there is something to authorize it with.
pub struct Admission {
    route: Arc<Route>,
    key: Option<Arc<ClientKey>>,
    digest: Option<KeyDigest>,
    credential: Credential,
    target: String,
    /// What servers may read its path as that undo the escapes of separators; nothing if there are none.
    readings: Vec<String>,
    post: bool,
    upgrade: bool,
}

impl Admission {
    /// Decides about a request whose target is `path`.
    pub fn decide(
        snapshot: &Snapshot,
        request: &RequestHeader,
        path: &NormalPath<'_>,
        now: Timestamp,
    ) -> Result<Self, Rejection> {
        let host = host_of(request).ok_or_else(|| Rejection::unrouted(Reason::BadFraming))?;
        let rules = &snapshot.rules;
        let found = rules
            .router
            .find(&host, &path.path)
            .ok_or_else(|| Rejection::unrouted(Reason::NoRoute))?;
        let route = found.route;
        if cors::is_preflight(route, request) {
            return Err(Rejection::on(route, Reason::Preflight));
        }
        header_names::check(route, request)?;
        let presented = present(snapshot, route, request, path.query)
            .map_err(|places| two_keys(route, &places))?;
        let opened = identify(snapshot, route, presented.as_ref(), now)
            .map_err(|reason| Rejection::on(route, reason))?;
        let key = opened.as_ref().map(|opened| opened.key.clone());
        let refuse = |reason| Rejection {
            key: key.clone(),
            ..Rejection::on(route, reason)
        };
        if let (Access::Keys(selector), Some(key)) = (&route.access, &key)
            && !selector.takes(key)
        {
            return Err(refuse(Reason::KeyNotAllowed));
        }
        let websocket = is_websocket(request);
        if websocket && !route.websocket {
            return Err(refuse(no_upgrade(&path.path)));
        }
        if declared_length(request) > rules.server.limits.max_request_body {
            return Err(refuse(Reason::BodyTooLarge));
        }
        let credential = route
            .provider
            .credential(key.as_deref(), &request.headers, |value| {
                is_our_credential(value, presented.as_ref())
            })
            .map_err(|why| {
                refuse(match why {
                    NoCredential::Unavailable => Reason::ProviderUnavailable,
                    NoCredential::NotPresented => Reason::NoProviderToken,
                })
            })?;
        let query = path.query;
        let query = query.and_then(|query| remove_from_query(query, presented.as_ref()));
        let target = route.provider.paths.target(found.rest, query.as_deref());
        let target = target.ok_or_else(|| refuse(Reason::NoDefaultEndpoint))?;
        if rules.router.is_anothers(&host, route, &target)
            || rules
                .router
                .is_anothers_unmasked(&host, route, path, &target)
        {
            return Err(refuse(Reason::AmbiguousPath));
        }
        Ok(Self {
            route: route.clone(),
            key,
            digest: opened.map(|opened| opened.digest),
            credential,
            readings: path.readings_of(&target),
            target,
            post: may_be_post(request),
            upgrade: websocket && is_passed_on(request),
        })
    }

    /// Why it fails after all.
    pub fn rejection(&self, reason: Reason) -> Rejection {
        Rejection {
            key: self.key.clone(),
            ..Rejection::on(&self.route, reason)
        }
    }

    /// The route.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// The verified key; `None` on an open route.
    pub fn key(&self) -> Option<&Arc<ClientKey>> {
        self.key.as_ref()
    }

    /// The digest by which the key was found.
    pub fn digest(&self) -> Option<KeyDigest> {
        self.digest
    }

    /// What goes into the provider's auth header.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The path and query to ask the provider for.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What the provider may read the target as: itself, and its path where separators in it are escaped.
    pub fn readings(&self) -> impl Iterator<Item = &str> {
        let others = self.readings.iter().map(String::as_str);
        std::iter::once(self.target.as_str()).chain(others)
    }

    /// Whether the provider may take it for a POST.
    pub fn post(&self) -> bool {
        self.post
    }

    /// Whether the provider is asked for a `WebSocket`.
    pub fn upgrade(&self) -> bool {
        self.upgrade
    }
}

/// What the request presents as its key, if the route wants one.
fn present<'r>(
    snapshot: &Snapshot,
    route: &Route,
    request: &'r RequestHeader,
    query: Option<&'r str>,
) -> Result<Option<PresentedKey<'r>>, AmbiguousCredentials> {
    if route.access == Access::Open {
        return Ok(None);
    }
    // Where the caller's own provider token stands, the gateway's key does not.
    let provider = &route.provider;
    let passthrough = provider.is_passthrough();
    let names = snapshot
        .rules
        .key_headers
        .iter()
        .filter(|name| !passthrough || !provider.takes_token_in(name));
    PresentedKey::find(&request.headers, query, names)
}

/// The refusal of two keys, which says where they stand.
fn two_keys(route: &Arc<Route>, places: &AmbiguousCredentials) -> Rejection {
    Rejection {
        message: Some(places.to_string().into()),
        ..Rejection::on(route, Reason::AmbiguousCredentials)
    }
}

/// The key that opens by what is presented, if the route wants one.
fn identify<'s>(
    snapshot: &'s Snapshot,
    route: &Route,
    presented: Option<&PresentedKey<'_>>,
    now: Timestamp,
) -> Result<Option<VerifiedKey<'s>>, Reason> {
    if route.access == Access::Open {
        return Ok(None);
    }
    let opened = snapshot.keys.verify(presented, now);
    opened.map(Some).map_err(Reason::InvalidKey)
}

/// The host in its one form, without its port. HTTP/1.0 may leave it out; HTTP/1.1 may not.
fn host_of(request: &RequestHeader) -> Option<Cow<'_, str>> {
    let authority = match request.headers.get(HOST) {
        Some(host) => host.to_str().ok()?,
        None => match request.uri.authority() {
            Some(authority) => authority.as_str(),
            None if request.version == Version::HTTP_10 => "",
            None => return None,
        },
    };
    host_of_authority(authority)
}

/// Why a WebSocket on `path` is refused. What the Responses API takes over one, it takes over HTTP as well, and a client
/// that is told so by a 426 turns to that at once.
fn no_upgrade(path: &str) -> Reason {
    if path.trim_end_matches('/').ends_with("/responses") {
        Reason::UpgradeNotNeeded
    } else {
        Reason::UpgradeNotAllowed
    }
}

/// Whether the method is POST, or a header may say another one than the request line does: which, is not looked at.
fn may_be_post(request: &RequestHeader) -> bool {
    let says_method = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with('x') && METHOD_HEADERS.contains(&folded(name).as_str())
    };
    request.method == Method::POST || request.headers.keys().any(says_method)
}

fn is_websocket(request: &RequestHeader) -> bool {
    request.version == Version::HTTP_11
        && request.headers.get_all(UPGRADE).iter().any(|value| {
            let mut protocols = list::byte_elements(value.as_bytes());
            protocols.any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
        })
}

/// Whether Pingora passes on that a `WebSocket` is asked for: it takes out a list of protocols.
fn is_passed_on(request: &RequestHeader) -> bool {
    let first = request.headers.get(UPGRADE);
    first.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// What `Content-Length` says; Pingora has refused values that are not a number.
pub(super) fn declared_length(request: &RequestHeader) -> u64 {
    let text = request
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// What must hold for any request before it is looked at: one framing, a head of bounded size, a
/// method that can be forwarded.
///
/// `raw` is the head as it was read; empty for HTTP/2, which has one framing by design.
pub fn check_head(rules: &Rules, request: &RequestHeader, raw: &[u8]) -> Result<(), Reason> {
    let limits = &rules.server.limits;
    let (mut bytes, mut odd) = (0, false);
    let blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    for (name, value) in &request.headers {
        let value = value.as_bytes();
        bytes += name.as_str().len() + value.len() + 4;
        // Over HTTP/2, space is let through around values (RFC 9113, section 8.2.1).
        odd |= blank(value.first()) || blank(value.last());
    }
    // Over HTTP/2, the request line is three fields like the others.
    let line = request.method.as_str().len() + request.raw_path().len() + 12;
    let bytes = if raw.is_empty() {
        bytes + line
    } else {
        raw.len()
    };
    if bytes as u64 > limits.max_header_bytes || request.headers.len() > limits.max_header_count {
        return Err(Reason::HeadersTooLarge);
    }
    // Two equal lengths, in two lines or in one, are one to Pingora and perhaps not to a provider.
    let mut lengths = request.headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() || length.is_some_and(|value| value.as_bytes().contains(&b',')) {
        return Err(Reason::BadFraming);
    }
    if odd || !has_strict_lines(raw) {
        return Err(Reason::BadFraming);
    }
    let mut codings = request.headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        // Of those before `chunked`, nobody here could undo one; twice is a question of who counts.
        let known = coding
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"chunked");
        // Pingora lets TE win over CL and takes the CL away; a request with both is not repaired here
        // but refused, as a smuggling attempt or a broken client.
        if !known || codings.next().is_some() || has_header_line(raw, b"content-length:") {
            return Err(Reason::BadFraming);
        }
    }
    if request.method == Method::TRACE {
        return Err(Reason::BadFraming);
    }
    Ok(())
}

/// Whether every line ends with CR LF and the target has no fragment. Pingora takes LF alone for an end, and
/// what comes before it on its way here may not; and it leaves the fragment out.
fn has_strict_lines(head: &[u8]) -> bool {
    let mut ends = memchr::memchr_iter(b'\n', head);
    let ends_well =
        ends.all(|at| at.checked_sub(1).and_then(|before| head.get(before)) == Some(&b'\r'));
    // Empty lines may come first.
    let blank = head.iter().take_while(|byte| b"\r\n".contains(byte));
    let head = head.get(blank.count()..).unwrap_or_default();
    let line = memchr::memchr(b'\n', head).and_then(|end| head.get(..end));
    ends_well && line.is_none_or(|line| memchr::memchr(b'#', line).is_none())
}

fn has_header_line(head: &[u8], name: &[u8]) -> bool {
    head.split(|b| *b == b'\n').any(|line| {
        line.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    })
}
