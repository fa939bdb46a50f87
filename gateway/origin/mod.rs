//! One HTTP origin: its URL, its addresses, how to connect to it (if need be through a proxy), and one bounded call.
//!
//! Knows nothing of tokens, routes, or what a provider is.

mod addresses;
mod ca_bundle;
mod call;
mod connection;
mod dns;
mod egress_proxy;
mod endpoint;
mod no_proxy;
mod reserve;
mod timeouts;
mod tunnel;
mod url;

pub(crate) use addresses::Addresses;
pub(crate) use ca_bundle::{CaBundle, CertificatesError};
pub(crate) use call::{CallError, CallLimits, CallRequest, Caller, call_plain};
pub(crate) use connection::{ConnectionError, OriginConnector, is_own_connection, was_kept};
pub(crate) use dns::Resolver;
pub(crate) use egress_proxy::EgressProxy;
pub(crate) use endpoint::{Endpoint, EndpointSpec, HttpVersion};
pub(crate) use timeouts::Timeouts;
pub(crate) use tunnel::{Tunnel, TunnelError};
pub use url::BaseUrl;
pub(crate) use url::Exposure;
