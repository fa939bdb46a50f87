use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use http::HeaderMap;
use serde_json::{Value, json};

use super::*;
use crate::key::KeyFailure;
use crate::limit::notice::BudgetStatus;
use crate::limit::terms::Counts;
use crate::proxy::reject::limit_refusal::{Scope, wait_for_a_place};

const DIALECTS: [(&str, ErrorFormat, &str); 6] = [
    ("openai", ErrorFormat::OpenAi, "/error/message"),
    ("anthropic", ErrorFormat::Anthropic, "/error/message"),
    ("google", ErrorFormat::Google, "/error/message"),
    ("mistral", ErrorFormat::Mistral, "/message"),
    ("cohere", ErrorFormat::Cohere, "/message"),
    ("huggingface", ErrorFormat::HuggingFace, "/error"),
];
/// The reasons that come with a limit.
const BY_A_LIMIT: [Reason; 9] = [
    Reason::RequestsLimit,
    Reason::TokensLimit,
    Reason::ParallelLimit,
    Reason::BudgetExceeded,
    Reason::RequestExceedsLimit,
    Reason::LimitsUnavailable,
    Reason::UnpricedModel,
    Reason::UnmeteredEndpoint,
    Reason::UnboundedRequest,
];
const RESETS: &str = "2026-12-01T00:00:00Z";

fn limit(terms: &str, wait: Option<Duration>) -> LimitRefusal {
    LimitRefusal {
        name: "search-team".into(),
        counts: Counts::Money,
        terms: terms.into(),
        scope: Some(Scope::Label {
            name: "team".into(),
            value: "search".into(),
        }),
        wait,
        resets: Some(RESETS.parse().unwrap()),
        budget_status: BudgetStatus::default(),
    }
}

fn by_limit(reason: Reason, limit: LimitRefusal) -> Rejection {
    Rejection::unrouted(reason).with_limit(limit)
}

/// The response in `dialect`: its status, headers and body.
fn response(rejection: &Rejection, dialect: ErrorFormat) -> (u16, HeaderMap, Bytes) {
    let id = RequestId::next();
    let (head, body) = rejection.response_in(dialect, &id).unwrap();
    (head.status.as_u16(), head.headers.clone(), body)
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    Some(headers.get(name)?.to_str().unwrap())
}

#[test]
fn every_refused_key_gets_the_same_bytes() {
    let id = RequestId::next();
    let response = |failure| {
        let rejection = Rejection::unrouted(Reason::InvalidKey(failure));
        let (head, body) = rejection.response(&id).unwrap();
        (format!("{:?}", head.headers), body)
    };
    let first = response(KeyFailure::Missing);
    for failure in [
        KeyFailure::Malformed,
        KeyFailure::Unknown,
        KeyFailure::Disabled,
        KeyFailure::NotYetValid,
        KeyFailure::Expired,
    ] {
        assert_eq!(response(failure), first);
    }
}

#[test]
fn the_response_to_a_refused_key_never_changes() {
    let rejection = Rejection::unrouted(Reason::InvalidKey(KeyFailure::Unknown));
    let id = RequestId::next();
    let (head, body) = rejection.response(&id).unwrap();
    let mut text = Vec::new();
    head.header_to_h1_wire(&mut text);
    let text = String::from_utf8(text).unwrap();
    let expected = "Content-Type: application/json\r\nContent-Length: 108\r\nx-request-id: ID\r\n\
                    x-keygate-request-id: ID\r\nx-keygate-refused-by: gateway\r\n\
                    www-authenticate: Bearer realm=\"keygate\"\r\n";
    assert_eq!(text.replace(id.as_str(), "ID"), expected);
    assert_eq!(
        body,
        r#"{"error":{"code":"invalid_api_key","message":"Invalid API key.","param":null,"type":"authentication_error"}}"#
    );
}

