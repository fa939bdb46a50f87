//! Exact timers, the wall clock, and random numbers.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// A timer of microsecond resolution. A busy runtime still reacts later.
pub(crate) struct Alarm(Receiver);

impl Alarm {
    pub(crate) fn new() -> Self {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).unwrap();
        // A timer descriptor is no pipe, but is read like one.
        Self(Receiver::from_owned_fd_unchecked(timer).unwrap())
    }

    pub(crate) async fn until(&mut self, at: Instant) {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // A timer of zero never fires.
            return;
        }
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: left.try_into().unwrap(),
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once).unwrap();
        self.0.read_u64().await.unwrap();
    }
}

pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos() as u64
}

/// A seed with as many one bits as zero bits: with few one bits, the first numbers would be small.
pub(crate) const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// A random number in (0, 1], by xorshift64 (Marsaglia 2003).
pub(crate) fn share(random: &mut u64) -> f64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    ((*random >> 11) + 1) as f64 / (1_u64 << 53) as f64
}
