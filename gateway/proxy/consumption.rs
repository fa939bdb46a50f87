//! What an exchange used: events, tokens, money.

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::admit::Admission;
use super::conversation::Conversation;
use super::exchange::Exchange;
use super::stream_usage::StreamUsage;
use crate::access_log::RequestCost;
use crate::key::ClientKey;
use crate::metrics::{Metrics, NO_KEY, OTHER_KEYS, UsageLabels};
use crate::route::Route;
use crate::usage::{CostSource, Expected, Media, Meter, Metering, PriceList, Usage, expected};

/// The reason in the access line of a response whose status was good, and which had an error among its events.
const ERROR_EVENT: &str = "error_event";

/// The currency of the costs that providers say themselves (see the places of `Says::Cost` in `usage`).
static DOLLARS: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("USD"));

/// As far as it is known when the exchange is over.
#[derive(Default)]
pub(super) struct Consumption<'e> {
    /// Events that the client got.
    pub(super) events: u64,
    /// Of these, errors; of JSON that is no stream of events, the documents that were errors.
    pub(super) errors: u64,
    /// Responses that ended over a WebSocket, which are counted already.
    pub(super) responses: Option<u64>,
    /// The model, as the response names it.
    pub(super) model: Option<&'e str>,
    /// The tokens.
    pub(super) usage: Option<Usage>,
    /// Whether these are estimated.
    pub(super) estimated: bool,
    /// What they cost.
    pub(super) cost: Option<RequestCost>,
    /// A stream that said nothing of tokens: money that nobody has counted.
    unmetered: u64,
    /// A response, a stream or not, that should have said tokens and did not.
    unmetered_responses: u64,
    /// Whether there are prices, and none for the model.
    unpriced: u64,
    malformed: u64,
    /// A response whose compression could not be read.
    unreadable: u64,
    /// The average seconds from one event to the next.
    pace: Option<f64>,
}

impl<'e> Consumption<'e> {
    /// Of an exchange that ended with `status`.
    pub(super) fn of(exchange: &'e Exchange, status: u16) -> Self {
        let admission = exchange.admission.as_ref();
        let route = admission.map(Admission::route);
        let method = match admission {
            Some(admission) if admission.post() => "POST",
            _ => exchange.seen.method,
        };
        // Of several readings of the path, the one by which tokens are made.
        let readings = admission.into_iter().flat_map(Admission::readings);
        let expected = readings
            .map(|target| expected(method, target))
            .max()
            .unwrap_or(Expected::Nothing);
        let went_well = (200..300).contains(&status);
        let made = went_well && expected == Expected::Tokens;
        let metering = route.map_or(Metering::Off, |route| route.metering);
        let Some(meter) = &exchange.seen.meter else {
            if let Some(conversation) = &exchange.seen.conversation {
                return Self::of_conversation(conversation);
            }
            // Binary, or a stream that is not to be read.
            let unread = made && metering != Metering::Off;
            return Self {
                unmetered_responses: unread.into(),
                ..Self::default()
            };
        };
        let taken_out = exchange.exact.as_deref().map_or(0, StreamUsage::taken_out);
        let events = meter.events().saturating_sub(taken_out);
        let told = meter.usage().filter(|_| expected != Expected::Nothing);
        // Zeros alone are placeholders.
        let silent = told.is_none_or(|usage| usage.is_empty());
        let unread = meter.is_stream() && metering == Metering::Off;
        let unmetered =
            meter.is_stream() && !unread && silent && went_well && expected != Expected::Nothing;
        // Where streams are asked, one that says nothing all the same was kept from it, or left before its end.
        let wanted = [Metering::Estimated, Metering::Exact].contains(&metering);
        // What failed earlier, and is fetched now, is no error of this response; nor is one that its status says.
        let is_own = status < 400 && (meter.is_stream() || expected != Expected::Nothing);
        let errors = if is_own { meter.errors() } else { 0 };
        let output = events.saturating_sub(errors);
        let estimated = unmetered && wanted && output > 0;
        let guess = estimated.then(|| Usage {
            output,
            ..Usage::default()
        });
        let usage = guess.or(told);
        let (cost, unpriced) = match (route, &usage) {
            (Some(route), Some(usage)) => {
                let prices = exchange.rules.prices.as_deref();
                let model = meter.model().unwrap_or_default();
                price(prices, route, exchange.time, model, usage)
            }
            _ => (None, false),
        };
        Self {
            events,
            responses: None,
            errors,
            model: meter.model(),
            usage,
            estimated,
            cost,
            unmetered: unmetered.into(),
            unmetered_responses: (made && silent && !unread).into(),
            unpriced: unpriced.into(),
            malformed: meter.malformed(),
            unreadable: (went_well && meter.is_unreadable()).into(),
            pace: pace(exchange, meter),
        }
    }

