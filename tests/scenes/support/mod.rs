//! The actors of the scenes: clients, gateways, providers, proxies.

pub mod client;
pub mod command;
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

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The longest time that a step of a scene may take. It is long because machines are shared; only a step that fails
/// waits that long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The header with the key of [`Gateway::before`].
pub const KEY: [(&str, &str); 1] = [("api-key", "secret")];

/// Sends a request to an admin listener, with its address as the host.
pub fn admin_request(to: SocketAddr, method: &str, path: &str) -> Response {
    Client::connect(to).request(method, path, &[("host", &to.to_string())], b"")
}

/// A port outside of the range that the system assigns: no other test gets it while nobody listens there.
pub fn unused_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = TAKEN.fetch_add(1, Ordering::Relaxed) * 7 + std::process::id() * 131;
        let port = u16::try_from(10_000 + number % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits until `condition` is true.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Bytes without a repeated section.
pub fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(length)
    .collect()
}
