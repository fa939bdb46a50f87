//! Requests on schedule (an open loop), and one after the other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::Target;
use crate::alarm::{Alarm, SEED, share};
use crate::summary::print_summary;

/// Idle connections, due requests, and the delays so far. Used by one thread: between a connection finding no request and
/// becoming idle, nothing else happens.
#[derive(Default)]
struct Queue {
    idle: VecDeque<BufReader<TcpStream>>,
    due: VecDeque<Instant>,
    delays: Vec<u64>,
}

/// Sends requests like many independent clients, whether or not the responses keep up (an open loop). A delay counts from
/// the moment at which the request was due.
pub(crate) async fn requests(to: Target, connections: u64, mut arrivals: Arrivals, count: u64) {
    let request = to.request.clone();
    let queue = Arc::new(Mutex::new(Queue::default()));
    for _ in 0..connections {
        let mut stream = connect(to.port).await;
        exchange(&mut stream, &request).await;
        queue.lock().unwrap().idle.push_back(stream);
    }
    let (mut alarm, begun) = (Alarm::new(), Instant::now());
    let mut due = begun;
    let mut tasks = Vec::new();
    for _ in 0..count {
        due += arrivals.pause();
        alarm.until(due).await;
        let mut at = queue.lock().unwrap();
        at.due.push_back(due);
        let Some(mut stream) = at.idle.pop_front() else {
            continue;
        };
        drop(at);
        let (queue, request) = (queue.clone(), request.clone());
        tasks.push(tokio::spawn(async move {
            while let Some(due) = next(&queue) {
                exchange(&mut stream, &request).await;
                let took = due.elapsed().as_nanos() as u64;
                queue.lock().unwrap().delays.push(took);
            }
            queue.lock().unwrap().idle.push_back(stream);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let delays = std::mem::take(&mut queue.lock().unwrap().delays);
    assert_eq!(delays.len() as u64, count, "responses are missing");
    print_summary(delays, begun.elapsed().as_secs_f64());
}

async fn connect(port: u16) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    BufReader::with_capacity(4 << 10, stream)
}

/// Sends one request after the other on one connection.
pub(crate) async fn alone(to: Target, limit: Duration) {
    let mut stream = connect(to.port).await;
    exchange(&mut stream, &to.request).await;
    let (mut delays, begun) = (Vec::new(), Instant::now());
    while begun.elapsed() < limit {
        let sent = Instant::now();
        exchange(&mut stream, &to.request).await;
        delays.push(sent.elapsed().as_nanos() as u64);
    }
    print_summary(delays, begun.elapsed().as_secs_f64());
}

/// The due time of the request that has waited longest.
fn next(queue: &Mutex<Queue>) -> Option<Instant> {
    queue.lock().unwrap().due.pop_front()
}

/// A Poisson process that is reproducible by its seed.
pub(crate) struct Arrivals {
    random: u64,
    rate: f64,
}

impl Arrivals {
    pub(crate) fn new(seed: u64, rate: u64) -> Self {
        Self {
            random: SEED.wrapping_mul(seed * 2 + 1),
            rate: rate as f64,
        }
    }

    /// The time until the next arrival.
    fn pause(&mut self) -> Duration {
        Duration::from_secs_f64(-share(&mut self.random).ln() / self.rate)
    }
}

/// How many connections may be closed under a request before it is taken for a fault of the server.
const MOST_CLOSED: u64 = 20;
static CLOSED: AtomicU64 = AtomicU64::new(0);

/// Sends a request, and reads its whole response. A server may close a kept connection, on which the request arrives too
/// late then: as all clients do, it connects anew.
async fn exchange(stream: &mut BufReader<TcpStream>, request: &[u8]) {
    if !try_exchange(stream, request).await {
        let closed = CLOSED.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(closed <= MOST_CLOSED, "connections are closed all the time");
        *stream = connect(stream.get_ref().peer_addr().unwrap().port()).await;
        assert!(try_exchange(stream, request).await, "closed at once");
    }
}

/// Returns `false` if the connection ended before a response began.
async fn try_exchange(stream: &mut BufReader<TcpStream>, request: &[u8]) -> bool {
    let (mut line, mut length) = (String::new(), None);
    let sent = stream.get_mut().write_all(request).await;
    if sent.is_err() || matches!(stream.read_line(&mut line).await, Ok(0) | Err(_)) {
        return false;
    }
    assert!(line.starts_with("HTTP/1.1 200 "), "{line:?}");
    while line != "\r\n" {
        line.clear();
        assert!(stream.read_line(&mut line).await.unwrap() > 0, "broken off");
        if let Some((_, value)) = line.split_once(':')
            && line.len() > 15
            && line[..15].eq_ignore_ascii_case("content-length:")
        {
            length = Some(value.trim().parse().unwrap());
        }
    }
    let mut body = vec![0; length.expect("responses have a content-length")];
    stream.read_exact(&mut body).await.unwrap();
    true
}
