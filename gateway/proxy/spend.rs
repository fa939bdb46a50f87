//! What a response cost, and the metrics of tokens and money. It knows no exchange: a WebSocket has many responses.

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::access_log::RequestCost;
use crate::key::ClientKey;
use crate::metrics::{Metrics, NO_KEY, OTHER_KEYS, UsageLabels};
use crate::route::{Route, Target};
use crate::usage::{CostSource, Media, PriceList, Usage};

/// The currency of the costs that providers report themselves (see `Usage::reported_cost`).
static DOLLARS: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("USD"));

/// Where usage is counted.
#[derive(Clone, Copy)]
pub(super) struct Account<'e> {
    /// The route that the request took.
    pub(super) route: &'e Route,
    /// The target that served it.
    pub(super) target: &'e Target,
    /// The metric label of its key: see [`key_label`].
    pub(super) key: &'e str,
}

impl Account<'_> {
    /// Counts the tokens and the cost of one response.
    pub(super) fn count(
        &self,
        model: Option<&str>,
        usage: &Usage,
        cost: Option<&RequestCost>,
        all: &Metrics,
    ) {
        let labels = self.labels(model);
        count_by_type(&labels, usage, all);
        count_cost(&labels, cost, all);
    }

    /// Counts the tokens and the cost of one response that reported none, and whose output is an estimate.
    pub(super) fn count_estimate(
        &self,
        model: Option<&str>,
        usage: &Usage,
        cost: Option<&RequestCost>,
        all: &Metrics,
    ) {
        let labels = self.labels(model);
        all.tokens(&labels, &[("output_estimated", usage.output)]);
        count_cost(&labels, cost, all);
    }

    fn labels<'s>(&'s self, model: Option<&'s str>) -> UsageLabels<'s> {
        UsageLabels {
            route: &self.route.name,
            provider: &self.target.provider.name,
            key: self.key,
            model: self.route.model_label(model),
        }
    }
}

/// The metric label of a key.
pub(super) fn key_label(key: Option<&ClientKey>) -> &str {
    match key {
        None => NO_KEY,
        Some(key) if key.counted => &key.id,
        Some(_) => OTHER_KEYS,
    }
}

/// The cost of a response that `target` made at `time`: the cost that its provider reports, or else the cost by the
/// price list.
/// Also returns whether there is a price list and the cost is unknown nevertheless.
pub(super) fn price(
    prices: Option<&PriceList>,
    target: &Target,
    time: Timestamp,
    model: &str,
    usage: &Usage,
) -> (Option<RequestCost>, bool) {
    if let Some(cost) = usage.reported_cost {
        let reported = RequestCost {
            cost,
            currency: DOLLARS.clone(),
            source: CostSource::Provider,
        };
        return (Some(reported), false);
    }
    let Some(prices) = prices else {
        return (None, false);
    };
    let day = time.to_zoned(TimeZone::UTC).date();
    let cost = prices.cost(&target.provider.name, model, day, usage);
    let price = cost.map(|cost| RequestCost {
        cost,
        currency: prices.currency.clone(),
        source: CostSource::Prices,
    });
    let unpriced = price.is_none();
    (price, unpriced)
}

/// Counts tokens by type. Those of media are counted apart, since few responses have any.
fn count_by_type(labels: &UsageLabels<'_>, usage: &Usage, all: &Metrics) {
    let types = [
        ("input", usage.input),
        ("output", usage.output),
        ("cache_read", usage.cache_read),
        ("cache_creation", usage.cache_creation),
        ("reasoning", usage.reasoning),
    ];
    all.tokens(labels, &types);
    if usage.media != Media::default() {
        all.tokens(labels, &usage.media.by_type());
    }
}

fn count_cost(labels: &UsageLabels<'_>, cost: Option<&RequestCost>, all: &Metrics) {
    if let Some(RequestCost { cost, currency, .. }) = cost {
        all.cost(labels, currency, cost.billionths());
    }
}
