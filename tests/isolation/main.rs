//! Isolation: sixteen tenants share one pool of connections and cut exchanges at random. No tenant ever gets a byte of
//! another one, or is charged for it.
//!
//!     cargo test --profile fast --test isolation                             20,000 requests
//!     ISOLATION_REQUESTS=1000000 cargo test --profile fast --test isolation
//!
//! The body of each request and response repeats a nonce of its tenant and request. The provider checks every byte against
//! the tenant whose token came with it, and each client checks every byte of its responses. Either side cuts a third of the
//! exchanges at a random byte of the request or the response. Over HTTP/1.1, a connection to the provider serves one
//! exchange after the other; over HTTP/2, many at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::pedantic,
    missing_docs,
    reason = "in a test, a panic is how it fails"
)]

mod http2;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use keygate::testing::config::{Purpose, Resolved};
use keygate::testing::key::KeyDigest;
use keygate::testing::server::Gateway;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const TENANTS: u64 = 16;
/// Connections per tenant, half of them HTTP/2.
const CONNECTIONS: u64 = 4;
const LARGEST: u64 = 40_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A pseudo-random generator (xorshift) with the same sequence in every run.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn up_to(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % (most + 1)
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.up_to(many - 1) == 0
    }

    /// A body size: mostly small, sometimes large.
    fn size(&mut self) -> u64 {
        match self.up_to(9) {
            0 => self.up_to(LARGEST),
            1..4 => 0,
            _ => self.up_to(600),
        }
    }
}

/// A body of `length` bytes that repeats the nonce.
fn text(nonce: &str, length: u64) -> Vec<u8> {
    let length = length as usize;
    nonce.bytes().cycle().take(length).collect()
}

/// Whether `chunk` is the part of such a body that starts at `at`.
fn is_own(nonce: &str, at: u64, chunk: &[u8]) -> bool {
    let start = at as usize % nonce.len();
    chunk.iter().eq(nonce
        .as_bytes()
        .iter()
        .cycle()
        .skip(start)
        .take(chunk.len()))
}

#[derive(Default)]
struct Stats {
    begun: AtomicU64,
    whole: AtomicU64,
    cut_by_clients: AtomicU64,
    cut_by_provider: AtomicU64,
    heads: AtomicU64,
    /// Requests that reached the provider while one of another tenant was on the same connection.
    shared: AtomicU64,
    /// Bytes of requests and responses that were checked.
    bytes: AtomicU64,
    foreign: AtomicU64,
    unexpected: AtomicU64,
}

impl Stats {
    fn check(&self, nonce: &str, at: u64, chunk: &[u8], what: &str) {
        self.bytes.fetch_add(chunk.len() as u64, Relaxed);
        if !is_own(nonce, at, chunk) {
            self.foreign.fetch_add(1, Relaxed);
            eprintln!(
                "{what} of {nonce} at {at}: {:?}",
                String::from_utf8_lossy(&chunk[..chunk.len().min(80)])
            );
        }
    }
}

impl Stats {
    /// Checks the token of a request. `head` is the request's whole head.
    fn token(&self, nonce: &str, token: &str, head: &str) -> Option<()> {
        // token 3 <- <t3r17>
        let tenant = nonce.split_once('r')?.0.strip_prefix("<t")?;
        if token != format!("Bearer token-{tenant}") || head.contains("key-of-") {
            self.foreign.fetch_add(1, Relaxed);
            eprintln!("{nonce} came with {token}");
        }
        Some(())
    }
}

// The provider.

async fn provider(stats: Arc<Stats>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((stream, _)) = listener.accept().await {
            number += 1;
            let (stats, dice) = (stats.clone(), Dice::new(number));
            // A cut connection is expected.
            tokio::spawn(async move { serve(BufReader::new(stream), &stats, dice).await });
        }
    });
    address
}

