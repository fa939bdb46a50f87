//! Which header a token is sent in, and with which prefix.

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::authorization::Authorization;
use crate::grammar::authorization::without_bearer;
use crate::provider::kind::{Bearer, Kind};
use crate::secret::Secret;

/// Which header a provider's token is sent in, and with which prefix.
pub(crate) struct TokenPlacement {
    header: HeaderName,
    prefix: String,
    bearer: Option<Bearer>,
    /// Whether `header` takes the bare token: a scheme in front of it is removed.
    bare: bool,
}

/// Whether a token may be sent in the header `name`: in the provider's own, or in `Authorization` where the provider has
/// access tokens.
pub(crate) fn takes_token_in(
    header: &HeaderName,
    bearer: Option<&Bearer>,
    name: &HeaderName,
) -> bool {
    name == header || (bearer.is_some() && *name == AUTHORIZATION)
}

impl TokenPlacement {
    /// `header` and `prefix` may be other than the kind's own.
    pub(crate) fn new(
        kind: &Kind,
        header: HeaderName,
        prefix: String,
        bearer: Option<Bearer>,
    ) -> Self {
        let is_own = header == kind.auth_header && header != AUTHORIZATION;
        Self {
            bare: prefix.is_empty() && is_own,
            header,
            prefix,
            bearer,
        }
    }

    /// The provider's own header for tokens.
    pub(crate) fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Whether a token may be sent in the header `name`.
    pub(crate) fn takes_token_in(&self, name: &HeaderName) -> bool {
        takes_token_in(&self.header, self.bearer.as_ref(), name)
    }

    /// The header for a configured token. A token that has its scheme with it ("Bearer sk-...") is not given a second
    /// one, and is sent without it where the header takes the bare token.
    pub(crate) fn header_for(&self, token: &Secret) -> Option<Authorization> {
        let bare = without_bearer(token.expose().as_bytes());
        if bare.is_empty() {
            return None;
        }
        if self.bare || self.is_bearer(bare) {
            return self.header_for_bare(bare);
        }
        Some(Authorization {
            name: self.header.clone(),
            value: token.header(&self.prefix)?,
            feature: None,
        })
    }

    /// The header for a token that has no scheme in front of it.
    pub(crate) fn header_for_bare(&self, token: &[u8]) -> Option<Authorization> {
        let bearer = self.bearer.filter(|_| self.is_bearer(token));
        let (name, prefix) = match bearer {
            Some(_) => (&AUTHORIZATION, "Bearer "),
            None => (&self.header, self.prefix.as_str()),
        };
        let whole = Zeroizing::new([prefix.as_bytes(), token].concat());
        let mut value = HeaderValue::from_bytes(&whole).ok()?;
        value.set_sensitive(true);
        let feature = bearer.and_then(|bearer| bearer.feature);
        Some(Authorization {
            name: name.clone(),
            value,
            feature: feature.map(|(name, value)| (HeaderName::from_static(name), value)),
        })
    }

    /// Whether `token` is an access token, sent as `Authorization: Bearer`.
    pub(crate) fn is_bearer(&self, token: &[u8]) -> bool {
        self.bearer.is_some_and(|bearer| bearer.takes(token))
    }
}
