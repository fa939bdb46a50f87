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

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::sleep;

/// An event of OpenAI's, whose text is the time of sending: gateways that translate send other fields anew, but keep that.
const EVENT: [&str; 2] = [
    r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1727967462,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":"sent "#,
    "\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
];
/// The beginning and the end of a whole response.
const COMPLETION: [&str; 2] = [
    r#"{"id":"chatcmpl-1","object":"chat.completion","created":1727967462,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":""#,
    r#""},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":60,"completion_tokens":90,"total_tokens":150}}"#,
];

/// A timer of microsecond resolution. A busy runtime still reacts later.
struct Alarm(Receiver);

impl Alarm {
    fn new() -> Self {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).unwrap();
        // A timer descriptor is no pipe, but is read like one.
        Self(Receiver::from_owned_fd_unchecked(timer).unwrap())
    }

    async fn until(&mut self, at: Instant) {
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

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos() as u64
}

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
        ["provider"] => provider().await,
        ["clients", port, request, streams, events, pace] => {
            let pace = Duration::from_micros(number(pace));
            let to = Target::new(port, request);
            clients(to, number(streams), number(events), pace).await;
        }
        ["hold", port, request, streams] => {
            open_all(Target::new(port, request), number(streams), hold).await;
        }
        ["stall", port, request, connections] => {
            open_all(Target::new(port, request), number(connections), stall).await;
        }
        ["requests", port, request, connections, rate, seconds, seed] => {
            let (connections, rate) = (number(connections), number(rate));
            let arrivals = Arrivals::new(number(seed), rate);
            let count = rate * number(seconds);
            requests(Target::new(port, request), connections, arrivals, count).await;
        }
        ["alone", port, request, seconds] => {
            let limit = Duration::from_secs(number(seconds));
            alone(Target::new(port, request), limit).await;
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

async fn provider() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    tokio::select! {
        () = input_closed() => std::process::exit(0),
        () = async { loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(serve(stream));
        }} => {}
    }
}

/// Serves the requests of one connection.
async fn serve(stream: TcpStream) -> Option<()> {
    let mut stream = BufReader::with_capacity(2 << 10, stream);
    loop {
        let body = read_request(&mut stream).await?;
        let request: serde_json::Value = serde_json::from_slice(&body).ok()?;
        drop(body);
        let prompt = request["messages"][0]["content"].as_str()?;
        let mut order = prompt.split(' ').map(str::parse);
        let mut next = || order.next()?.ok();
        let (events, pace, size): (u64, u64, u64) = (next()?, next()?, next()?);
        drop(request);
        if size > 0 {
            send_whole(&mut stream, size as usize).await?;
        } else {
            send_events(&mut stream, events, Duration::from_micros(pace)).await?;
        }
    }
}

/// The body of the next request.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        let read = stream.read_line(&mut line).await.ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if read == 0 {
            return None;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}

async fn send_events(stream: &mut BufReader<TcpStream>, events: u64, pace: Duration) -> Option<()> {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    let (mut next, mut alarm, [begin, end]) = (Instant::now(), Alarm::new(), EVENT);
    for _ in 0..events {
        let event = format!("{begin}{:020}{end}", now());
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        stream.write_all(chunk.as_bytes()).await.ok()?;
        next += pace;
        alarm.until(next).await;
    }
    let end = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    stream.write_all(end).await.ok()
}

/// Sends a response of `size` bytes, in chunks of 64 KiB: many connections that stall must not hold it whole.
async fn send_whole(stream: &mut BufReader<TcpStream>, size: usize) -> Option<()> {
    let [begin, end] = COMPLETION;
    let mut left = size.checked_sub(begin.len() + end.len())?;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n{begin}"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    while left > 0 {
        let part = FILLER.get(..left).unwrap_or(&FILLER);
        stream.write_all(part).await.ok()?;
        left -= part.len();
    }
    stream.write_all(end.as_bytes()).await.ok()
}

static FILLER: [u8; 64 << 10] = [b'y'; 64 << 10];

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

/// The sending times of the events in `text`, in nanoseconds since 1970.
fn stamps(text: &[u8]) -> impl Iterator<Item = u64> {
    const MARK: &[u8] = b"\"sent ";
    memchr::memmem::find_iter(text, MARK).filter_map(|at| {
        let digits = text.get(at + MARK.len()..at + MARK.len() + 20)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    })
}

