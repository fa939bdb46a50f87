//! File descriptors: how many this process may have, and the last few of them, which no connection gets.
//!
//! Without a descriptor, no file can be read: connections that take all of them would keep a revocation from being read.
//! The system always gives the lowest number that is free, so that one with a high number says that all the others are
//! taken. Whoever makes a connection closes it again where its number is among the last ones.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use rustix::process::{Resource, getrlimit, setrlimit};

/// How many are for files, for operators and for looking names up.
const RESERVE: u64 = 32;
/// Where there are few of them, a share of those.
const RESERVED_SHARE: u64 = 8;
/// What the process itself has open: its sockets, its log, the runtimes of control and of accepting.
const OWN: u64 = 32;
/// What each serving thread has open.
const OF_A_THREAD: u64 = 4;
/// What a connection of a client takes, with the one to a provider.
const OF_A_CONNECTION: u64 = 2;

/// How many there may be, once that is settled.
static MOST: AtomicU64 = AtomicU64::new(0);
/// The lowest of the reserved ones.
static FIRST_RESERVED: AtomicI32 = AtomicI32::new(i32::MAX);

/// Takes as many as the system allows, and keeps the last of them in reserve. The soft limit of most systems, 1024, is
/// there for programs that count in a way that breaks above it; this one does not.
pub fn raise() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let raised = setrlimit(Resource::Nofile, limit);
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    MOST.store(most, Ordering::Relaxed);
    let first = i32::try_from(usable(most)).ok();
    FIRST_RESERVED.store(first.unwrap_or(i32::MAX), Ordering::Relaxed);
    Ok(raised?)
}

/// How many this process may have, at most.
pub fn most() -> u64 {
    match MOST.load(Ordering::Relaxed) {
        0 => getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
        // Asked of each connection: without asking the system.
        most => most,
    }
}

/// Whether a new connection has one of the last: it is to be closed at once.
pub fn is_reserved(connection: &impl AsRawFd) -> bool {
    connection.as_raw_fd() >= FIRST_RESERVED.load(Ordering::Relaxed)
}

/// How many connections of clients there can be with `most` descriptors and so many serving threads, each with one to
/// a provider.
pub fn connections(most: u64, threads: usize) -> usize {
    let own = OWN + OF_A_THREAD * threads as u64;
    let left = usable(most).saturating_sub(own) / OF_A_CONNECTION;
    usize::try_from(left).unwrap_or(usize::MAX).max(1)
}

/// How many descriptors are needed for `connections` of clients.
pub fn needed(connections: usize, threads: usize) -> u64 {
    let own = OWN + OF_A_THREAD * threads as u64;
    (connections as u64)
        .saturating_mul(OF_A_CONNECTION)
        .saturating_add(own + RESERVE)
}

/// How many are not reserved.
fn usable(most: u64) -> u64 {
    most - RESERVE.min(most / RESERVED_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_connections_are_taken_as_there_are_descriptors_for() {
        for (most, threads, taken) in [
            (1_048_576, 8, 524_240),
            (4096, 4, 2008),
            (1024, 4, 472),
            (64, 1, 10),
            (10, 4, 1),
            (0, 1, 1),
        ] {
            assert_eq!(connections(most, threads), taken, "{most}");
        }
        assert!(connections(u64::MAX, 1024) > 1 << 40);
        for (wanted, threads) in [(200, 4), (1000, 4), (50_000, 1024)] {
            assert_eq!(connections(needed(wanted, threads), threads), wanted);
        }
        // Of few, fewer are reserved.
        assert!(connections(needed(1, 1), 1) > 1);
    }
}
