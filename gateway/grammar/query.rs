//! Query strings: their parameters, and percent-encoding.
//!
//! Knows the syntax alone. Which parameters hold a credential is for `key` to say.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The separators of parameters. Most servers split a query at `&` alone; some split it at `;` as well.
pub(crate) const SEPARATORS: [char; 2] = ['&', ';'];

/// The parameters of `query` between `separators`, each as its name and value, still percent-encoded. A parameter
/// without `=` has an empty value.
pub(crate) fn parameters<'q>(
    query: &'q str,
    separators: &[char],
) -> impl Iterator<Item = (&'q str, &'q str)> {
    query
        .split(separators)
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Whether `query` has a parameter called `name`, under any percent-encoding of that name.
pub fn has_parameter(query: &str, name: &str) -> bool {
    parameters(query, &SEPARATORS)
        .any(|(found, _)| *percent_decoded(found.as_bytes()) == *name.as_bytes())
}

/// `text` with its percent-encoding undone. A `%` without two hexadecimal digits behind it stays as it is.
pub(crate) fn percent_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    // Nearly every name is written plainly. A search for one byte is cheaper than the decoder's walk.
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    percent_decode(text).into()
}

/// The same for text. What would not be UTF-8 once decoded stays as it is.
pub(crate) fn percent_decoded_text(text: &str) -> Cow<'_, str> {
    percent_decode(text.as_bytes())
        .decode_utf8()
        .unwrap_or(Cow::Borrowed(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_under_every_encoding_of_its_name() {
        for (query, is_there) in [
            ("key=k", true),
            ("a=1&key=k", true),
            ("a=1;key", true),
            ("%6bey=k", true),
            ("k%65%79", true),
            ("KEY=k", false),
            ("keys=k", false),
            ("a=key", false),
            ("", false),
        ] {
            assert_eq!(has_parameter(query, "key"), is_there, "{query}");
        }
    }

    #[test]
    fn what_is_no_encoding_stays() {
        for (text, decoded) in [
            ("%41", "A"),
            ("%4", "%4"),
            ("%", "%"),
            ("%zz%42", "%zzB"),
            ("%%41", "%A"),
            ("%+1", "%+1"),
            ("a+b", "a+b"),
        ] {
            assert_eq!(*percent_decoded(text.as_bytes()), *decoded.as_bytes());
            assert_eq!(percent_decoded_text(text), decoded);
        }
        assert_eq!(*percent_decoded(b"%ff"), [0xff]);
        assert_eq!(percent_decoded_text("%ff%41"), "%ff%41");
    }
}
