//! Names of headers that an application may take for other names.
//!
//! CGI, WSGI, Rack and PHP turn the names of headers into names of variables: capital letters, and `_` in place of `-`.
//! PHP does so with a dot, too, and Apache before 2.4 with whatever is no letter and no digit. Such an application reads
//! `X_Api_Key` as `X-Api-Key`.

use http::HeaderName;

/// Headers about the message itself, and those whose values are changed on the way: another spelling would say
/// something else beside them.
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

/// Whether `name` (in lower case) is read in one way only: it has letters, digits and `-` alone.
pub fn is_plain(name: &str) -> bool {
    // Without a branch for each byte: hardly any name is not plain.
    name.bytes().fold(0, |odd, byte| odd | odd_bits(byte)) == 0
}

/// Not 0 for a byte that is no letter in lower case, no digit and no `-`.
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

/// `name` (in lower case) with `-` in place of whatever is no letter and no digit.
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

/// The plain name that `name` may be taken for, if it is not plain itself.
pub fn plain_form(name: &HeaderName) -> Option<HeaderName> {
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

    use super::super::policy::{ACCOUNT_CHOICES, ALWAYS_STRIPPED, Stripped};
    use super::*;

    /// Headers that are not taken from clients, and others, each with a `-`.
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

        /// Whichever of the `-` are spelled otherwise, and in whatever way.
        #[test]
        fn a_name_is_misread_in_every_spelling_but_its_own(
            which in 0..NAMES.len(),
            allowed in any::<bool>(),
            others in prop::collection::vec(prop::sample::select(b"-__.~!'*^|+".to_vec()), 8),
        ) {
            let (name, taken) = NAMES[which];
            // What a route allows is allowed in its own spelling alone.
            let choices = ACCOUNT_CHOICES.iter().filter(|_| !allowed);
            let stripped = Stripped::new(ALWAYS_STRIPPED.iter().chain(choices).cloned(), vec![]);
            let ours = HeaderName::from_static("x-our-tenant");
            let stripped = stripped.guarding(ACCOUNT_CHOICES.iter().chain([&ours]));
            let mut others = others.into_iter();
            let spelled = name.replace('-', "\n");
            let spelled: String = spelled
                .chars()
                .map(|c| if c == '\n' { char::from(others.next().unwrap_or(b'_')) } else { c })
                .collect();
            let misread = stripped.misread(&HeaderName::try_from(&spelled).unwrap());
            let expected = (taken && spelled != name).then(|| name.to_owned());
            prop_assert_eq!(misread, expected, "{}", spelled);
        }
    }

    #[test]
    fn a_name_is_folded_as_variables_are_named() {
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
