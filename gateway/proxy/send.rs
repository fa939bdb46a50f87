//! Phase 3: makes the head that goes up. What is in it is decided by [`inject`].

use http::HeaderMap;
use pingora::http::RequestHeader;
use pingora_core::Result;

use super::exchange::Exchange;
use super::inject;
use super::reject::Reason;
use super::stream_usage::StreamUsage;

/// Turns `upstream`, a copy of the client's head, into the provider's. `client` are the headers as the client sent them.
pub(super) fn head(
    exchange: &mut Exchange,
    client: &HeaderMap,
    upstream: &mut RequestHeader,
) -> Result<()> {
    let (Some(admission), Some(attempt)) = (&exchange.admission, &exchange.attempt) else {
        let rejection = exchange.rejection_for(Reason::Internal);
        return Err(exchange.refuse(rejection));
    };
    inject::rewrite(admission, attempt, client, upstream)?;
    exchange.stream_usage =
        StreamUsage::begin(admission.route().metering, attempt, upstream)?.map(Box::new);
    if let Some(trace) = &exchange.trace {
        trace.pass_on(upstream)?;
    }
    let connecting = attempt.tries.connecting;
    let body_took = exchange.held.as_ref().map(|held| held.took());
    let of_others = connecting + body_took.unwrap_or_default();
    let ready = exchange.watchdog.read_clock();
    let stats = &mut exchange.stats;
    stats.added = ready
        .saturating_duration_since(exchange.started)
        .saturating_sub(of_others);
    stats.added_request = Some(stats.added);
    Ok(())
}
