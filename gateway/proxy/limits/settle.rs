//! Phase 5, record: what an exchange used of its limits, while it goes on and when it is over.

use std::time::Duration;

use crate::limit::applied::Amounts;
use crate::limit::passed::Passed;
use crate::limit::reservation::{Outcome, Reservation};
use crate::limit::terms::Amount;
use crate::proxy::attempt::Attempt;
use crate::proxy::consumption::Consumption;
use crate::proxy::conversation::Conversation;
use crate::proxy::exchange::Exchange;
use crate::proxy::limits::refusal::refusal;
use crate::proxy::reject::{Reason, Rejection};
use crate::proxy::reserved::Reserved;
use crate::proxy::reserved::ask::whole_billionths;
use crate::proxy::spend::price;
use crate::usage::{Expected, Meter, Usage, runs_without_usage};

/// After so many events, and after so long, a reservation is raised to what a stream has used.
const EVENTS: u64 = 64;
const PAUSE: Duration = Duration::from_secs(1);

/// Settles what the exchange has `reserved`, which is over and ended with `status`.
pub(in crate::proxy) fn settle(
    exchange: &Exchange,
    reserved: &mut Reserved,
    consumption: &Consumption<'_>,
    status: u16,
) {
    let outcome = outcome(exchange, reserved, consumption, status);
    if let Outcome::Used(used) = &outcome
        && !consumption.estimated
        && consumption.responses.is_none()
        && consumption.usage.is_some_and(|usage| !usage.is_empty())
    {
        let lists = reserved.reservation.lists();
        lists.learn(exchange.stats.request_bytes, used);
        if let Some(accuracy) = reserved.admitted.accuracy(used) {
            let metrics = &exchange.shared.live.metrics.limits;
            metrics.estimate_ratio.observe(accuracy);
        }
    }
    let now = exchange.moment_now();
    reserved.reservation.settle(outcome, now, exchange.took());
    warn(exchange, &mut reserved.reservation);
}

/// Tells operators which percentages of budgets were passed, each once.
fn warn(exchange: &Exchange, reservation: &mut Reservation) {
    for Passed { by, percent, since } in reservation.take_passed() {
        let (limit, scope) = (&*by.limit.name, &*by.scope);
        let period = match by.limit.amount {
            Amount::Budget { period, .. } => period.name(),
            _ => "",
        };
        tracing::warn!(limit, scope, percent, period, %since, "a budget is used up to a percentage of soft_budget");
        let metrics = &exchange.shared.live.metrics.limits;
        metrics.warning(limit, percent);
    }
}

/// What the exchange used.
fn outcome(
    exchange: &Exchange,
    reserved: &Reserved,
    consumption: &Consumption<'_>,
    status: u16,
) -> Outcome {
    let seen = &exchange.stats;
    let tries = exchange.attempt.as_ref().map(|attempt| &attempt.tries);
    let was_sent = tries.is_some_and(|tries| tries.connected.is_some());
    if !was_sent || reserved.expected == Expected::Nothing {
        return Outcome::Nothing;
    }
    let went_well = (200..300).contains(&status) || status == 101;
    let ended_early = seen.client_left || seen.abort.is_some() || exchange.rejection.is_some();
    if let Some(usage) = &consumption.usage {
        let used = completed(exchange, reserved, consumption, usage);
        return if ended_early && consumption.responses.is_none() {
            Outcome::AtLeast(used)
        } else {
            Outcome::Used(used)
        };
    }
    let runs_a_model = |attempt: &Attempt| attempt.readings().any(runs_without_usage);
    if reserved.expected == Expected::Perhaps
        && went_well
        && exchange.attempt.as_ref().is_some_and(runs_a_model)
    {
        return Outcome::Unknown;
    }
    // An endpoint of which nobody knows whether it runs a model, and a WebSocket on which nothing was said.
    if reserved.expected == Expected::Perhaps || consumption.responses.is_some() {
        return Outcome::Nothing;
    }
    match seen.first_byte {
        // The provider has refused, or has failed.
        Some(_) if !went_well => Outcome::Nothing,
        Some(_) if consumption.events == 0 && !ended_early => Outcome::Unknown,
        // The provider has not got the whole request.
        None if !seen.request_complete => Outcome::Nothing,
        _ => Outcome::AtLeast(completed(
            exchange,
            reserved,
            consumption,
            &Usage::default(),
        )),
    }
}

