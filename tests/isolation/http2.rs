//! The provider over HTTP/2: the requests of all tenants share its connections.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use std::sync::atomic::Ordering::Relaxed;
use tokio::net::{TcpListener, TcpStream};

use super::{Dice, Stats, text};

/// How many requests of each tenant are being served on one connection.
type InFlight = Arc<Mutex<HashMap<String, u64>>>;

pub(super) async fn provider(stats: Arc<Stats>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((stream, _)) = listener.accept().await {
            number += 1;
            tokio::spawn(serve(stream, stats.clone(), Dice::new(number)));
        }
    });
    address
}

async fn serve(stream: TcpStream, stats: Arc<Stats>, mut dice: Dice) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut connection = h2::server::handshake(stream).await.ok()?;
    let in_flight = InFlight::default();
    while let Some(Ok((request, respond))) = connection.accept().await {
        // Sometimes the connection is closed with all its streams.
        if dice.one_in(500) {
            stats.cut_by_provider.fetch_add(1, Relaxed);
            return None;
        }
        let dice = Dice::new(dice.up_to(u64::MAX - 2));
        let (stats, in_flight) = (stats.clone(), in_flight.clone());
        tokio::spawn(async move {
            let Some(nonce) = stats.request(&request) else {
                return;
            };
            let tenant = nonce.split_once('r').map_or("", |(tenant, _)| tenant);
            let beside = |change: fn(&mut u64)| {
                let mut in_flight = in_flight.lock().unwrap();
                change(in_flight.entry(tenant.to_owned()).or_default());
                let mut others = in_flight.iter();
                others.any(|(other, count)| other != tenant && *count > 0)
            };
            if beside(|count| *count += 1) {
                stats.shared.fetch_add(1, Relaxed);
            }
            exchange(request.into_body(), respond, &nonce, &stats, dice).await;
            beside(|count| *count -= 1);
        });
    }
    Some(())
}

impl Stats {
    /// The nonce of a request, after checking that it has its tenant's token and no key.
    fn request(&self, request: &Request<RecvStream>) -> Option<String> {
        self.heads.fetch_add(1, Relaxed);
        let header = |name: &str| request.headers().get(name)?.to_str().ok();
        let (Some(nonce), Some(token)) = (header("x-nonce"), header("authorization")) else {
            self.unexpected.fetch_add(1, Relaxed);
            eprintln!("a request without a nonce or token: {request:?}");
            return None;
        };
        let head = format!("{:?}", request.headers());
        self.token(nonce, token, &head)?;
        Some(nonce.to_owned())
    }
}

/// Reads and checks the body of a request and responds, or cuts the exchange.
async fn exchange(
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    nonce: &str,
    stats: &Stats,
    mut dice: Dice,
) -> Option<()> {
    let mut at = 0;
    while let Some(chunk) = body.data().await {
        let chunk = chunk.ok()?;
        let _ = body.flow_control().release_capacity(chunk.len());
        stats.check(nonce, at, &chunk, "a request");
        at += chunk.len() as u64;
    }
    let response = text(nonce, dice.size());
    // 0 cuts before the head.
    let cut = dice
        .one_in(20)
        .then(|| dice.up_to(response.len() as u64) as usize);
    if cut.is_some() {
        stats.cut_by_provider.fetch_add(1, Relaxed);
    }
    if cut == Some(0) {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return None;
    }
    let mut head = Response::builder()
        .header("x-nonce", nonce)
        .header("content-type", "text/event-stream");
    if dice.one_in(2) {
        head = head.header("content-length", response.len());
    }
    let mut stream = respond.send_response(head.body(()).ok()?, false).ok()?;
    let end = cut.unwrap_or(response.len());
    for chunk in response[..end].chunks(1 + dice.up_to(5000) as usize) {
        send(&mut stream, Bytes::copy_from_slice(chunk)).await?;
    }
    match cut {
        Some(_) => stream.send_reset(Reason::INTERNAL_ERROR),
        None => stream.send_data(Bytes::new(), true).ok()?,
    }
    Some(())
}

/// Sends as fast as flow control allows.
async fn send(to: &mut SendStream<Bytes>, mut chunk: Bytes) -> Option<()> {
    while !chunk.is_empty() {
        to.reserve_capacity(chunk.len());
        let room = std::future::poll_fn(|context| to.poll_capacity(context)).await;
        let room = room?.ok()?.min(chunk.len());
        to.send_data(chunk.split_to(room), false).ok()?;
    }
    Some(())
}
