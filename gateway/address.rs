//! Whose an address is, as far as it says.

use std::net::{IpAddr, Ipv6Addr};

/// Loopback and private addresses (RFC 1918, RFC 4193).
pub fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    }
}

/// What counts as one client: an address, and of `IPv6` all that begin with the same 64 bits, for who has one has all
/// of them. None for somebody near, who may be many: a load balancer, a program on this machine.
pub fn far_neighbourhood(address: IpAddr) -> Option<IpAddr> {
    if is_near(address) {
        return None;
    }
    Some(match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        canonical @ IpAddr::V4(_) => canonical,
    })
}
