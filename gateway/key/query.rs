//! The parameters of a query that must not be sent to a provider: those that hold a credential or choose who pays.
//!
//! Looks up no key: a key is recognized by its form, or because the request itself presents it.

use std::borrow::Cow;

use super::detect::holds_key;
use super::presented::{KEY_PARAMETERS, PresentedKey};
use crate::grammar::query::{SEPARATORS, percent_decoded};

/// Other parameters that are never sent to a provider. Other servers take keys in the first two. Google takes access
/// tokens, the project that pays (<https://cloud.google.com/apis/docs/system-parameters>), whole headers and another
/// method from the query.
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
/// Whether a parameter, `name=value` or `name` alone, must not be sent to a provider.
fn must_be_removed(pair: &str, presented: Option<&PresentedKey<'_>>) -> bool {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    let name = &*percent_decoded(name.as_bytes());
    KEY_PARAMETERS.iter().any(|known| known.as_bytes() == name)
        || FOREIGN_PARAMETERS.contains(&name)
        || holds_key(
            &percent_decoded(pair.as_bytes()),
            presented.map(PresentedKey::as_bytes),
        )
}

/// Whether `parameters`, percent-encoded as a whole or in parts, has one that must not be sent to a provider.
pub(crate) fn has_credential(parameters: &str) -> bool {
    let bytes = percent_decoded(parameters.as_bytes());
    let text = String::from_utf8_lossy(&bytes);
    let mut pairs = text.split(['?', '&', ';']);
    pairs.any(|pair| must_be_removed(pair, None))
}

/// The query without the parameters that hold a credential or choose who pays, under any percent-encoding of their
/// names, and without those that hold a client key: one that keygate made, or the one `presented` by this request. Other
/// parameters keep their bytes. `None` if no parameter is left.
pub fn remove_from_query<'q>(
    query: &'q str,
    presented: Option<&PresentedKey<'_>>,
) -> Option<Cow<'q, str>> {
    if !query
        .split(SEPARATORS)
        .any(|pair| must_be_removed(pair, presented))
    {
        return Some(Cow::Borrowed(query));
    }
    let mut kept = String::with_capacity(query.len());
    for chunk in query.split_inclusive(SEPARATORS) {
        if !must_be_removed(chunk.trim_end_matches(SEPARATORS), presented) {
            kept.push_str(chunk);
        }
    }
    // If the last parameter was removed, the separator before it is still there.
    let query = kept.trim_end_matches(SEPARATORS);
    (!query.is_empty()).then(|| Cow::Owned(query.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
