//! The limit of file descriptors, and a reserve of them that no connection may use.
//!
//! Without a free descriptor, no file can be read: connections that take all of them would keep a reload from reading a
//! revocation. The system always assigns the lowest free number, so a high number means that all lower ones are taken.
//! Code that opens a connection closes it again if its descriptor is in the reserve.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use rustix::process::{Resource, getrlimit, setrlimit};

/// The size of the reserve, for files, operators and DNS.
const RESERVE: u64 = 32;
/// The reserve is at most this fraction of a small limit: one eighth.
const RESERVED_SHARE: u64 = 8;
/// Descriptors of the process itself: its sockets, its log, the control and accept runtimes.
const OWN: u64 = 32;
/// Descriptors of each serving thread.
const PER_THREAD: u64 = 4;
/// Descriptors of a client connection, with its connection to a provider.
const PER_CONNECTION: u64 = 2;

/// The limit after [`raise`]; 0 before.
static MOST: AtomicU64 = AtomicU64::new(0);
/// The lowest descriptor of the reserve.
static FIRST_RESERVED: AtomicI32 = AtomicI32::new(i32::MAX);

/// Raises the soft limit to the hard limit, and reserves the last descriptors. The usual soft limit of 1024 protects
/// programs that use `select(2)`; this one does not.
///
/// # Errors
/// If the system refuses. The reserve is set by the limit as it is then.
pub(crate) fn raise() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let raised = setrlimit(Resource::Nofile, limit);
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    MOST.store(most, Ordering::Relaxed);
    let first = i32::try_from(usable(most)).ok();
    FIRST_RESERVED.store(first.unwrap_or(i32::MAX), Ordering::Relaxed);
    Ok(raised?)
}

/// The number of descriptors that this process may have.
pub(crate) fn most() -> u64 {
    match MOST.load(Ordering::Relaxed) {
        0 => getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
        // This runs for each connection: the saved limit spares a system call.
        most => most,
    }
}

/// Whether the descriptor of a new connection is in the reserve: the connection must be closed at once.
pub(crate) fn is_reserved(connection: &impl AsRawFd) -> bool {
    connection.as_raw_fd() >= FIRST_RESERVED.load(Ordering::Relaxed)
}

/// How many client connections fit into `most` descriptors with this number of serving threads, each connection with one
/// to a provider.
pub(crate) fn connections(most: u64, threads: usize) -> usize {
    let own = OWN + PER_THREAD * threads as u64;
    let left = usable(most).saturating_sub(own) / PER_CONNECTION;
    usize::try_from(left).unwrap_or(usize::MAX).max(1)
}

/// How many descriptors this number of client connections needs.
pub(crate) fn needed(connections: usize, threads: usize) -> u64 {
    let own = OWN + PER_THREAD * threads as u64;
    (connections as u64)
        .saturating_mul(PER_CONNECTION)
        .saturating_add(own + RESERVE)
}

/// How many of `most` descriptors are outside the reserve.
fn usable(most: u64) -> u64 {
    most - RESERVE.min(most / RESERVED_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_connections_follows_from_the_descriptors_and_back() {
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
        // A small limit has a small reserve.
        assert!(connections(needed(1, 1), 1) > 1);
    }
}
