//! Which of a client's headers no provider gets, of whatever kind it is. The rest passes: a feature that a
//! provider brings out tomorrow works tomorrow.

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, FORWARDED, PROXY_AUTHORIZATION, VIA};

/// Credentials in every spelling, cookies, and what tells of the network behind the gateway.
pub static ALWAYS_STRIPPED: [HeaderName; 19] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
    // Azure's API Management in front of a provider, and Google's tokens for one's own identity.
    HeaderName::from_static("ocp-apim-subscription-key"),
    HeaderName::from_static("x-goog-iam-authorization-token"),
    HeaderName::from_static("x-goog-iam-authority-selector"),
    HeaderName::from_static("x-serverless-authorization"),
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-request-id"),
];

/// What chooses the account, project or organization that pays: the gateway's to choose, unless a route
/// says otherwise.
pub static ACCOUNT_CHOICES: [HeaderName; 5] = [
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
    HeaderName::from_static("x-goog-user-project"),
    HeaderName::from_static("x-hf-bill-to"),
    HeaderName::from_static("anthropic-workspace-id"),
];
