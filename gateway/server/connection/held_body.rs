//! The body of a request that is collected for its exchange, and what Pingora reads in its place.
//!
//! Pingora keeps what it reads of a body until the exchange ends. So it reads only a few bytes that stand for the body,
//! and the exchange puts the body's own bytes in their place. Knows no session and no response.

use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::task::yield_now;

use crate::limit::held_bodies::HeldBytes;
use crate::server::connection::spare_buffers;

/// How many bytes behind the body are read with it. A read that fills its buffer would be followed by one that finds
/// nothing.
const AHEAD: usize = 1;
/// When a body is read first, there is memory for all of it if that is not more than this...
const SMALL: usize = 64 << 10;
/// ... and else for so much. It is given back while nothing comes.
const FIRST: usize = 32 << 10;
/// Once so much has come, there is memory for all of the body.
const TRUSTED: usize = 16 << 10;
/// How much is read at a time of a body that is dropped, in bytes.
const DROPPED: usize = 4 << 10;

/// The byte that Pingora reads in place of a part of the body.
const STAND_IN: u8 = 0;

/// A body of which a number of bytes are still to be read.
pub(super) struct HeldBody {
    stage: Stage,
    /// Bytes that were not read yet.
    left: usize,
    /// Bytes that Pingora is still to read in its place.
    stand_ins: usize,
    /// Whether the next of them has to wait for a turn of the runtime.
    waits: bool,
}

enum Stage {
    /// It is collected.
    Collecting(Collected),
    /// It is read and dropped.
    Dropping,
    /// The exchange has it.
    Taken,
}

/// What has come of a body.
struct Collected {
    bytes: Vec<u8>,
    _permit: HeldBytes,
}

impl Drop for Collected {
    fn drop(&mut self) {
        spare_buffers::give_back(std::mem::take(&mut self.bytes));
    }
}

impl AsRef<[u8]> for Collected {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HeldBody {
    /// Collects a body that begins with `begun`, and of which `left` bytes are to be read. Pingora then reads
    /// `stand_ins` bytes.
    pub(super) fn new(begun: &[u8], left: usize, stand_ins: usize, permit: HeldBytes) -> Self {
        let collected = Collected {
            bytes: begun.to_vec(),
            _permit: permit,
        };
        Self {
            stage: Stage::Collecting(collected),
            left,
            stand_ins,
            waits: false,
        }
    }

    /// How many bytes have come, while they are collected.
    pub(super) fn collected(&self) -> usize {
        match &self.stage {
            Stage::Collecting(collected) => collected.bytes.len(),
            Stage::Dropping | Stage::Taken => 0,
        }
    }