async fn serve(mut stream: BufReader<TcpStream>, stats: &Stats, mut dice: Dice) -> Option<()> {
    stream.get_ref().set_nodelay(true).ok()?;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        stats.heads.fetch_add(1, Relaxed);
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines
                .find(|(found, _)| found.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_owned())
        };
        let (Some(nonce), Some(token)) = (header("x-nonce"), header("authorization")) else {
            stats.unexpected.fetch_add(1, Relaxed);
            eprintln!("a request without a nonce or token: {head:?}");
            return None;
        };
        stats.token(&nonce, &token, &head)?;
        let mut at = 0;
        if let Some(length) = header("content-length") {
            let mut left: u64 = length.parse().ok()?;
            while left > 0 {
                left -= body(&mut stream, left, &nonce, &mut at, stats).await?;
            }
        } else if header("transfer-encoding").is_some() {
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.ok()?;
                let mut left = u64::from_str_radix(line.trim(), 16).ok()?;
                let last = left == 0;
                while left > 0 {
                    left -= body(&mut stream, left, &nonce, &mut at, stats).await?;
                }
                stream.read_line(&mut String::new()).await.ok()?;
                if last {
                    break;
                }
            }
        }
        let response = text(&nonce, dice.size());
        let cut = dice
            .one_in(20)
            .then(|| dice.up_to(response.len() as u64 + 200) as usize);
        let mut raw =
            format!("HTTP/1.1 200 OK\r\nx-nonce: {nonce}\r\ncontent-type: text/event-stream\r\n")
                .into_bytes();
        if dice.one_in(2) {
            raw.extend(format!("content-length: {}\r\n\r\n", response.len()).as_bytes());
            raw.extend(&response);
        } else {
            raw.extend(b"transfer-encoding: chunked\r\n\r\n");
            for chunk in response.chunks(1 + dice.up_to(5000) as usize) {
                raw.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
                raw.extend(chunk);
                raw.extend(b"\r\n");
            }
            raw.extend(b"0\r\n\r\n");
        }
        if let Some(cut) = cut.filter(|cut| *cut < raw.len()) {
            stats.cut_by_provider.fetch_add(1, Relaxed);
            stream.get_mut().write_all(&raw[..cut]).await.ok()?;
            return None;
        }
        for chunk in raw.chunks(1 + dice.up_to(LARGEST) as usize) {
            stream.get_mut().write_all(chunk).await.ok()?;
            tokio::task::yield_now().await;
        }
    }
}

/// Reads and checks up to `most` bytes of a body.
async fn body(
    stream: &mut BufReader<TcpStream>,
    most: u64,
    nonce: &str,
    at: &mut u64,
    stats: &Stats,
) -> Option<u64> {
    let chunk = stream
        .fill_buf()
        .await
        .ok()
        .filter(|chunk| !chunk.is_empty())?;
    let length = chunk.len().min(most as usize);
    stats.check(nonce, *at, &chunk[..length], "a request");
    stream.consume(length);
    *at += length as u64;
    Some(length as u64)
}

// The clients.

struct Client {
    to: SocketAddr,
    tenant: u64,
    dice: Dice,
    stats: Arc<Stats>,
}

/// Where a client cuts its exchange.
enum Cut {
    Nowhere,
    Request(usize),
    Response(u64),
}

impl Client {
    fn cut(&mut self, request: usize) -> Cut {
        match self.dice.up_to(8) {
            0 => Cut::Request(self.dice.up_to(request as u64) as usize),
            1 | 2 => Cut::Response(self.dice.size()),
            _ => Cut::Nowhere,
        }
    }

    fn next(&self) -> Option<String> {
        let number = self
            .stats
            .begun
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
            .ok()?;
        Some(format!("<t{}r{number}>", self.tenant))
    }

    async fn over_http1(mut self) {
        let mut kept: Option<BufReader<TcpStream>> = None;
        while let Some(nonce) = self.next() {
            let mut stream = match kept.take() {
                Some(stream) => stream,
                None => BufReader::new(TcpStream::connect(self.to).await.unwrap()),
            };
            let body = text(&nonce, self.dice.size());
            let mut raw = format!(
                "POST /p HTTP/1.1\r\nhost: h\r\napi-key: key-of-{}\r\nx-nonce: {nonce}\r\n",
                self.tenant
            )
            .into_bytes();
            if self.dice.one_in(2) {
                write!(raw, "content-length: {}\r\n\r\n", body.len()).unwrap();
                raw.extend(&body);
            } else {
                raw.extend(b"transfer-encoding: chunked\r\n\r\n");
                for chunk in body.chunks(1 + self.dice.up_to(5000) as usize) {
                    write!(raw, "{:x}\r\n", chunk.len()).unwrap();
                    raw.extend(chunk);
                    raw.extend(b"\r\n");
                }
                raw.extend(b"0\r\n\r\n");
            }
            let cut = self.cut(raw.len());
            if let Cut::Request(at) = cut {
                let _ = stream.get_mut().write_all(&raw[..at]).await;
                self.stats.cut_by_clients.fetch_add(1, Relaxed);
                if self.dice.one_in(2) {
                    let _ = stream.get_ref().set_zero_linger();
                }
                continue;
            }
            let exchange = async {
                stream.get_mut().write_all(&raw).await.ok()?;
                self.response(&mut stream, &nonce, &cut).await
            };
            match tokio::time::timeout(PATIENCE, exchange)
                .await
                .expect("a response or an end")
            {
                Some(true) => kept = Some(stream),
                Some(false) => {}
                // The provider cut the exchange, and so did the gateway, before or within the response.
                None => continue,
            }
        }
    }

