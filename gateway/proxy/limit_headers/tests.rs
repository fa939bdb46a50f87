use super::*;

const DIALECTS: [ErrorFormat; 6] = [
    ErrorFormat::OpenAi,
    ErrorFormat::Anthropic,
    ErrorFormat::Google,
    ErrorFormat::Mistral,
    ErrorFormat::Cohere,
    ErrorFormat::HuggingFace,
];

fn left(kind: Kind, name: &str, (limit, remaining): (u64, u64), resets_in: Duration) -> Left<'_> {
    Left {
        kind,
        name,
        limit,
        remaining,
        window: Duration::from_secs(60),
        resets_in,
    }
}

fn written(headers: &HeaderMap) -> Vec<String> {
    let line =
        |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    let mut lines: Vec<String> = headers.iter().map(line).collect();
    lines.sort();
    lines
}

fn write_to(
    headers: &mut HeaderMap,
    dialect: ErrorFormat,
    left: &[Left<'_>],
    choice: LimitHeaders,
) -> Vec<String> {
    let now = "2026-11-28T12:00:00.5Z".parse().unwrap();
    write(headers, dialect, left, now, choice);
    written(headers)
}

fn lines(dialect: ErrorFormat, left: &[Left<'_>], choice: LimitHeaders) -> Vec<String> {
    write_to(&mut HeaderMap::new(), dialect, left, choice)
}

fn some() -> [Left<'static>; 5] {
    let ms = Duration::from_millis;
    [
        left(Kind::Requests, "key", (600, 599), ms(100)),
        left(Kind::Requests, "search-team", (6000, 20), ms(59_001)),
        left(Kind::InputTokens, "key", (1000, 700), ms(18_000)),
        left(Kind::OutputTokens, "key", (500, 499), ms(120)),
        left(
            Kind::Budget,
            "team",
            (9_000_000_000, 1_250_000_000),
            ms(86_400_000),
        ),
    ]
}

#[test]
fn openai_headers_tell_the_tightest_limit_of_each_kind() {
    let rates = [
        "ratelimit-policy: \"search_team_requests\";q=6000;w=60, \"key_input_tokens\";q=1000;w=60, \
         \"key_output_tokens\";q=500;w=60",
        "ratelimit: \"search_team_requests\";r=20;t=60, \"key_input_tokens\";r=700;t=18, \
         \"key_output_tokens\";r=499;t=1",
        "x-ratelimit-limit-requests: 6000",
        "x-ratelimit-limit-tokens: 500",
        "x-ratelimit-remaining-requests: 20",
        "x-ratelimit-remaining-tokens: 499",
        "x-ratelimit-reset-requests: 1m0s",
        "x-ratelimit-reset-tokens: 120ms",
    ];
    assert_eq!(
        lines(ErrorFormat::OpenAi, &some(), LimitHeaders::Rates),
        rates
    );
    let all = lines(ErrorFormat::OpenAi, &some(), LimitHeaders::All);
    let budget = "x-keygate-budget-remaining: 1.25".to_owned();
    assert!(all.contains(&budget) && all.len() == rates.len() + 1);
}

#[test]
fn anthropic_headers_tell_moments_and_replace_all_that_tell_of_tokens() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("anthropic-ratelimit-input-tokens-remaining", "31"),
        ("anthropic-ratelimit-input-tokens-remaining", "32"),
        ("anthropic-ratelimit-tokens-limit", "33"),
        ("anthropic-ratelimit-requests-limit", "34"),
        ("anthropic-priority-input-tokens-limit", "35"),
    ] {
        headers.append(name, value.parse().unwrap());
    }
    let output = [left(
        Kind::OutputTokens,
        "k",
        (500, 9),
        Duration::from_secs(5),
    )];
    let told = write_to(
        &mut headers,
        ErrorFormat::Anthropic,
        &output,
        LimitHeaders::Rates,
    );
    assert_eq!(
        told,
        [
            "anthropic-priority-input-tokens-limit: 35",
            "anthropic-ratelimit-output-tokens-limit: 500",
            "anthropic-ratelimit-output-tokens-remaining: 9",
            "anthropic-ratelimit-output-tokens-reset: 2026-11-28T12:00:06Z",
            "anthropic-ratelimit-requests-limit: 34",
            "anthropic-ratelimit-tokens-limit: 500",
            "anthropic-ratelimit-tokens-remaining: 9",
            "anthropic-ratelimit-tokens-reset: 2026-11-28T12:00:06Z",
            "ratelimit-policy: \"k_output_tokens\";q=500;w=60",
            "ratelimit: \"k_output_tokens\";r=9;t=5",
        ]
    );
}

