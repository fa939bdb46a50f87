//! Which of a client's headers no provider gets, of whatever kind it is. The rest passes: a feature that a
//! provider brings out tomorrow works tomorrow.

use std::collections::HashSet;

use ahash::RandomState;
use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, FORWARDED, PROXY_AUTHORIZATION, VIA};

/// Credentials in every spelling, cookies, and what tells of the network behind the gateway. Those of proxies in
/// front come by the prefix, in [`is_of_a_front_proxy`].
pub static ALWAYS_STRIPPED: [HeaderName; 12] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
    // Azure's API Management in front of a provider, and Google's tokens for one's own identity.
    HeaderName::from_static("ocp-apim-subscription-key"),
    HeaderName::from_static("x-goog-iam-authorization-token"),
    HeaderName::from_static("x-goog-iam-authority-selector"),
    FORWARDED,
    VIA,
    HeaderName::from_static("x-request-id"),
];

/// What chooses the account, project or organization that pays: the gateway's to choose, unless a route
/// says otherwise.
pub static ACCOUNT_CHOICES: [HeaderName; 5] = [
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
    HeaderName::from_static("x-goog-user-project"),
    HeaderName::from_static("x-hf-bill-to"),
    HeaderName::from_static("anthropic-workspace-id"),
];

/// What a header's name begins with, behind `x-`, by the letter that comes first there: identities, tokens and
/// addresses that proxies, identity-aware load balancers and service meshes put into requests.
const fn extension_prefixes(first: u8) -> &'static [&'static str] {
    match first {
        // Session tokens; accounts behind GCP, App Service, Front Door and Akamai; every `x-auth...`, such as
        // oauth2-proxy's `x-auth-request-`, `x-authentik-`, `x-authenticated-user`, `x-authorization`.
        b'a' => &[
            "access-token",
            "akamai-",
            "amz-security-token",
            "amzn-ava-",
            "amzn-mtls-",
            "amzn-oidc-",
            "amzn-tls-",
            "anonymous-consumer",
            "appengine-",
            "appservice-",
            "arr-",
            "auth",
            "azure-",
        ],
        // Client certificates and addresses; not `x-client-request-id` or `x-client-name`, which SDKs send.
        b'c' => &[
            "client-addr",
            "client-cert",
            "client-dn",
            "client-geo",
            "client-identity",
            "client-ip",
            "client-principal",
            "client-ssl",
            "client-subject",
            "client-tls",
            "client-verify",
            "cluster-client-ip",
            "consumer-",
            "credential-",
            "csrf-token",
        ],
        b'e' => &["envoy-", "email"],
        b'f' => &["forwarded"],
        b'g' => &[
            "github-token",
            "gitlab-token",
            "goog-authenticated-",
            "goog-iap-",
        ],
        b'i' => &["id-token", "istio-"],
        b'j' => &["jwt"],
        b'k' => &["kratos-"],
        b'm' => &["ms-client-principal", "ms-token-"],
        b'n' => &["nf-"],
        b'o' => &["oidc-", "original-", "originating-"],
        b'p' => &["pomerium-", "proxy-", "proxyuser-"],
        b'r' => &["real-", "refresh-token", "remote-"],
        b's' => &[
            "saml-",
            "serverless-authorization",
            "session-token",
            "shib-",
            "spiffe-",
            "ssl-",
            "sucuri-",
        ],
        b't' => &["tls-", "token-"],
        b'u' => &["userinfo", "user-dn"],
        b'v' => &["vault-", "vercel-"],
        b'w' => &["webauth-"],
        b'x' => &["xsrf-token"],
        b'z' => &["zumo-auth"],
        _ => &[],
    }
}

/// Likewise of names that do not begin with `x-`, by their first letter.
const fn prefixes(first: u8) -> &'static [&'static str] {
    match first {
        b'a' => &["akamai-", "authentication"],
        b'c' => &["cf-", "client-cert", "client-ip", "cloudfront-", "cookie"],
        b'd' => &["deploy-token", "disguised-host", "do-connecting-ip", "dpop"],
        b'f' => &["fastly-", "fly-", "forwarded"],
        b'g' => &["gap-auth", "gap-signature"],
        b'i' => &["impersonate-", "incap-client-ip", "iv-"],
        b'j' => &["job-token"],
        b'l' => &["l5d-"],
        b'o' => &["oidc-"],
        b'p' => &["private-token", "proxy-auth", "proxy-client-"],
        b'r' => &["remote-"],
        b's' => &["shib-", "sm-user", "sm-universalid", "ssl-client-"],
        b't' => &["tailscale-", "teleport-", "true-client-"],
        b'w' => &["was-default-hostname", "wl-proxy-"],
        _ => &[],
    }
}

