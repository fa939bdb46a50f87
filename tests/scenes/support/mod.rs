//! The actors of the scenes.

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

/// The longest that anything in a scene may take. Long, because machines are shared; nothing waits
/// for it unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A request to an admin listener, which wants to be called by its address.
pub fn ask_admin(to: SocketAddr, method: &str, path: &str) -> Response {
    Client::connect(to).request(method, path, &[("host", &to.to_string())], b"")
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
