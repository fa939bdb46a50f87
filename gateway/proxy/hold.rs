//! Phase 2, forward: reads the body of an admitted request whole before it goes up, if it is not too long.
//!
//! Pingora would read it in small chunks, send each by itself, and keep the first 64 KiB of it until the response ends.
//! So the connection collects the body (`server/connection/held_body`), and Pingora reads some bytes in its place, one
//! for each part; `body` puts the parts where they are. Pingora takes the number of these bytes from `Content-Length`,
//! which it reads once.
//!
//! Held are bodies over HTTP/1.1 with a `Content-Length`, of which not all came with the head. All others pass as they
//! come.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, EXPECT, UPGRADE};
use pingora::http::RequestHeader;
use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::Session;
use tokio::time::{Instant as TimerInstant, Sleep, sleep_until};

use super::body;
use super::connection::{self, Unread};
use super::exchange::Exchange;
use super::held_body::{HeldBody, parts};
use super::limits;
use super::reject::Reason;
use crate::limit::held_bodies::HeldBytes;

/// Begins to hold the body of the request, if it is one to hold. Must be called before Pingora is asked about the body.
pub(super) fn begin(session: &mut Session, exchange: &Exchange) -> bool {
    let unread = connection::unread();
    if unread == Unread::Nothing || exchange.rules.server.limits.held_body == 0 {
        return false;
    }
    let headers = &session.req_header().headers;
    if headers.contains_key(EXPECT) || headers.contains_key(UPGRADE) {
        return false;
    }
    match permit(exchange, unread) {
        Ok((length, permit)) => {
            let stand_ins = parts(length);
            if announce(session, stand_ins).is_err() {
                return false;
            }
            connection::hold(stand_ins, permit);
            true
        }
        Err(reason) => {
            let unheld = &exchange.shared.live.metrics.unheld;
            unheld.with_label_values(&[reason]).inc();
            false
        }
    }
}

/// The right to hold a body, and its length; or why it is not held, as a metric label.
fn permit(exchange: &Exchange, unread: Unread) -> Result<(usize, HeldBytes), &'static str> {
    let limits = &exchange.rules.server.limits;
    let Unread::Bytes(length) = unread else {
        return Err("length");
    };
    if length > limits.held_body {
        return Err("size");
    }
    let size = usize::try_from(length).map_err(|_| "size")?;
    let held = &exchange.shared.held_bodies;
    let permit = held.take(length, limits.held_bodies).ok_or("budget")?;
    Ok((size, permit))
}

/// Makes Pingora expect a body of `stand_ins` bytes. The head itself stays as it is.
fn announce(session: &mut Session, stand_ins: usize) -> Result<()> {
    let mut head = RequestHeader::build_no_case(Method::POST, b"/", Some(1))?;
    head.insert_header(CONTENT_LENGTH, stand_ins.to_string())?;
    let own = std::mem::replace(session.req_header_mut(), head);
    // Pingora reads the length from the head at the first question about the body, and never again.
    session.is_body_empty();
    *session.req_header_mut() = own;
    Ok(())
}

/// Reads the body that [`begin`] has begun to hold. Fails like the exchange of a body that passes as it comes, if the
/// client leaves, is silent for too long, or sends too slowly.
pub(super) async fn read(session: &mut Session, exchange: &mut Exchange) -> Result<()> {
    let pause = exchange.rules.server.limits.client_read;
    let begun = Instant::now();
    // Pingora's own timeout would be one for the whole body.
    session.set_read_timeout(None);
    // In a box: it is over before the exchange's own future becomes large.
    let read = Box::pin(collect(session, exchange, pause)).await;
    session.set_read_timeout(Some(pause));
    match read {
        Ok(whole) => {
            exchange.stats.request_bytes = whole.len() as u64;
            exchange.stats.request_complete = true;
            exchange.held = Some(Box::new(HeldBody::new(whole, begun.elapsed())));
            Ok(())
        }
        Err(error) => {
            connection::give_up_held();
            Err(error)
        }
    }
}

/// Reads a body that has come with the head, for the limits of the request. Pingora keeps it for the tries, as it keeps
/// what it reads of any body that is not held. Does nothing with a body of which something is still to come.
pub(super) async fn read_what_came(session: &mut Session, exchange: &mut Exchange) -> Result<()> {
    let is_http1 = session.as_http1().is_some();
    if !is_http1 || connection::unread() != Unread::Nothing || exchange.stats.request_complete {
        return Ok(());
    }
    session.enable_retry_buffering();
    while let Some(piece) = session
        .read_request_body()
        .await
        .map_err(Error::into_down)?
    {
        limits::read(exchange, &piece);
    }
    exchange.stats.request_complete = true;
    exchange.watchdog.clear_idle();
    Ok(())
}

/// The whole body, once it is there. No pause may be longer than `pause`.
async fn collect(session: &mut Session, exchange: &mut Exchange, pause: Duration) -> Result<Bytes> {
    let mut reading = pin!(session.read_request_body());
    let mut silence = Silence { pause, timer: None };
    poll_fn(|context| {
        let read = reading.as_mut().poll(context);
        if let Some(whole) = connection::take_held() {
            return Poll::Ready(Ok(whole));
        }
        match read {
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into_down())),
            Poll::Ready(Ok(_)) => {
                let rejection = exchange.rejection_for(Reason::Internal);
                return Poll::Ready(Err(exchange.refuse(rejection)));
            }
            Poll::Pending => {}
        }
        let collected = connection::collected() as u64;
        let is_more = collected > exchange.stats.request_bytes;
        if is_more {
            exchange.stats.request_bytes = collected;
            if let Err(error) = body::limit(exchange, false) {
                return Poll::Ready(Err(error.into_down()));
            }
        }
        silence.poll(context, is_more, latest(exchange))
    })
    .await
}

/// When the whole exchange must be over, if there is such a time.
fn latest(exchange: &Exchange) -> Option<Instant> {
    let total = exchange.attempt.as_ref()?.timeouts().total?;
    Some(exchange.started + total)
}

/// Waits for a client that sends nothing.
struct Silence {
    pause: Duration,
    /// Made when the client has to be waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    /// Fails if the client sent nothing for too long, or when it is `latest`. `is_more`: it just sent something.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        is_more: bool,
        latest: Option<Instant>,
    ) -> Poll<Result<Bytes>> {
        let pause = self.pause;
        let end = || {
            let end = Instant::now() + pause;
            TimerInstant::from_std(latest.map_or(end, |latest| end.min(latest)))
        };
        if let (true, Some(timer)) = (is_more, &mut self.timer) {
            timer.as_mut().reset(end());
        }
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(end())));
        timer
            .as_mut()
            .poll(context)
            .map(|()| Err(Error::new_down(ErrorType::ReadTimedout)))
    }
}
