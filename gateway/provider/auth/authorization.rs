//! What authorizes one request at a provider, or why nothing does.

use http::{HeaderName, HeaderValue};

/// What authorizes one request.
pub(crate) enum Credential {
    /// A header with a token.
    Header(Authorization),
    /// Nothing: the provider needs no token.
    None,
}

/// A token in the header that it is sent in.
#[derive(Clone)]
pub(crate) struct Authorization {
    /// The header's name.
    pub(crate) name: HeaderName,
    /// The header's value, marked as sensitive.
    pub(crate) value: HeaderValue,
    /// A header, and a value that must be among its values when this token is sent.
    pub(crate) feature: Option<(HeaderName, &'static str)>,
}

/// Why a request cannot be authorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoCredential {
    /// The provider's own token, or the key's entry for it, is missing.
    Unavailable,
    /// The client had to present a token of its own and did not.
    NotPresented,
}
