//! Phase 2, forward: one target that an admitted request is tried at. The decision is a plain function of the admission
//! and the request's head; it knows no session and makes no connection.
//!
//! [`Attempt::begin`] alone gives out a provider's token for a client's request, and it gives it out together with the
//! provider: no other origin can be combined with it later.

mod tries;

use std::sync::Arc;

pub(super) use self::tries::Tries;
use super::admit::{Admission, RequestParts};
use super::reject::{Reason, Rejection};
use crate::key::{ClientKey, is_our_credential, remove_from_query};
use crate::origin::Timeouts;
use crate::provider::{Credential, NoCredential, Provider};
use crate::route::{Router, Target};

/// A target, and what a request to it carries.
pub struct Attempt {
    target: Arc<Target>,
    credential: Credential,
    path: String,
    /// Other paths that a server may read `path` as if it decodes escaped separators. Empty if none are escaped.
    other_readings: Vec<String>,
    /// The connections that were tried for it.
    pub(super) tries: Tries,
}

impl Attempt {
    /// Makes the first attempt of an admitted request, of whose head `parts` were taken. Fails with the refusal that the
    /// client is to get: there is no token (503, or 401 where the client has to bring it), no endpoint for the bare
    /// prefix (404), or the path leads to another route's endpoint (400).
    pub fn begin(
        admission: &Admission,
        parts: &RequestParts<'_>,
        router: &Router,
    ) -> Result<Self, Rejection> {
        let refuse = |reason| admission.rejection(reason);
        let target = admission
            .route()
            .targets
            .next(0)
            .ok_or_else(|| refuse(Reason::ProviderUnavailable))?;
        let key = admission.key();
        let credential = credential_for(&target.provider, key, parts).map_err(refuse)?;
        let path =
            path_at(&target.provider, parts).ok_or_else(|| refuse(Reason::NoDefaultEndpoint))?;
        if belongs_to_other_route(router, admission, &target.provider, parts, &path) {
            return Err(refuse(Reason::AmbiguousPath));
        }
        Ok(Self {
            target: target.clone(),
            credential,
            other_readings: parts.path.readings_of(&path),
            path,
            tries: Tries::default(),
        })
    }

    /// The target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The target's provider.
    pub fn provider(&self) -> &Provider {
        &self.target.provider
    }

    /// What authorizes the request at the provider.
    pub(super) fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The path and query at the provider.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The paths that the provider may read: [`path`](Self::path), and others where separators in it are escaped.
    pub(super) fn readings(&self) -> impl Iterator<Item = &str> {
        let others = self.other_readings.iter().map(String::as_str);
        std::iter::once(self.path.as_str()).chain(others)
    }

    /// The provider's timeouts.
    pub(super) fn timeouts(&self) -> &Timeouts {
        &self.target.provider.endpoint.timeouts
    }
}

/// What authorizes the request at `provider`.
fn credential_for(
    provider: &Provider,
    key: Option<&ClientKey>,
    parts: &RequestParts<'_>,
) -> Result<Credential, Reason> {
    let is_ours = |value: &[u8]| is_our_credential(value, parts.presented.as_ref());
    let credential = provider.credential(key, parts.headers, is_ours);
    credential.map_err(|why| match why {
        NoCredential::Unavailable => Reason::ProviderUnavailable,
        NoCredential::NotPresented => Reason::NoProviderToken,
    })
}

/// The path and query at `provider`, without the client's key. `None` if it has no endpoint for them.
fn path_at(provider: &Provider, parts: &RequestParts<'_>) -> Option<String> {
    let query = parts
        .path
        .query
        .and_then(|query| remove_from_query(query, parts.presented.as_ref()));
    provider.paths.target(parts.rest, query.as_deref())
}

/// Whether `path` at `provider`, in any of its readings, is an endpoint that another route serves.
fn belongs_to_other_route(
    router: &Router,
    admission: &Admission,
    provider: &Provider,
    parts: &RequestParts<'_>,
    path: &str,
) -> bool {
    let route = admission.route();
    router.belongs_to_other(&parts.host, route, provider, path)
        || router.unescaped_belongs_to_other(&parts.host, route, provider, parts.path, path)
}
