//! Phase 2, forward: takes from the limits of a request what it will use, before anything of it goes up, and gives back
//! what was not used when the exchange is over.
//!
//! There are two points. At the head, the key, the route and the length of the body are known. When the body is there,
//! so are the model and the most that the response can have; only requests with limits that depend on these wait for it.
//! A request that is refused at the second point has cost a connection at most: the provider does not have its last byte.

pub(crate) mod forecast;
mod left;
mod refusal;
mod settle;

pub(super) use self::left::write;
pub(super) use self::settle::{raise, settle};

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use pingora::http::RequestHeader;
use pingora_core::{Error, Result};

use self::refusal::{refusal, rejection};
use crate::limit::admitted::Admitted;
use crate::limit::applied::{Amounts, Applied, Ask, Most, Why};
use crate::limit::lists::Lists;
use crate::limit::plan::{Holder, Plan};
use crate::limit::reservation::{Refused, Reservation};
use crate::limit::terms::Counts;
use crate::proxy::admit::Admission;
use crate::proxy::attempt::Attempt;
use crate::proxy::exchange::Exchange;
use crate::proxy::head::declared_length;
use crate::proxy::reject::{Reason, Rejection};
use crate::proxy::reserved::Reserved;
use crate::proxy::reserved::ask::{self, Prices};
use crate::usage::{
    Asked, Expected, RequestReader, bills_later, expected, model_in_path, runs_without_usage,
};

/// How long a request waits for the ledger to issue the rights that it needs, in all.
const LEDGER_WAIT: Duration = Duration::from_millis(100);
/// How often it looks meanwhile.
const LEDGER_LOOK: Duration = Duration::from_millis(2);

/// The limits of a request that comes at `now`; `None` if it has none.
pub(super) fn lists(
    plan: &Plan,
    now: impl FnOnce() -> Timestamp,
    admission: &Admission,
    attempt: &Attempt,
) -> Option<Lists> {
    let key = admission.key().and_then(|key| {
        let holder = Holder {
            id: &key.id,
            own: key.limits.as_deref(),
            slot: &key.slot,
        };
        plan.of_key(&holder, |name| key.labels.get(name), now)
    });
    let (route, target) = (&admission.route().limits, &attempt.target().limits);
    if key.is_none() && route.all.is_empty() && target.all.is_empty() {
        return None;
    }
    let lists = Lists {
        key,
        route: Arc::clone(route),
        target: Arc::clone(target),
    };
    let has_some = lists.on(&admission.route().name).next().is_some();
    has_some.then_some(lists)
}

/// The first point: takes what is known to be used from the head of the request. Fails with the refusal that the client
/// is to get.
pub(super) async fn head(
    request: &RequestHeader,
    exchange: &mut Exchange,
    admission: &Admission,
    attempt: &Attempt,
) -> Result<(), Rejection> {
    let plan = &exchange.rules.plan;
    let Some(lists) = lists(plan, || exchange.clock_time(), admission, attempt) else {
        return Ok(());
    };
    // In a box: only requests with limits need the room.
    Box::pin(take(request, exchange, admission, attempt, lists)).await
}

async fn take(
    request: &RequestHeader,
    exchange: &mut Exchange,
    admission: &Admission,
    attempt: &Attempt,
    lists: Lists,
) -> Result<(), Rejection> {
    let route = &*admission.route().name;
    let expected = expectation(exchange.stats.method, admission, attempt);
    refuse_unmetered(exchange, admission, attempt, &lists)?;
    let needs_body =
        expected != Expected::Nothing && !admission.upgrade() && lists.need_body(route);
    // With a body, tokens and money are taken at the second point. Here a limit refuses of which nothing is left.
    let estimate = if needs_body {
        Amounts::default()
    } else {
        lists.estimate(declared_length(request))
    };
    // The messages of a WebSocket name its models, and how much they ask for: any model, and without a bound.
    let is_open_ended = admission.upgrade();
    let ask = Ask {
        estimate,
        most: if is_open_ended {
            Most::Unbounded
        } else {
            Most::Later
        },
        is_learnt: true,
    };
    let holds = |applied: &Applied| {
        let is_of_use = !matches!(applied.limit.counts, Counts::Requests | Counts::Parallel);
        (!applied.has_models() || is_open_ended) && (expected != Expected::Nothing || !is_of_use)
    };
    let moment = exchange.moment();
    let mut reservation = Reservation::new(lists, exchange.rules.plan.clone(), moment);
    let mut waited = Duration::ZERO;
    while let Err(refused) = reservation.take(route, holds, &ask, moment) {
        wait_or_refuse(exchange, admission, &refused, &mut waited).await?;
    }
    let mut admitted = Admitted::default();
    if !needs_body {
        admitted = Admitted::of(reservation.held());
        reservation.count_request(moment);
    }
    let value = |name: &HeaderName| {
        request
            .headers
            .get(name)
            .map_or(&b""[..], |it| it.as_bytes())
    };
    let reader = || {
        Box::new(RequestReader::of(
            value(&CONTENT_TYPE),
            value(&CONTENT_ENCODING),
        ))
    };
    exchange.reserved = Some(Box::new(Reserved {
        reservation,
        admitted,
        reader: needs_body.then(reader),
        expected,
        input: ask.estimate.input,
        model: None,
        raised: (0, exchange.started),
    }));
    Ok(())
}

