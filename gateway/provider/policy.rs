//! Which of a client's headers no provider gets, of whatever kind it is. The rest passes: a feature that a
//! provider brings out tomorrow works tomorrow.

use std::collections::HashSet;

use ahash::RandomState;
use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, FORWARDED, PROXY_AUTHORIZATION, VIA};

use super::spelling::{folded, is_of_the_message, is_plain};

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

/// Which letters stand at the beginnings of names: by the first one, a bit for each second one, and by the second one,
/// a bit for each third one. Most names are told by them from all that are looked for, without a comparison.
#[derive(Clone, Copy)]
struct Letters {
    first: [u32; 32],
    second: [u32; 32],
}

#[expect(
    clippy::indexing_slicing,
    reason = "a letter is one of 32, and the compiler evaluates it"
)]
impl Letters {
    const NONE: Self = Self {
        first: [0; 32],
        second: [0; 32],
    };
    const ALL: Self = Self {
        first: [u32::MAX; 32],
        second: [u32::MAX; 32],
    };

    /// Adds all names that begin with `beginning`.
    const fn add(&mut self, beginning: &[u8]) {
        match *beginning {
            [] => *self = Self::ALL,
            [first] => {
                self.first[(first % 32) as usize] = u32::MAX;
                self.second = Self::ALL.second;
            }
            [first, second] => {
                self.first[(first % 32) as usize] |= 1 << (second % 32);
                self.second[(second % 32) as usize] = u32::MAX;
            }
            [first, second, third, ..] => {
                self.first[(first % 32) as usize] |= 1 << (second % 32);
                self.second[(second % 32) as usize] |= 1 << (third % 32);
            }
        }
    }

    /// Whether a name that was added may begin with these.
    const fn may_begin(&self, [first, second, third]: [u8; 3]) -> bool {
        let seconds = self.first[(first % 32) as usize];
        let thirds = self.second[(second % 32) as usize];
        (seconds >> (second % 32)) & (thirds >> (third % 32)) & 1 == 1
    }
}

/// The letters at the beginnings of names, and of names that begin with `x-`, those behind it.
#[derive(Clone, Copy)]
struct Beginnings {
    plain: Letters,
    extensions: Letters,
}

/// Those of [`prefixes`] and [`extension_prefixes`].
static KNOWN: Beginnings = known();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn known() -> Beginnings {
    let (mut plain, mut extensions) = (Letters::NONE, Letters::NONE);
    let mut first = b'a';
    while first <= b'z' {
        let (names, extended) = (prefixes(first), extension_prefixes(first));
        let mut place = 0;
        while place < names.len() {
            plain.add(names[place].as_bytes());
            place += 1;
        }
        place = 0;
        while place < extended.len() {
            extensions.add(extended[place].as_bytes());
            place += 1;
        }
        first += 1;
    }
    Beginnings { plain, extensions }
}

impl Beginnings {
    /// Adds all names that begin with `beginning`.
    fn add(&mut self, beginning: &str) {
        match beginning.as_bytes() {
            [b'x', b'-', rest @ ..] => self.extensions.add(rest),
            short => {
                self.plain.add(short);
                if b"x-".starts_with(short) {
                    self.extensions = Letters::ALL;
                }
            }
        }
    }

    /// Whether `name` may begin with what was added. If not, that is sure.
    fn may_begin(&self, name: &str) -> bool {
        match *name.as_bytes() {
            [b'x', b'-', first, second, third, ..] => {
                self.extensions.may_begin([first, second, third])
            }
            // As good as never.
            [b'x', b'-', ..] => true,
            [first, second, third, ..] => self.plain.may_begin([first, second, third]),
            _ => true,
        }
    }
}

/// Whether a header holds what a proxy in front of the gateway says about the client: who it is, where it comes from,
/// or a token of its own. `name` is in lower case.
pub fn is_of_a_front_proxy(name: &str) -> bool {
    KNOWN.may_begin(name) && has_prefix(name) && !is_feature_of_cloudflare(name)
}

