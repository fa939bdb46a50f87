//! The URLs that clients use to reach this gateway, as the command line prints them.

use std::net::SocketAddr;

use crate::config::{Listen, ServerConfig};

/// Provider kinds that are used with the SDK of `OpenAI` or Hugging Face, whose base URL includes the version.
const WITH_VERSION: [&str; 6] = [
    "openai",
    "custom",
    "deepseek",
    "ollama",
    "openrouter",
    "huggingface",
];

/// The URL of the client listener without a path. A wildcard address becomes the loopback address of its family.
pub(super) fn origin(server: &ServerConfig) -> String {
    let scheme = if server.listener.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let first = match &server.listener.listen {
        Listen::Addresses(listen) => listen.first().copied(),
        Listen::Systemd => None,
    };
    let Some(mut address) = first else {
        return format!("{scheme}://GATEWAY");
    };
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => [127, 0, 0, 1].into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("{scheme}://{address}")
}

/// The base URL to set in the SDK of a route's provider, at a gateway with this origin.
pub(super) fn base_url(origin: &str, path: &str, kind: &str) -> String {
    let version = if WITH_VERSION.contains(&kind) {
        "/v1"
    } else {
        ""
    };
    format!("{origin}{}{version}", path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_that_of_the_documentation_for_each_sdk() {
        let origin = "http://127.0.0.1:8080";
        let page = include_str!("../../docs/providers.md");
        for (path, kind) in [
            ("/openai", "openai"),
            ("/azure", "azure-openai"),
            ("/anthropic", "anthropic"),
            ("/gemini", "gemini"),
            ("/mistral", "mistral"),
            ("/huggingface", "huggingface"),
            ("/groq", "groq"),
            ("/cohere", "cohere"),
        ] {
            let url = format!("\"{}\"", base_url(origin, path, kind));
            assert!(page.contains(&url), "{kind}: {url}");
        }
        assert_eq!(base_url(origin, "/", "openai"), "http://127.0.0.1:8080/v1");
    }
}
