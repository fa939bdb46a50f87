//! The actors of the scenes: clients, gateways, providers, proxies.

pub mod client;
pub mod connect_proxy;
pub mod frames;
pub mod gateway;
pub mod http2;
pub mod manager;
pub mod process;
pub mod provider;
pub mod successor;
pub mod tls;
pub mod websocket;

pub use client::{Client, Response};
pub use connect_proxy::ConnectProxy;
pub use gateway::{Gateway, Scene};
pub use provider::Provider;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The longest time that a step of a scene may take. It is long because machines are shared; only a step that fails
/// waits that long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a request to an admin listener, with its address as the host.
pub fn ask_admin(to: SocketAddr, method: &str, path: &str) -> Response {
    Client::connect(to).request(method, path, &[("host", &to.to_string())], b"")
}

/// Waits until `condition` is true.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
