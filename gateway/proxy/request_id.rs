//! The id of a request, in answers and access lines.

use std::fmt::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The id of a request: 32 hexadecimal digits, unique among all gateways.
pub struct RequestId(String);

impl RequestId {
    /// A new one: a random start for each process, and a count.
    pub fn next() -> Self {
        static START: OnceLock<u64> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // Without a generator of the system's no process starts: see `server::start`. The zero here
        // would merely make ids of two processes alike.
        let start = START.get_or_init(|| getrandom::u64().unwrap_or_default());
        let mut id = String::with_capacity(32);
        // Writing to a String cannot fail.
        let _ = write!(
            id,
            "{start:016x}{:016x}",
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        Self(id)
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_ids_are_alike() {
        let (a, b) = (RequestId::next(), RequestId::next());
        assert_ne!(a.as_str(), b.as_str());
        assert_eq!(a.as_str().len(), 32);
    }
}
