//! Slots for the connections of the admin listener. When all are taken, a new connection evicts one that waits.
//!
//! A client that can reach the listener can open any number of connections, and send requests that never end. Operators
//! must still get through. So a new connection evicts the one that has waited longest: first among idle connections, which
//! have had a response, then among those whose first request has not arrived. A connection whose request is being served
//! is never evicted. If all are busy, the new connection is refused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A fixed number of slots.
pub(crate) struct Slots {
    capacity: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    taken: Vec<Entry>,
    /// A logical clock: the number of state changes so far.
    changes: u64,
}

struct Entry {
    number: u64,
    state: State,
    /// When it entered the state, by the logical clock.
    since: u64,
    evicted: Arc<Notify>,
}

/// What a connection does, in the order in which connections are evicted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Waits for another request.
    Idle,
    /// Waits for its first request.
    New,
    /// Serves a request.
    Busy,
}

/// The slot of one connection, until it is dropped.
pub(crate) struct Slot {
    all: Arc<Slots>,
    number: u64,
    evicted: Arc<Notify>,
}

/// The outcome of [`Slots::take`].
pub(crate) struct Taken {
    /// The slot of the new connection; `None` if it is refused.
    pub(crate) slot: Option<Slot>,
    /// A connection was evicted, or the new one refused.
    pub(crate) one_is_closed: bool,
}

impl Slots {
    /// `capacity` slots, none of them taken.
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            table: Mutex::default(),
        })
    }

    /// Takes a slot for a new connection, if need be by evicting another one.
    pub(crate) fn take(self: &Arc<Self>) -> Taken {
        let mut table = self.table();
        let is_full = table.taken.len() >= self.capacity;
        if is_full && !table.evict_one() {
            return Taken {
                slot: None,
                one_is_closed: true,
            };
        }
        let (number, evicted) = (table.tick(), Arc::new(Notify::new()));
        table.taken.push(Entry {
            number,
            state: State::New,
            since: number,
            evicted: evicted.clone(),
        });
        let all = self.clone();
        Taken {
            slot: Some(Slot {
                all,
                number,
                evicted,
            }),
            one_is_closed: is_full,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Evicts the connection that has waited longest. Returns false if none waits.
    fn evict_one(&mut self) -> bool {
        let evicted = self
            .taken
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.state != State::Busy)
            .min_by_key(|(_, entry)| (entry.state, entry.since));
        let Some((index, _)) = evicted else {
            return false;
        };
        self.taken.swap_remove(index).evicted.notify_one();
        true
    }

    /// Advances the logical clock.
    fn tick(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }
}

impl Slot {
    /// Marks the connection as waiting for another request. Before the first response, it stays new.
    pub(crate) fn mark_idle(&self) {
        self.change(State::Busy, State::Idle);
    }

    /// Marks the connection as serving a request.
    pub(crate) fn mark_busy(&self) {
        self.change(State::New, State::Busy);
        self.change(State::Idle, State::Busy);
    }

    fn change(&self, from: State, to: State) {
        let mut table = self.all.table();
        let since = table.tick();
        let mut entries = table.taken.iter_mut();
        // There is no entry if the connection was evicted.
        let entry = entries.find(|entry| entry.number == self.number);
        if let Some(entry) = entry.filter(|entry| entry.state == from) {
            (entry.state, entry.since) = (to, since);
        }
    }

    /// Waits until the connection is evicted.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.all.table();
        table.taken.retain(|entry| entry.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_evicted(slot: &Slot) -> bool {
        let mut evicted = Box::pin(slot.evicted());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        evicted.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn a_waiting_connection_is_evicted_and_a_busy_one_is_not() {
        let slots = Slots::new(4);
        let take = || slots.take().slot;
        let [new, idle, older_idle, busy] = std::array::from_fn(|_| take().unwrap());
        for slot in [&older_idle, &idle] {
            slot.mark_busy();
            slot.mark_idle();
        }
        busy.mark_busy();
        let mut kept = Vec::new();
        for waiting in [&older_idle, &idle, &new] {
            assert!(!is_evicted(waiting));
            let taken = slots.take();
            assert!(taken.one_is_closed && is_evicted(waiting));
            let slot = taken.slot.unwrap();
            slot.mark_busy();
            kept.push(slot);
        }
        // All are busy.
        let taken = slots.take();
        assert!(taken.one_is_closed && taken.slot.is_none() && !is_evicted(&busy));
        // Dropping an evicted connection frees no slot.
        drop((new, idle, older_idle));
        assert!(take().is_none());
        drop(busy);
        let taken = slots.take();
        assert!(!taken.one_is_closed && taken.slot.is_some());
    }
}
