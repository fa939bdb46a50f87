//! A limit's refusal, for the client: the reason, the limit in words, and how long to wait.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::admit::Admission;
use super::exchange::Exchange;
use super::limit_refusal::{LimitRefusal, Scope};
use super::reject::{Reason, Rejection};
use crate::limit::amount::write_terms;
use crate::limit::applied::{Applied, Why};
use crate::limit::reservation::Refused;
use crate::limit::terms::{Counts, Limit, Of};

/// The refusal of a request by a limit.
pub(super) fn rejection(
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
        (Why::Taken(wait), _) => (Reason::ParallelLimit, Some(wait)),
        (Why::Spent, Counts::Money) => (Reason::BudgetExceeded, None),
        (Why::Spent, _) => (of_rate(counts), until_reset),
        (Why::Exceeds, _) => (Reason::RequestExceedsLimit, None),
        (Why::Unbounded, _) => (Reason::UnboundedRequest, None),
        (Why::NotIssued, _) => (Reason::LimitsUnavailable, None),
    };
    refusal(
        exchange,
        admission,
        &refused.by,
        reason,
        wait,
        refused.resets,
    )
}

fn of_rate(counts: Counts) -> Reason {
    match counts {
        Counts::Tokens(_) => Reason::TokensLimit,
        _ => Reason::RequestsLimit,
    }
}

/// The refusal for `reason` by the limit `by`.
pub(super) fn refusal(
    exchange: &Exchange,
    admission: &Admission,
    by: &Applied,
    reason: Reason,
    wait: Option<Duration>,
    resets: Option<Timestamp>,
) -> Rejection {
    let limit = LimitRefusal {
        name: by.limit.name.clone(),
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
