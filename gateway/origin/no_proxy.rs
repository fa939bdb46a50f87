//! `NO_PROXY`: the hosts that a proxy of the environment is not for, as curl and Go read it.

use std::net::IpAddr;

use super::url::BaseUrl;
use crate::grammar::address;
use crate::grammar::network::Network;

/// Whether `host` is this machine itself, which no proxy of the environment is for.
pub(crate) fn is_this_machine(host: &str) -> bool {
    host == "localhost" || address::read(host).is_some_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether `list`, as `no_proxy` has it, names the host of `url`: `*`, names with what ends in them, addresses, networks
/// (`10.0.0.0/8`), each with or without a port.
pub(crate) fn is_exempt(url: &BaseUrl, list: &str) -> bool {
    let entries = list.split(|char: char| char == ',' || char.is_ascii_whitespace());
    let mut entries = entries.filter(|entry| !entry.is_empty());
    entries.any(|entry| {
        let entry = entry.to_ascii_lowercase();
        let port = format!(":{}", url.port);
        let entry = match entry.strip_suffix(port.as_str()) {
            // An address of IPv6 ends in digits behind a colon as well.
            Some(host) if !host.contains(':') || host.ends_with(']') => host,
            _ => entry.as_str(),
        };
        let entry = entry.trim_matches(['[', ']']);
        match url.host.parse::<IpAddr>() {
            Ok(address) => {
                let network = Network::parse(entry);
                entry == "*" || network.is_some_and(|network| network.contains(address))
            }
            Err(_) => entry == "*" || is_at_or_below(&url.host, entry),
        }
    })
}

fn is_at_or_below(host: &str, name: &str) -> bool {
    let name = name.strip_prefix('*').unwrap_or(name);
    let name = name.strip_prefix('.').unwrap_or(name);
    let name = name.strip_suffix('.').unwrap_or(name);
    let above = host.strip_suffix(name);
    !name.is_empty() && above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
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
