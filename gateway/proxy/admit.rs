//! Phase 1, admit: may this request come in? The decision is a plain function of the snapshot, the request's head and
//! the time. It knows no provider and no token: where the request goes is [`attempt`](super::attempt)'s decision.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{HOST, UPGRADE};
use http::{HeaderMap, HeaderName, Method, Version};
use jiff::Timestamp;
use pingora::http::RequestHeader;

use super::cors;
use super::head::{declared_length, names};
use super::reject::{Reason, Rejection};
use crate::grammar::host::host_of_authority;
use crate::grammar::list;
use crate::key::{AmbiguousCredentials, ClientKey, KeptKey, KeyDigest, PresentedKey, VerifiedKey};
use crate::provider::folded;
use crate::route::{Access, NormalPath, Route};
use crate::snapshot::Snapshot;

/// Headers in which frameworks, and Google, accept another method than the request line's.
const METHOD_HEADERS: [&str; 3] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// The proof that a request may come in: a key was verified that its route takes, or the route is open.
pub struct Admission {
    route: Arc<Route>,
    key: Option<KeptKey>,
    digest: Option<KeyDigest>,
    may_be_post: bool,
    upgrade: bool,
}

/// What an attempt needs of an admitted request's head, which it is borrowed from.
pub struct RequestParts<'r> {
    /// The host in its normal form.
    pub(super) host: Cow<'r, str>,
    /// The whole path.
    pub(super) path: &'r NormalPath<'r>,
    /// The path behind the route's prefix.
    pub(super) rest: &'r str,
    /// The headers as the client sent them.
    pub(super) headers: &'r HeaderMap,
    /// The client's key, which must not go up.
    pub(super) presented: Option<PresentedKey<'r>>,
}

impl Admission {
    /// Decides whether the request whose head is `request` and whose path is `path` may come in at `now`. Fails with
    /// the `Rejection` that the client is to get.
    pub fn decide<'r>(
        snapshot: &Snapshot,
        request: &'r RequestHeader,
        path: &'r NormalPath<'r>,
        now: Timestamp,
    ) -> Result<(Self, RequestParts<'r>), Rejection> {
        let host = host_of(request).ok_or_else(|| Rejection::unrouted(Reason::BadFraming))?;
        let found = snapshot
            .rules
            .router
            .find(&host, &path.path)
            .ok_or_else(|| Rejection::unrouted(Reason::NoRoute))?;
        let (route, rest) = (found.route, found.rest);
        if cors::is_preflight(route, request) {
            return Err(Rejection::on(route, Reason::Preflight));
        }
        names::check(route, request)?;
        let presented = present(snapshot, route, request, path.query)
            .map_err(|places| two_keys(route, &places))?;
        let verified = verify(snapshot, route, presented.as_ref(), now)
            .map_err(|reason| Rejection::on(route, reason))?;
        let websocket = is_websocket(request);
        let admission = Self {
            route: route.clone(),
            key: verified.as_ref().map(|verified| verified.key.keep()),
            digest: verified.map(|verified| verified.digest),
            may_be_post: may_be_post(request),
            upgrade: websocket && goes_up_as_upgrade(request),
        };
        let limit = snapshot.rules.server.limits.max_request_body;
        let refused = if !admission.is_key_allowed() {
            Reason::KeyNotAllowed
        } else if websocket && !route.websocket {
            no_upgrade(&path.path)
        } else if declared_length(request) > limit {
            Reason::BodyTooLarge
        } else {
            let parts = RequestParts {
                host,
                path,
                rest,
                headers: &request.headers,
                presented,
            };
            return Ok((admission, parts));
        };
        Err(admission.rejection(refused))
    }

    /// Whether the route's selector takes the verified key.
    fn is_key_allowed(&self) -> bool {
        match (&self.route.access, self.key()) {
            (Access::Open, _) => true,
            (Access::Keys(selector), Some(key)) => selector.takes(key),
            // `verify` has refused a request without a key.
            (Access::Keys(_), None) => false,
        }
    }

    /// A refusal of this request for `reason`, which was found later.
    pub(crate) fn rejection(&self, reason: Reason) -> Rejection {
        Rejection {
            key: self.key.clone(),
            ..Rejection::on(&self.route, reason)
        }
    }

    /// The route that takes the request.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// The verified key; `None` on an open route.
    pub(crate) fn key(&self) -> Option<&ClientKey> {
        self.key.as_ref()?.get()
    }

    /// The digest of the verified key that was presented: a key may have several.
    pub(crate) fn digest(&self) -> Option<KeyDigest> {
        self.digest
    }

    /// Whether a provider may take the request for a POST.
    pub(crate) fn may_be_post(&self) -> bool {
        self.may_be_post
    }

    /// Whether the request that goes up is an upgrade to a `WebSocket`.
    pub(crate) fn upgrade(&self) -> bool {
        self.upgrade
    }
}

/// The key that the request presents, if its route wants one.
fn present<'r>(
    snapshot: &Snapshot,
    route: &Route,
    request: &'r RequestHeader,
    query: Option<&'r str>,
) -> Result<Option<PresentedKey<'r>>, AmbiguousCredentials> {
    if route.access == Access::Open {
        return Ok(None);
    }
    let names = snapshot
        .rules
        .key_headers
        .iter()
        .filter(|name| !route.token_headers.contains(name));
    PresentedKey::find(&request.headers, query, names)
}

/// The refusal of a request with two keys, which names the places where they stand.
fn two_keys(route: &Arc<Route>, places: &AmbiguousCredentials) -> Rejection {
    Rejection {
        message: Some(places.to_string().into()),
        ..Rejection::on(route, Reason::AmbiguousCredentials)
    }
}

/// The verified key, if the route wants one.
fn verify<'s>(
    snapshot: &'s Snapshot,
    route: &Route,
    presented: Option<&PresentedKey<'_>>,
    now: Timestamp,
) -> Result<Option<VerifiedKey<'s>>, Reason> {
    if route.access == Access::Open {
        return Ok(None);
    }
    let verified = snapshot.keys.verify(presented, now);
    verified.map(Some).map_err(Reason::InvalidKey)
}

/// The host in its normal form, without its port. HTTP/1.0 may leave it out; HTTP/1.1 may not.
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

/// The reason why a WebSocket on `path` is refused. The Responses API takes the same requests over HTTP, and its clients
/// fall back to that at once when they get a 426.
fn no_upgrade(path: &str) -> Reason {
    if path.trim_end_matches('/').ends_with("/responses") {
        Reason::UpgradeNotNeeded
    } else {
        Reason::UpgradeNotAllowed
    }
}

/// Whether the method is POST, or some header may replace it. Which method such a header names is not read.
fn may_be_post(request: &RequestHeader) -> bool {
    let names_a_method = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with('x') && METHOD_HEADERS.contains(&folded(name).as_str())
    };
    request.method == Method::POST || request.headers.keys().any(names_a_method)
}

/// Whether the client requests a `WebSocket`, alone or in a list of protocols.
fn is_websocket(request: &RequestHeader) -> bool {
    request.version == Version::HTTP_11
        && request.headers.get_all(UPGRADE).iter().any(|value| {
            let mut protocols = list::byte_elements(value.as_bytes());
            protocols.any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
        })
}

/// Whether Pingora forwards the request as an upgrade: it removes the header where that is a list of protocols.
fn goes_up_as_upgrade(request: &RequestHeader) -> bool {
    let first = request.headers.get(UPGRADE);
    first.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
