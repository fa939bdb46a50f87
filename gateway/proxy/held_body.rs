//! A request's body that was read whole before it goes up. It goes up in parts, again from its beginning at each try,
//! and is dropped once the provider responds.
//!
//! Knows no session. Pingora has read a few bytes in place of the body, each of which stands for one part: see
//! [`hold`](super::hold).

use std::time::Duration;

use bytes::Bytes;

/// The length of a part, in bytes; the last one may be shorter. Between two parts Pingora looks for a response, and its
/// time limit for writing begins anew.
const PART: usize = 128 << 10;

/// The parts that a body of `length` bytes has.
pub(super) fn parts(length: usize) -> usize {
    length.div_ceil(PART)
}

/// A body, and how far it went up.
pub(super) struct HeldBody {
    /// Empty once it was dropped.
    whole: Bytes,
    length: usize,
    /// How long its client took for it.
    took: Duration,
    /// How many of its bytes went up in this try.
    sent: usize,
    /// Whether the final response has begun, so that there is no other try.
    has_response: bool,
}

impl HeldBody {
    /// Holds `whole`, of which nothing went up, and which took its client so long.
    pub(super) fn new(whole: Bytes, took: Duration) -> Self {
        Self {
            length: whole.len(),
            whole,
            took,
            sent: 0,
            has_response: false,
        }
    }

    /// How many bytes it has.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// All of it; empty once it was dropped.
    pub(super) fn whole(&self) -> &[u8] {
        &self.whole
    }

    /// How long its client took for it.
    pub(super) fn took(&self) -> Duration {
        self.took
    }

    /// Another try begins.
    pub(super) fn rewind(&mut self) {
        self.sent = 0;
    }

    /// Whether another try may begin.
    pub(super) fn is_whole(&self) -> bool {
        self.whole.len() == self.length
    }

    /// The next `parts` parts as one. `None` if they were dropped.
    pub(super) fn next(&mut self, parts: usize) -> Option<Bytes> {
        let end = self
            .sent
            .saturating_add(parts.saturating_mul(PART))
            .min(self.length);
        if !self.is_whole() || self.sent >= end {
            return None;
        }
        let part = self.whole.slice(self.sent..end);
        self.sent = end;
        self.drop_unneeded();
        Some(part)
    }

    /// The final response has begun: what has gone up is not needed any more.
    pub(super) fn response_begun(&mut self) {
        self.has_response = true;
        self.drop_unneeded();
    }

    fn drop_unneeded(&mut self) {
        if self.has_response && self.sent == self.length {
            self.whole = Bytes::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes up if Pingora has read the body's stand-ins by these numbers.
    fn sent(held: &mut HeldBody, reads: &[usize]) -> Vec<u8> {
        let parts = reads.iter().map(|read| held.next(*read).unwrap());
        parts.collect::<Vec<_>>().concat()
    }

    fn body(length: usize) -> Bytes {
        let byte = |at: usize| u8::try_from(at % 251).unwrap();
        (0..length).map(byte).collect()
    }

    #[test]
    fn a_body_goes_up_whole_however_its_parts_are_requested() {
        for (length, reads) in [
            (1, &[&[1][..]][..]),
            (PART - 1, &[&[1]]),
            (PART, &[&[1]]),
            (PART + 1, &[&[1, 1], &[2]]),
            (3 * PART, &[&[1, 1, 1], &[2, 1], &[1, 2], &[3]]),
        ] {
            let whole = body(length);
            let mut held = HeldBody::new(whole.clone(), Duration::ZERO);
            for reads in reads {
                assert_eq!(reads.iter().sum::<usize>(), parts(length));
                assert!(sent(&mut held, reads) == whole, "{length}: {reads:?}");
                assert_eq!(held.next(1), None);
                held.rewind();
            }
        }
    }

    #[test]
    fn a_body_is_dropped_when_all_of_it_went_up_and_the_response_has_begun() {
        let whole = body(PART + 5);
        let mut held = HeldBody::new(whole.clone(), Duration::ZERO);
        held.next(1).unwrap();
        held.response_begun();
        assert!(held.is_whole());
        assert_eq!(held.next(1), Some(whole.slice(PART..)));
        assert!(!held.is_whole());
        held.rewind();
        assert_eq!((held.next(1), held.length()), (None, PART + 5));

        let mut held = HeldBody::new(whole, Duration::ZERO);
        held.next(2).unwrap();
        assert!(held.is_whole());
        held.response_begun();
        assert!(!held.is_whole());
    }
}
