//! What is sent to a provider as its token, and which URLs are its own.

use http::header::AUTHORIZATION;

use super::*;
use crate::origin::{HttpVersion, Resolver, Timeouts};
use crate::secret::{Secret, SecretError};

fn provider(token: TokenSource) -> Provider {
    of_kind("custom", token)
}

fn of_kind(kind: &str, token: TokenSource) -> Provider {
    let kind = Kind::named(kind).unwrap();
    let base_url = BaseUrl::parse("https://api.example.com/v1").unwrap();
    let spec = ProviderSpec {
        name: "p".into(),
        kind,
        sni: base_url.host.clone(),
        paths: Paths::new(kind, &base_url, None, &|_| None),
        base_url,
        ca: None,
        auth_header: HeaderName::from_static(kind.auth_header),
        auth_prefix: kind.auth_prefix.to_owned(),
        bearer: kind.bearer,
        token,
        headers: Vec::new(),
        redirect_hosts: Vec::new(),
        proxy: None,
        http: HttpVersion::Http1,
        timeouts: Timeouts::default(),
    };
    Provider::build(spec, Resolver::default().addresses("api.example.com", 443)).unwrap()
}

fn key(token: Option<&str>) -> ClientKey {
    let metadata = token.map(|token| {
        (
            "t".to_owned(),
            Ok(Secret::new(token.to_owned()).ok().unwrap()),
        )
    });
    ClientKey {
        metadata: metadata.into_iter().collect(),
        ..ClientKey::new("k".into())
    }
}

fn credential(
    provider: &Provider,
    key: Option<&ClientKey>,
    client: &[(&'static str, &str)],
) -> Result<Option<String>, NoCredential> {
    let mut headers = HeaderMap::new();
    for (name, value) in client {
        headers.append(*name, value.parse().unwrap());
    }
    Ok(
        match provider.credential(key, &headers, |value| value.ends_with(b"ours"))? {
            Credential::Header(it) => {
                let value = it.value.to_str().unwrap();
                Some(if it.name == AUTHORIZATION {
                    value.to_owned()
                } else {
                    format!("{}: {value}", it.name)
                })
            }
            Credential::None => None,
        },
    )
}

fn fixed(token: &str) -> TokenSource {
    TokenSource::Fixed(Ok(Secret::new(token.to_owned()).ok().unwrap()))
}

#[test]
fn a_token_is_placed_by_its_kind_and_its_form() {
    for (kind, token, wanted) in [
        ("openai", "sk-1", "Bearer sk-1"),
        ("openai", "Bearer sk-1", "Bearer sk-1"),
        ("anthropic", "sk-ant-api03-1", "x-api-key: sk-ant-api03-1"),
        (
            "anthropic",
            "Bearer sk-ant-api03-1",
            "x-api-key: sk-ant-api03-1",
        ),
        ("anthropic", "sk-ant-oat01-1", "Bearer sk-ant-oat01-1"),
        ("azure-openai", "0123abc", "api-key: 0123abc"),
        ("azure-openai", "eyJhbGciOi.J.S", "Bearer eyJhbGciOi.J.S"),
        ("gemini", "AIza1", "x-goog-api-key: AIza1"),
        ("gemini", "Bearer ya29.1", "Bearer ya29.1"),
    ] {
        let provider = of_kind(kind, fixed(token));
        assert_eq!(
            credential(&provider, None, &[]),
            Ok(Some(wanted.to_owned())),
            "{kind} {token}"
        );
    }
    let feature =
        |token| match of_kind("anthropic", fixed(token))
            .credential(None, &HeaderMap::new(), |_| false)
        {
            Ok(Credential::Header(it)) => {
                it.feature.map(|(name, value)| format!("{name}: {value}"))
            }
            _ => None,
        };
    assert_eq!(
        feature("sk-ant-oat01-1").as_deref(),
        Some("anthropic-beta: oauth-2025-04-20")
    );
    assert_eq!(feature("sk-ant-api03-1"), None);
}

#[test]
fn passthrough_takes_the_callers_token_from_either_header_of_its_kind() {
    let anthropic = of_kind("anthropic", TokenSource::Passthrough);
    for (name, sent, wanted) in [
        ("x-api-key", "sk-ant-api03-1", "x-api-key: sk-ant-api03-1"),
        (
            "authorization",
            "Bearer sk-ant-api03-1",
            "x-api-key: sk-ant-api03-1",
        ),
        (
            "authorization",
            "Bearer sk-ant-oat01-1",
            "Bearer sk-ant-oat01-1",
        ),
        ("x-api-key", "sk-ant-oat01-1", "Bearer sk-ant-oat01-1"),
    ] {
        assert_eq!(
            credential(&anthropic, None, &[(name, sent)]),
            Ok(Some(wanted.to_owned())),
            "{name}: {sent}"
        );
    }
    let both = [
        ("authorization", "Bearer sk-ant-api03-1"),
        ("x-api-key", "sk-ant-api03-1"),
    ];
    assert_eq!(
        credential(&anthropic, None, &both),
        Err(NoCredential::NotPresented)
    );
}

#[test]
fn only_urls_at_the_providers_own_origin_are_its_own() {
    let provider = provider(TokenSource::None);
    assert_eq!(
        provider.path_of("https://api.example.com/upload/x?id=1"),
        Some("/upload/x?id=1")
    );
    assert_eq!(
        provider.path_of("https://api.example.com?id=1"),
        Some("?id=1")
    );
    for other in [
        "http://api.example.com/x",
        "https://api.example.com:8443/x",
        "https://evil.test/x",
        "/x",
        "https://api.example.com@evil.test/x",
    ] {
        assert_eq!(provider.path_of(other), None, "{other}");
    }
}

#[test]
fn the_keys_own_token_is_sent_and_a_missing_one_is_not_replaced() {
    let provider = provider(TokenSource::Key("t".to_owned()));
    let sent = [
        ("authorization", "Bearer client"),
        ("x-api-key", "anything"),
    ];
    assert_eq!(
        credential(&provider, Some(&key(Some("hf_1"))), &sent),
        Ok(Some("Bearer hf_1".into()))
    );
    assert_eq!(
        credential(&provider, Some(&key(None)), &sent),
        Err(NoCredential::Unavailable)
    );
    assert_eq!(
        credential(&provider, None, &sent),
        Err(NoCredential::Unavailable)
    );
}

#[test]
fn passthrough_takes_the_callers_token_once() {
    let provider = provider(TokenSource::Passthrough);
    let own = credential(&provider, None, &[("authorization", "Bearer own")]);
    assert_eq!(own, Ok(Some("Bearer own".into())));
    for none in ["", "Bearer ", "Bearer ours", "ours"] {
        let sent = credential(&provider, None, &[("authorization", none)]);
        assert_eq!(sent, Err(NoCredential::NotPresented), "{none}");
    }
    assert_eq!(
        credential(&provider, None, &[]),
        Err(NoCredential::NotPresented)
    );
    let two = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
    assert_eq!(
        credential(&provider, None, &two),
        Err(NoCredential::NotPresented)
    );
}

#[test]
fn a_missing_token_makes_the_provider_rejected() {
    let provider = provider(TokenSource::Fixed(Err(SecretError::Missing(
        "env X".to_owned(),
    ))));
    assert_eq!(provider.rejected(), Some("env X"));
    assert_eq!(
        credential(&provider, None, &[]),
        Err(NoCredential::Unavailable)
    );
}
