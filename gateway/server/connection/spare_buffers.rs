//! Large buffers that were used for a body, for the next one.
//!
//! An allocator would give their memory, all of which was written, to Pingora: it takes a buffer of 64 KiB for each
//! response and writes a few KiB of it, for as long as a stream lasts. Each stream would then cost 64 KiB.

use std::cell::RefCell;

/// Smaller buffers are not kept: the allocator keeps those apart. Larger ones have a multiple of it.
const UNIT: usize = 64 << 10;
const SMALL: usize = UNIT / 2;
/// The most bytes that a thread keeps.
const MOST: usize = 2 << 20;

thread_local! {
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare { buffers: Vec::new(), bytes: 0 }) };
}

/// The buffers of one thread.
struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// An empty buffer for `bytes`.
pub(super) fn take(bytes: usize) -> Vec<u8> {
    if bytes <= SMALL {
        return Vec::with_capacity(bytes);
    }
    let wanted = bytes.next_multiple_of(UNIT);
    let spare = SPARE.try_with(|spare| spare.borrow_mut().take(wanted));
    let spare = spare.ok().flatten();
    spare.unwrap_or_else(|| Vec::with_capacity(wanted))
}

/// Keeps `buffer` if there is room.
pub(super) fn give_back(buffer: Vec<u8>) {
    if buffer.capacity() >= UNIT {
        // Without the thread's own buffers, it ends.
        let _ = SPARE.try_with(|spare| spare.borrow_mut().put(buffer));
    }
}

impl Spare {
    /// The last buffer that has room for `wanted` bytes, and not more than twice as much.
    fn take(&mut self, wanted: usize) -> Option<Vec<u8>> {
        let fits = |buffer: &Vec<u8>| (wanted..=2 * wanted).contains(&buffer.capacity());
        let at = self.buffers.iter().rposition(fits)?;
        let buffer = self.buffers.remove(at);
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    fn put(&mut self, mut buffer: Vec<u8>) {
        let bytes = self.bytes + buffer.capacity();
        if bytes <= MOST {
            buffer.clear();
            self.buffers.push(buffer);
            self.bytes = bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_are_used_again_and_small_ones_are_not() {
        let mut large = take(SMALL + 1);
        assert_eq!(large.capacity(), UNIT);
        large.extend_from_slice(b"a prompt");
        let place = large.as_ptr();
        give_back(large);
        // Too small for this one, and too large for that.
        let larger = take(UNIT + 1);
        assert_ne!(larger.as_ptr(), place);
        assert_eq!(take(10).capacity(), 10);
        let again = take(UNIT);
        assert!(again.is_empty() && again.as_ptr() == place);
        give_back(take(4 * UNIT));
        assert_eq!(take(UNIT).capacity(), UNIT);
        give_back(vec![0; SMALL]);
        SPARE.with_borrow(|spare| assert_eq!(spare.buffers.len(), 1));
    }

    #[test]
    fn a_thread_keeps_no_more_than_so_many_bytes() {
        let taken: Vec<_> = (0..100).map(|_| take(UNIT)).collect();
        taken.into_iter().for_each(give_back);
        SPARE.with_borrow(|spare| {
            let capacities = spare.buffers.iter().map(Vec::capacity);
            assert_eq!((spare.bytes, capacities.sum()), (MOST, MOST));
        });
        drop((0..100).map(|_| take(UNIT)).collect::<Vec<_>>());
        SPARE.with_borrow(|spare| assert_eq!(spare.bytes, 0));
    }
}