/// Whether a model works for the response, of several readings of the path by the one that most likely has it work.
pub(super) fn expectation(method: &str, admission: &Admission, attempt: &Attempt) -> Expected {
    if admission.upgrade() {
        return Expected::Tokens;
    }
    let method = method_at_provider(method, admission);
    let readings = attempt.readings().map(|path| expected(method, path));
    readings.max().unwrap_or(Expected::Nothing)
}

/// The method that the provider may take the request for: a header may replace it.
pub(super) fn method_at_provider<'m>(method: &'m str, admission: &Admission) -> &'m str {
    if admission.may_be_post() {
        "POST"
    } else {
        method
    }
}

/// Refuses a request that bills later, where a limit of tokens or money has to count it.
fn refuse_unmetered(
    exchange: &Exchange,
    admission: &Admission,
    attempt: &Attempt,
    lists: &Lists,
) -> Result<(), Rejection> {
    let route = &*admission.route().name;
    let counts = |applied: &&Applied| {
        let is_of_use = matches!(applied.limit.counts, Counts::Tokens(_) | Counts::Money);
        is_of_use && applied.enforces() && !applied.limit.unmetered
    };
    let limit = lists.on(route).map(|(_, applied)| applied).find(counts);
    let method = method_at_provider(exchange.stats.method, admission);
    match limit {
        Some(by) if attempt.readings().any(|path| bills_later(method, path)) => {
            let reason = Reason::UnmeteredEndpoint;
            Err(refusal(exchange, admission, by, reason, None, None))
        }
        _ => Ok(()),
    }
}

/// Waits a moment for the ledger, if that is what the request lacks. Fails with the refusal else, or if it has waited
/// long enough.
async fn wait_or_refuse(
    exchange: &Exchange,
    admission: &Admission,
    refused: &Refused,
    waited: &mut Duration,
) -> Result<(), Rejection> {
    if refused.why != Why::NotIssued || *waited >= LEDGER_WAIT {
        return Err(rejection(exchange, admission, refused));
    }
    tokio::time::sleep(LEDGER_LOOK).await;
    *waited += LEDGER_LOOK;
    Ok(())
}

/// Whether the request's body has to be read for its limits.
pub(super) fn read_body(exchange: &Exchange) -> bool {
    let reserved = exchange.reserved.as_deref();
    reserved.is_some_and(|reserved| reserved.reader.is_some())
}

/// Reads a chunk of the request's body, for what the request asks.
pub(super) fn read(exchange: &mut Exchange, chunk: &[u8]) {
    let reserved = exchange.reserved.as_deref_mut();
    if let Some(reader) = reserved.and_then(|it| it.reader.as_mut()) {
        reader.feed(chunk);
    }
}

/// The second point, for a request whose body is there before it goes up, or that has none.
pub(super) async fn body(exchange: &mut Exchange) -> Result<(), Rejection> {
    let Some(mut reader) = take_reader(exchange) else {
        return Ok(());
    };
    if let Some(held) = &exchange.held {
        reader.feed(held.whole());
    }
    Box::pin(change(exchange, reader)).await
}

/// The second point, for a request whose body goes up as it comes: at its end. Fails before the last chunk is sent.
///
/// A body of `declared` bytes is whole for the provider once so many are there, also if the client keeps the end of an
/// HTTP/2 stream back.
pub(super) async fn end_of_body(
    exchange: &mut Exchange,
    is_end: bool,
    declared: u64,
) -> Result<()> {
    let is_whole = declared > 0 && exchange.stats.request_bytes >= declared;
    if !is_end && !is_whole {
        return Ok(());
    }
    let Some(reader) = take_reader(exchange) else {
        return Ok(());
    };
    match Box::pin(change(exchange, reader)).await {
        Ok(()) => Ok(()),
        // Marked as the client's error: over HTTP/2 to the provider, Pingora ignores other errors here.
        Err(rejection) => Err(Error::into_down(exchange.refuse(rejection))),
    }
}