    /// The whole body, once it has come. It counts as held until its last byte is dropped.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        if self.left > 0 || !matches!(self.stage, Stage::Collecting(_)) {
            return None;
        }
        match std::mem::replace(&mut self.stage, Stage::Taken) {
            Stage::Collecting(collected) => Some(Bytes::from_owner(collected)),
            Stage::Dropping | Stage::Taken => None,
        }
    }

    /// Drops what has come, and what will come.
    pub(super) fn give_up(&mut self) {
        self.stage = Stage::Dropping;
    }

    /// Whether Pingora has read all that stands for the body.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0 && self.stand_ins == 0
    }

    /// Reads more of the body from `stream`, and then puts what stands for it into `into`. What was read behind the body
    /// is put into `next`. A body that is whole and was not taken is pending, and wakes nobody.
    pub(super) fn poll_read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
        next: &mut BytesMut,
    ) -> Poll<io::Result<()>> {
        while self.left > 0 {
            let read = ready!(self.stage.poll_more(stream, context, self.left))?;
            if read == 0 {
                // The client closed the connection, and Pingora finds its end.
                return Poll::Ready(Ok(()));
            }
            if let (Stage::Collecting(collected), Some(ahead)) =
                (&mut self.stage, read.checked_sub(self.left))
            {
                next.extend_from_slice(&collected.cut_end(ahead));
            }
            self.left = self.left.saturating_sub(read);
        }
        if let Stage::Collecting(_) = self.stage {
            return Poll::Pending;
        }
        if std::mem::take(&mut self.waits) {
            // Between two parts, the runtime looks whether the provider has responded.
            return pin!(yield_now()).poll(context).map(Ok);
        }
        // One at a time, so that the body goes up in as many parts.
        if into.remaining() > 0 && self.stand_ins > 0 {
            into.put_slice(&[STAND_IN]);
            self.stand_ins -= 1;
            self.waits = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl Stage {
    /// Reads up to `left` bytes. Returns how many they were; none at the end of the stream.
    fn poll_more(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
        left: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Collecting(collected) => collected.poll_more(stream, context, left),
            Self::Dropping | Self::Taken => {
                let mut scratch = [0; DROPPED];
                let most = scratch.len().min(left);
                let (scratch, _) = scratch.split_at_mut(most);
                let mut read = ReadBuf::new(scratch);
                ready!(Pin::new(stream).poll_read(context, &mut read))?;
                Poll::Ready(Ok(read.filled().len()))
            }
        }
    }
}

impl Collected {
    /// Reads into the memory where the bytes stay. A client that sends nothing holds no memory but for what it has sent.
    fn poll_more(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
        left: usize,
    ) -> Poll<io::Result<usize>> {
        let came = self.bytes.len();
        let whole = came + left + AHEAD;
        let is_trusted = came >= TRUSTED;
        let wanted = if is_trusted || whole <= SMALL {
            whole
        } else {
            FIRST
        };
        if self.bytes.capacity() < wanted {
            self.move_to(spare_buffers::take(wanted));
        }
        let mut into = (&mut self.bytes).limit(left + AHEAD);
        // `read_buf` keeps nothing between two polls.
        let read = pin!(stream.read_buf(&mut into)).poll(context);
        if read.is_pending() && !is_trusted {
            self.move_to(Vec::with_capacity(came));
        }
        read
    }

    fn move_to(&mut self, mut buffer: Vec<u8>) {
        buffer.extend_from_slice(&self.bytes);
        spare_buffers::give_back(std::mem::replace(&mut self.bytes, buffer));
    }

    /// Takes the last `bytes` bytes out.
    fn cut_end(&mut self, bytes: usize) -> Vec<u8> {
        let at = self.bytes.len().saturating_sub(bytes);
        self.bytes.split_off(at)
    }
}

/// Prompts are not printed.
impl fmt::Debug for HeldBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldBody")
            .field("left", &self.left)
            .field("stand_ins", &self.stand_ins)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::task::Waker;

    use prometheus::IntGauge;
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::limit::held_bodies::HeldBodies;

    fn bodies() -> (Arc<HeldBodies>, IntGauge) {
        let gauge = IntGauge::new("held", "held").unwrap();
        (HeldBodies::new(gauge.clone()), gauge)
    }

    fn held(begun: &[u8], left: usize) -> (HeldBody, IntGauge) {
        let (all, gauge) = bodies();
        let bytes = (begun.len() + left) as u64;
        let permit = all.take(bytes, u64::MAX).unwrap();
        (HeldBody::new(begun, left, 2, permit), gauge)
    }

    /// Polls `held` once. Returns what Pingora reads; `None` if it has to wait.
    fn read(held: &mut HeldBody, stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
        let mut bytes = [9; 8];
        let mut into = ReadBuf::new(&mut bytes);
        let mut context = Context::from_waker(Waker::noop());
        let mut next = BytesMut::new();
        let polled = held.poll_read(stream, &mut context, &mut into, &mut next);
        assert!(next.is_empty());
        let ready = matches!(polled, Poll::Ready(Ok(())));
        ready.then(|| into.filled().to_vec())
    }

    #[tokio::test]
    async fn a_body_is_collected_and_stand_ins_are_read_one_at_a_time() {
        let (mut client, mut stream) = duplex(1 << 10);
        let (mut held, gauge) = held(b"be", 4);
        assert_eq!(read(&mut held, &mut stream), None);
        client.write_all(b"gun").await.unwrap();
        assert_eq!(read(&mut held, &mut stream), None);
        assert_eq!((held.collected(), held.take()), (5, None));
        client.write_all(b"! and the next").await.unwrap();
        let mut next = BytesMut::new();
        let mut context = Context::from_waker(Waker::noop());
        let mut into = ReadBuf::new(&mut []);
        let polled = held.poll_read(&mut stream, &mut context, &mut into, &mut next);
        assert!(polled.is_pending() && next == " "[..]);
        let whole = held.take().unwrap();
        assert_eq!(&whole[..], b"begun!");
        assert_eq!((held.take(), held.is_over()), (None, false));
        assert_eq!(read(&mut held, &mut stream), Some(vec![STAND_IN]));
        assert_eq!(read(&mut held, &mut stream), None);
        assert_eq!(read(&mut held, &mut stream), Some(vec![STAND_IN]));
        assert!(held.is_over());
        // It counts as long as a part of it is there.
        let part = whole.slice(1..3);
        drop((whole, held));
        assert_eq!(gauge.get(), 6);
        drop(part);
        assert_eq!(gauge.get(), 0);
        let mut rest = [0; 12];
        stream.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"and the next");
    }

    #[tokio::test]
    async fn a_body_that_is_given_up_is_read_to_its_end_without_being_held() {
        let (mut client, mut stream) = duplex(1 << 20);
        let (mut held, gauge) = held(b"be", 100_000);
        client.write_all(&vec![b'x'; 50_000]).await.unwrap();
        assert_eq!(read(&mut held, &mut stream), None);
        assert_eq!(held.collected(), 50_002);
        held.give_up();
        assert_eq!((held.collected(), gauge.get()), (0, 0));
        client.write_all(&vec![b'x'; 50_000]).await.unwrap();
        let dropped = poll_fn(|context| {
            let mut bytes = [0; 8];
            let mut into = ReadBuf::new(&mut bytes);
            let polled = held.poll_read(&mut stream, context, &mut into, &mut BytesMut::new());
            polled.map(|_| into.filled().len())
        });
        assert_eq!(dropped.await, 1);
        assert!(held.take().is_none());
    }

    #[tokio::test]
    async fn the_end_of_the_stream_within_a_body_is_the_end_for_pingora() {
        let (client, mut stream) = duplex(1 << 10);
        let (mut held, _) = held(b"", 4);
        drop(client);
        assert_eq!(read(&mut held, &mut stream), Some(vec![]));
        assert!(held.take().is_none() && !held.is_over());
    }

    #[tokio::test]
    async fn memory_is_there_only_for_what_has_come() {
        let capacity = |held: &HeldBody| match &held.stage {
            Stage::Collecting(collected) => collected.bytes.capacity(),
            Stage::Dropping | Stage::Taken => 0,
        };
        let (mut client, mut stream) = duplex(1 << 20);
        let (mut held, _) = held(b"be", 1 << 20);
        for (sent, most) in [(0, 2), (1, 3), (1000, 1003), (10_000, 11_003)] {
            client.write_all(&vec![b'x'; sent]).await.unwrap();
            assert_eq!(read(&mut held, &mut stream), None);
            assert!(capacity(&held) <= most, "{} after {sent}", capacity(&held));
        }
        // Then it is the whole body's, once.
        client.write_all(&[b'x'; 10_000]).await.unwrap();
        assert_eq!(read(&mut held, &mut stream), None);
        assert_eq!(capacity(&held), (1 << 20) + (64 << 10));
    }
}
