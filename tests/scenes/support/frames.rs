//! A provider that writes HTTP/2 frame by frame, also in ways that libraries do not allow.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::PATIENCE;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Error codes of RST_STREAM and GOAWAY.
pub const NO_ERROR: u32 = 0;
pub const INTERNAL_ERROR: u32 = 2;
pub const REFUSED_STREAM: u32 = 7;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// SETTINGS: at most two streams at once.
pub const TWO_STREAMS: &[u8] = &[0, 3, 0, 0, 0, 2];

/// SETTINGS: no further streams.
pub const NO_STREAMS: &[u8] = &[0, 3, 0, 0, 0, 0];

/// The number of reset streams after which the provider ends a connection, as common servers do.
pub const MOST_RESETS: usize = 250;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A complete response: 200 with the body `{}`.
pub fn ok(stream: u32) -> Vec<u8> {
    let mut response = status(stream, "200");
    response.extend(last_data(stream, b"{}"));
    response
}

/// The last DATA frame of a response.
pub fn last_data(stream: u32, data: &[u8]) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, data)
}

/// The HEADERS frame of a response.
pub fn status(stream: u32, status: &str) -> Vec<u8> {
    // `:status` by its index in the static table, with the value as a literal.
    let mut block = vec![0x08, 3];
    block.extend(status.as_bytes());
    frame(HEADERS, END_HEADERS, stream, &block)
}

pub fn settings(payload: &[u8]) -> Vec<u8> {
    frame(SETTINGS, 0, 0, payload)
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// A GOAWAY frame: streams above `last` were not processed.
pub fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(
        GOAWAY,
        0,
        0,
        &[last.to_be_bytes(), code.to_be_bytes()].concat(),
    )
}

/// A complete request; for [`at_heads`](FrameProvider::at_heads), only its head.
#[derive(Clone, Copy, Debug)]
pub struct RequestedStream {
    pub stream: u32,
}

type Respond = dyn Fn(RequestedStream, &mut TcpStream) -> bool + Send + Sync;

/// The provider. Its threads run until the process exits.
#[derive(Clone)]
pub struct FrameProvider {
    pub address: SocketAddr,
    requested: Arc<AtomicUsize>,
    resets: Arc<AtomicUsize>,
    at_heads: bool,
}

impl FrameProvider {
    /// Calls `response` for each complete request; closes the connection when that returns false.
    pub fn start(
        response: impl Fn(RequestedStream, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::with_settings(b"", response)
    }

    /// Calls `response` at the head of each request, and grants no window for more than 64 KiB of the bodies.
    pub fn at_heads(
        response: impl Fn(RequestedStream, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::serving(b"", true, response)
    }

    /// Like `start`, with a payload for the first SETTINGS frame.
    pub fn with_settings(
        settings: &'static [u8],
        response: impl Fn(RequestedStream, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::serving(settings, false, response)
    }

    fn serving(
        settings: &'static [u8],
        at_heads: bool,
        response: impl Fn(RequestedStream, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let provider = Self {
            address: listener.local_addr().unwrap(),
            requested: Arc::default(),
            resets: Arc::default(),
            at_heads,
        };
        let (seen, response): (_, Arc<Respond>) = (provider.clone(), Arc::new(response));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, response) = (seen.clone(), response.clone());
                std::thread::spawn(move || seen.serve(stream, settings, &*response));
            }
        });
        provider
    }

    fn serve(&self, mut wire: TcpStream, settings: &[u8], response: &Respond) -> Option<()> {
        wire.set_read_timeout(Some(PATIENCE)).unwrap();
        wire.set_nodelay(true).unwrap();
        wire.read_exact(&mut [0; 24]).ok()?;
        wire.write_all(&self::settings(settings)).ok()?;
        let mut resets = 0;
        loop {
            let mut head = [0; 9];
            wire.read_exact(&mut head).ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            wire.read_exact(&mut payload).ok()?;
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
            match kind {
                SETTINGS if flags & ACK == 0 => {
                    wire.write_all(&frame(SETTINGS, ACK, 0, b"")).ok()?;
                }
                PING if flags & ACK == 0 => {
                    wire.write_all(&frame(PING, ACK, 0, &payload)).ok()?;
                }
                RST_STREAM => {
                    resets += 1;
                    self.resets.fetch_add(1, Ordering::SeqCst);
                    if resets == MOST_RESETS {
                        let _ = wire.write_all(&goaway(stream, ENHANCE_YOUR_CALM));
                        return wire.shutdown(Shutdown::Both).ok();
                    }
                }
                HEADERS | DATA if self.is_due(kind, flags) => {
                    self.requested.fetch_add(1, Ordering::SeqCst);
                    if !response(RequestedStream { stream }, &mut wire) {
                        return None;
                    }
                }
                _ => {}
            }
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn is_due(&self, kind: u8, flags: u8) -> bool {
        if self.at_heads {
            kind == HEADERS
        } else {
            flags & END_STREAM != 0
        }
    }

    /// The number of streams that were reset.
    pub fn resets(&self) -> usize {
        self.resets.load(Ordering::SeqCst)
    }

    /// The number of requests so far.
    pub fn requested(&self) -> usize {
        self.requested.load(Ordering::SeqCst)
    }
}
