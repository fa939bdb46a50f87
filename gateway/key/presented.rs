//! The key that a request presents: in whichever header an SDK puts it, as `?key=`, or among the protocols
//! that a `WebSocket` offers.

use std::borrow::Cow;
use std::fmt;

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderName};

use super::detect::holds_key;

/// The query parameters in which a key may stand: in Google's REST examples, and of Azure's `WebSocket`s.
const KEY_PARAMETERS: [&str; 2] = ["key", "api-key"];
/// Other parameters that no provider gets: Google takes access tokens there, and the project that pays
/// (<https://cloud.google.com/apis/docs/system-parameters>), and whole headers and another method as well; other servers
/// take keys in the first two.
const FOREIGN_PARAMETERS: [&[u8]; 11] = [
    b"api_key",
    b"apikey",
    b"$key",
    b"bearer_token",
    b"subscription-key",
    b"access_token",
    b"oauth_token",
    b"userProject",
    b"$userProject",
    b"$httpHeaders",
    b"$httpMethod",
];
/// What stands before a key among the protocols that a `WebSocket` offers: browsers have no other place
/// for it, and so `OpenAI`'s SDK puts it there.
const KEY_PROTOCOL: &str = "openai-insecure-api-key.";
/// What parts parameters, for some servers: a key behind a `;` is not looked for, and goes up no more
/// than one behind a `&`.
const SEPARATORS: [char; 2] = ['&', ';'];

/// A key as it was presented. Not yet known to open anything.
pub struct PresentedKey<'r>(Cow<'r, [u8]>);

/// Where a key stands in a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place<'p> {
    Header(&'p HeaderName),
    Parameter(&'p str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "`{name}`"),
            Self::Parameter(name) => write!(f, "the query parameter `{name}`"),
        }
    }
}

/// Two different credentials in one request: which of them counts would be a guess. Says where they stand, in a
/// sentence for the client.
#[derive(Debug, PartialEq, Eq)]
pub struct AmbiguousCredentials(String);

impl AmbiguousCredentials {
    fn at(first: Place<'_>, second: Place<'_>) -> Self {
        Self(if first == second {
            format!(
                "The request holds {first} twice, with two different API keys: send one of them."
            )
        } else {
            format!(
                "The request holds two different API keys, in {first} and in {second}: send one of them."
            )
        })
    }
}

impl fmt::Display for AmbiguousCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'r> PresentedKey<'r> {
    /// Looks in every header of `names`, in the query, and among the protocols of a `WebSocket`. Equal
    /// duplicates are one key; empty values are none.
    pub fn find<'n>(
        headers: &'r HeaderMap,
        query: Option<&'r str>,
        names: impl Iterator<Item = &'n HeaderName>,
    ) -> Result<Option<Self>, AmbiguousCredentials> {
        let mut found: Option<(Cow<'r, [u8]>, Place<'_>)> = None;
        let mut note = |candidate: Cow<'r, [u8]>, place| {
            if candidate.is_empty() {
                return Ok(());
            }
            match &found {
                Some((first, at)) if *first != candidate => {
                    Err(AmbiguousCredentials::at(*at, place))
                }
                Some(_) => Ok(()),
                None => {
                    found = Some((candidate, place));
                    Ok(())
                }
            }
        };
        for name in names {
            for value in headers.get_all(name) {
                note(
                    Cow::Borrowed(without_scheme(value.as_bytes())),
                    Place::Header(name),
                )?;
            }
        }
        for (name, value) in query
            .into_iter()
            .flat_map(|query| parameters(query, &['&']))
        {
            if let Some(name) = key_parameter(name) {
                note(decoded(value.as_bytes()), Place::Parameter(name))?;
            }
        }
        for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
            for protocol in value.to_str().unwrap_or_default().split(',') {
                if let Some(key) = key_in_protocol(protocol.trim()) {
                    let place = Place::Header(&SEC_WEBSOCKET_PROTOCOL);
                    note(Cow::Borrowed(key.as_bytes()), place)?;
                }
            }
        }
        Ok(found.map(|(key, _)| Self(key)))
    }

    /// The presented bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// `Bearer X` is `X`, in any case and with any spaces around.
pub fn without_scheme(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    match value.split_at_checked(6) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer") => match rest.first() {
            Some(b' ' | b'\t') => rest.trim_ascii(),
            None => b"",
            Some(_) => value,
        },
        _ => value,
    }
}

fn parameters<'q>(query: &'q str, separators: &[char]) -> impl Iterator<Item = (&'q str, &'q str)> {
    query
        .split(separators)
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// The parameter in which a key may stand that `name` is, however it is escaped.
fn key_parameter(name: &str) -> Option<&'static str> {
    let name = decoded(name.as_bytes());
    let mut known = KEY_PARAMETERS.iter();
    known.find(|known| known.as_bytes() == &*name).copied()
}

/// Whether a parameter, `name=value` or `name` alone, goes to no provider.
fn stays_here(pair: &str, presented: Option<&PresentedKey<'_>>) -> bool {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    let name = &*decoded(name.as_bytes());
    KEY_PARAMETERS.iter().any(|known| known.as_bytes() == name)
        || FOREIGN_PARAMETERS.contains(&name)
        || holds_key(
            &decoded(pair.as_bytes()),
            presented.map(PresentedKey::as_bytes),
        )
}

/// Whether `parameters`, escaped as a whole or in parts, have one that goes to no provider.
pub fn has_credential(parameters: &str) -> bool {
    let parameters = decoded(parameters.as_bytes());
    let parameters = String::from_utf8_lossy(&parameters);
    let mut pairs = parameters.split(['?', '&', ';']);
    pairs.any(|pair| stays_here(pair, None))
}

