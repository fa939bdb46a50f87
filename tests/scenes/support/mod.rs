//! The actors of the scenes.

pub mod client;
pub mod frames;
pub mod gateway;
pub mod http2;
pub mod process;
pub mod provider;
pub mod tls;

pub use client::{Client, Response};
pub use gateway::{Gateway, Scene};
pub use provider::Provider;

use std::time::{Duration, Instant};

/// The longest that anything in a scene may take. Long, because machines are shared; nothing waits
/// for it unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
