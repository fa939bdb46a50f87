//! Names of headers that an application may misread as other names.
//!
//! CGI, WSGI, Rack and PHP turn the names of headers into names of variables: in capital letters, with `_` in place of `-`.
//! PHP also replaces dots, and Apache before 2.4 everything but letters and digits. Such an application reads `X_Api_Key`
//! as `X-Api-Key`.

use http::HeaderName;

/// Headers about the message itself, and those whose values the gateway changes: a misread spelling beside them would
/// contradict them.
static OF_THE_MESSAGE: [&str; 11] = [
    "accept-encoding",
    "content-encoding",
    "content-length",
    "content-type",
    "keep-alive",
    "proxy-connection",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "transfer-encoding",
];

/// Whether `name` (in lower case) can be read in one way only: it consists of letters, digits and `-`.
pub(crate) fn is_plain(name: &str) -> bool {
    // Checks all bytes without a branch for each: hardly any name is not plain.
    name.bytes().fold(0, |odd, byte| odd | odd_bits(byte)) == 0
}

/// 0 for a lower-case letter, a digit and `-`, else 1.
fn odd_bits(byte: u8) -> u8 {
    static ODD: [u8; 256] = odd_bytes();
    ODD.get(usize::from(byte)).copied().unwrap_or(1)
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn odd_bytes() -> [u8; 256] {
    let mut odd = [1; 256];
    let plain = b"abcdefghijklmnopqrstuvwxyz0123456789-";
    let mut at = 0;
    while at < plain.len() {
        odd[plain[at] as usize] = 0;
        at += 1;
    }
    odd
}

/// `name` (in lower case) with `-` in place of every character but letters and digits.
pub fn folded(name: &str) -> String {
    let fold = |char: char| {
        if char.is_ascii_alphanumeric() {
            char
        } else {
            '-'
        }
    };
    name.chars().map(fold).collect()
}

/// The plain name that `name` may be misread as, if it is not plain itself.
pub(crate) fn plain_form(name: &HeaderName) -> Option<HeaderName> {
    let name = name.as_str();
    if is_plain(name) {
        return None;
    }
    HeaderName::try_from(folded(name)).ok()
}

/// Whether the header `name` is about the message itself.
pub(super) fn is_of_the_message(name: &str) -> bool {
    OF_THE_MESSAGE.contains(&name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::provider::header_policy::names::{ACCOUNT_CHOICES, ALWAYS_STRIPPED};
    use crate::provider::header_policy::stripped::Stripped;

    /// Names with a `-`, and whether clients may not send the header.
    const NAMES: [(&str, bool); 20] = [
        ("api-key", true),
        ("x-api-key", true),
        ("x-goog-api-key", true),
        ("proxy-authorization", true),
        ("x-goog-iam-authorization-token", true),
        ("openai-organization", true),
        ("openai-project", true),
        ("x-goog-user-project", true),
        ("anthropic-workspace-id", true),
        ("x-forwarded-for", true),
        ("x-real-ip", true),
        ("cf-access-jwt-assertion", true),
        ("x-auth-request-email", true),
        ("content-length", true),
        ("x-our-tenant", true),
        ("session-id", false),
        ("user-id", false),
        ("x-client-request-id", false),
        ("cf-aig-metadata", false),
        ("anthropic-beta", false),
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Each `-` may be replaced by any other character.
        #[test]
        fn a_name_is_misread_in_every_spelling_but_its_own(
            which in 0..NAMES.len(),
            allowed in any::<bool>(),
            others in prop::collection::vec(prop::sample::select(b"-__.~!'*^|+".to_vec()), 8),
        ) {
            let (name, taken) = NAMES[which];
            // A header that a route allows is allowed in its exact spelling only.
            let choices = ACCOUNT_CHOICES.iter().filter(|_| !allowed);
            let stripped = Stripped::new(ALWAYS_STRIPPED.iter().chain(choices).cloned(), vec![]);
            let ours = HeaderName::from_static("x-our-tenant");
            let stripped = stripped.guarding(ACCOUNT_CHOICES.iter().chain([&ours]));
            let mut others = others.into_iter();
            let spelled: String = name
                .replace('-', "\n")
                .chars()
                .map(|c| if c == '\n' { char::from(others.next().unwrap_or(b'_')) } else { c })
                .collect();
            let misread = stripped.misread(&HeaderName::try_from(&spelled).unwrap());
            let expected = (taken && spelled != name).then(|| name.to_owned());
            prop_assert_eq!(misread, expected, "{}", spelled);
        }
    }

    #[test]
    fn a_name_is_folded_as_cgi_names_variables() {
        for (name, read_as) in [
            ("x_api_key", "x-api-key"),
            ("x-api_key", "x-api-key"),
            ("x.api~key", "x-api-key"),
            ("_", "-"),
            ("!#$%&'*+.^_`|~a1", "--------------a1"),
        ] {
            let header = HeaderName::from_static(name);
            assert_eq!(plain_form(&header).unwrap().as_str(), read_as);
        }
        for plain in ["x-api-key", "a", "te", "x-1"] {
            assert_eq!(plain_form(&HeaderName::from_static(plain)), None);
        }
    }
}
