//! Request ids, as responses and access lines show them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const DIGITS: [u8; 16] = *b"0123456789abcdef";

/// The id of a request: 32 hexadecimal digits, unique among all gateways.
#[derive(Clone, Copy)]
pub(crate) struct RequestId([u8; 32]);

impl RequestId {
    /// A new id: a random number of the process, followed by a count.
    pub(crate) fn next() -> Self {
        static START: OnceLock<u64> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // `server::start` refuses to start without the system's random generator. A zero here would only let two
        // processes make the same ids.
        let start = START.get_or_init(|| getrandom::u64().unwrap_or_default());
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let number = u128::from(*start) << 64 | u128::from(count);
        let mut id = [0; 32];
        for (place, digit) in id.iter_mut().enumerate() {
            let value = usize::try_from((number >> (124 - 4 * place)) & 15).unwrap_or_default();
            *digit = DIGITS.get(value).copied().unwrap_or_default();
        }
        Self(id)
    }

    /// The digits of the id, in lower case.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
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
