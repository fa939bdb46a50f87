//! What an exchange used, as far as that is known when it is over: events, tokens, money.

use super::admit::Admission;
use super::attempt::Attempt;
use super::conversation::Conversation;
use super::exchange::Exchange;
use super::spend::{Account, price};
use super::stream_usage::StreamUsage;
use crate::access_log::RequestCost;
use crate::metrics::Metrics;
use crate::usage::{Expected, Meter, Metering, Usage, expected};

/// The reason in the access line of a response with a good status that had an error among its events.
const ERROR_EVENT: &str = "error_event";

/// What an exchange used.
#[derive(Default)]
pub(super) struct Consumption<'e> {
    /// The events that the client got.
    pub(super) events: u64,
    /// The errors among them; for JSON that is no stream of events, the documents that were errors.
    pub(super) errors: u64,
    /// The responses that ended over a WebSocket. Their usage has been counted already.
    pub(super) responses: Option<u64>,
    /// The model, as the response names it.
    pub(super) model: Option<&'e str>,
    /// The tokens.
    pub(super) usage: Option<Usage>,
    /// Whether the tokens are an estimate.
    pub(super) estimated: bool,
    /// What the tokens cost.
    pub(super) cost: Option<RequestCost>,
    /// 1 for a stream that reported no tokens, although it should have.
    unmetered: u64,
    /// The responses, streams or not, that reported no tokens, although they should have.
    unmetered_responses: u64,
    /// 1 if there are prices, and none for the model.
    unpriced: u64,
    /// The token counts that could not be valid.
    malformed: u64,
    /// 1 for a response that could not be decoded.
    unreadable: u64,
    /// The average seconds from one event to the next.
    pace: Option<f64>,
}

impl<'e> Consumption<'e> {
    /// What `exchange` used, which ended with `status`.
    pub(super) fn of(exchange: &'e Exchange, status: u16) -> Self {
        let expectation = Expectation::of(exchange, status);
        if let Some(meter) = &exchange.stats.meter {
            return Self::of_meter(exchange, meter, status, &expectation);
        }
        if let Some(conversation) = &exchange.stats.conversation {
            return Self::of_conversation(conversation);
        }
        // A binary response, or a stream that is not to be read.
        let unread = expectation.is_made() && expectation.metering != Metering::Off;
        Self {
            unmetered_responses: unread.into(),
            ..Self::default()
        }
    }

    /// What a response used that `meter` read.
    fn of_meter(
        exchange: &'e Exchange,
        meter: &'e Meter,
        status: u16,
        expectation: &Expectation,
    ) -> Self {
        let stream_usage = exchange.stream_usage.as_deref();
        let removed = stream_usage.map_or(0, StreamUsage::taken_out);
        let events = meter.events().saturating_sub(removed);
        let errors = expectation.errors(meter, status);
        let reported = meter.usage().filter(|_| expectation.counts());
        // A provider that reports zeros alone has filled in placeholders.
        let is_silent = reported.is_none_or(|usage| usage.is_empty());
        let is_unread = meter.is_stream() && expectation.metering == Metering::Off;
        let unmetered = meter.is_stream()
            && !is_unread
            && is_silent
            && expectation.went_well
            && expectation.counts();
        let output = events.saturating_sub(errors);
        let estimated = unmetered && expectation.is_estimated() && output > 0;
        let estimate = estimated.then(|| Usage {
            output,
            ..Usage::default()
        });
        let usage = estimate.or(reported);
        let (cost, unpriced) = cost(exchange, meter, usage.as_ref());
        Self {
            events,
            responses: None,
            errors,
            model: meter.model(),
            usage,
            estimated,
            cost,
            unmetered: unmetered.into(),
            unmetered_responses: (expectation.is_made() && is_silent && !is_unread).into(),
            unpriced: unpriced.into(),
            malformed: meter.malformed(),
            unreadable: (expectation.went_well && meter.is_unreadable()).into(),
            pace: pace(exchange, meter),
        }
    }

    /// What a WebSocket used that is over.
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
            unreadable: conversation.is_unreadable().into(),
            ..Self::default()
        }
    }

    /// The reason in the access line of a response that had an error in it.
    pub(super) fn error(&self) -> Option<&'static str> {
        (self.errors > 0).then_some(ERROR_EVENT)
    }

    /// Counts it in the metrics.
    pub(super) fn count(&self, account: &Account<'_>, all: &Metrics) {
        let metrics = &account.target.metrics;
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
        if self.estimated {
            account.count_estimate(self.model, usage, self.cost.as_ref(), all);
        } else {
            account.count(self.model, usage, self.cost.as_ref(), all);
        }
    }
}

/// What a response is expected to report, by its request.
struct Expectation {
    expected: Expected,
    metering: Metering,
    /// Whether its status is one of success.
    went_well: bool,
}

impl Expectation {
    fn of(exchange: &Exchange, status: u16) -> Self {
        let admission = exchange.admission.as_ref();
        let method = match admission {
            Some(admission) if admission.may_be_post() => "POST",
            _ => exchange.stats.method,
        };
        // Of several readings of the path, the one that most likely has a model work.
        let attempt = exchange.attempt.as_ref();
        let readings = attempt.into_iter().flat_map(Attempt::readings);
        let expected = readings.map(|path| expected(method, path)).max();
        let route = admission.map(Admission::route);
        Self {
            expected: expected.unwrap_or(Expected::Nothing),
            metering: route.map_or(Metering::Off, |route| route.metering),
            went_well: (200..300).contains(&status),
        }
    }

    /// Whether tokens count that the response reports.
    fn counts(&self) -> bool {
        self.expected != Expected::Nothing
    }

    /// Whether a model worked for the response, which must report tokens then.
    fn is_made(&self) -> bool {
        self.went_well && self.expected == Expected::Tokens
    }

    /// Whether the output of a stream without tokens is estimated. Where streams are made to report their usage, such
    /// a stream was kept from doing so, or left before its end.
    fn is_estimated(&self) -> bool {
        [Metering::Estimated, Metering::Exact].contains(&self.metering)
    }

    /// The errors of this response. One that its status reports is not counted again, nor one that a document reports
    /// which was made by an earlier request.
    fn errors(&self, meter: &Meter, status: u16) -> u64 {
        let is_own = status < 400 && (meter.is_stream() || self.counts());
        if is_own { meter.errors() } else { 0 }
    }
}

/// What `usage` cost, and whether that is unknown although there are prices.
fn cost(exchange: &Exchange, meter: &Meter, usage: Option<&Usage>) -> (Option<RequestCost>, bool) {
    let (Some(attempt), Some(usage)) = (&exchange.attempt, usage) else {
        return (None, false);
    };
    let prices = exchange.rules.prices.as_deref();
    // The prices of the day on which the request came. A WebSocket's responses have those of the day on which they end.
    let model = meter.model().unwrap_or_default();
    price(prices, attempt.target(), exchange.time, model, usage)
}

/// The average seconds from one event to the next.
fn pace(exchange: &Exchange, meter: &Meter) -> Option<f64> {
    let gaps = u32::try_from(meter.events()).ok()?.checked_sub(1)?;
    let (first, last) = exchange.stats.body?;
    (gaps > 0).then(|| last.saturating_duration_since(first).as_secs_f64() / f64::from(gaps))
}