#[test]
fn every_refusal_is_json_with_its_message_where_the_dialect_has_it() {
    for reason in Reason::ALL.into_iter().filter(|r| *r != Reason::Preflight) {
        let mut rejections = vec![Rejection::unrouted(reason)];
        if BY_A_LIMIT.contains(&reason) {
            let wait = Some(Duration::from_secs(12));
            rejections.push(by_limit(reason, limit("9 things", wait)));
        }
        for (rejection, (name, dialect, message)) in rejections
            .iter()
            .flat_map(|rejection| DIALECTS.map(|dialect| (rejection, dialect)))
        {
            let (status, headers, body) = response(rejection, dialect);
            let json: Value = serde_json::from_slice(&body).unwrap();
            let expected = rejection.message.as_deref().unwrap_or(reason.message());
            assert_eq!(json.pointer(message), Some(&json!(expected)), "{name}");
            assert_eq!(status, reason.status(), "{name} {reason:?}");
            let length = body.len().to_string();
            assert_eq!(header(&headers, "content-length"), Some(&*length));
            assert_eq!(header(&headers, "x-keygate-refused-by"), Some("gateway"));
            let code = reason.code();
            let written = String::from_utf8(body.to_vec()).unwrap();
            assert!(
                written.to_lowercase().contains(&format!("\"{code}\"")),
                "{written}"
            );
        }
    }
}

#[test]
fn a_refusal_by_a_limit_has_a_code_and_a_message_of_its_own() {
    let mut codes = BTreeSet::new();
    for reason in BY_A_LIMIT {
        assert!(codes.insert(reason.code()));
        let message = limit("9 things", None).message(reason);
        let start = "`search-team` of 9 things for team `search` ";
        assert!(message.contains(start), "{message}");
        assert!(message.ends_with('.'), "{message}");
    }
}

#[test]
fn a_spent_budget_is_refused_with_the_status_of_the_setting_and_names_no_wait() {
    for (budget_status, expected) in BudgetStatus::ALL.into_iter().zip([402, 403, 429]) {
        let limit = LimitRefusal {
            budget_status,
            ..limit("2000.00 per month", Some(Duration::from_secs(5)))
        };
        let rejection = by_limit(Reason::BudgetExceeded, limit.clone());
        for (name, dialect, _) in DIALECTS {
            let (status, headers, body) = response(&rejection, dialect);
            assert_eq!((status, rejection.status()), (expected, expected), "{name}");
            assert_eq!(header(&headers, "x-should-retry"), Some("false"));
            assert_eq!(header(&headers, "retry-after"), None);
            assert_eq!(header(&headers, "retry-after-ms"), None);
            assert_eq!(header(&headers, LIMIT_RESET), Some(RESETS));
            assert!(!body.windows(9).any(|part| part == b"RetryInfo"));
        }
        // The status is that of budgets alone.
        let other = by_limit(Reason::UnpricedModel, limit);
        assert_eq!(other.status(), 403);
    }
}

#[test]
fn a_long_wait_names_the_moment_and_anthropic_clients_get_the_headers_that_end_retries() {
    let day = Duration::from_secs(86_400);
    for (rejection, is_final) in [
        (
            by_limit(Reason::TokensLimit, limit("9 tokens", Some(day))),
            true,
        ),
        (by_limit(Reason::BudgetExceeded, limit("9.00", None)), true),
        (
            by_limit(Reason::RequestsLimit, limit("9", Some(day / 1440))),
            false,
        ),
        (
            by_limit(Reason::ParallelLimit, limit("9", Some(day))),
            false,
        ),
        (
            by_limit(Reason::LimitsUnavailable, limit("9", Some(day))),
            false,
        ),
        (by_limit(Reason::UnpricedModel, limit("9", None)), false),
        (Rejection::unrouted(Reason::TooManyConnections), false),
    ] {
        for (name, dialect, _) in DIALECTS {
            let (_, headers, _) = response(&rejection, dialect);
            let told = |name: &str| header(&headers, name).map(ToOwned::to_owned);
            let expected = |value: &str| is_final.then(|| value.to_owned());
            assert_eq!(
                told(LIMIT_RESET),
                expected(RESETS),
                "{:?}",
                rejection.reason
            );
            let unified = |value| expected(value).filter(|_| name == "anthropic");
            let status = told("anthropic-ratelimit-unified-status");
            assert_eq!(status, unified("rejected"));
            let reset = told("anthropic-ratelimit-unified-reset");
            assert_eq!(reset, unified("1796083200"));
        }
    }
    let endless = LimitRefusal {
        resets: None,
        ..limit("5.00", None)
    };
    let (_, headers, _) = response(
        &by_limit(Reason::BudgetExceeded, endless),
        ErrorFormat::Anthropic,
    );
    assert_eq!(
        header(&headers, "anthropic-ratelimit-unified-status"),
        Some("rejected")
    );
    assert_eq!(header(&headers, LIMIT_RESET), None);
}