/// `usage` with what is known beside it: a stream that was cut off has told its input at most, and an event has at least
/// a token.
fn completed(
    exchange: &Exchange,
    reserved: &Reserved,
    consumption: &Consumption<'_>,
    usage: &Usage,
) -> Amounts {
    let stats = &exchange.stats;
    let is_cut = stats.client_left || stats.abort.is_some() || exchange.rejection.is_some();
    let is_partial =
        consumption.responses.is_none() && (is_cut || consumption.estimated || usage.is_empty());
    let (mut input, mut output) = (usage.input, usage.output);
    if is_partial {
        if input == 0 {
            input = reserved.input;
        }
        output = output.max(consumption.events);
    }
    let is_told = input == usage.input && output == usage.output;
    let usage = Usage {
        input,
        output,
        ..*usage
    };
    let told = consumption.cost.as_ref().filter(|_| is_told);
    let money = match told {
        Some(cost) => Some(whole_billionths(cost.cost)),
        None => cost_of(exchange, reserved, consumption.model, &usage),
    };
    Amounts {
        input,
        cached: usage.cache_read,
        output,
        money,
    }
}

/// What `usage` costs, in billionths.
fn cost_of(
    exchange: &Exchange,
    reserved: &Reserved,
    model: Option<&str>,
    usage: &Usage,
) -> Option<u64> {
    let target = exchange.attempt.as_ref()?.target();
    let prices = exchange.rules.prices.as_deref();
    let cost = |model| price(prices, target, exchange.time, model, usage).0;
    let asked = reserved.model.as_deref();
    // The response may name a model that has no price: then it is the one that the request named.
    let cost = cost(model.or(asked).unwrap_or_default()).or_else(|| cost(asked?));
    cost.map(|cost| whole_billionths(cost.cost))
}

/// Raises what is held to what a response has used so far, from time to time. Returns the refusal with which the response
/// is cut, if its limit wants that.
pub(in crate::proxy) fn raise(exchange: &mut Exchange) -> Option<Rejection> {
    let mut reserved = exchange.reserved.take()?;
    let over = raise_reserved(exchange, &mut reserved);
    exchange.reserved = Some(reserved);
    over
}

fn raise_reserved(exchange: &Exchange, reserved: &mut Reserved) -> Option<Rejection> {
    let (used, events) = match (&exchange.stats.meter, &exchange.stats.conversation) {
        (Some(meter), _) if meter.is_stream() => {
            let events = meter.events();
            let now = exchange.watchdog.now();
            let (before, when) = reserved.raised;
            let is_due = events >= before + EVENTS || now.saturating_duration_since(when) >= PAUSE;
            if events == before || !is_due {
                return None;
            }
            (so_far(exchange, reserved, meter), events)
        }
        (None, Some(conversation)) => {
            let responses = conversation.counts().responses;
            if responses == reserved.raised.0 {
                return None;
            }
            (of_conversation(conversation), responses)
        }
        _ => return None,
    };
    reserved.raised = (events, exchange.watchdog.now());
    let is_open_ended = exchange.stats.conversation.is_some();
    let now = exchange.moment_now();
    let over = reserved.reservation.count_use(&used, now, is_open_ended);
    warn(exchange, &mut reserved.reservation);
    let over = over?;
    let admission = exchange.admission.as_ref()?;
    let reason = Reason::BudgetExceeded;
    Some(refusal(exchange, admission, &over, reason, None, None))
}

fn so_far(exchange: &Exchange, reserved: &Reserved, meter: &Meter) -> Amounts {
    let told = meter.usage().unwrap_or_default();
    let usage = Usage {
        input: if told.input > 0 {
            told.input
        } else {
            reserved.input
        },
        output: told.output.max(meter.events()),
        ..told
    };
    Amounts {
        input: usage.input,
        cached: usage.cache_read,
        output: usage.output,
        money: cost_of(exchange, reserved, meter.model(), &usage),
    }
}

fn of_conversation(conversation: &Conversation) -> Amounts {
    let sum = conversation.sum();
    let usage = sum.usage.unwrap_or_default();
    Amounts {
        input: usage.input,
        cached: usage.cache_read,
        output: usage.output,
        money: sum.cost.as_ref().map(|cost| whole_billionths(cost.cost)),
    }
}
