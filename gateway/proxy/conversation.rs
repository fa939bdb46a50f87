//! A WebSocket that passes through. Each response is counted when it ends, so that the metrics show a connection of an
//! hour while it lasts. The access line has the sum.

use jiff::Timestamp;

use super::spend::{Account, price};
use crate::access_log::RequestCost;
use crate::metrics::Metrics;
use crate::usage::{PriceList, Usage, WebSocketCounts, WebSocketMeter, WebSocketResponse};

/// Reads one connection, and sums up what its responses used so far.
pub(super) struct Conversation {
    socket: WebSocketMeter,
    sum: Sum,
}

/// What the responses of a connection used so far.
#[derive(Default)]
pub(super) struct Sum {
    /// The tokens, if any response has reported some.
    pub(super) usage: Option<Usage>,
    /// What they cost, as far as prices are known.
    pub(super) cost: Option<RequestCost>,
    /// The model of the last response.
    pub(super) model: Option<Box<str>>,
}

/// How the responses of a connection are priced and counted.
pub(super) struct Billing<'e> {
    pub(super) account: Account<'e>,
    pub(super) prices: Option<&'e PriceList>,
    pub(super) metrics: &'e Metrics,
}

impl Conversation {
    /// Begins to read a connection that was opened with `path`, which is the provider's.
    pub(super) fn begin(path: &str) -> Self {
        Self {
            socket: WebSocketMeter::new(path),
            sum: Sum::default(),
        }
    }

    /// Reads bytes of the client.
    pub(super) fn read_client(&mut self, bytes: &[u8]) {
        self.socket.read_client(bytes);
    }

    /// Reads bytes of the provider, and counts the responses that end in them.
    pub(super) fn read_provider(&mut self, bytes: &[u8], billing: &Billing<'_>) {
        let Self { socket, sum } = self;
        socket.read_provider(bytes, |response| billing.count(response, sum));
    }

    /// The numbers of messages and responses.
    pub(super) fn counts(&self) -> WebSocketCounts {
        self.socket.counts()
    }

    /// Whether some of it could not be read.
    pub(super) fn is_unreadable(&self) -> bool {
        self.socket.is_unreadable()
    }

    /// What its responses used.
    pub(super) fn sum(&self) -> &Sum {
        &self.sum
    }
}

impl Billing<'_> {
    /// Counts a response that has ended, and adds it to `sum`.
    fn count(&self, response: WebSocketResponse<'_>, sum: &mut Sum) {
        let target = self.account.target;
        target.metrics.websocket_responses.inc();
        let changed = sum.model.as_deref() != response.model;
        if changed {
            sum.model = response.model.map(Into::into);
        }
        let Some(mut usage) = response.usage else {
            return;
        };
        let model = response.model.unwrap_or_default();
        // The connection may be days old: the prices of the day on which the response ends apply. Over HTTP, those of
        // the day on which the request came apply.
        let (cost, unpriced) = price(self.prices, target, Timestamp::now(), model, &usage);
        target.metrics.unpriced.inc_by(unpriced.into());
        let account = &self.account;
        account.count(response.model, &usage, cost.as_ref(), self.metrics);
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
