//! What is wrong with a request and what to do about it, in plain words, for `keygate explain`.
//!
//! A `match` without a catch-all covers each reason. No text contains a value of the request.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method};
use pingora::http::RequestHeader;

use crate::key::KeyFailure;
use crate::proxy::reject::Reason;
use crate::route::BadPath;

/// Why a path is ambiguous, and what to send instead.
pub(super) fn for_path(bad: BadPath) -> (&'static str, &'static str) {
    match bad {
        BadPath::NotAPath => (
            "is neither a path nor a URL with one",
            "begin with `/`, or with http://HOST/",
        ),
        BadPath::Character => (
            "holds a character that has no place in a path: a blank, `\\`, `#`, `;`, a control character or one that is \
             not ASCII",
            "write the character as its escape: `;` within a name is %3B, a blank is %20",
        ),
        BadPath::Escape => (
            "holds an escape that is not whole, or that hides `\\`, `#`, a control character, another escape or a \
             parameter with a key",
            "escape each character once, and only those that need it: `%` and two hexadecimal digits, never %25 and two \
             more",
        ),
        BadPath::DotSegment => (
            "has a segment `.` or `..`, which leads to another path",
            "send the path that it leads to",
        ),
    }
}

/// The state of a refused key, for people. Access lines have its label instead.
pub(super) fn key_state(failure: KeyFailure) -> &'static str {
    match failure {
        KeyFailure::Missing => "none was sent",
        KeyFailure::Malformed => "not a whole key",
        KeyFailure::Unknown => "not in the key file",
        KeyFailure::Disabled => "disabled",
        KeyFailure::NotYetValid => "not valid yet",
        KeyFailure::Expired => "expired",
    }
}

/// What to do about a refused key.
pub(super) fn for_key(failure: KeyFailure) -> &'static str {
    match failure {
        KeyFailure::Missing => {
            "send a client key as `Authorization: Bearer KEY`, `api-key: KEY` or `x-api-key: KEY`"
        }
        KeyFailure::Malformed => "this is no whole key: is all of it there, and nothing else?",
        KeyFailure::Unknown => {
            "no key of the key file has this value: is it in quotes, or does anything else stand around it? A \
             provider's own key (sk-...) is not accepted here: send a client key, which `keygate keys create --id NAME` \
             makes"
        }
        KeyFailure::Disabled => "`keygate keys enable ID` makes it valid again",
        KeyFailure::NotYetValid => "its `not_before` is yet to come: `keygate keys show ID`",
        KeyFailure::Expired => {
            "`keygate keys rotate ID --expires 90d` gives it a new secret and a new end"
        }
    }
}

/// What to do about a refusal. `None` where the message of the reason says it, or where the reason alone is not enough to
/// tell.
pub(super) fn for_reason(reason: Reason) -> Option<&'static str> {
    let advice = match reason {
        // A preflight is no refusal; nobody reads the response to a client that left; the others need more than the reason.
        Reason::Preflight
        | Reason::BadPath
        | Reason::BadFraming
        | Reason::AmbiguousHeader
        | Reason::NoRoute
        | Reason::ClientClosed => return None,
        Reason::InvalidKey(failure) => for_key(failure),
        Reason::AmbiguousCredentials => {
            "take one of the two keys out: SDKs also send one that stands in an environment variable of theirs"
        }
        Reason::NoProviderToken => {
            "send the provider's token where its SDK puts it, and the client key in `api-key` or `x-api-key`"
        }
        Reason::KeyNotAllowed => {
            "give the key the labels that the selector asks for, or use another key: `keygate keys list`"
        }
        Reason::UpgradeNotAllowed => {
            "`websocket = true` in the route allows WebSockets, if the provider has them"
        }
        Reason::UpgradeNotNeeded => {
            "send the same as a POST, or allow WebSockets by `websocket = true` in the route"
        }
        Reason::AmbiguousPath => {
            "send the endpoint's full path, with its version, below the path of the route that it belongs to"
        }
        Reason::NoDefaultEndpoint => {
            "add the provider's own path to the URL, or name a `model` for this provider in the configuration"
        }
        Reason::RequestTimeout => {
            "send the body faster; `client_read` in [server.timeouts] and `body_rate` in [server.limits] say how fast"
        }
        Reason::BodyTooLarge => {
            "send less at a time, or raise `request_body` in [server.limits] of the configuration"
        }
        Reason::HeadersTooLarge => {
            "send fewer or shorter headers, or raise `header_bytes` or `header_count` in [server.limits] of the \
             configuration"
        }
        Reason::TooManyFailedKeys => {
            "wait a minute and send a valid key; `failed_keys_per_address` in [server.limits] is how many may fail"
        }
        Reason::TooManyConnections => {
            "send fewer at once; `connections_per_address` in [server.limits] is how many may go on"
        }
        Reason::RequestsLimit | Reason::TokensLimit => {
            "wait as long as the response says, or give the limit a larger amount in the configuration"
        }
        Reason::ParallelLimit => {
            "send fewer at once, or raise `parallel` of the limit, or `max_parallel_requests` of the key"
        }
        Reason::BudgetExceeded => {
            "wait for the period's end, or give the budget a larger amount in the configuration"
        }
        Reason::RequestExceedsLimit => {
            "ask for less output by `max_tokens`, send less, or give the limit a larger amount in the configuration"
        }
        Reason::LimitsUnavailable => {
            "try again; if it lasts, the log says why limits cannot be checked: `journalctl -u keygate -p warning`"
        }
        Reason::UnpricedModel => {
            "add the model to the price file, or let it pass by `unpriced = \"allow\"` in the budget"
        }
        Reason::UnmeteredEndpoint => {
            "use a key without a budget for batches, or let them pass by `unmetered = \"allow\"` in the budget"
        }
        Reason::UnboundedRequest => {
            "send a plain body, and refer to no files, images or earlier responses; `unbounded` in the limit is how such \
             requests are treated"
        }
        Reason::KeyRevoked => "use another key: `keygate keys list`",
        Reason::Internal => {
            "this is a fault of keygate's: its log says more, `journalctl -u keygate -p warning`"
        }
        Reason::ProviderUnreachable | Reason::ProviderTimeout => {
            "`keygate doctor` tries to connect to the provider, and `keygate status --probe` asks it something"
        }
        Reason::ForeignRedirect => {
            "name the host in the provider's `redirect_hosts`, if it is right that the provider leads there"
        }
        Reason::UnexpectedSwitch => {
            "the provider, or a proxy in front of it, is at fault: does `base_url` name an HTTP API?"
        }
        Reason::ProviderUnavailable => {
            "bring the provider's token to where the configuration says: `keygate doctor`"
        }
    };
    Some(advice)
}

