//! Headers of clients that no provider gets, by their whole names.

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, FORWARDED, PROXY_AUTHORIZATION, VIA};

/// Credentials in every spelling, cookies, and headers that describe the network behind the gateway. No provider gets
/// them, of whatever kind it is. The headers of proxies in front are matched by prefix, in `prefixes`.
pub(crate) static ALWAYS_STRIPPED: [HeaderName; 12] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
    // For Azure's API Management in front of a provider, and Google's tokens for an identity.
    HeaderName::from_static("ocp-apim-subscription-key"),
    HeaderName::from_static("x-goog-iam-authorization-token"),
    HeaderName::from_static("x-goog-iam-authority-selector"),
    FORWARDED,
    VIA,
    HeaderName::from_static("x-request-id"),
];

/// Headers that choose the account, project or organization that pays. The gateway chooses, unless a route allows its
/// clients to.
pub(crate) static ACCOUNT_CHOICES: [HeaderName; 5] = [
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
    HeaderName::from_static("x-goog-user-project"),
    HeaderName::from_static("x-hf-bill-to"),
    HeaderName::from_static("anthropic-workspace-id"),
];
