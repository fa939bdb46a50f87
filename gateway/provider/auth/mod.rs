//! How requests to a provider are authorized. Decides for each request, without waiting and without IO: whatever needs
//! fetching or renewing has been fetched before.

mod authorization;
mod passthrough;
pub(crate) mod placement;

pub(crate) use self::authorization::{Authorization, Credential, NoCredential};

use http::HeaderMap;

use self::placement::TokenPlacement;
use crate::key::ClientKey;

/// How requests to a provider are authorized.
pub(super) enum Auth {
    /// By nothing: the provider needs no token.
    None,
    /// By one token for everybody.
    Fixed(Authorization),
    /// By a token that the client's key has in its metadata under this name.
    Key(String),
    /// By the client's own token.
    Passthrough,
    /// Not at all, because the token could not be fetched: with the reason.
    Missing(String),
}

impl Auth {
    /// What authorizes a request of `key` with the headers `client`. `is_ours` returns whether the value of a header
    /// is a key of the gateway's own.
    pub(super) fn authorize(
        &self,
        placement: &TokenPlacement,
        key: Option<&ClientKey>,
        client: &HeaderMap,
        is_ours: impl Fn(&[u8]) -> bool,
    ) -> Result<Credential, NoCredential> {
        let authorization = match self {
            Self::None => return Ok(Credential::None),
            Self::Missing(_) => return Err(NoCredential::Unavailable),
            Self::Fixed(authorization) => authorization.clone(),
            Self::Key(name) => key
                .and_then(|key| key.metadata(name))
                .and_then(|secret| placement.header_for(secret))
                .ok_or(NoCredential::Unavailable)?,
            Self::Passthrough => passthrough::header_from_client(placement, client, is_ours)
                .ok_or(NoCredential::NotPresented)?,
        };
        Ok(Credential::Header(authorization))
    }
}
