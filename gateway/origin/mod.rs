//! One HTTP origin: its URL, its addresses, and the way to it, if need be through a proxy.
//!
//! Knows nothing of tokens, routes or what a provider is.

mod addresses;
mod dns;
mod egress_proxy;
mod endpoint;
mod no_proxy;
mod tunnel;
mod url;

pub use addresses::Addresses;
pub use dns::Resolver;
pub use egress_proxy::EgressProxy;
pub use endpoint::{CaBundle, Endpoint, HttpVersion, Timeouts};
pub use tunnel::{Tunnel, TunnelError};
pub use url::{BaseUrl, Exposure};
