//! A limit's refusal, for the client: the reason, the limit in words, and how long to wait.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::limit::amount::write_terms;
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
    let reason = reason(refused.why, counts);
    let until_reset = refused
        .resets
        .and_then(|end| Duration::try_from(end.duration_since(exchange.clock_time())).ok());
    let wait = match (refused.why, counts) {
        (Why::Wait(wait), _) => Some(wait),
        // Clients that were refused together do not come back together.
        (Why::Taken(wait), _) => Some(wait_for_a_place(wait, getrandom::u64().unwrap_or_default())),
        (Why::Spent, Counts::Requests | Counts::Tokens(_) | Counts::Parallel) => until_reset,
        (Why::Spent | Why::Exceeds | Why::Unbounded | Why::NotIssued, _) => None,
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

/// The reason of a refusal by a limit that counts `counts`.
pub(in crate::proxy) fn reason(why: Why, counts: Counts) -> Reason {
    match (why, counts) {
        (Why::Taken(_), _) => Reason::ParallelLimit,
        (Why::Spent, Counts::Money) => Reason::BudgetExceeded,
        (Why::Wait(_) | Why::Spent, _) => of_rate(counts),
        (Why::Exceeds, _) => Reason::RequestExceedsLimit,
        (Why::Unbounded, _) => Reason::UnboundedRequest,
        (Why::NotIssued, _) => Reason::LimitsUnavailable,
    }
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
        terms: write_terms(by.limit.counts, &by.limit.amount).into(),
        scope: Some(scope(&by.limit, &by.scope)),
        wait,
        resets,
        budget_status: exchange.rules.limits.budget_status,
    };
    admission.rejection(reason).with_limit(limit)
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
