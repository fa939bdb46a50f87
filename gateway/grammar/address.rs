//! Classes of addresses: private ones, those of metadata services, and the network that counts as one client.
//!
//! The only place that reads addresses for a decision, because an address has many spellings and all of them lead to the
//! same machine. Resolves no name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses of metadata services that are not link-local (link-local addresses are refused as a whole). Clouds serve them
/// to every program on a machine, the access tokens of the machine included.
const METADATA: [IpAddr; 8] = [
    // Alibaba Cloud, Volcengine, Azure's wire server, Oracle Cloud's first.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(100, 96, 0, 96)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // Google Cloud, Oracle Cloud, Akamai, Scaleway.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
];
/// The names of metadata services, in lower case.
const METADATA_NAMES: [&str; 8] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
    "metadata.tencentyun.com",
    "api.metadata.cloud.ibm.com",
    "metadata.platformequinix.com",
];

/// Whether `address` is a loopback or a private one (RFC 1918, RFC 4193).
pub(crate) fn is_loopback_or_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    }
}

/// Endings of names that public DNS does not have, or that lead to no public address: those of RFC 6762 and RFC 8375,
/// ICANN's `internal`, Kubernetes', and those that routers and companies use.
const PRIVATE_SUFFIXES: [&str; 12] = [
    ".internal",
    ".local",
    ".localhost",
    ".home.arpa",
    ".svc",
    ".lan",
    ".corp",
    ".home",
    ".intranet",
    ".private",
    ".localdomain",
    ".test",
];

/// Whether `address` is not a public one: a loopback or private address, or one that network providers, and Tailscale,
/// assign behind their own address translation (RFC 6598, 100.64.0.0/10).
pub(crate) fn is_private(address: IpAddr) -> bool {
    let is_shared = |ip: Ipv4Addr| ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
    is_loopback_or_private(address)
        || matches!(address.to_canonical(), IpAddr::V4(ip) if is_shared(ip))
}

/// Whether `name` has the form of a name in a private network: one label, as `gpu-box`, or a private ending, as
/// `host.docker.internal`.
pub(crate) fn is_private_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_one_label = !name.is_empty() && !name.contains(['.', ':']);
    is_one_label || PRIVATE_SUFFIXES.iter().any(|end| name.ends_with(end))
}

/// Whether `address` belongs to a machine's metadata service: a link-local address (RFC 3927, RFC 4291), which most clouds
/// use, or one of the fixed addresses of the others. Holds as well for an `IPv6` address from which a translator or a
/// tunnel leads to such an `IPv4` address.
pub(crate) fn is_metadata(address: IpAddr) -> bool {
    let is_listed = |ip: IpAddr| METADATA.contains(&ip) || is_link_local(ip) || is_of_ec2(ip);
    match address {
        IpAddr::V4(_) => is_listed(address),
        IpAddr::V6(ip) => is_listed(address) || embedded(ip).any(|ip| is_listed(IpAddr::V4(ip))),
    }
}

/// Whether `host`, an address or a name in any spelling, is that of a metadata service.
pub(crate) fn is_metadata_host(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    METADATA_NAMES.contains(&name.as_str()) || read(&name).is_some_and(is_metadata)
}

/// The address that `host` is, read as resolvers read it: an `IPv4` address may have fewer than four parts, and
/// hexadecimal or octal ones (`2852039166`, `0xa9.254.43518`). `None` for a name.
pub(crate) fn read(host: &str) -> Option<IpAddr> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let plain = host.parse().ok();
    plain.or_else(|| loose_ipv4(host).map(IpAddr::V4))
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Whether `ip` is in `fd00:ec2::/32`, where EC2 has its metadata (`::254`), credentials of pods (`::23`), clock and names.
fn is_of_ec2(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.segments().starts_with(&[0xfd00, 0xec2]))
}

/// The `IPv4` addresses that an `IPv6` address may lead to: mapped and compatible ones (RFC 4291, section 2.5.5),
/// translated ones (RFC 2765; RFC 6052 and RFC 8215, for NAT64), 6to4 (RFC 3056), Teredo (RFC 4380) and ISATAP
/// (RFC 5214). Within `64:ff9b:1::/48` every network chooses how long its prefix is.
fn embedded(ip: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let bits = ip.to_bits();
    let places: &[u32] = match ip.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..]
        | [0x64, 0xff9b, 1, ..]
        | [_, _, _, _, 0 | 0x200, 0x5efe, ..] => &[0],
        [0x2002, ..] => &[80],
        // A Teredo address holds its server's address as it is, and its client's with all bits inverted.
        [0x2001, 0, ..] => &[64],
        _ => &[],
    };
    let inverted = matches!(ip.segments(), [0x2001, 0, ..]).then(|| !low_32(bits));
    let prefixes: &[u32] = match ip.segments() {
        [0x64, 0xff9b, 1, ..] => &[48, 56, 64],
        _ => &[],
    };
    let plain = places.iter().map(move |place| low_32(bits >> place));
    let split = prefixes
        .iter()
        .map(move |prefix| behind_prefix(bits, *prefix));
    plain.chain(inverted).chain(split).map(Ipv4Addr::from_bits)
}

