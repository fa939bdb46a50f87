//! The sleep of the machine, in which the monotonic clock stands still.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// For how long the machine has been asleep since it was booted. The monotonic clock stands still meanwhile.
pub(crate) fn asleep() -> Duration {
    let read = |clock| {
        let time = clock_gettime(clock);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    let awake = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(awake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_awake_does_not_sleep_on() {
        let before = asleep();
        std::thread::sleep(Duration::from_millis(20));
        assert!(asleep().abs_diff(before) < Duration::from_millis(10));
    }
}
