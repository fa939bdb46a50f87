//! Which limits requests have, by descriptors and actions.

use super::*;

fn words(item: &str, server: &str) -> String {
    let parse = |text: &str| {
        let value: Value = serde_json::from_str(text).unwrap();
        value.as_object().unwrap().clone()
    };
    match limits(&parse(item), &parse(server)) {
        Err(why) => format!("! {why}"),
        Ok(found) => {
            let words = found.iter().map(|it| {
                let of = match &it.counted {
                    Counted::All => "all".to_owned(),
                    Counted::EachUser => "each user".to_owned(),
                    Counted::EachValue(header) => format!("each {header}"),
                    Counted::Value { header, value } => format!("{header}={value}"),
                };
                format!("{} of {of}", it.amount)
            });
            words.collect::<Vec<_>>().join(", ")
        }
    }
}

const GENERIC: &str = r#"{"actions": [{"genericKey": {"descriptorValue": "a"}}]}"#;

fn generic(rate: &str) -> String {
    let server = format!(
        r#"{{"descriptors": [{{"key": "generic_key", "value": "a", "rateLimit": {rate}}}]}}"#
    );
    words(GENERIC, &server)
}

#[test]
fn each_unit_of_time_is_a_window_or_a_period() {
    for (rate, wanted) in [
        (
            r#"{"requestsPerUnit": 3, "unit": "SECOND"}"#,
            "3 per second of all",
        ),
        (
            r#"{"requestsPerUnit": "4", "unit": "minute"}"#,
            "4 per minute of all",
        ),
        (
            r#"{"requestsPerUnit": 5, "unit": "HOUR"}"#,
            "5 per hour of all",
        ),
        (
            r#"{"requestsPerUnit": 6, "unit": "DAY"}"#,
            "6 per day of all",
        ),
        (
            r#"{"requestsPerUnit": 7, "unit": "MONTH"}"#,
            "7 per month of all",
        ),
        (
            r#"{"requestsPerUnit": 8, "unit": "YEAR"}"#,
            "8 per year of all",
        ),
        (r#"{"unit": "MINUTE"}"#, "0 per day of all"),
        (
            r#"{"requestsPerUnit": 0, "unit": "SECOND"}"#,
            "0 per day of all",
        ),
    ] {
        assert_eq!(generic(rate), wanted);
    }
    for rate in [
        r#"{"requestsPerUnit": -1, "unit": "SECOND"}"#,
        r#"{"requestsPerUnit": 1.5, "unit": "SECOND"}"#,
        r#"{"requestsPerUnit": 4294967295, "unit": "SECOND"}"#,
        r#"{"requestsPerUnit": 1, "unit": "FORTNIGHT"}"#,
        r#"{"requestsPerUnit": 1}"#,
        r#"{"requestsPerUnit": 1, "unit": "SECOND", "of_tomorrow": 1}"#,
        "[]",
    ] {
        assert!(generic(rate).starts_with('!'), "{rate}");
    }
}

#[test]
fn a_request_has_the_limit_of_its_last_entry_and_none_beside_the_tree() {
    let server = r#"{"descriptors": [
        {"key": "generic_key", "value": "b", "rateLimit": {"requestsPerUnit": 1, "unit": "DAY"}},
        {"key": "generic_key", "rateLimit": {"requestsPerUnit": 2, "unit": "DAY"}, "descriptors": [
            {"key": "user", "rateLimit": {"requestsPerUnit": 3, "unit": "DAY"}},
            {"key": "plan", "value": "gold", "rateLimit": {"requestsPerUnit": 4, "unit": "DAY"}},
            {"key": "plan", "value": "tin", "rateLimit": {"requestsPerUnit": 5, "unit": "DAY"}}]}]}"#;
    let actions = |more: &str| {
        let item =
            format!(r#"{{"actions": [{{"genericKey": {{"descriptorValue": "a"}}}}{more}]}}"#);
        words(&item, server)
    };
    assert_eq!(actions(""), "2 per day of all");
    let user = r#", {"metadata": {"descriptorKey": "user", "metadataKey": {"key": "envoy.filters.http.ext_authz", "path": [{"key": "userId"}]}}}"#;
    assert_eq!(actions(user), "3 per day of each user");
    let plan = r#", {"requestHeaders": {"descriptorKey": "plan", "headerName": "X-Plan"}}"#;
    assert_eq!(
        actions(plan),
        "4 per day of x-plan=gold, 5 per day of x-plan=tin"
    );
    let both = format!("{plan}{user}");
    assert_eq!(actions(&both), "");
    let other = r#", {"requestHeaders": {"descriptorKey": "nothing", "headerName": "x"}}"#;
    assert_eq!(actions(other), "");
    assert!(
        actions(r#", {"remoteAddress": {}}"#).starts_with("! it counts by the client's address")
    );
    assert!(
        actions(r#", {"cel": {"expression": "1"}}"#).starts_with("! keygate cannot count by `cel`")
    );
}

#[test]
fn what_has_a_weight_or_another_limit_for_some_values_is_not_carried_over() {
    let server = |more: &str| format!(r#"{{"descriptors": [{{"key": "h", {more}}}]}}"#);
    let header = r#"{"actions": [{"requestHeaders": {"descriptorKey": "h", "headerName": "x"}}]}"#;
    let rate = r#""rateLimit": {"requestsPerUnit": 1, "unit": "DAY"}"#;
    assert_eq!(words(header, &server(rate)), "1 per day of each x");
    assert!(words(header, &server(&format!(r#"{rate}, "weight": 1"#))).starts_with('!'));
    assert!(words(header, &server(&format!(r#"{rate}, "alwaysApply": true"#))).starts_with('!'));
    let two = format!(r#"{rate}}}, {{"key": "h", "value": "v", {rate}"#);
    assert!(words(header, &server(&two)).starts_with("! some values"));
    let item = r#"{"actions": [], "limit": {"dynamicMetadata": {}}}"#;
    assert!(words(item, "{}").starts_with("! keygate has nothing like `limit`"));
}

#[test]
fn of_sets_exactly_one_may_apply() {
    let item = r#"{"setActions": [{"genericKey": {"descriptorValue": "a"}},
        {"requestHeaders": {"descriptorKey": "org", "headerName": "X-Org"}}]}"#;
    let set = |simple: &str| {
        format!(
            r#"{{"simpleDescriptors": [{simple}], "rateLimit": {{"requestsPerUnit": 3, "unit": "MINUTE"}}}}"#
        )
    };
    let server = |sets: &[String]| format!(r#"{{"setDescriptors": [{}]}}"#, sets.join(","));
    let org = set(r#"{"key": "org", "value": "solo"}"#);
    assert_eq!(
        words(item, &server(std::slice::from_ref(&org))),
        "3 per minute of x-org=solo"
    );
    let generic = set(r#"{"key": "generic_key", "value": "a"}"#);
    assert_eq!(
        words(item, &server(std::slice::from_ref(&generic))),
        "3 per minute of all"
    );
    let other = set(r#"{"key": "generic_key", "value": "b"}"#);
    assert_eq!(
        words(item, &server(&[other, generic.clone()])),
        "3 per minute of all"
    );
    assert!(words(item, &server(&[org, generic])).starts_with("! several sets"));
}
