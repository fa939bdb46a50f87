//! Load generator for benchmarks: streams whose events carry the time of sending, and requests that start on schedule.
//!
//!     load provider                                      responds as the prompt says; prints its port; ends when its input does
//!     load clients PORT REQUEST STREAMS EVENTS PACE_US   opens streams; prints a summary as a line of JSON
//!     load hold PORT REQUEST STREAMS                     prints `open` when all streams are open; holds them until its input ends
//!     load stall PORT REQUEST CONNECTIONS                the same, with connections that stop reading after the response's head
//!     load requests PORT REQUEST CONNECTIONS RATE SECONDS SEED
//!                                                        an open loop of Poisson arrivals; prints a summary
//!     load alone PORT REQUEST SECONDS                    one request after the other on one connection; prints a summary
//!
//! REQUEST is a file with the bytes of a request. The prompt of a request to `load provider` begins with three numbers: how
//! many events to send, the time between them in microseconds, and the size of the response if it is no stream.
//!
//! Each command uses one thread, to leave the processor to the proxy under test. The timers are exact: the runtime's own
//! have a resolution of a millisecond, and would send in bursts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "a part of a benchmark prints, and fails by panicking"
)]
mod alarm;
mod held;
mod provider;
mod requests;
mod streams;
mod summary;

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::requests::Arrivals;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // A task that fails ends the program: others would wait for it.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("load: {panic}");
        std::process::exit(1);
    }));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().unwrap();
    match arguments[..] {
        ["provider"] => provider::provider().await,
        ["clients", port, request, streams, events, pace] => {
            let pace = Duration::from_micros(number(pace));
            let to = Target::new(port, request);
            streams::clients(to, number(streams), number(events), pace).await;
        }
        ["hold", port, request, streams] => {
            held::open_all(Target::new(port, request), number(streams), held::hold).await;
        }
        ["stall", port, request, connections] => {
            held::open_all(Target::new(port, request), number(connections), held::stall).await;
        }
        ["requests", port, request, connections, rate, seconds, seed] => {
            let (connections, rate) = (number(connections), number(rate));
            let arrivals = Arrivals::new(number(seed), rate);
            let count = rate * number(seconds);
            requests::requests(Target::new(port, request), connections, arrivals, count).await;
        }
        ["alone", port, request, seconds] => {
            let limit = Duration::from_secs(number(seconds));
            requests::alone(Target::new(port, request), limit).await;
        }
        _ => eprintln!(
            "load provider | clients PORT REQUEST STREAMS EVENTS PACE_US | hold PORT REQUEST STREAMS\n     \
             | stall PORT REQUEST CONNECTIONS | requests PORT REQUEST CONNECTIONS RATE SECONDS SEED\n     \
             | alone PORT REQUEST SECONDS"
        ),
    }
}

/// Returns when the standard input is closed.
async fn input_closed() {
    let read = || std::io::stdin().read_to_end(&mut Vec::new());
    let _ = tokio::task::spawn_blocking(read).await;
}

/// Where a client connects, and what it sends.
#[derive(Clone)]
struct Target {
    port: u16,
    request: Arc<[u8]>,
}

impl Target {
    fn new(port: &str, file: &str) -> Self {
        Self {
            port: port.parse().unwrap(),
            request: std::fs::read(file).unwrap().into(),
        }
    }

    /// Connects and sends the request. The socket buffers little if `is_small`.
    async fn open(&self, is_small: bool) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        if is_small {
            socket.set_recv_buffer_size(4096).unwrap();
        }
        let to = SocketAddr::from(([127, 0, 0, 1], self.port));
        let mut stream = socket.connect(to).await.unwrap();
        stream.write_all(&self.request).await.unwrap();
        stream
    }
}