    /// Whether the connection can be reused; `None` if it ended before the response did.
    async fn response(
        &self,
        stream: &mut BufReader<TcpStream>,
        nonce: &str,
        cut: &Cut,
    ) -> Option<bool> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        // Header names may be in any case; the values here are in lower case.
        let head = head.to_ascii_lowercase();
        let (mut at, most) = (
            0,
            if let Cut::Response(most) = cut {
                *most
            } else {
                u64::MAX
            },
        );
        let whole = self.head(
            &head[9..12],
            head.contains(&format!("\r\nx-nonce: {nonce}\r\n")),
            nonce,
        )?;
        let mut left = match head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
        {
            Some(length) => length.parse().ok()?,
            None => 0,
        };
        let chunked = head.contains("\r\ntransfer-encoding: chunked\r\n");
        loop {
            if chunked && left == 0 {
                let mut line = String::new();
                stream.read_line(&mut line).await.ok()?;
                left = u64::from_str_radix(line.trim(), 16).ok()?;
                if left == 0 {
                    stream.read_line(&mut line).await.ok()?;
                    break;
                }
            }
            while left > 0 {
                let chunk = stream
                    .fill_buf()
                    .await
                    .ok()
                    .filter(|chunk| !chunk.is_empty())?;
                let length = chunk.len().min(left as usize);
                if whole {
                    self.stats.check(nonce, at, &chunk[..length], "a response");
                }
                stream.consume(length);
                (at, left) = (at + length as u64, left - length as u64);
                if at > most {
                    self.stats.cut_by_clients.fetch_add(1, Relaxed);
                    return Some(false);
                }
            }
            if !chunked {
                break;
            }
            stream.read_line(&mut String::new()).await.ok()?;
        }
        self.stats.whole.fetch_add(1, Relaxed);
        Some(!head.contains("\r\nconnection: close\r\n"))
    }

    /// Whether the response is the provider's. The gateway's own is 502, when the provider cut the exchange before its head.
    fn head(&self, status: &str, own: bool, nonce: &str) -> Option<bool> {
        match (status, own) {
            ("200", true) => Some(true),
            ("502", false) => Some(false),
            _ => {
                self.stats.unexpected.fetch_add(1, Relaxed);
                eprintln!("{status} for {nonce}, its own: {own}");
                None
            }
        }
    }

    async fn over_http2(mut self) {
        let mut kept: Option<h2::client::SendRequest<Bytes>> = None;
        while let Some(nonce) = self.next() {
            let client = match kept.take() {
                Some(client) => client,
                None => {
                    let stream = TcpStream::connect(self.to).await.unwrap();
                    let (client, connection) = h2::client::handshake(stream).await.unwrap();
                    tokio::spawn(connection);
                    client
                }
            };
            let Ok(mut client) = client.ready().await else {
                continue;
            };
            let request = http::Request::post("http://h/p")
                .header("api-key", format!("key-of-{}", self.tenant))
                .header("x-nonce", &nonce);
            let body = text(&nonce, self.dice.size());
            let cut = self.cut(body.len());
            let exchange = async {
                let (response, mut send) =
                    client.send_request(request.body(()).unwrap(), false).ok()?;
                if let Cut::Request(at) = cut {
                    send.send_data(Bytes::copy_from_slice(&body[..at]), false)
                        .ok()?;
                    self.stats.cut_by_clients.fetch_add(1, Relaxed);
                    tokio::task::yield_now().await;
                    send.send_reset(h2::Reason::CANCEL);
                    return Some(());
                }
                send.send_data(Bytes::from(body), true).ok()?;
                let response = response.await.ok()?;
                let own = response
                    .headers()
                    .get("x-nonce")
                    .is_some_and(|found| found.as_bytes() == nonce.as_bytes());
                let whole = self.head(response.status().as_str(), own, &nonce)?;
                let (mut response, mut at) = (response.into_body(), 0);
                while let Some(chunk) = response.data().await {
                    let chunk = chunk.ok()?;
                    let _ = response.flow_control().release_capacity(chunk.len());
                    if whole {
                        self.stats.check(&nonce, at, &chunk, "a response");
                    }
                    at += chunk.len() as u64;
                    if matches!(cut, Cut::Response(most) if at > most) {
                        self.stats.cut_by_clients.fetch_add(1, Relaxed);
                        send.send_reset(h2::Reason::CANCEL);
                        return Some(());
                    }
                }
                self.stats.whole.fetch_add(1, Relaxed);
                Some(())
            };
            tokio::time::timeout(PATIENCE, exchange)
                .await
                .expect("a response or an end");
            // Sometimes the connection is closed with the exchange.
            if !self.dice.one_in(50) {
                kept = Some(client);
            }
        }
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let mut file = std::fs::OpenOptions::new();
    let file = file
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join(name));
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

