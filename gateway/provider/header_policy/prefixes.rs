//! The headers that proxies in front of the gateway add to requests, as a table of prefixes.

use super::prefix_filter::PrefixFilter;

/// Prefixes of names behind `x-`, by their first letter: identities, tokens and addresses that proxies, identity-aware
/// load balancers and service meshes add to requests.
pub(super) const fn extension_prefixes(first: u8) -> &'static [&'static str] {
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

/// Prefixes of names that do not begin with `x-`, by their first letter.
pub(super) const fn prefixes(first: u8) -> &'static [&'static str] {
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

/// Accepts every name that begins with one of [`prefixes`] or [`extension_prefixes`], and few others.
pub(super) static KNOWN: PrefixFilter = known();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn known() -> PrefixFilter {
    let mut filter = PrefixFilter::NONE;
    let mut first = b'a';
    while first <= b'z' {
        let (names, extended) = (prefixes(first), extension_prefixes(first));
        let mut index = 0;
        while index < names.len() {
            filter.plain.add(names[index].as_bytes());
            index += 1;
        }
        index = 0;
        while index < extended.len() {
            filter.extensions.add(extended[index].as_bytes());
            index += 1;
        }
        first += 1;
    }
    filter
}

/// Whether a header describes the client as a proxy in front of the gateway sees it: its identity, its address, or a token
/// of the proxy's own. `name` is in lower case.
pub(crate) fn is_of_a_front_proxy(name: &str) -> bool {
    KNOWN.may_match(name) && has_prefix(name) && !is_feature_of_cloudflare(name)
}

fn has_prefix(name: &str) -> bool {
    let (rest, table): (_, fn(u8) -> _) = match name.strip_prefix("x-") {
        Some(rest) => (rest, extension_prefixes),
        None => (name, prefixes),
    };
    let first = rest.bytes().next().unwrap_or_default();
    let mut prefixes = table(first).iter();
    prefixes.any(|prefix| rest.starts_with(prefix))
}

/// Features of Cloudflare's AI Gateway, which may be the provider: all of its headers pass but its credential.
pub(super) fn is_feature_of_cloudflare(name: &str) -> bool {
    name.starts_with("cf-aig-") && name != "cf-aig-authorization"
}