fn has_prefix(name: &str) -> bool {
    let (rest, of): (_, fn(u8) -> _) = match name.strip_prefix("x-") {
        Some(rest) => (rest, extension_prefixes),
        None => (name, prefixes),
    };
    let first = rest.bytes().next().unwrap_or_default();
    let mut prefixes = of(first).iter();
    prefixes.any(|prefix| rest.starts_with(prefix))
}

/// The headers of a client that a route's provider does not get.
pub struct Stripped {
    names: HashSet<HeaderName, RandomState>,
    prefixes: Vec<String>,
    /// Names, folded, that only the gateway writes, or that a client may send in their own spelling alone.
    guarded: HashSet<String, RandomState>,
    /// Those of the names, and of the prefixes here and above: most headers need not be looked up.
    beginnings: Beginnings,
}

impl Default for Stripped {
    fn default() -> Self {
        Self::new([], Vec::new())
    }
}

impl Stripped {
    /// These names, and names that begin with one of `prefixes` (in lower case), beside those that no provider gets.
    pub fn new(names: impl IntoIterator<Item = HeaderName>, prefixes: Vec<String>) -> Self {
        let names: HashSet<_, _> = names.into_iter().collect();
        let mut beginnings = KNOWN;
        let own = names.iter().map(HeaderName::as_str);
        for beginning in own.chain(prefixes.iter().map(String::as_str)) {
            beginnings.add(beginning);
        }
        Self {
            names,
            prefixes,
            guarded: HashSet::default(),
            beginnings,
        }
    }

    /// Likewise, and no header is taken from a client that can be read as one of `names` and is another.
    #[must_use]
    pub fn guarding<'n>(mut self, names: impl IntoIterator<Item = &'n HeaderName>) -> Self {
        let names = names.into_iter().map(|name| folded(name.as_str()));
        self.guarded.extend(names);
        self
    }

    /// What an application behind the gateway may read the header `name` as, if the provider must not get that: a
    /// credential, the choice of an account, what tells of the network, or what the gateway writes. Nothing for a name
    /// that has one reading, and for one that the configuration itself takes out.
    pub fn misread(&self, name: &HeaderName) -> Option<String> {
        let mut ours = self.prefixes.iter();
        if is_plain(name.as_str())
            || self.names.contains(name)
            || ours.any(|prefix| name.as_str().starts_with(prefix.as_str()))
        {
            return None;
        }
        let read_as = folded(name.as_str());
        let taken = self.contains_text(&read_as)
            || self.guarded.contains(&read_as)
            || is_of_the_message(&read_as);
        taken.then_some(read_as)
    }

    /// Whether a header is among them.
    pub fn contains(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        self.beginnings.may_begin(text) && (self.names.contains(name) || self.by_prefix(text))
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

    /// What `stripped` is to contain, by comparing `name` with everything.
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

    /// Every name of up to three letters behind `x-` or not, and all that is looked for: cut short, with another
    /// letter at each place, and longer.
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
                    ["-", "_", "e"]
                        .map(|letter| format!("{}{letter}{}", &text[..at], &text[at + 1..])),
                );
            }
            texts.push(text.to_owned());
        }
        let extended = texts.iter().map(|it| format!("x-{it}"));
        let all: Vec<String> = texts.iter().cloned().chain(extended).collect();
        all.into_iter().filter(|it| !it.is_empty()).collect()
    }

    #[test]
    fn what_is_told_by_letters_is_what_is_told_by_comparing() {
        let names = || ALWAYS_STRIPPED.iter().chain(&ACCOUNT_CHOICES).cloned();
        let own = ["x-corp-identity", "~~~", "te"].map(HeaderName::from_static);
        let own = || names().chain(own.clone());
        let mut all = vec![
            Stripped::default(),
            Stripped::new(names(), vec![]),
            Stripped::new(own(), vec!["x-team-".to_owned(), "co".to_owned()]),
        ];
        // Each alone: a short one lets all names be compared.
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
    fn the_usual_headers_of_sdks_are_told_by_their_letters() {
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
            assert!(!stripped.beginnings.may_begin(name), "{name}");
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