/// The 32 bits behind a prefix of 48 to 64 bits. Bits 64 to 71 of the address are skipped: they are always zero (RFC 6052,
/// section 2.2).
fn behind_prefix(bits: u128, prefix: u32) -> u32 {
    const LOW_56: u128 = (1 << 56) - 1;
    let without = bits >> 64 << 56 | bits & LOW_56;
    low_32(without >> (88 - prefix))
}

fn low_32(bits: u128) -> u32 {
    let [.., a, b, c, d] = bits.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// Reads an address as `inet_aton` does: one to four parts, the last of which fills the remaining bytes.
fn loose_ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut parts = Vec::with_capacity(4);
    for part in text.split('.') {
        parts.push(loose_number(part)?);
    }
    let (last, first) = parts.split_last().filter(|(_, first)| first.len() < 4)?;
    let room = 32 - 8 * u32::try_from(first.len()).ok()?;
    let fits = first.iter().all(|part| *part < 256) && last.checked_shr(room).unwrap_or(0) == 0;
    let high = first.iter().fold(0, |bits, part| bits << 8 | part);
    let bits = high.checked_shl(room).unwrap_or(0) | last;
    fits.then(|| u32::try_from(bits).ok().map(Ipv4Addr::from_bits))?
}

/// Reads a number as `inet_aton` does: hexadecimal behind `0x`, octal behind `0`, else decimal.
fn loose_number(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
        (Some(""), _) => ("0", 16),
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (lower.as_str(), 10),
    };
    let are_digits = digits.bytes().all(|byte| char::from(byte).is_digit(radix));
    are_digits.then(|| u64::from_str_radix(digits, radix).ok())?
}

/// The network that counts as one client: one `IPv4` address, or the 64-bit network of an `IPv6` address, all of which
/// belongs to one subscriber. `None` for a loopback or private address, behind which may be many clients: it may be that
/// of a load balancer.
pub(crate) fn client_network(address: IpAddr) -> Option<IpAddr> {
    if is_loopback_or_private(address) {
        return None;
    }
    Some(match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        canonical @ IpAddr::V4(_) => canonical,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_networks_are_known_by_address_and_name() {
        for (address, private) in [
            ("10.0.0.1", true),
            ("127.0.0.1", true),
            ("fd00::1", true),
            ("100.64.0.0", true),
            ("100.127.255.255", true),
            ("::ffff:100.64.0.1", true),
            ("100.63.255.255", false),
            ("100.128.0.0", false),
            ("8.8.8.8", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), private, "{address}");
        }
        for (name, private) in [
            ("gpu-box", true),
            ("host.docker.internal", true),
            ("LLM.default.svc.cluster.local.", true),
            ("printer.home.arpa", true),
            ("api.openai.com", false),
            ("internal.example.com", false),
            ("", false),
            ("::1", false),
        ] {
            assert_eq!(is_private_name(name), private, "{name}");
        }
    }

    #[test]
    fn a_metadata_service_is_known_in_every_spelling_of_its_address() {
        for host in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.169.254.",
            "2852039166",
            "0xa9fea9fe",
            "0xA9.254.0251.0xfe",
            "169.254.43518",
            "169.16689662",
            "0251.0376.0251.0376",
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:00a9:00fe:a9fe::",
            "64:ff9b:1:0:a9:fea9:fe00:0",
            "2002:a9fe:a9fe::1",
            "2001:0:a9fe:a9fe::1",
            "2001:0:1:2:3:4:5601:5601",
            "2001:db8::5efe:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:42::42",
            "100.100.100.200",
            "::ffff:100.100.100.200",
            "168.63.129.16",
            "metadata.google.internal",
            "Metadata.Google.Internal.",
            "metadata",
        ] {
            assert!(is_metadata_host(host), "{host}");
        }
        for other in [
            "127.0.0.1",
            "::1",
            "::",
            "10.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "100.100.100.201",
            "4294967296",
            "169.254.65536",
            "169.254.1.1.1",
            "169..254.1",
            "0x",
            "169.254.169.254.example.com",
            "64:ff9b::10.0.0.1",
            "2002:0a00:0001::1",
            "fd00:ec3::254",
            "2606:4700::6810:1",
            "metadata.example.com",
            "api.openai.com",
            "",
        ] {
            assert!(!is_metadata_host(other), "{other}");
        }
    }

    #[test]
    fn a_private_address_is_known_in_every_spelling() {
        for (host, private) in [
            ("127.0.0.1", true),
            ("0x7f.1", true),
            ("127.1.", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("fd00::1", true),
            ("64:ff9b::10.0.0.1", false),
            ("8.8.8.8", false),
        ] {
            assert_eq!(
                read(host).map(is_loopback_or_private),
                Some(private),
                "{host}"
            );
        }
    }
}
