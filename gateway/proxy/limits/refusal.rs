//! A limit's refusal, for the client: the reason, the limit in words, and how long to wait.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::limit::amount::write_amount;
use crate::limit::applied::{Applied, Why};
use crate::limit::reservation::Refused;
use crate::limit::terms::{Counts, Limit, Of};
use crate::proxy::admit::Admission;
use crate::proxy::exchange::Exchange;
use crate::proxy::reject::limit_refusal::{LimitRefusal, Scope, wait_for_a_place};
use crate::proxy::reject::{Reason, Rejection};

/// The refusal of a request by a limit.
pub(in crate::proxy) fn rejection(
    exchange: &Exchange,
    admission: &Admission,
    refused: &Refused,
) -> Rejection {
    let counts = refused.by.limit.counts;
    let until_reset = refused
        .resets
        .and_then(|end| Duration::try_from(end.duration_since(exchange.clock_time())).ok());
    let (reason, wait) = match (refused.why, counts) {
        (Why::Wait(wait), _) => (of_rate(counts), Some(wait)),
        (Why::Taken(wait), _) => {
            // Clients that were refused together do not come back together.
            let wait = wait_for_a_place(wait, getrandom::u64().unwrap_or_default());
            (Reason::ParallelLimit, Some(wait))
        }
        (Why::Spent, Counts::Money) => (Reason::BudgetExceeded, None),
        (Why::Spent, _) => (of_rate(counts), until_reset),
        (Why::Exceeds, _) => (Reason::RequestExceedsLimit, None),
        (Why::Unbounded, _) => (Reason::UnboundedRequest, None),
        (Why::NotIssued, _) => (Reason::LimitsUnavailable, None),
    };
    let opens = wait.and_then(|wait| exchange.clock_time().checked_add(wait).ok());
    refusal(
        exchange,
        admission,
        &refused.by,
        reason,
        wait,
        refused.resets.or(opens),
    )
}

fn of_rate(counts: Counts) -> Reason {
    match counts {
        Counts::Tokens(_) => Reason::TokensLimit,
        _ => Reason::RequestsLimit,
    }
}

/// The refusal for `reason` by the limit `by`.
pub(in crate::proxy) fn refusal(
    exchange: &Exchange,
    admission: &Admission,
    by: &Applied,
    reason: Reason,
    wait: Option<Duration>,
    resets: Option<Timestamp>,
) -> Rejection {
    let limit = LimitRefusal {
        name: by.limit.name.clone(),
        counts: by.limit.counts,
        terms: terms(&by.limit).into(),
        scope: Some(scope(&by.limit, &by.scope)),
        wait,
        resets,
        budget_status: exchange.rules.limits.budget_status,
    };
    admission.rejection(reason).with_limit(limit)
}

/// The amount of a limit in words: `600 requests per minute`, `20 requests at once`, `2000.00 per month`.
fn terms(limit: &Limit) -> String {
    let amount = write_amount(limit.counts, &limit.amount);
    let noun = match limit.counts {
        Counts::Money => return amount,
        Counts::Requests | Counts::Parallel => "requests",
        Counts::Tokens(tokens) => match (tokens.input, tokens.output) {
            (true, false) => "input tokens",
            (false, true) => "output tokens",
            _ => "tokens",
        },
    };
    match amount.split_once(' ') {
        Some((number, period)) => format!("{number} {noun} {period}"),
        None => format!("{amount} {noun}"),
    }
}

fn scope(limit: &Limit, value: &Arc<str>) -> Scope {
    match &limit.of {
        Of::Key => Scope::Key,
        Of::Route => Scope::Route,
        Of::Provider => Scope::Provider,
        Of::Gateway => Scope::Gateway,
        Of::Label { name, .. } => Scope::Label {
            name: name.clone(),
            value: value.clone(),
        },
    }
}
