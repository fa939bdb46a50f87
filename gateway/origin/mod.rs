//! One HTTP origin: its URL, its addresses, how to connect to it (if need be through a proxy), and one bounded call.
//!
//! Knows nothing of tokens, routes, or what a provider is.

mod addresses;
mod ca_bundle;
mod call;
mod dns;
mod egress_proxy;
mod endpoint;
mod no_proxy;
mod reserve;
mod timeouts;
mod tunnel;
mod url;

pub use addresses::Addresses;
pub use ca_bundle::CaBundle;
pub(crate) use call::{CallError, CallLimits, CallRequest, Caller, call_plain};
pub use dns::Resolver;
pub use egress_proxy::EgressProxy;
pub use endpoint::{Endpoint, EndpointSpec, HttpVersion};
pub use timeouts::Timeouts;
pub use tunnel::{Tunnel, TunnelError};
pub use url::{BaseUrl, Exposure};