    /// Of a WebSocket that is over.
    fn of_conversation(conversation: &'e Conversation) -> Self {
        let (counts, sum) = (conversation.counts(), conversation.sum());
        Self {
            responses: Some(counts.responses),
            errors: counts.errors,
            model: sum.model.as_deref(),
            usage: sum.usage,
            cost: sum.cost.clone(),
            unmetered_responses: counts.unmetered(),
            malformed: counts.malformed,
            unreadable: conversation.is_blind().into(),
            ..Self::default()
        }
    }

    /// What the access line says of a stream that had an error in it.
    pub(super) fn error(&self) -> Option<&'static str> {
        (self.errors > 0).then_some(ERROR_EVENT)
    }

    /// Counts it, for `key` as the metrics call it.
    pub(super) fn count(&self, route: &Route, key: &str, all: &Metrics) {
        let metrics = &route.metrics;
        metrics.events.inc_by(self.events);
        metrics.malformed_usage.inc_by(self.malformed);
        metrics.unmetered.inc_by(self.unmetered);
        metrics.unmetered_responses.inc_by(self.unmetered_responses);
        metrics.error_events.inc_by(self.errors);
        metrics.unreadable.inc_by(self.unreadable);
        metrics.unpriced.inc_by(self.unpriced);
        if let Some(pace) = self.pace {
            metrics.time_per_event.observe(pace);
        }
        let usage = self.usage.as_ref().filter(|_| self.responses.is_none());
        let Some(usage) = usage else { return };
        let spent = spent(route, key, self.model);
        if self.estimated {
            all.tokens(&spent, &[("output_estimated", usage.output)]);
        } else {
            count_by_type(&spent, usage, all);
        }
        count_cost(&spent, self.cost.as_ref(), all);
    }
}

/// What the metrics call a key.
pub(super) fn key_label(key: Option<&Arc<ClientKey>>) -> &str {
    match key {
        None => NO_KEY,
        Some(key) if key.counted => &key.id,
        Some(_) => OTHER_KEYS,
    }
}

/// Counts what one response took, for `key` as the metrics call it.
pub(super) fn count_tokens(
    route: &Route,
    key: &str,
    model: Option<&str>,
    usage: &Usage,
    cost: Option<&RequestCost>,
    all: &Metrics,
) {
    let spent = spent(route, key, model);
    count_by_type(&spent, usage, all);
    count_cost(&spent, cost, all);
}

fn spent<'s>(route: &'s Route, key: &'s str, model: Option<&str>) -> UsageLabels<'s> {
    UsageLabels {
        route: &route.name,
        provider: &route.provider.name,
        key,
        model: route.model_label(model),
    }
}

fn count_cost(spent: &UsageLabels<'_>, cost: Option<&RequestCost>, all: &Metrics) {
    if let Some(RequestCost { cost, currency, .. }) = cost {
        all.cost(spent, currency, cost.billionths());
    }
}

/// What a response cost that was made at `time`, as its provider says or else by the price file; and whether that is not
/// known although there are prices.
pub(super) fn price(
    prices: Option<&PriceList>,
    route: &Route,
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
    let cost = prices.cost(&route.provider.name, model, day, usage);
    let price = cost.map(|cost| RequestCost {
        cost,
        currency: prices.currency.clone(),
        source: CostSource::Prices,
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

/// Counts tokens by type: those of media apart, since few responses have any.
fn count_by_type(spent: &UsageLabels<'_>, usage: &Usage, all: &Metrics) {
    let types = [
        ("input", usage.input),
        ("output", usage.output),
        ("cache_read", usage.cache_read),
        ("cache_creation", usage.cache_creation),
        ("reasoning", usage.reasoning),
    ];
    all.tokens(spent, &types);
    if usage.media != Media::default() {
        all.tokens(spent, &usage.media.by_type());
    }
}
