//! The connections of the admin listener: so many, and when all are taken, one that only waits gives way to the next.
//!
//! Who may reach the listener can open as many connections as it likes, and send requests that never end. So a new
//! connection is always served: the one is closed for it that has waited longest, of those that have had a response and
//! send nothing whole since, and then of those whose first request has not come. A connection whose request is being
//! answered is never closed; where all are, the new one is refused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// At most so many connections.
pub(crate) struct Seats {
    most: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    taken: Vec<Entry>,
    /// How often something has changed: what is older has a smaller number.
    changes: u64,
}

struct Entry {
    number: u64,
    state: State,
    /// When it came to that, counted in changes.
    since: u64,
    closed: Arc<Notify>,
}

/// What a connection does. Those that come first are the first to give way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Another request is waited for.
    Idle,
    /// The first request is waited for.
    New,
    /// A request is being answered.
    Busy,
}

/// The place of one connection, until it is dropped.
pub(crate) struct Seat {
    all: Arc<Seats>,
    number: u64,
    closed: Arc<Notify>,
}

/// What became of a new connection.
pub(crate) struct Seated {
    /// Its place; nothing if there is none.
    pub(crate) seat: Option<Seat>,
    /// Whether it, or another one for it, is closed.
    pub(crate) one_is_closed: bool,
}

impl Seats {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            table: Mutex::default(),
        })
    }

    /// Gives a new connection a place, if need be that of another one.
    pub(crate) fn take(self: &Arc<Self>) -> Seated {
        let mut table = self.table();
        let is_full = table.taken.len() >= self.most;
        if is_full && !table.close_one() {
            return Seated {
                seat: None,
                one_is_closed: true,
            };
        }
        let (number, closed) = (table.next(), Arc::new(Notify::new()));
        table.taken.push(Entry {
            number,
            state: State::New,
            since: number,
            closed: closed.clone(),
        });
        let all = self.clone();
        Seated {
            seat: Some(Seat {
                all,
                number,
                closed,
            }),
            one_is_closed: is_full,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Closes the one that has waited longest; whether there is one that waits.
    fn close_one(&mut self) -> bool {
        let waiting = self.taken.iter().enumerate();
        let waiting = waiting.filter(|(_, entry)| entry.state != State::Busy);
        let Some((place, _)) = waiting.min_by_key(|(_, entry)| (entry.state, entry.since)) else {
            return false;
        };
        self.taken.swap_remove(place).closed.notify_one();
        true
    }

    fn next(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }
}

impl Seat {
    /// A request is waited for. Until the first one was answered, this changes nothing.
    pub(crate) fn waits(&self) {
        self.change(State::Busy, State::Idle);
    }

    /// A request is being answered.
    pub(crate) fn responses(&self) {
        self.change(State::New, State::Busy);
        self.change(State::Idle, State::Busy);
    }

    fn change(&self, from: State, to: State) {
        let mut table = self.all.table();
        let since = table.next();
        let mut entries = table.taken.iter_mut();
        // It is there no more if it gives way just now.
        let entry = entries.find(|entry| entry.number == self.number);
        if let Some(entry) = entry.filter(|entry| entry.state == from) {
            (entry.state, entry.since) = (to, since);
        }
    }

    /// Waits until the place is another's.
    pub(crate) async fn closed(&self) {
        self.closed.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.all.table();
        table.taken.retain(|entry| entry.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_closed(seat: &Seat) -> bool {
        let mut closed = Box::pin(seat.closed());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        closed.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn who_waits_gives_way_and_whose_request_is_answered_does_not() {
        let seats = Seats::new(4);
        let take = || seats.take().seat;
        let [new, idle, older_idle, busy] = std::array::from_fn(|_| take().unwrap());
        for seat in [&older_idle, &idle] {
            seat.responses();
            seat.waits();
        }
        busy.responses();
        let mut taken = Vec::new();
        for gives_way in [&older_idle, &idle, &new] {
            assert!(!is_closed(gives_way));
            let seated = seats.take();
            assert!(seated.one_is_closed && is_closed(gives_way));
            let seat = seated.seat.unwrap();
            seat.responses();
            taken.push(seat);
        }
        // Nobody waits.
        let seated = seats.take();
        assert!(seated.one_is_closed && seated.seat.is_none() && !is_closed(&busy));
        // Those that gave way have no place left to give.
        drop((new, idle, older_idle));
        assert!(take().is_none());
        drop(busy);
        let seated = seats.take();
        assert!(!seated.one_is_closed && seated.seat.is_some());
    }
}
