//! Networks of addresses in CIDR notation, as configurations write them: `10.0.0.0/8`, `2001:db8::/32`, or one address.
//!
//! Knows the notation alone, not what a network is used for.

use std::net::IpAddr;

/// A network: all addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    /// The number of bits that they share: at most 32 for `IPv4`, 128 for `IPv6`.
    prefix: u32,
}

impl Network {
    /// Reads `address/prefix`, or an address alone, which is a network of one. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = base.parse().ok()?;
        let base = written.to_canonical();
        // `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
        let mapped = if written == base { 0 } else { 96 };
        let most = bits(base) + mapped;
        let prefix = match prefix {
            None => most,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok()?
            }
            Some(_) => return None,
        };
        let prefix = prefix.checked_sub(mapped).filter(|_| prefix <= most)?;
        Some(Self { base, prefix })
    }

    /// Whether `address` is in the network. A mapped `IPv6` address counts as its `IPv4` address.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let different = match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                u128::from(base.to_bits() ^ address.to_bits())
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => base.to_bits() ^ address.to_bits(),
            _ => return false,
        };
        different.checked_shr(self.rest()).unwrap_or(0) == 0
    }

    /// Whether the network holds every address of its family.
    pub(crate) fn is_everything(&self) -> bool {
        self.prefix == 0
    }

    /// Whether it was written with bits behind its prefix, as `10.0.0.1/8` is. They mean nothing.
    pub(crate) fn has_more_bits(&self) -> bool {
        let base = match self.base {
            IpAddr::V4(base) => u128::from(base.to_bits()),
            IpAddr::V6(base) => base.to_bits(),
        };
        let above = base.checked_shr(self.rest()).unwrap_or(0);
        above.checked_shl(self.rest()).unwrap_or(0) != base
    }

    /// The number of bits behind the prefix.
    fn rest(&self) -> u32 {
        bits(self.base) - self.prefix
    }
}

/// The number of bits of an address of this family.
fn bits(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_that_begin_as_it_does() {
        for (network, address, within) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "::ffff:10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1/32", "10.0.0.0", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "8.8.8.8", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
        ] {
            let parsed = Network::parse(network).unwrap();
            let is_within = parsed.contains(address.parse().unwrap());
            assert_eq!(is_within, within, "{address} in {network}");
        }
    }

    #[test]
    fn what_is_no_network_is_none() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0/8",
            "::/129",
            "::ffff:10.0.0.0/8",
            "[::1]",
            "10.0.0.1:80",
            "localhost",
            " 10.0.0.1",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn bits_behind_the_prefix_are_known() {
        for (text, more, everything) in [
            ("10.0.0.1/8", true, false),
            ("10.0.0.0/8", false, false),
            ("10.0.0.1", false, false),
            ("2001:db8::1/32", true, false),
            ("0.0.0.0/0", false, true),
            ("0.0.0.1/0", true, true),
            ("::/0", false, true),
            ("::1", false, false),
        ] {
            let network = Network::parse(text).unwrap();
            let found = (network.has_more_bits(), network.is_everything());
            assert_eq!(found, (more, everything), "{text}");
        }
    }
}
