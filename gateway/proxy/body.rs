//! The body of a request: how much of it, how fast, and until when.

use std::time::Duration;

use pingora_core::Result;
use pingora_proxy::Session;

use super::exchange::Exchange;
use super::reject::Reason;

/// How long a body may take before anybody looks at how fast it comes.
const BODY_GRACE: Duration = Duration::from_secs(10);

/// Refuses a body that has become too long, took too long, or comes too slowly.
pub(super) fn bound_the_body(session: &Session, exchange: &mut Exchange) -> Result<()> {
    let Some(admission) = &exchange.admission else {
        return Ok(());
    };
    let total = admission.route().provider.endpoint.timeouts.total;
    let limit = exchange.rules.server.limits.max_request_body;
    let took = exchange.started.elapsed();
    let reason = if exchange.seen.request_bytes > limit && !session.was_upgraded() {
        Reason::BodyTooLarge
    } else if total.is_some_and(|total| took >= total)
        || (is_slow(exchange, took) && !session.was_upgraded())
    {
        Reason::RequestTimeout
    } else {
        return Ok(());
    };
    let rejection = admission.rejection(reason);
    Err(exchange.refuse(rejection))
}

/// Whether less of the body came in the time that it `took` than must have by then.
fn is_slow(exchange: &Exchange, took: Duration) -> bool {
    let late = took.saturating_sub(BODY_GRACE).as_secs();
    let due = exchange
        .rules
        .server
        .limits
        .min_body_rate
        .saturating_mul(late);
    exchange.seen.request_bytes < due
}
