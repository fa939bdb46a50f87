//! Every reason to refuse a request, with the status, the code and the sentence of each.

use crate::key::KeyFailure;

/// Why the gateway itself responds to a request, instead of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A preflight, in which a browser requests what a page may do. This is no refusal: the gateway has the response.
    Preflight,
    /// The path has two readings.
    BadPath,
    /// The request holds two different client keys.
    AmbiguousCredentials,
    /// A header's name can be read as another one, which is not accepted from clients.
    AmbiguousHeader,
    /// The message's framing has two readings.
    BadFraming,
    /// The request holds no key, or none that is valid.
    InvalidKey(KeyFailure),
    /// The client must bring the provider's token itself, and did not.
    NoProviderToken,
    /// The key is valid, and the route's selector does not take it.
    KeyNotAllowed,
    /// The route does not let connections be upgraded.
    UpgradeNotAllowed,
    /// The route does not let connections be upgraded, and the API takes the same requests over HTTP.
    UpgradeNotNeeded,
    /// The path is another spelling of one that another route serves.
    AmbiguousPath,
    /// No route takes this host and path.
    NoRoute,
    /// The path is the bare prefix of a route whose provider has no endpoint for it.
    NoDefaultEndpoint,
    /// The client sent its body too slowly.
    RequestTimeout,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// The head is larger than the limit.
    HeadersTooLarge,
    /// The client's address came with too many invalid keys.
    TooManyFailedKeys,
    /// The client's address, which a proxy in front names, has too many requests in flight.
    TooManyConnections,
    /// A limit of requests in a time is reached.
    RequestsLimit,
    /// A limit of tokens in a time is reached.
    TokensLimit,
    /// A limit of requests in flight is reached.
    ParallelLimit,
    /// A budget is spent, or what is left of it is too little for this request.
    BudgetExceeded,
    /// The request may use more than its limit ever admits at once.
    RequestExceedsLimit,
    /// Whether a limit has something left cannot be found out now.
    LimitsUnavailable,
    /// A budget applies, and the model has no price.
    UnpricedModel,
    /// A budget applies, and the endpoint bills later, as batches do.
    UnmeteredEndpoint,
    /// The most that the request can use cannot be told in advance, and its limit takes no such requests.
    UnboundedRequest,
    /// The client left before the response; nobody reads this refusal.
    ClientClosed,
    /// The key is not valid any more (removed, disabled, expired, or at the end of its overlap with a newer one), and
    /// its exchange was dropped; nobody reads this refusal.
    KeyRevoked,
    /// The gateway has a bug.
    Internal,
    /// The provider could not be reached, or broke off before its response.
    ProviderUnreachable,
    /// The provider's response sends the client to a host that the configuration does not name.
    ForeignRedirect,
    /// The provider's response switches to a protocol that the client has not requested.
    UnexpectedSwitch,
    /// The provider's token is missing.
    ProviderUnavailable,
    /// The provider did not respond in time.
    ProviderTimeout,
}

/// The response to a client that falls back from a WebSocket to HTTP when it gets this status.
const UPGRADE_NOT_NEEDED: (u16, &str, &str) = (
    426,
    "upgrade_not_allowed",
    "This route does not allow WebSocket connections: send the same as a POST.",
);

impl Reason {
    /// All reasons, with one of those of refused keys, which are the same to the client.
    pub const ALL: [Self; 35] = [
        Self::Preflight,
        Self::BadPath,
        Self::AmbiguousCredentials,
        Self::AmbiguousHeader,
        Self::BadFraming,
        Self::InvalidKey(KeyFailure::Missing),
        Self::NoProviderToken,
        Self::KeyNotAllowed,
        Self::UpgradeNotAllowed,
        Self::UpgradeNotNeeded,
        Self::AmbiguousPath,
        Self::NoRoute,
        Self::NoDefaultEndpoint,
        Self::RequestTimeout,
        Self::BodyTooLarge,
        Self::HeadersTooLarge,
        Self::TooManyFailedKeys,
        Self::TooManyConnections,
        Self::RequestsLimit,
        Self::TokensLimit,
        Self::ParallelLimit,
        Self::BudgetExceeded,
        Self::RequestExceedsLimit,
        Self::LimitsUnavailable,
        Self::UnpricedModel,
        Self::UnmeteredEndpoint,
        Self::UnboundedRequest,
        Self::ClientClosed,
        Self::KeyRevoked,
        Self::Internal,
        Self::ProviderUnreachable,
        Self::ForeignRedirect,
        Self::UnexpectedSwitch,
        Self::ProviderUnavailable,
        Self::ProviderTimeout,
    ];

