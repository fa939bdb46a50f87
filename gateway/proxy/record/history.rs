//! What the history has of an exchange: the sums of its access line.

use std::sync::Arc;

use crate::access_log::AccessRecord;
use crate::ledger::{Sums, UsageRow, Whose};
use crate::usage::Usage;

/// What one count adds to a sum at most: sums of many stay far from the end of an `i64`.
const MOST: u64 = u64::MAX >> 16;

/// The row of the history for the exchange with this access line.
pub(super) fn row(line: &AccessRecord) -> UsageRow {
    let name = |name: &Option<Arc<str>>| name.clone().unwrap_or_default();
    let cost = line.cost.as_ref();
    let usage = line.usage.unwrap_or_default();
    UsageRow {
        at: line.time,
        whose: Whose {
            key: name(&line.key),
            route: name(&line.route),
            provider: name(&line.provider),
            model: line.model.as_deref().unwrap_or_default().into(),
            currency: cost.map(|cost| cost.currency.clone()).unwrap_or_default(),
        },
        sums: Sums {
            requests: 1,
            refusals: line.refused_by.is_some().into(),
            aborted: line.client_left.into(),
            metered: line.usage.is_some().into(),
            estimated: line.estimated.into(),
            cost: cost.map_or(0, |cost| units(u64::try_from(cost.cost.0).unwrap_or(MOST))),
            ..tokens(&usage)
        },
    }
}

fn tokens(usage: &Usage) -> Sums {
    Sums {
        input: units(usage.input),
        output: units(usage.output),
        cached: units(usage.cache_read),
        cache_creation: units(usage.cache_creation),
        reasoning: units(usage.reasoning),
        media: usage.media.by_type().map(|(_, count)| units(count)),
        ..Sums::default()
    }
}

fn units(count: u64) -> i64 {
    count.min(MOST).cast_signed()
}