/// Features of Cloudflare's AI Gateway, where that is the provider: all but its credential pass.
fn is_feature_of_cloudflare(name: &str) -> bool {
    name.starts_with("cf-aig-") && name != "cf-aig-authorization"
}

/// For each first letter, the second letters that its prefixes have, a bit for each: most names can be told from all
/// prefixes by their first two letters, without a comparison.
type Seconds = [u32; 32];

static EXTENSION_SECONDS: Seconds = seconds(true);
static SECONDS: Seconds = seconds(false);

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn seconds(of_extensions: bool) -> Seconds {
    let mut seconds = [0; 32];
    let mut first = b'a';
    while first <= b'z' {
        let prefixes = if of_extensions {
            extension_prefixes(first)
        } else {
            prefixes(first)
        };
        let mut place = 0;
        while place < prefixes.len() {
            seconds[(first % 32) as usize] |= 1 << (prefixes[place].as_bytes()[1] % 32);
            place += 1;
        }
        first += 1;
    }
    seconds
}

/// Whether a prefix may begin with these two letters.
fn may_begin(seconds: &Seconds, first: u8, second: u8) -> bool {
    let seconds = seconds.get(usize::from(first % 32)).copied();
    seconds.unwrap_or_default() >> (second % 32) & 1 == 1
}

/// Whether a header holds what a proxy in front of the gateway says about the client: who it is, where it comes from,
/// or a token of its own. `name` is in lower case.
pub fn is_of_a_front_proxy(name: &str) -> bool {
    let (prefixes, rest) = match *name.as_bytes() {
        [b'x', b'-', first, second, ..] if may_begin(&EXTENSION_SECONDS, first, second) => {
            (extension_prefixes(first), name.get(2..))
        }
        [b'x', b'-', ..] => return false,
        [first, second, ..] if may_begin(&SECONDS, first, second) => (prefixes(first), Some(name)),
        _ => return false,
    };
    let rest = rest.unwrap_or_default();
    prefixes.iter().any(|prefix| rest.starts_with(prefix)) && !is_feature_of_cloudflare(name)
}

/// The headers of a client that a route's provider does not get.
#[derive(Default)]
pub struct Stripped {
    names: HashSet<HeaderName, RandomState>,
    /// Which lengths the names have that begin with a letter, a bit for each: most headers need not be looked up.
    lengths: [u64; 32],
    prefixes: Vec<String>,
}

impl Stripped {
    /// These names, and names that begin with one of `prefixes` (in lower case), beside those that no provider gets.
    pub fn new(names: impl IntoIterator<Item = HeaderName>, prefixes: Vec<String>) -> Self {
        let names: HashSet<_, _> = names.into_iter().collect();
        let mut lengths = [0; 32];
        for name in &names {
            let (letter, length) = letter_and_length(name.as_str());
            if let Some(lengths) = lengths.get_mut(letter) {
                *lengths |= length;
            }
        }
        Self {
            names,
            lengths,
            prefixes,
        }
    }

    /// Whether a header is among them.
    pub fn contains(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        let (letter, length) = letter_and_length(text);
        let lengths = self.lengths.get(letter).copied().unwrap_or_default();
        (lengths & length != 0 && self.names.contains(name)) || self.by_prefix(text)
    }

    /// Whether a header is among them whose name came as a text, in any case.
    pub fn contains_text(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.names.iter().any(|known| *known == name.as_str()) || self.by_prefix(&name)
    }

    fn by_prefix(&self, name: &str) -> bool {
        let mut ours = self.prefixes.iter();
        is_of_a_front_proxy(name) || ours.any(|prefix| name.starts_with(prefix.as_str()))
    }
}

/// The place of a name's first letter, and the bit of its length.
fn letter_and_length(name: &str) -> (usize, u64) {
    let letter = name.as_bytes().first().copied().unwrap_or_default();
    (usize::from(letter % 32), 1 << name.len().min(63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proxies_in_front_say_of_a_client_stays_and_what_sdks_say_goes() {
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

    #[test]
    fn prefixes_that_are_configured_add_to_those_that_are_known() {
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
}
