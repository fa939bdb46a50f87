//! What the limits of a request would take of it, without taking it: for `keygate explain`.

use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::limit::applied::{Amounts, Applied, Ask, Cell, Most, Why};
use crate::limit::terms::Counts;
use crate::proxy::admit::Admission;
use crate::proxy::attempt::Attempt;
use crate::proxy::limits;
use crate::proxy::limits::refusal::reason;
use crate::proxy::reject::Reason;
use crate::proxy::reserved::ask::{self, Prices};
use crate::snapshot::Rules;
use crate::usage::{Asked, Expected, RequestReader, bills_later};

/// A request that was not sent.
pub(crate) struct Sketch<'s> {
    /// The rules that decide.
    pub(crate) rules: &'s Rules,
    /// The method.
    pub(crate) method: &'s str,
    /// The headers.
    pub(crate) headers: &'s HeaderMap,
    /// Its admission.
    pub(crate) admission: &'s Admission,
    /// Where it would go first.
    pub(crate) attempt: &'s Attempt,
    /// When it comes, by the calendar's clock.
    pub(crate) now: Timestamp,
    /// Its body, if that is known.
    pub(crate) body: Option<&'s [u8]>,
    /// The size of its body, in bytes.
    pub(crate) bytes: u64,
    /// Its model, if the body is not known.
    pub(crate) model: Option<&'s str>,
}

/// What one limit would take.
pub(crate) struct Forecast {
    /// The limit.
    pub(crate) applied: Applied,
    /// The units that it would reserve, or the reason for which it would refuse any request like this.
    pub(crate) units: Result<i64, Reason>,
}

impl Forecast {
    /// The reason for which the limit would refuse if so much is not left.
    pub(crate) fn reason_if_short(&self) -> Reason {
        let why = match self.applied.cell {
            Cell::Rate(..) => Why::Wait(Duration::ZERO),
            Cell::Slots(..) => Why::Taken(Duration::ZERO),
            Cell::Budget(_) => Why::Spent,
        };
        reason(why, self.applied.limit.counts)
    }
}

/// What each limit of the request would take. `learnt` is what requests like it used so far.
pub(crate) fn forecast(sketch: &Sketch<'_>, learnt: Amounts) -> Vec<Forecast> {
    let (admission, attempt) = (sketch.admission, sketch.attempt);
    let Some(lists) = limits::lists(&sketch.rules.plan, || sketch.now, admission, attempt) else {
        return Vec::new();
    };
    let reader = sketch.reader();
    let asked = reader
        .as_ref()
        .map(|reader| reader.asked_at(attempt.path()));
    let asked = asked.unwrap_or_else(|| sketch.asked());
    let model = limits::model(&asked, attempt.path()).map(|model| model.to_lowercase());
    let prices = sketch.prices(model.as_deref());
    let expected = limits::expectation(sketch.method, admission, attempt);
    let ask = match expected {
        Expected::Nothing => Ask::default(),
        _ if reader.is_some() => ask::of_body(&asked, learnt, prices),
        _ => Ask {
            most: Most::Later,
            ..ask::of_body(&asked, learnt, prices)
        },
    };
    let limits = lists
        .on(&admission.route().name)
        .map(|(_, applied)| applied);
    let limits = limits.filter(|applied| applied.is_for(model.as_deref()));
    let limits = limits.filter(|it| expected != Expected::Nothing || !is_of_use(it));
    let forecast = |applied: &Applied| Forecast {
        units: sketch.units(applied, &ask, expected, &prices),
        applied: applied.clone(),
    };
    limits.map(forecast).collect()
}

impl Sketch<'_> {
    /// The reader of the body, which has read it.
    fn reader(&self) -> Option<RequestReader> {
        let value = |name: &HeaderName, otherwise: &'static str| {
            let value = self.headers.get(name).map(|it| it.as_bytes().to_vec());
            value.unwrap_or_else(|| otherwise.into())
        };
        let media_type = value(&CONTENT_TYPE, "application/json");
        let mut reader = RequestReader::of(&media_type, &value(&CONTENT_ENCODING, ""));
        reader.feed(self.body?);
        Some(reader)
    }

    /// What a request asks of which only the size and the model are known.
    fn asked(&self) -> Asked<'_> {
        Asked {
            model: self.model,
            two_models: false,
            output_cap: None,
            outputs: 1,
            stream: false,
            background: false,
            service_tier: None,
            media: false,
            by_reference: false,
            bytes: self.bytes,
            is_readable: true,
        }
    }

    fn prices<'p>(&'p self, model: Option<&'p str>) -> Prices<'p> {
        Prices {
            list: self.rules.prices.as_deref(),
            provider: &self.attempt.provider().name,
            is_reported: self.attempt.provider().kind.reports_cost == Some(true),
            model,
            day: self.now.to_zoned(TimeZone::UTC).date(),
        }
    }

    fn units(
        &self,
        applied: &Applied,
        ask: &Ask,
        expected: Expected,
        prices: &Prices<'_>,
    ) -> Result<i64, Reason> {
        let limit = &applied.limit;
        let mut readings = self.attempt.readings();
        if is_of_use(applied)
            && !limit.unmetered
            && readings.any(|path| {
                bills_later(
                    limits::method_at_provider(self.method, self.admission),
                    path,
                )
            })
        {
            return Err(Reason::UnmeteredEndpoint);
        }
        let is_of_money = limit.counts == Counts::Money && !limit.unpriced;
        if is_of_money && expected == Expected::Tokens && prices.lack_model() {
            return Err(Reason::UnpricedModel);
        }
        let units = applied.units(ask);
        units.map_err(|why| reason(why, limit.counts))
    }
}

fn is_of_use(applied: &Applied) -> bool {
    matches!(applied.limit.counts, Counts::Tokens(_) | Counts::Money)
}
