//! The boundary between the requests of a client's HTTP/1.1 connection.
//!
//! Clients may pipeline: send requests before they have the responses to earlier ones (RFC 9112, section 9.3.2).
//! Pingora aborts an exchange when bytes follow its request. So bytes after a request's end are kept here for the next
//! exchange, and Pingora finds nothing to read. A request whose end is ambiguous is passed to Pingora as it arrives,
//! and the connection closes after its response, which announces that. The same holds for a request with trailers.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::io::ReadBuf;

use crate::limit::held_bodies::HeldBytes;
use crate::proxy::connection::{Requests, Unread};
use crate::server::connection::chunked::{ChunkedBody, Progress};
use crate::server::connection::framing::{RequestEnd, end_of, head_length};
use crate::server::connection::held_body::HeldBody;

/// No request has started: everything that arrives is read.
pub(super) const OPEN: u64 = u64::MAX;
/// The request ends with its last chunk.
pub(super) const CHUNKED: u64 = OPEN - 1;
/// The end of the request is ambiguous: everything that arrives is read, and no request follows.
pub(super) const LAST: u64 = OPEN - 2;
/// The request was read to its end, and no request follows.
pub(super) const OVER: u64 = OPEN - 3;
/// The connection switches to another protocol: the kept bytes are read first, then everything that arrives.
pub(super) const SWITCHED: u64 = OPEN - 4;
/// The connection has switched to another protocol, and the kept bytes were read.
pub(super) const TUNNEL: u64 = OPEN - 5;
/// The body of the request is held for its exchange: `Kept::held` has what is still to be read.
pub(super) const HELD: u64 = OPEN - 6;

/// How much of the current request is still to be read, and what was read of the next one. Only the task of the
/// connection changes and reads it; the atomic and the lock make it `Sync`, which Pingora requires of a stream.
#[derive(Debug)]
pub(crate) struct Boundary {
    /// Bytes of the request that are still to be read, or one of the states above.
    remaining: AtomicU64,
    kept: Mutex<Kept>,
}

pub(super) struct Kept {
    /// What was read of the next request.
    pub(super) next: BytesMut,
    /// The body of the current request as far as it came with the head, until it is read. Empty if all of it came.
    begun: BytesMut,
    /// The body of the current request, if it is held.
    pub(super) held: Option<HeldBody>,
    /// How far the chunked body of the current request was read.
    body: ChunkedBody,
}

/// Requests are not printed.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

impl Boundary {
    /// The boundary of a connection on which no request has started.
    pub(super) fn new() -> Self {
        Self {
            remaining: AtomicU64::new(OPEN),
            kept: Mutex::new(Kept {
                next: BytesMut::new(),
                begun: BytesMut::new(),
                held: None,
                body: ChunkedBody::new(),
            }),
        }
    }

    /// Starts to read the next request, and returns what was already read of it.
    pub(crate) fn take_next(&self) -> BytesMut {
        self.set(OPEN);
        std::mem::take(&mut self.kept().next)
    }

    /// Starts the request that `begun` holds the whole head of. Bytes after its end move from `begun` to the next one. Of
    /// a body that is not whole, the bytes that came with the head are read again.
    pub(crate) fn start_request(&self, begun: &mut BytesMut) {
        match end_of(begun) {
            None => self.set(LAST),
            Some(RequestEnd::At(end)) if end > begun.len() as u64 => self.start_body(begun, end),
            Some(RequestEnd::At(end)) => {
                self.set(0);
                if let Some(end) = usize::try_from(end).ok().filter(|end| *end < begun.len()) {
                    self.kept().next = begun.split_off(end);
                }
            }
            Some(RequestEnd::AfterChunks(body)) => {
                self.set(CHUNKED);
                self.kept().body = ChunkedBody::new();
                let end = self.read_chunks(begun.get(body..).unwrap_or_default());
                if let Some(end) = end {
                    self.kept().next = begun.split_off(body + end);
                }
            }
        }
    }

