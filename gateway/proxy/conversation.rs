//! A WebSocket on its way through: each response counts when it ends, so that a connection of an hour is in the metrics
//! while it lasts. The access line has the sum.

use jiff::Timestamp;

use super::admit::Admission;
use super::consumption::{count_tokens, key_label, price};
use super::exchange::Exchange;
use crate::access_log::RequestCost;
use crate::metrics::Metrics;
use crate::usage::{PriceList, Usage, WebSocketCounts, WebSocketMeter, WebSocketResponse};

/// What is read of one connection, and what its responses took so far.
pub struct Conversation {
    socket: WebSocketMeter,
    sum: Sum,
}

/// What the responses of a connection took so far.
#[derive(Default)]
pub(super) struct Sum {
    /// The tokens, if any response has said some.
    pub(super) usage: Option<Usage>,
    /// What they cost, where there are prices.
    pub(super) cost: Option<RequestCost>,
    /// The model of the last response.
    pub(super) model: Option<Box<str>>,
}

/// Where the responses of a connection are counted.
struct Till<'e> {
    admission: &'e Admission,
    prices: Option<&'e PriceList>,
    metrics: &'e Metrics,
}

impl Conversation {
    /// For a connection that `admission` let in.
    pub(super) fn begin(admission: &Admission) -> Self {
        Self {
            socket: WebSocketMeter::new(admission.target()),
            sum: Sum::default(),
        }
    }

    /// How many things came over it.
    pub(super) fn counts(&self) -> WebSocketCounts {
        self.socket.counts()
    }

    /// Whether some of it could not be read.
    pub(super) fn is_blind(&self) -> bool {
        self.socket.is_unreadable()
    }

    /// What its responses took.
    pub(super) fn sum(&self) -> &Sum {
        &self.sum
    }
}

/// Reads bytes of the client, if there is a conversation.
pub(super) fn from_client(exchange: &mut Exchange, bytes: &[u8]) {
    if let Some(conversation) = &mut exchange.seen.conversation {
        conversation.socket.read_client(bytes);
    }
}

/// Reads bytes of the provider, if there is a conversation.
pub(super) fn from_provider(exchange: &mut Exchange, bytes: &[u8]) {
    let Exchange {
        seen,
        admission,
        rules,
        shared,
        ..
    } = exchange;
    let (Some(conversation), Some(admission)) = (&mut seen.conversation, admission) else {
        return;
    };
    let till = Till {
        admission,
        prices: rules.prices.as_deref(),
        metrics: &shared.live.metrics,
    };
    let Conversation { socket, sum } = &mut **conversation;
    socket.read_provider(bytes, |response| till.count(response, sum));
}

impl Till<'_> {
    /// Counts a response that has ended, and adds it to `sum`.
    fn count(&self, response: WebSocketResponse<'_>, sum: &mut Sum) {
        let route = self.admission.route();
        route.metrics.websocket_responses.inc();
        let changed = sum.model.as_deref() != response.model;
        if changed {
            sum.model = response.model.map(Into::into);
        }
        let Some(mut usage) = response.usage else {
            return;
        };
        let model = response.model.unwrap_or_default();
        let (cost, unpriced) = price(self.prices, route, Timestamp::now(), model, &usage);
        route.metrics.unpriced.inc_by(unpriced.into());
        let key = key_label(self.admission.key());
        count_tokens(
            route,
            key,
            response.model,
            &usage,
            cost.as_ref(),
            self.metrics,
        );
        usage.other_models |= changed && sum.usage.is_some();
        sum.add(&usage, cost);
    }
}

impl Sum {
    fn add(&mut self, usage: &Usage, cost: Option<RequestCost>) {
        self.usage = Some(self.usage.map_or(*usage, |before| before.plus(usage)));
        self.cost = match (self.cost.take(), cost) {
            (Some(before), Some(more)) if before.currency == more.currency => Some(RequestCost {
                cost: before.cost.plus(more.cost),
                ..more
            }),
            (before, more) => before.or(more),
        };
    }
}