/// Whether every `Content-Length` is a number, or there is none.
pub(super) fn has_numeric_length_or_none(headers: &HeaderMap) -> bool {
    let is_number = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let lengths = headers.get_all(CONTENT_LENGTH);
    lengths.iter().all(|value| is_number(value.as_bytes()))
}

/// What is wrong with a request's framing, and what to send instead.
pub(super) fn for_framing(request: &RequestHeader) -> &'static str {
    let headers = &request.headers;
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let is_padded = |value: &http::HeaderValue| {
        let value = value.as_bytes();
        blank(value.first()) || blank(value.last())
    };
    let lengths = headers.get_all(CONTENT_LENGTH);
    if request.method == Method::TRACE {
        "TRACE is not forwarded: it would send back the headers, and the provider's token among them"
    } else if lengths.iter().count() > 1 || !has_numeric_length_or_none(headers) {
        "send one `Content-Length`, with one number"
    } else if headers.contains_key(TRANSFER_ENCODING) {
        "send `Transfer-Encoding: chunked` alone, once and without a `Content-Length`, or a `Content-Length` alone"
    } else if headers.values().any(is_padded) {
        "send no blanks before or behind the value of a header"
    } else if headers.get_all(HOST).iter().count() != 1 {
        "send one `Host`"
    } else {
        "send a `Host` that is a name or an address, with or without a port"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [KeyFailure; 6] = [
        KeyFailure::Missing,
        KeyFailure::Malformed,
        KeyFailure::Unknown,
        KeyFailure::Disabled,
        KeyFailure::NotYetValid,
        KeyFailure::Expired,
    ];
    const PATHS: [BadPath; 4] = [
        BadPath::NotAPath,
        BadPath::Character,
        BadPath::Escape,
        BadPath::DotSegment,
    ];

    /// Whether a text is for people: it has no identifier of the code, such as `DotSegment` or `bad_path`, outside backquotes.
    fn is_plain(text: &str) -> bool {
        let text = text.replace("WebSocket", "");
        let mut words = text.split('`').step_by(2).flat_map(|text| text.split(' '));
        words.all(|word| {
            let mut pairs = word.chars().zip(word.chars().skip(1));
            let is_camel = pairs.any(|(first, then)| first.is_lowercase() && then.is_uppercase());
            !is_camel && !word.contains('_') && !word.contains("::")
        })
    }

    #[test]
    fn every_reason_has_advice_in_plain_words() {
        for bad in PATHS {
            let (what, advice) = for_path(bad);
            assert!(is_plain(what) && is_plain(advice), "{what}: {advice}");
            assert!(!what.contains(&format!("{bad:?}")), "{what}");
        }
        for failure in KEYS {
            assert!(is_plain(key_state(failure)) && key_state(failure) != failure.label());
            assert!(is_plain(for_key(failure)));
        }
        for reason in Reason::ALL {
            let advice = for_reason(reason);
            let elsewhere = [
                Reason::Preflight,
                Reason::BadPath,
                Reason::BadFraming,
                Reason::AmbiguousHeader,
                Reason::NoRoute,
                Reason::ClientClosed,
            ];
            assert_eq!(advice.is_none(), elsewhere.contains(&reason), "{reason:?}");
            let advice = advice.unwrap_or_default();
            assert!(is_plain(advice), "{advice}");
            assert!(is_plain(reason.message()), "{}", reason.message());
        }
        assert!(!is_plain("has two readings: DotSegment") && !is_plain("missing_key"));
    }
}