async fn clients(to: Target, streams: u64, events: u64, pace: Duration) {
    let (begun, mut random) = (Instant::now(), SEED);
    let tasks: Vec<_> = (0..streams)
        .map(|_| {
            let to = to.clone();
            // Spread the starts, so that the streams are not in step.
            let wait = pace.mul_f64(share(&mut random));
            tokio::spawn(async move {
                Alarm::new().until(begun + wait).await;
                let mut stream = to.open(false).await;
                let (mut delays, mut received, mut chunk) = (Vec::new(), Vec::new(), [0; 4096]);
                while !received.ends_with(b"\r\n0\r\n\r\n") {
                    let read = stream.read(&mut chunk).await.unwrap();
                    assert!(read > 0, "a stream broke off");
                    let arrived = now();
                    // A time stamp may be split over two reads: keep enough to read it when it is complete.
                    let kept = received.len().saturating_sub(48);
                    received.drain(..kept);
                    let known = stamps(&received).count();
                    received.extend_from_slice(&chunk[..read]);
                    delays.extend(
                        stamps(&received)
                            .skip(known)
                            .map(|sent| arrived.saturating_sub(sent)),
                    );
                }
                delays
            })
        })
        .collect();
    let mut delays = Vec::new();
    for task in tasks {
        let of_one = task.await.unwrap();
        assert_eq!(of_one.len() as u64, events, "events are missing");
        delays.extend(of_one);
    }
    let took = begun.elapsed().as_secs_f64();
    print_summary(delays, took);
}

/// Prints a summary of `delays`, which are in nanoseconds, as a line of JSON.
fn print_summary(mut delays: Vec<u64>, took: f64) {
    delays.sort_unstable();
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    println!(
        "{}",
        json!({"count": delays.len(), "seconds": took, "p50_us": at(0.5), "p99_us": at(0.99), "p999_us": at(0.999)})
    );
}

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
async fn requests(to: Target, connections: u64, mut arrivals: Arrivals, count: u64) {
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
async fn alone(to: Target, limit: Duration) {
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
struct Arrivals {
    random: u64,
    rate: f64,
}

impl Arrivals {
    fn new(seed: u64, rate: u64) -> Self {
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

/// A seed with as many one bits as zero bits: with few one bits, the first numbers would be small.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// A random number in (0, 1], by xorshift64 (Marsaglia 2003).
fn share(random: &mut u64) -> f64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    ((*random >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// Sends a request, and reads its whole response.
async fn exchange(stream: &mut BufReader<TcpStream>, request: &[u8]) {
    stream.get_mut().write_all(request).await.unwrap();
    let (mut line, mut length) = (String::new(), None);
    stream.read_line(&mut line).await.unwrap();
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
}

/// Opens connections with `open`, and holds them until the input ends.
async fn open_all<F>(to: Target, count: u64, open: fn(Target) -> F)
where
    F: Future<Output = TcpStream> + Send + 'static,
{
    let opened = Arc::new(AtomicUsize::new(0));
    for begun in 0..count {
        let (opening, counted) = (open(to.clone()), opened.clone());
        tokio::spawn(async move {
            let _held = opening.await;
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        });
        // No more connection attempts at once than a listen backlog holds.
        while begun.saturating_sub(opened.load(Ordering::Relaxed) as u64) > 64 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    while opened.load(Ordering::Relaxed) as u64 != count {
        sleep(Duration::from_millis(5)).await;
    }
    println!("open");
    input_closed().await;
    std::process::exit(0);
}

/// Reads until the first event: the provider sends the next one much later.
async fn hold(to: Target) -> TcpStream {
    let mut stream = to.open(false).await;
    let (mut received, mut chunk) = (Vec::new(), [0; 1024]);
    while stamps(&received).count() == 0 {
        let read = stream.read(&mut chunk).await.unwrap();
        assert!(read > 0, "a stream broke off");
        received.extend_from_slice(&chunk[..read]);
    }
    stream
}

/// Reads the first bytes of the response, and no more.
async fn stall(to: Target) -> TcpStream {
    let mut stream = to.open(true).await;
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    stream
}