/// A gateway in front of a provider with this version of HTTP.
fn gateway(folder: &Path, provider: SocketAddr, http: &str) -> Gateway {
    let mut keys = String::new();
    for tenant in 0..TENANTS {
        let digest = KeyDigest::of(format!("key-of-{tenant}").as_bytes());
        writeln!(keys, "[[key]]\nid = \"t{tenant}\"\nhashes = [\"{digest}\"]\nmetadata = {{ up = \"inline:token-{tenant}\" }}").unwrap();
    }
    write(folder, "keys.toml", &keys);
    let text = format!(
        "server = {{ listen = \"127.0.0.1:0\", admin = \"127.0.0.1:0\", h2c = true }}\n\
         [providers.p]\nkind = \"custom\"\nbase_url = \"http://{provider}\"\ntoken = \"key:up\"\nhttp = \"{http}\"\n\
         [[routes]]\nname = \"r\"\npath = \"/p\"\nprovider = \"p\"\n"
    );
    write(folder, "gateway.toml", &text);
    let path = folder.join("gateway.toml");
    let config = Resolved::load(&path, Purpose::Start).unwrap_or_else(|errors| panic!("{errors}"));
    Gateway::start(config, path, std::io::sink()).unwrap()
}

#[test]
fn sixteen_tenants_who_break_off_anywhere_get_no_byte_of_another() {
    let stats = sixteen_tenants("1.1");
    assert_eq!(stats.shared.load(Relaxed), 0);
}

#[test]
fn sixteen_tenants_whose_requests_share_connections_get_no_byte_of_another() {
    let stats = sixteen_tenants("2");
    let (shared, heads) = (stats.shared.load(Relaxed), stats.heads.load(Relaxed));
    assert!(shared > heads / 10, "{shared} of {heads}");
}

/// Runs all tenants against a provider with this version of HTTP, and checks what each one gets.
fn sixteen_tenants(http: &str) -> Arc<Stats> {
    let setting = std::env::var("ISOLATION_REQUESTS").ok();
    let requests: u64 = setting.map_or(20_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let stats = Arc::new(Stats::default());
    stats.begun.store(requests, Relaxed);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let provider = runtime.block_on(async {
        match http {
            "2" => http2::provider(stats.clone()).await,
            _ => provider(stats.clone()).await,
        }
    });
    let gateway = gateway(folder.path(), provider, http);
    runtime.block_on(async {
        let clients: Vec<_> = (0..TENANTS * CONNECTIONS)
            .map(|number| {
                let client = Client {
                    to: gateway.listen()[0],
                    tenant: number % TENANTS,
                    dice: Dice::new(number),
                    stats: stats.clone(),
                };
                if number < TENANTS * CONNECTIONS / 2 {
                    tokio::spawn(client.over_http1())
                } else {
                    tokio::spawn(client.over_http2())
                }
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
    });
    let of = |count: &AtomicU64| count.load(Relaxed);
    println!(
        "{requests} requests of {TENANTS} tenants: {} heads at the provider, {} whole responses, {} cut by clients, {} by the provider; \
         {} bytes checked, {} foreign",
        of(&stats.heads),
        of(&stats.whole),
        of(&stats.cut_by_clients),
        of(&stats.cut_by_provider),
        of(&stats.bytes),
        of(&stats.foreign),
    );
    assert_eq!((of(&stats.foreign), of(&stats.unexpected)), (0, 0));
    assert!(of(&stats.cut_by_clients) > requests / 10 && of(&stats.whole) > requests / 3);
    stats
}
