//! The messages between the processes of an upgrade, over a pair of Unix sockets per pair of processes.
//!
//! Each process keeps a socket to every process before it that may still drain. As long as one of these sockets is open,
//! the older process knows that somebody serves.

use std::os::unix::net::UnixDatagram;

/// The new process serves.
pub(crate) const SERVING: &[u8] = b"serving";
/// Yet another process serves in the place of the sender.
pub(crate) const SUCCEEDED: &[u8] = b"succeeded";
/// The sender has been requested to end.
pub(crate) const ENDING: &[u8] = b"ending";
/// The old process will send [`HANDED_OVER`]. Versions before this message do not.
pub(crate) const STARTING: &[u8] = b"starting";
/// The old process has notified the service manager, and the processes before it, that the new one serves.
pub(crate) const HANDED_OVER: &[u8] = b"handed over";

/// The longest message, in bytes, with room to spare.
pub(crate) const LONGEST: usize = 16;

/// Why a process that was to take over does not serve.
pub(crate) const PREDECESSOR_LOST: &str = "the process that was to hand over to this one has ended, so this one does not serve: start \
                        keygate again, unless its service manager does";

/// The processes before this one, which may still drain. The last of them is the immediate predecessor.
#[derive(Default)]
pub(crate) struct Predecessors(Vec<UnixDatagram>);

impl Predecessors {
    /// Adds a process, which becomes the last one.
    pub(crate) fn push(&mut self, socket: UnixDatagram) {
        self.0.push(socket);
    }

    /// Sends `message` to the immediate predecessor. Returns false if there is none.
    pub(crate) fn tell_last(&self, message: &[u8]) -> bool {
        let Some(last) = self.0.last() else {
            return false;
        };
        if let Err(error) = last.send(message) {
            // It may have ended.
            tracing::debug!("the process before this one cannot be reached: {error}");
        }
        true
    }

    /// Sends `message` to all of them. Those that have ended miss it.
    pub(crate) fn tell_all(&self, message: &[u8]) {
        for predecessor in &self.0 {
            let _ = predecessor.send(message);
        }
    }

    /// Whether the immediate predecessor has announced that it will say when it has handed over.
    pub(crate) fn will_hand_over(&self) -> bool {
        self.has_sent(STARTING)
    }

    /// Whether the immediate predecessor has handed over.
    pub(crate) fn has_handed_over(&self) -> bool {
        self.has_sent(HANDED_OVER)
    }

    /// Whether the immediate predecessor has ended. This loses messages of it that were not read.
    pub(crate) fn has_lost_last(&self) -> bool {
        self.0.last().is_some_and(is_gone)
    }

    /// Whether `message` is among the unread messages of the immediate predecessor, which are read up to it.
    fn has_sent(&self, message: &[u8]) -> bool {
        let mut buffer = [0; LONGEST];
        self.0.last().is_some_and(|last| {
            std::iter::from_fn(|| {
                last.recv(&mut buffer)
                    .ok()
                    .map(|length| buffer.get(..length) == Some(message))
            })
            .any(|is_message| is_message)
        })
    }

    /// Copies of the sockets to those that have not ended, for the next process.
    pub(crate) fn copy(&self) -> std::io::Result<Vec<UnixDatagram>> {
        self.0
            .iter()
            .filter(|socket| !is_gone(socket))
            .map(UnixDatagram::try_clone)
            .collect()
    }
}

/// Whether the other end of a socket pair is closed. Closing loses unread messages: read them before.
pub(crate) fn is_gone(socket: &UnixDatagram) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, NotConnected};
    // The first failed send disconnects the socket (refused); later ones find it not connected.
    let sent = socket.send(&[]);
    sent.is_err_and(|error| [ConnectionRefused, NotConnected].contains(&error.kind()))
}