#[test]
fn the_headers_of_a_provider_pass_where_the_gateway_limits_nothing_of_the_kind() {
    let own = [
        "anthropic-ratelimit-requests-remaining: 1",
        "anthropic-ratelimit-tokens-remaining: 2",
        "ratelimit: \"theirs\";r=5;t=1",
        "x-ratelimit-remaining-requests: 3",
        "x-ratelimit-remaining-tokens: 4",
    ];
    let provider = || -> HeaderMap {
        let pairs = own.iter().map(|line| line.split_once(": ").unwrap());
        let parsed = pairs.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        parsed
            .collect::<Vec<(HeaderName, HeaderValue)>>()
            .into_iter()
            .collect()
    };
    let money = [left(Kind::Budget, "b", (1, 1), Duration::ZERO)];
    for dialect in DIALECTS {
        for (left, choice) in [
            (&money[..], LimitHeaders::Rates),
            (&some()[..], LimitHeaders::None),
            (&[], LimitHeaders::All),
        ] {
            assert_eq!(write_to(&mut provider(), dialect, left, choice), own);
        }
    }
    let requests = [left(Kind::Requests, "k", (8, 7), Duration::ZERO)];
    let told = write_to(
        &mut provider(),
        ErrorFormat::OpenAi,
        &requests,
        LimitHeaders::Rates,
    );
    assert!(told.contains(&"x-ratelimit-remaining-requests: 7".to_owned()));
    assert!(told.contains(&"x-ratelimit-remaining-tokens: 4".to_owned()));
    assert!(told.contains(&"ratelimit: \"k_requests\";r=7;t=0".to_owned()));
}

#[test]
fn every_dialect_gets_the_headers_of_the_standard_in_a_form_that_clients_read() {
    // As huggingface_hub 2.4 reads them (utils/_http.py).
    let item = r#""\w+"\s*;\s*r\s*=\s*(\d+)\s*;\s*t\s*=\s*(\d+)"#;
    let rate_limit = regex::Regex::new(&format!("^ratelimit: {item}(, {item})*$")).unwrap();
    let policy = regex::Regex::new(r#"^ratelimit-policy: ("\w+";q=\d+;w=\d+(, )?)+$"#).unwrap();
    let odd = [left(
        Kind::Requests,
        "Größe 1;r=9\"\r\n",
        (8, 0),
        Duration::from_nanos(1),
    )];
    for dialect in DIALECTS {
        for left in [&some()[..], &odd] {
            let told = lines(dialect, left, LimitHeaders::Rates);
            for form in [&rate_limit, &policy] {
                let found = told.iter().filter(|line| form.is_match(line));
                assert_eq!(found.count(), 1, "{dialect:?} {told:?}");
            }
        }
    }
}

#[test]
fn of_limits_that_leave_the_same_the_one_that_resets_last_is_told() {
    let second = Duration::from_secs(1);
    let two = [
        left(Kind::Requests, "fast", (10, 0), second),
        left(Kind::Requests, "slow", (5, 0), 3600 * second),
    ];
    for two in [two, [two[1], two[0]]] {
        let told = lines(ErrorFormat::OpenAi, &two, LimitHeaders::Rates);
        assert!(told.contains(&"x-ratelimit-reset-requests: 1h0m0s".to_owned()));
    }
}

#[test]
fn times_are_in_openais_form_and_never_too_short() {
    for (nanoseconds, expected) in [
        (0, "0s"),
        (1, "1ms"),
        (119_000_001, "120ms"),
        (998_000_001, "999ms"),
        (999_000_001, "1s"),
        (1_000_000_000, "1s"),
        (1_000_000_001, "2s"),
        (59_000_000_001, "1m0s"),
        (360_000_000_000, "6m0s"),
        (3_661_000_000_000, "1h1m1s"),
    ] {
        assert_eq!(
            Short(Duration::from_nanos(nanoseconds)).to_string(),
            expected
        );
    }
}

#[test]
fn money_is_a_decimal_number_without_rounding() {
    for (billionths, expected) in [
        (0, "0"),
        (1, "0.000000001"),
        (10_000_000, "0.01"),
        (1_250_000_000, "1.25"),
        (2_000_000_000, "2"),
        (u64::MAX, "18446744073.709551615"),
    ] {
        assert_eq!(Money(billionths).to_string(), expected);
    }
}
