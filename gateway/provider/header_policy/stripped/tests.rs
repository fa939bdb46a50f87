//! What is stripped, compared with a plain reading of the tables.

use super::*;
use crate::provider::header_policy::names::{ACCOUNT_CHOICES, ALWAYS_STRIPPED};
use crate::provider::header_policy::prefixes::{
    extension_prefixes, is_feature_of_cloudflare, prefixes,
};

#[test]
fn headers_of_front_proxies_are_stripped_and_those_of_sdks_pass() {
    for name in [
        "x-forwarded-access-token",
        "x-forwarded",
        "x-auth-request-email",
        "x-amzn-oidc-data",
        "x-amz-security-token",
        "x-ms-token-aad-access-token",
        "x-ms-client-principal-name",
        "x-goog-iap-jwt-assertion",
        "x-goog-authenticated-user-id",
        "cf-access-jwt-assertion",
        "cf-connecting-ip",
        "cf-aig-authorization",
        "true-client-ip",
        "tailscale-user-login",
        "x-forwarded-client-cert",
        "x-vault-token",
        "private-token",
        "remote-user",
        "cookie2",
    ] {
        assert!(is_of_a_front_proxy(name), "{name}");
    }
    for name in [
        "",
        "x",
        "x-",
        "x-goog-api-client",
        "x-goog-request-params",
        "x-goog-upload-protocol",
        "anthropic-beta",
        "openai-beta",
        "x-stainless-lang",
        "x-ms-client-request-id",
        "x-ms-useragent",
        "x-amzn-bedrock-trace",
        "x-amz-date",
        "x-client-request-id",
        "x-client-name",
        "x-api-key-id",
        "authorization-info",
        "cf-aig-cache-ttl",
        "x-title",
        "x-trace-id",
        "referer",
        "traceparent",
        "user-agent",
    ] {
        assert!(!is_of_a_front_proxy(name), "{name}");
    }
}

#[test]
fn every_prefix_is_found_by_its_first_letters() {
    for first in 0..=u8::MAX {
        for prefix in extension_prefixes(first) {
            assert_eq!(prefix.as_bytes()[0], first, "{prefix}");
            assert!(is_of_a_front_proxy(&format!("x-{prefix}")), "{prefix}");
            assert!(is_of_a_front_proxy(&format!("x-{prefix}z")), "{prefix}");
        }
        for prefix in prefixes(first) {
            assert_eq!(prefix.as_bytes()[0], first, "{prefix}");
            assert!(is_of_a_front_proxy(prefix), "{prefix}");
        }
    }
}

/// Whether `name` is to be stripped, by comparing it with everything.
fn contains_by_comparing(stripped: &Stripped, name: &str) -> bool {
    let known = (b'a'..=b'z').any(|first| {
        let mut extended = extension_prefixes(first).iter();
        let rest = name.strip_prefix("x-");
        prefixes(first).iter().any(|it| name.starts_with(it))
            || rest.is_some_and(|rest| extended.any(|it| rest.starts_with(it)))
    });
    let mut ours = stripped.prefixes.iter();
    known && !is_feature_of_cloudflare(name)
        || stripped.names.iter().any(|it| it == name)
        || ours.any(|it| name.starts_with(it.as_str()))
}

/// Every name of up to three letters, and all names and prefixes of the tables: whole, cut short, with another letter at
/// each place, and with one letter more. Each with and without `x-` in front.
fn many_names() -> Vec<String> {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz-_07~";
    let mut texts = vec![String::new()];
    for length in 0..3 {
        let shorter: Vec<String> = texts
            .iter()
            .filter(|it| it.len() == length)
            .cloned()
            .collect();
        texts.extend(shorter.iter().flat_map(|it| {
            LETTERS
                .iter()
                .map(move |letter| format!("{it}{}", char::from(*letter)))
        }));
    }
    let whole =
        (b'a'..=b'z').flat_map(|first| [prefixes(first), extension_prefixes(first)].concat());
    let whole = whole.chain(
        ALWAYS_STRIPPED
            .iter()
            .chain(&ACCOUNT_CHOICES)
            .map(HeaderName::as_str),
    );
    for text in whole.chain(["x-corp-identity", "x-team-", "co", "x-q", "7", "_a_"]) {
        texts.push(format!("{text}z"));
        for at in 0..text.len() {
            texts.push(text[..at].to_owned());
            texts.extend(
                ["-", "_", "e"].map(|letter| format!("{}{letter}{}", &text[..at], &text[at + 1..])),
            );
        }
        texts.push(text.to_owned());
    }
    let extended = texts.iter().map(|it| format!("x-{it}"));
    let all: Vec<String> = texts.iter().cloned().chain(extended).collect();
    all.into_iter().filter(|it| !it.is_empty()).collect()
}

#[test]
fn the_filter_strips_what_plain_comparison_strips() {
    let names = || ALWAYS_STRIPPED.iter().chain(&ACCOUNT_CHOICES).cloned();
    let own = ["x-corp-identity", "~~~", "te"].map(HeaderName::from_static);
    let own = || names().chain(own.clone());
    let mut all = vec![
        Stripped::default(),
        Stripped::new(names(), vec![]),
        Stripped::new(own(), vec!["x-team-".to_owned(), "co".to_owned()]),
    ];
    // Each prefix by itself: the filter excludes nothing for a very short one.
    let alone = ["", "x", "x-", "x-q", "x-qu", "7", "qu", "_a_"].iter();
    all.extend(alone.map(|prefix| Stripped::new(names(), vec![(*prefix).to_owned()])));
    let (mut contained, mut not) = (0, 0);
    for name in many_names() {
        let header = HeaderName::try_from(name.to_ascii_uppercase()).unwrap();
        for stripped in &all {
            let wanted = contains_by_comparing(stripped, &name);
            assert_eq!(stripped.contains(&header), wanted, "{name}");
            let count = if wanted { &mut contained } else { &mut not };
            *count += 1;
        }
    }
    assert!(contained > 10_000 && not > 10_000, "{contained} {not}");
}

#[test]
fn the_filter_excludes_the_usual_headers_of_sdks() {
    let names = ALWAYS_STRIPPED.iter().chain(&ACCOUNT_CHOICES).cloned();
    let stripped = Stripped::new(names, vec![]);
    for name in [
        "host",
        "accept",
        "content-type",
        "content-length",
        "user-agent",
        "x-stainless-lang",
        "x-stainless-retry-count",
        "connection",
        "traceparent",
    ] {
        assert!(!stripped.filter.may_match(name), "{name}");
    }
}

#[test]
fn configured_prefixes_add_to_the_known_ones() {
    let stripped = Stripped::new(
        [HeaderName::from_static("x-corp-identity")],
        vec!["x-team-".to_owned()],
    );
    for name in ["X-Corp-Identity", "x-team-a", "X-Team-", "Remote-User"] {
        let parsed = HeaderName::try_from(name).unwrap();
        assert!(stripped.contains(&parsed), "{name}");
        assert!(stripped.contains_text(name), "{name}");
    }
    for name in ["x-corp-identity-2", "x-teams", "x-corp"] {
        assert!(!stripped.contains(&HeaderName::from_static(name)), "{name}");
    }
}
