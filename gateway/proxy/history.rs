//! Phase 5, record: what an exchange used, for the history in the ledger. Only where there is one: it costs memory.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::consumption::Consumption;
use super::exchange::Exchange;
use super::reject::Reason;
use super::reserved::ask::whole_billionths;
use super::shared::Shared;
use crate::ledger::{Sums, UsageRow, Whose};

/// Whatever is not known.
static NOTHING: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));

/// Who used it.
pub(super) struct Who<'e> {
    /// The key's id, if the route requires a key.
    pub(super) key: Option<&'e Arc<str>>,
    /// The route's name.
    pub(super) route: &'e Arc<str>,
    /// The provider that was asked, or would have been.
    pub(super) provider: &'e Arc<str>,
    /// The model, as the response names it, or else the request.
    pub(super) model: Option<&'e str>,
}

/// Adds what `exchange` used to the history. It `took` so long.
pub(super) fn note(
    exchange: &Exchange,
    who: Who<'_>,
    consumption: &Consumption<'_>,
    took: Duration,
    shared: &Shared,
) {
    let reason = exchange.rejection.as_ref().map(|it| it.reason);
    if reason == Some(Reason::Preflight) {
        return;
    }
    let is_refused = is_refused(exchange);
    let provider = if is_refused { &NOTHING } else { who.provider };
    let cost = consumption.cost.as_ref();
    let whose = Whose {
        key: who.key.unwrap_or(&NOTHING).clone(),
        route: who.route.clone(),
        provider: provider.clone(),
        model: who.model.map_or_else(|| NOTHING.clone(), Arc::from),
        currency: cost.map_or(&*NOTHING, |cost| &cost.currency).clone(),
    };
    shared.ledger.note_usage(UsageRow {
        at: exchange.time.saturating_add(took).unwrap_or(exchange.time),
        whose,
        sums: sums(consumption, is_refused),
    });
}

/// Whether the gateway refused the request, instead of sending it to the provider. One that the provider did not take, or
/// whose client left, was admitted.
fn is_refused(exchange: &Exchange) -> bool {
    let Some(rejection) = &exchange.rejection else {
        return false;
    };
    let is_for_client = (400..500).contains(&rejection.reason.status())
        && !matches!(rejection.reason, Reason::ClientClosed | Reason::KeyRevoked);
    let is_own = is_for_client || rejection.limit.is_some() || exchange.attempt.is_none();
    is_own && exchange.stats.first_byte.is_none()
}

fn sums(consumption: &Consumption<'_>, is_refused: bool) -> Sums {
    let usage = consumption.usage.unwrap_or_default();
    let cost = consumption
        .cost
        .as_ref()
        .map(|cost| whole_billionths(cost.cost));
    Sums {
        requests: i64::from(!is_refused),
        refusals: i64::from(is_refused),
        input: count(usage.input),
        output: count(usage.output),
        cached: count(usage.cache_read),
        cost: count(cost.unwrap_or(0)),
    }
}

fn count(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}