#[test]
fn google_clients_get_the_wait_in_the_body_as_well() {
    let wait = Some(Duration::from_millis(1_250));
    let rejection = by_limit(Reason::RequestsLimit, limit("9 requests", wait));
    let (_, _, body) = response(&rejection, ErrorFormat::Google);
    let json: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["error"]["status"], "RESOURCE_EXHAUSTED");
    assert_eq!(json["error"]["details"][1]["retryDelay"], "1.250s");
}

#[test]
fn the_limits_of_an_address_are_refused_as_before() {
    for reason in [Reason::TooManyFailedKeys, Reason::TooManyConnections] {
        for (name, dialect, _) in DIALECTS {
            let (status, headers, body) = response(&Rejection::unrouted(reason), dialect);
            assert_eq!((status, headers.len()), (429, 6), "{name}");
            assert_eq!(header(&headers, "retry-after"), Some("1"));
            assert!(!body.windows(9).any(|part| part == b"RetryInfo"));
        }
    }
}

#[test]
fn a_rejection_without_a_limit_stays_small() {
    assert_eq!(size_of::<Option<Box<LimitRefusal>>>(), size_of::<usize>());
}

/// The refusals of tests/sdk/limits, by the names that its scripts know.
fn scenes() -> Vec<(&'static str, Rejection)> {
    let wait = |milliseconds| Some(Duration::from_millis(milliseconds));
    let budget = |budget_status| {
        let limit = LimitRefusal {
            budget_status,
            ..limit("2000.00 per month", None)
        };
        by_limit(Reason::BudgetExceeded, limit)
    };
    let place = Some(wait_for_a_place(Duration::from_millis(400), 200_000));
    let of = |reason, terms, wait| by_limit(reason, limit(terms, wait));
    let requests = "600 requests per minute";
    let tokens = "1000000 tokens per hour";
    vec![
        (
            "requests_limit",
            of(Reason::RequestsLimit, requests, wait(1_250)),
        ),
        (
            "tokens_limit_long",
            of(Reason::TokensLimit, tokens, wait(600_000)),
        ),
        (
            "parallel_limit",
            of(Reason::ParallelLimit, "20 requests at once", place),
        ),
        ("budget_exceeded", budget(BudgetStatus::PaymentRequired)),
        ("budget_exceeded_403", budget(BudgetStatus::Forbidden)),
        ("budget_exceeded_429", budget(BudgetStatus::TooManyRequests)),
        (
            "request_exceeds_limit",
            of(Reason::RequestExceedsLimit, tokens, None),
        ),
        (
            "limits_unavailable",
            of(Reason::LimitsUnavailable, tokens, None),
        ),
        (
            "unpriced_model",
            of(Reason::UnpricedModel, "50.00 per day", None),
        ),
        (
            "unmetered_endpoint",
            of(Reason::UnmeteredEndpoint, "50.00 per day", None),
        ),
        (
            "unbounded_request",
            of(Reason::UnboundedRequest, "50.00 per day", None),
        ),
        (
            "too_many_failed_keys",
            Rejection::unrouted(Reason::TooManyFailedKeys),
        ),
    ]
}

#[test]
fn the_sdk_tests_have_a_refusal_of_every_limit() {
    let scenes = scenes();
    let reasons: BTreeSet<&str> = scenes.iter().map(|(_, of)| of.reason.code()).collect();
    assert!(BY_A_LIMIT.iter().all(|of| reasons.contains(of.code())));
    // tests/sdk/limits/run sets the folder.
    let Ok(folder) = std::env::var("KEYGATE_WRITE_REFUSALS") else {
        return;
    };
    for (scene, rejection) in &scenes {
        for (name, dialect, _) in DIALECTS {
            let (status, headers, body) = response(rejection, dialect);
            let pairs = headers.iter();
            let pairs = pairs.map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
            let pairs: Vec<(&str, &str)> = pairs.collect();
            let body = std::str::from_utf8(&body).unwrap();
            let file = json!({"status": status, "headers": pairs, "body": body});
            let folder = Path::new(&folder).join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("{scene}.json")), file.to_string()).unwrap();
        }
    }
}
