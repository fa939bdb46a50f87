//! `NO_PROXY`: the hosts that are reached without the environment's proxy, as curl and Go read it.

use std::net::IpAddr;

use super::url::BaseUrl;
use crate::grammar::address;
use crate::grammar::network::Network;

/// Whether `host` is this machine, which is never reached through the environment's proxy.
pub(crate) fn is_this_machine(host: &str) -> bool {
    host == "localhost" || address::read(host).is_some_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether `list`, the value of `no_proxy`, exempts the host of `url`. Its entries are `*`, names (which include their
/// subdomains), addresses and networks (`10.0.0.0/8`), each with or without a port.
pub(crate) fn is_exempt(url: &BaseUrl, list: &str) -> bool {
    let entries = list.split(|char: char| char == ',' || char.is_ascii_whitespace());
    entries
        .filter(|entry| !entry.is_empty())
        .any(|entry| exempts(entry, url))
}

fn exempts(entry: &str, url: &BaseUrl) -> bool {
    let entry = entry.to_ascii_lowercase();
    let port = format!(":{}", url.port);
    let in_brackets = match entry.strip_suffix(port.as_str()) {
        // An IPv6 address may end in a colon and digits that are no port.
        Some(host) if !host.contains(':') || host.ends_with(']') => host,
        _ => entry.as_str(),
    };
    let host = in_brackets.trim_matches(['[', ']']);
    if host == "*" {
        return true;
    }
    match url.host.parse::<IpAddr>() {
        Ok(address) => Network::parse(host).is_some_and(|network| network.contains(address)),
        Err(_) => is_at_or_below(&url.host, host),
    }
}

/// Whether `host` is the domain `written` (`example.com`, `.example.com`, `*.example.com`) or a subdomain of it.
fn is_at_or_below(host: &str, written: &str) -> bool {
    let without_star = written.strip_prefix('*').unwrap_or(written);
    let relative = without_star.strip_prefix('.').unwrap_or(without_star);
    let domain = relative.strip_suffix('.').unwrap_or(relative);
    let subdomain = host.strip_suffix(domain);
    !domain.is_empty() && subdomain.is_some_and(|it| it.is_empty() || it.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> BaseUrl {
        BaseUrl::parse_exposed(text).unwrap()
    }

    #[test]
    fn no_proxy_names_hosts_domains_addresses_and_networks() {
        for (list, at, exempt) in [
            ("*", "https://api.openai.com", true),
            ("openai.com", "https://api.openai.com", true),
            (".openai.com", "https://api.openai.com", true),
            ("*.openai.com", "https://api.openai.com", true),
            ("api.OpenAI.com", "https://api.openai.com", true),
            ("a, b api.openai.com:443", "https://api.openai.com", true),
            ("api.openai.com:8443", "https://api.openai.com", false),
            ("ai.com", "https://api.openai.com", false),
            ("", "https://api.openai.com", false),
            (" ,", "https://api.openai.com", false),
            ("10.0.0.0/8", "https://10.200.0.1", true),
            ("10.0.0.0/8", "https://11.0.0.1", false),
            ("0.0.0.0/0", "https://8.8.8.8", true),
            ("10.0.0.1", "https://10.0.0.1", true),
            ("10.0.0.1:443", "https://10.0.0.1", true),
            ("10.0.0.1", "https://10.0.0.2", false),
            ("fd00::/8", "https://[fd12::1]", true),
            ("[fd12::1]:443", "https://[fd12::1]", true),
            ("fd12::1", "https://[fd12::1]", true),
            ("::/0", "https://[fd12::1]", true),
            ("10.0.0.0/8", "https://[fd12::1]", false),
            ("10.0.0.0/x", "https://10.0.0.1", false),
            ("10.0.0.1/32", "https://10.0.0.1", true),
            ("10.0.0.1/33", "https://10.0.0.1", false),
            ("a\topenai.com\n", "https://api.openai.com", true),
        ] {
            assert_eq!(is_exempt(&url(at), list), exempt, "{list} {at}");
        }
    }
}
