//! What an exchange used: events, tokens, money.

use jiff::tz::TimeZone;

use super::exact::Exact;
use super::exchange::Exchange;
use crate::access_log::Price;
use crate::metrics::{Metrics, Spent};
use crate::route::Route;
use crate::usage::{Meter, Metering, Usage};

/// As far as it is known when the exchange is over.
#[derive(Default)]
pub(super) struct Spending<'e> {
    /// Events that the client got.
    pub(super) events: u64,
    /// The model, as the answer names it.
    pub(super) model: Option<&'e str>,
    /// The tokens.
    pub(super) usage: Option<Usage>,
    /// Whether these are estimated.
    pub(super) estimated: bool,
    /// What they cost.
    pub(super) cost: Option<Price>,
    /// A stream that said nothing of tokens: money that nobody has counted.
    unmetered: u64,
    /// Whether there are prices, and none for the model.
    unpriced: u64,
    malformed: u64,
    /// An answer whose compression could not be read.
    unreadable: u64,
    /// The average seconds from one event to the next.
    pace: Option<f64>,
}

impl<'e> Spending<'e> {
    /// Of an exchange that ended with `status`.
    pub(super) fn of(exchange: &'e Exchange, status: u16) -> Self {
        let Some(meter) = &exchange.seen.meter else {
            return Self::default();
        };
        let taken_out = exchange.exact.as_deref().map_or(0, Exact::taken_out);
        let events = meter.events().saturating_sub(taken_out);
        let told = meter.usage();
        let went_well = (200..300).contains(&status);
        let unmetered = meter.is_stream() && told.is_none() && went_well;
        let route = exchange
            .admission
            .as_ref()
            .map(super::admit::Admission::route);
        // Where streams are asked, one that says nothing all the same was kept from it, or left before its end.
        let wanted = [Metering::Estimated, Metering::Exact];
        let wanted = route.is_some_and(|route| wanted.contains(&route.metering));
        let estimated = unmetered && wanted && events > 0;
        let usage = told.or_else(|| {
            let output = events;
            estimated.then(|| Usage {
                output,
                ..Usage::default()
            })
        });
        let (cost, unpriced) = price(exchange, route.map(AsRef::as_ref), meter, usage.as_ref());
        Self {
            events,
            model: meter.model(),
            usage,
            estimated,
            cost,
            unmetered: unmetered.into(),
            unpriced: unpriced.into(),
            malformed: meter.malformed(),
            unreadable: (went_well && meter.is_blind()).into(),
            pace: pace(exchange, meter),
        }
    }

    /// Counts it, for `key` as the metrics call it.
    pub(super) fn count(&self, route: &Route, key: &str, all: &Metrics) {
        let metrics = &route.metrics;
        metrics.events.inc_by(self.events);
        metrics.malformed_usage.inc_by(self.malformed);
        metrics.unmetered.inc_by(self.unmetered);
        metrics.unreadable.inc_by(self.unreadable);
        metrics.unpriced.inc_by(self.unpriced);
        if let Some(pace) = self.pace {
            metrics.time_per_event.observe(pace);
        }
        let Some(usage) = &self.usage else { return };
        let spent = Spent {
            route: &route.name,
            provider: &route.provider.name,
            key,
            model: route.model_label(self.model),
        };
        if self.estimated {
            all.tokens(&spent, &[("output_estimated", usage.output)]);
        } else {
            all.tokens(&spent, &by_type(usage));
        }
        if let Some(Price { cost, currency }) = &self.cost {
            all.cost(&spent, currency, cost.billionths());
        }
    }
}

/// What the tokens cost; and whether that is not known although there are prices.
fn price(
    exchange: &Exchange,
    route: Option<&Route>,
    meter: &Meter,
    usage: Option<&Usage>,
) -> (Option<Price>, bool) {
    let (Some(prices), Some(route), Some(usage)) = (&exchange.rules.prices, route, usage) else {
        return (None, false);
    };
    let day = exchange.time.to_zoned(TimeZone::UTC).date();
    let model = meter.model().unwrap_or_default();
    let rates = prices.rates(&route.provider.name, model, day);
    let price = rates.map(|rates| Price {
        cost: rates.cost(usage),
        currency: prices.currency.clone(),
    });
    let unpriced = price.is_none();
    (price, unpriced)
}

/// How long it was from one event to the next.
fn pace(exchange: &Exchange, meter: &Meter) -> Option<f64> {
    let gaps = u32::try_from(meter.events()).ok()?.checked_sub(1)?;
    let (first, last) = exchange.seen.body?;
    (gaps > 0).then(|| last.saturating_duration_since(first).as_secs_f64() / f64::from(gaps))
}

fn by_type(usage: &Usage) -> [(&'static str, u64); 5] {
    [
        ("input", usage.input),
        ("output", usage.output),
        ("cache_read", usage.cache_read),
        ("cache_creation", usage.cache_creation),
        ("reasoning", usage.reasoning),
    ]
}
