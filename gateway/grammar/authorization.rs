//! The credentials of `Authorization` and of headers like it: a scheme and what stands behind it (RFC 9110, section 11.4).
//!
//! Knows the syntax alone: not whose credentials they are, nor which header a provider wants.

/// What stands behind `scheme`, which is matched in any case, without white space before it: nothing if the scheme stands
/// alone. `None` if `value` begins with another word.
fn behind_scheme<'v>(value: &'v [u8], scheme: &str) -> Option<&'v [u8]> {
    let (found, behind) = value.split_at_checked(scheme.len())?;
    let is_whole_word = behind.first().is_none_or(|byte| b" \t".contains(byte));
    let is_found = is_whole_word && found.eq_ignore_ascii_case(scheme.as_bytes());
    is_found.then(|| behind.trim_ascii_start())
}

/// The scheme in front of a space, and what stands behind it; `None` if no word of letters stands there, as in a token that
/// is written without a scheme.
pub(crate) fn split_scheme(value: &str) -> Option<(&str, &str)> {
    let (scheme, credentials) = value.split_once(' ')?;
    let is_word = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_word.then(|| (scheme, credentials.trim_start()))
}

/// The credentials of this scheme, which is matched in any case; `None` for those of another, or of none.
pub(crate) fn credentials_of<'v>(value: &'v [u8], scheme: &str) -> Option<&'v [u8]> {
    behind_scheme(value.trim_ascii(), scheme).filter(|credentials| !credentials.is_empty())
}

/// The token of `Bearer TOKEN`, and any other value as it is, without white space around. The word `Bearer` alone holds
/// no token: it gives an empty one.
pub(crate) fn without_bearer(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    behind_scheme(value, "Bearer").unwrap_or(value)
}

/// Whether `value` begins with `prefix`, a scheme and a space for instance, in any case.
pub(crate) fn has_prefix(value: &str, prefix: &str) -> bool {
    value
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_in_every_spelling() {
        for (value, token) in [
            ("Bearer k", "k"),
            (" bearer \t k ", "k"),
            ("BEARER\tk", "k"),
            ("Bearer a b", "a b"),
            ("Bearer", ""),
            ("Bearer ", ""),
            ("bearerk", "bearerk"),
            (" k ", "k"),
            ("Basic k", "Basic k"),
            ("", ""),
        ] {
            assert_eq!(
                without_bearer(value.as_bytes()),
                token.as_bytes(),
                "{value:?}"
            );
        }
    }

    #[test]
    fn a_scheme_is_a_word_of_letters_in_front_of_a_space() {
        for (value, split) in [
            ("Bearer k", Some(("Bearer", "k"))),
            ("basic  a b", Some(("basic", "a b"))),
            ("Bearer ", Some(("Bearer", ""))),
            ("Bearer", None),
            ("user:a b", None),
            ("sk-1 sk-2", None),
            (" k", None),
        ] {
            assert_eq!(split_scheme(value), split, "{value:?}");
        }
    }

    #[test]
    fn credentials_are_those_of_their_scheme_alone() {
        let basic = |value: &'static str| credentials_of(value.as_bytes(), "basic");
        assert_eq!(basic("Basic dQ=="), Some(&b"dQ=="[..]));
        assert_eq!(basic(" BASIC\t dQ== "), Some(&b"dQ=="[..]));
        for other in ["Basic", "Basicx dQ==", "Bearer dQ==", "dQ==", ""] {
            assert_eq!(basic(other), None, "{other}");
        }
    }
}