    /// Starts a request whose body ends at `end`, behind what has come of it in `begun`.
    fn start_body(&self, begun: &mut BytesMut, end: u64) {
        let head = head_length(begun).min(begun.len());
        self.set(end.saturating_sub(head as u64));
        let body = begun.split_off(head);
        if !body.is_empty() {
            // The exchange keeps the head to its end, and would keep what came with it.
            *begun = BytesMut::from(&begun[..]);
        }
        self.kept().begun = body;
    }

    /// Reads the next bytes of a chunked body, and returns the position in `bytes` at which it ends.
    pub(super) fn read_chunks(&self, bytes: &[u8]) -> Option<usize> {
        let progress = self.kept().body.read(bytes);
        match progress {
            Progress::More => None,
            Progress::Unclear => {
                self.set(LAST);
                None
            }
            Progress::Ends(at) => {
                self.set(0);
                Some(at)
            }
            Progress::EndsInTrailers(at) => {
                self.set(OVER);
                Some(at)
            }
        }
    }

    /// Whether another request may follow on the connection: the current one was read to its unambiguous end.
    pub(crate) fn allows_next(&self) -> bool {
        matches!(self.remaining(), 0 | OPEN)
    }

    /// Whether the client may have sent bytes that nobody reads, after a request that was read to its end.
    pub(super) fn may_have_unread(&self) -> bool {
        match self.remaining() {
            LAST | OVER | SWITCHED | TUNNEL => true,
            0 => !self.kept().next.is_empty(),
            _ => false,
        }
    }

    /// Moves kept bytes to `into`, as many as fit. Returns whether there were any.
    pub(super) fn read_kept(&self, into: &mut ReadBuf<'_>) -> bool {
        let next = &mut self.kept().next;
        let any = !next.is_empty();
        let kept = next.split_to(next.len().min(into.remaining()));
        into.put_slice(&kept);
        any
    }

    /// Moves bytes of the current body that came with its head to `into`, as many as fit. Returns whether there were any.
    pub(super) fn read_begun(&self, into: &mut ReadBuf<'_>) -> bool {
        let begun = &mut self.kept().begun;
        let part = begun.split_to(begun.len().min(into.remaining()));
        if begun.is_empty() {
            *begun = BytesMut::new();
        }
        into.put_slice(&part);
        self.subtract(part.len() as u64);
        !part.is_empty()
    }

    pub(super) fn remaining(&self) -> u64 {
        self.remaining.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, remaining: u64) {
        self.remaining.store(remaining, Ordering::Relaxed);
    }

    /// Counts `bytes` of the request's body as read.
    pub(super) fn subtract(&self, bytes: u64) {
        self.remaining.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Requests for Boundary {
    fn nothing_follows(&self) -> bool {
        matches!(self.remaining(), LAST | OVER)
    }

    fn switch(&self) {
        let mut kept = self.kept();
        if !kept.begun.is_empty() {
            kept.next = std::mem::take(&mut kept.begun);
        }
        self.set(SWITCHED);
    }

    fn unread(&self) -> Unread {
        match self.remaining() {
            CHUNKED | LAST => Unread::OfUnknownLength,
            0 | OPEN | OVER | SWITCHED | TUNNEL | HELD => Unread::Nothing,
            length => Unread::Bytes(length),
        }
    }

    fn hold(&self, stand_ins: usize, permit: HeldBytes) {
        let Unread::Bytes(length) = self.unread() else {
            return;
        };
        let mut kept = self.kept();
        let begun = std::mem::take(&mut kept.begun);
        let left = length.saturating_sub(begun.len() as u64);
        // A body that is held fits into memory.
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        kept.held = Some(HeldBody::new(&begun, left, stand_ins, permit));
        self.set(HELD);
    }

    fn collected(&self) -> usize {
        let kept = self.kept();
        kept.held.as_ref().map_or(0, HeldBody::collected)
    }

    fn take_held(&self) -> Option<Bytes> {
        self.kept().held.as_mut().and_then(HeldBody::take)
    }

    fn give_up_held(&self) {
        if let Some(held) = &mut self.kept().held {
            held.give_up();
        }
    }
}