/// Whether a protocol that a `WebSocket` offers is a key.
pub fn is_key_protocol(protocol: &str) -> bool {
    key_in_protocol(protocol).is_some()
}

fn key_in_protocol(protocol: &str) -> Option<&str> {
    let (prefix, key) = protocol.split_at_checked(KEY_PROTOCOL.len())?;
    prefix.eq_ignore_ascii_case(KEY_PROTOCOL).then_some(key)
}

/// Whether a query has a parameter of this name, however that is escaped.
pub fn has_parameter(query: &str, name: &str) -> bool {
    parameters(query, &SEPARATORS).any(|(found, _)| *decoded(found.as_bytes()) == *name.as_bytes())
}

/// `text` with its escapes (`%41`) undone; what is none stays as it is.
pub fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let escaped = (*first == b'%')
            .then(|| after.split_at_checked(2))
            .flatten()
            .and_then(|(pair, behind)| Some((std::str::from_utf8(pair).ok()?, behind)))
            .and_then(|(pair, behind)| Some((u8::from_str_radix(pair, 16).ok()?, behind)));
        match escaped {
            Some((byte, behind)) => {
                decoded.push(byte);
                rest = behind;
            }
            None => decoded.push(*first),
        }
    }
    Cow::Owned(decoded)
}

/// The query without any parameter that holds a credential or chooses who pays, however its name is
/// escaped, and without any that holds a key of the gateway's: one that keygate made, or the one `presented`
/// by this request. The rest is untouched.
pub fn remove_from_query<'q>(
    query: &'q str,
    presented: Option<&PresentedKey<'_>>,
) -> Option<Cow<'q, str>> {
    if !query
        .split(SEPARATORS)
        .any(|pair| stays_here(pair, presented))
    {
        return Some(Cow::Borrowed(query));
    }
    let mut kept = String::with_capacity(query.len());
    for chunk in query.split_inclusive(SEPARATORS) {
        if !stays_here(chunk.trim_end_matches(SEPARATORS), presented) {
            kept.push_str(chunk);
        }
    }
    // Where the last parameter went, so does the separator before it.
    let kept = kept.trim_end_matches(SEPARATORS);
    (!kept.is_empty()).then(|| Cow::Owned(kept.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [HeaderName; 2] = [
        http::header::AUTHORIZATION,
        HeaderName::from_static("api-key"),
    ];

    fn find(
        headers: &[(&'static str, &str)],
        query: Option<&str>,
    ) -> Result<Option<String>, AmbiguousCredentials> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let found = PresentedKey::find(&map, query, NAMES.iter())?;
        Ok(found.map(|key| String::from_utf8(key.as_bytes().to_vec()).unwrap()))
    }

    #[test]
    fn a_key_is_found_in_every_spelling() {
        for (headers, query) in [
            (vec![("authorization", "Bearer k")], None),
            (vec![("authorization", "bearer  k ")], None),
            (vec![("authorization", "k")], None),
            (vec![("api-key", "k")], None),
            (vec![], Some("a=b&key=k")),
            (vec![], Some("%6bey=%6B")),
            (
                vec![
                    ("api-key", "k"),
                    ("api-key", "k"),
                    ("authorization", "Bearer k"),
                ],
                Some("key=k"),
            ),
            (vec![], Some("api-version=1&api-key=k")),
            (
                vec![(
                    "sec-websocket-protocol",
                    "realtime, OpenAI-Insecure-API-Key.k",
                )],
                None,
            ),
            (vec![("api-key", "k"), ("authorization", "Bearer ")], None),
        ] {
            assert_eq!(
                find(&headers, query),
                Ok(Some("k".to_owned())),
                "{headers:?} {query:?}"
            );
        }
        assert_eq!(
            find(&[("authorization", "Bearer")], Some("keys=k")),
            Ok(None)
        );
        assert_eq!(
            find(&[("authorization", "bearerk")], None),
            Ok(Some("bearerk".to_owned()))
        );
    }

    #[test]
    fn two_different_credentials_are_ambiguous_in_any_order() {
        for headers in [
            [("api-key", "k"), ("api-key", "l")],
            [("api-key", "k"), ("authorization", "Bearer l")],
            [("authorization", "Basic k"), ("api-key", "k")],
            [
                ("sec-websocket-protocol", "openai-insecure-api-key.l"),
                ("api-key", "k"),
            ],
        ] {
            assert!(find(&headers, None).is_err(), "{headers:?}");
        }
        let said = find(&[("api-key", "k")], Some("key=l")).unwrap_err();
        assert_eq!(
            said.to_string(),
            "The request holds two different API keys, in `api-key` and in the query parameter `key`: send one of them."
        );
    }

    #[test]
    fn only_the_key_leaves_the_query() {
        for (query, kept) in [
            ("a=b&c", Some("a=b&c")),
            ("key=k", None),
            ("a=%20b&key=k&c=d&key=l", Some("a=%20b&c=d")),
            ("k%65y=k&monkey=1", Some("monkey=1")),
            ("key", None),
            ("a=1;key=k", Some("a=1")),
            ("key=k;a=1;b", Some("a=1;b")),
            ("api-key=k&alt=sse", Some("alt=sse")),
            (
                "%24userProject=p&access_token=t&oauth%5Ftoken=t&a=1",
                Some("a=1"),
            ),
            // Firefox asks for a POST so, and Google's own pages set headers.
            (
                "$httpMethod=POST&$ct=a&%24httpHeaders=X-Goog-User-Project:p",
                Some("$ct=a"),
            ),
            ("", Some("")),
        ] {
            assert_eq!(remove_from_query(query, None).as_deref(), kept, "{query}");
        }
    }
}