fn take_reader(exchange: &mut Exchange) -> Option<Box<RequestReader>> {
    exchange.reserved.as_deref_mut()?.reader.take()
}

/// Changes what is held to what the body asks for, and takes from the limits that depend on the model.
async fn change(exchange: &mut Exchange, reader: Box<RequestReader>) -> Result<(), Rejection> {
    let Some(mut reserved) = exchange.reserved.take() else {
        return Ok(());
    };
    let changed = change_reserved(exchange, &mut reserved, &reader).await;
    if changed.is_err() {
        reserved.reservation.give_back();
    }
    exchange.reserved = Some(reserved);
    changed
}

async fn change_reserved(
    exchange: &Exchange,
    reserved: &mut Reserved,
    reader: &RequestReader,
) -> Result<(), Rejection> {
    let (Some(admission), Some(attempt)) = (&exchange.admission, &exchange.attempt) else {
        return Err(exchange.rejection_for(Reason::Internal));
    };
    let route = &*admission.route().name;
    let asked = &reader.asked_at(attempt.path());
    let named = model(asked, attempt.path());
    let named = named.as_deref();
    let model = named.map(str::to_lowercase);
    let prices = Prices {
        list: exchange.rules.prices.as_deref(),
        provider: &attempt.provider().name,
        model: named,
        is_reported: attempt.provider().kind.reports_cost == Some(true),
        day: exchange.time.to_zoned(TimeZone::UTC).date(),
    };
    let is_for = |applied: &Applied| applied.is_for(model.as_deref());
    let runs_a_model = reserved.expected == Expected::Tokens
        || reserved.expected == Expected::Perhaps && attempt.readings().any(runs_without_usage);
    if runs_a_model {
        refuse_unpriced(exchange, admission, reserved, &prices, is_for)?;
    }
    let learnt = reserved.reservation.lists().estimate(asked.bytes);
    let ask = ask::of_body(asked, learnt, prices);
    reserved.input = ask.estimate.input;
    reserved.model = named.map(Into::into);
    let moment = reserved.reservation.began();
    let mut waited = Duration::ZERO;
    while let Err(refused) = reserved.reservation.change(&ask, moment) {
        wait_or_refuse(exchange, admission, &refused, &mut waited).await?;
    }
    let holds = |applied: &Applied| applied.has_models() && is_for(applied);
    while let Err(refused) = reserved.reservation.take(route, holds, &ask, moment) {
        wait_or_refuse(exchange, admission, &refused, &mut waited).await?;
    }
    reserved.admitted = Admitted::of(reserved.reservation.held());
    // From now on: many that came at once, and whose bodies took long, reach the provider now.
    reserved.reservation.count_request(exchange.moment_now());
    Ok(())
}

/// The model of a request, if there is no doubt about it.
pub(super) fn model<'r>(asked: &Asked<'r>, path: &'r str) -> Option<Cow<'r, str>> {
    let in_path = model_in_path(path);
    let in_body = asked.model.filter(|_| asked.is_readable).map(Cow::Borrowed);
    in_path.or(in_body).filter(|_| !asked.two_models)
}

/// Refuses a request whose model has no price, where a limit of money has to count it.
fn refuse_unpriced(
    exchange: &Exchange,
    admission: &Admission,
    reserved: &Reserved,
    prices: &Prices<'_>,
    is_for: impl Fn(&Applied) -> bool,
) -> Result<(), Rejection> {
    if !prices.lack_model() {
        return Ok(());
    }
    let route = &*admission.route().name;
    let counts = |applied: &&Applied| {
        let is_of_money = applied.limit.counts == Counts::Money;
        is_of_money && applied.enforces() && !applied.limit.unpriced && is_for(applied)
    };
    let lists = reserved.reservation.lists();
    let by = lists.on(route).map(|(_, applied)| applied).find(counts);
    match by {
        Some(by) => {
            let reason = Reason::UnpricedModel;
            Err(refusal(exchange, admission, by, reason, None, None))
        }
        None => Ok(()),
    }
}