    /// The status, the code that clients see, and the sentence for people.
    #[expect(clippy::too_many_lines, reason = "a table has a row for each reason")]
    fn response(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Preflight => (204, "preflight", ""),
            Self::BadPath => (
                400,
                "bad_path",
                "The request's path cannot be read in one way only.",
            ),
            Self::AmbiguousCredentials => (
                400,
                "ambiguous_credentials",
                "The request holds two different API keys.",
            ),
            Self::AmbiguousHeader => (
                400,
                "ambiguous_header",
                "The name of a header can be read in two ways.",
            ),
            Self::BadFraming => (
                400,
                "bad_framing",
                "The request's framing cannot be read in one way only.",
            ),
            Self::InvalidKey(_) => (401, "invalid_api_key", "Invalid API key."),
            Self::NoProviderToken => (
                401,
                "provider_token_missing",
                "This route passes on a provider token of your own: put it in the provider's header, \
                 and the gateway's key in another.",
            ),
            Self::KeyNotAllowed => (
                403,
                "key_not_allowed",
                "This API key may not use this route.",
            ),
            Self::UpgradeNotAllowed => (
                403,
                "upgrade_not_allowed",
                "This route does not allow WebSocket connections.",
            ),
            Self::UpgradeNotNeeded => UPGRADE_NOT_NEEDED,
            Self::AmbiguousPath => (
                400,
                "ambiguous_path",
                "This path leads to an endpoint that another route of this gateway serves: use that \
                 route's path, usually the endpoint's full path with its version.",
            ),
            Self::NoRoute => (404, "no_route", "There is no route for this host and path."),
            Self::NoDefaultEndpoint => (
                404,
                "no_default_endpoint",
                "This route has no endpoint of its own: add the provider's path to the URL.",
            ),
            Self::RequestTimeout => (
                408,
                "request_timeout",
                "The request's body did not arrive in time.",
            ),
            Self::BodyTooLarge => (
                413,
                "body_too_large",
                "The request's body is larger than this gateway accepts.",
            ),
            Self::HeadersTooLarge => (
                431,
                "headers_too_large",
                "The request's headers are larger than this gateway accepts.",
            ),
            Self::TooManyFailedKeys => (
                429,
                "too_many_failed_keys",
                "Too many invalid API keys came from this address.",
            ),
            Self::TooManyConnections => (
                429,
                "too_many_connections",
                "Too many requests from this address are going on at once.",
            ),
            Self::RequestsLimit => (429, "requests_limit", "Too many requests in this time."),
            Self::TokensLimit => (429, "tokens_limit", "Too many tokens in this time."),
            Self::ParallelLimit => (
                429,
                "parallel_limit",
                "Too many requests are going on at once.",
            ),
            // The setting `budget_status` takes the place of this status.
            Self::BudgetExceeded => (402, "budget_exceeded", "The budget is spent."),
            Self::RequestExceedsLimit => (
                400,
                "request_exceeds_limit",
                "This request may use more than its limit ever admits.",
            ),
            Self::LimitsUnavailable => (
                503,
                "limits_unavailable",
                "The gateway cannot check its limits now.",
            ),
            Self::UnpricedModel => (
                403,
                "unpriced_model",
                "A budget applies, and this model has no price.",
            ),
            Self::UnmeteredEndpoint => (
                403,
                "unmetered_endpoint",
                "A budget applies, and this endpoint bills later.",
            ),
            Self::UnboundedRequest => (
                403,
                "unbounded_request",
                "The most that this request can use cannot be told in advance.",
            ),
            Self::KeyRevoked => (401, "key_revoked", "This API key was revoked."),
            Self::ClientClosed => (499, "client_closed", "The client closed the request."),
            Self::Internal => (
                500,
                "internal_error",
                "The gateway failed to handle the request.",
            ),
            Self::ProviderUnreachable => (
                502,
                "provider_unreachable",
                "The provider could not be reached.",
            ),
            Self::ForeignRedirect => (
                502,
                "foreign_redirect",
                "The provider redirects to another host, which this gateway does not send keys and prompts to.",
            ),
            Self::UnexpectedSwitch => (
                502,
                "unexpected_switch",
                "The provider switches to another protocol (101), which this request does not ask for.",
            ),
            Self::ProviderUnavailable => (
                503,
                "provider_unavailable",
                "The provider is not available through this gateway.",
            ),
            Self::ProviderTimeout => (
                504,
                "provider_timeout",
                "The provider did not respond in time.",
            ),
        }
    }

    /// The status of the response. Of a budget, a setting can make another one: see `Rejection::status`.
    pub(crate) fn status(self) -> u16 {
        self.response().0
    }

    /// The code in the response's body and in metrics.
    pub(crate) fn code(self) -> &'static str {
        self.response().1
    }

    /// The sentence for people.
    pub(crate) fn message(self) -> &'static str {
        self.response().2
    }

    /// The reason in the log: the code, or for a key the exact reason, which clients do not learn.
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::InvalidKey(failure) => failure.label(),
            other => other.code(),
        }
    }
}
