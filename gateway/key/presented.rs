//! The key that a request presents: in any header that an SDK uses for it, as `?key=`, or among the protocols that a
//! `WebSocket` offers.
//!
//! Knows which headers, parameters and protocols hold credentials. Does not know whether a key is valid: that is the
//! store's.

use std::borrow::Cow;
use std::fmt;

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderName};

use crate::grammar::authorization::without_bearer;
use crate::grammar::list;
use crate::grammar::query::{parameters, percent_decoded};

/// The query parameters that may hold a key: Google's REST examples use the first, Azure's `WebSocket`s the second.
pub(super) const KEY_PARAMETERS: [&str; 2] = ["key", "api-key"];
/// The prefix of a key among the protocols that a `WebSocket` offers. Browsers cannot set headers on a `WebSocket`, so
/// `OpenAI`'s SDK sends the key there.
const KEY_PROTOCOL: &str = "openai-insecure-api-key.";

/// A key as the request presents it, not verified yet.
pub struct PresentedKey<'r>(Cow<'r, [u8]>);

/// The place of a key in a request.
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

/// Two different credentials in one request. Choosing one of them would be a guess, so the request is refused. Displays
/// as a sentence for the client that names both places and neither value.
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
    /// Searches every header of `names`, the query, and the protocols of a `WebSocket`. Equal duplicates count as one
    /// key, empty values as none. Fails if two different keys are found.
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
                    Cow::Borrowed(without_bearer(value.as_bytes())),
                    Place::Header(name),
                )?;
            }
        }
        // A key behind a `;` is not accepted. `remove_from_query` removes it all the same.
        for (name, value) in query
            .into_iter()
            .flat_map(|query| parameters(query, &['&']))
        {
            if let Some(name) = key_parameter(name) {
                note(percent_decoded(value.as_bytes()), Place::Parameter(name))?;
            }
        }
        for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
            for protocol in list::elements(value.to_str().unwrap_or_default()) {
                if let Some(key) = key_in_protocol(protocol) {
                    let place = Place::Header(&SEC_WEBSOCKET_PROTOCOL);
                    note(Cow::Borrowed(key.as_bytes()), place)?;
                }
            }
        }
        Ok(found.map(|(key, _)| Self(key)))
    }

    /// The bytes of the key, without a scheme and without percent-encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The entry of [`KEY_PARAMETERS`] that `name` is once percent-decoded.
fn key_parameter(name: &str) -> Option<&'static str> {
    let name = percent_decoded(name.as_bytes());
    let mut known = KEY_PARAMETERS.iter();
    known.find(|known| known.as_bytes() == &*name).copied()
}

/// Whether a protocol that a `WebSocket` offers holds a key.
pub(crate) fn is_key_protocol(protocol: &str) -> bool {
    key_in_protocol(protocol).is_some()
}

fn key_in_protocol(protocol: &str) -> Option<&str> {
    let (prefix, key) = protocol.split_at_checked(KEY_PROTOCOL.len())?;
    prefix.eq_ignore_ascii_case(KEY_PROTOCOL).then_some(key)
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
}
