//! Usage metering: token counts, model and cost, read from a response beside the stream, and the
//! price list.
//!
//! Nothing here changes or delays a body, except [`IncludeUsage`] and [`ExcludeUsage`] on routes
//! that ask for them. This module does no I/O and knows neither Pingora nor routes.

mod billing;
mod counts;
mod endpoints;
mod errors;
mod events;
mod exclude;
mod expected;
mod extract;
mod fields;
mod form;
mod include;
mod media;
mod meter;
mod modality;
mod model_name;
mod money;
mod parts;
mod price_file;
mod prices;
mod rates;
mod request;
mod tariff;
#[cfg(test)]
mod tests;
mod tokens;
mod websocket;

pub(crate) use endpoints::{bills_later, model_in_path};
pub use exclude::ExcludeUsage;
pub(crate) use expected::{Expected, expected, runs_without_usage};
pub use include::IncludeUsage;
pub(crate) use include::ROOM;
pub use media::{Media, MediumTokens};
pub use meter::Meter;
pub(crate) use model_name::normal;
pub(crate) use money::{Cost, CostSource, Rate};
pub(crate) use prices::PriceList;
pub use prices::Prices;
pub use request::{Asked, RequestReader};
pub use tokens::{ServiceTier, Usage};
pub use websocket::WebSocketMeter;
pub(crate) use websocket::{WebSocketCounts, WebSocketResponse};

/// The value of the setting `meter_streams`: how the usage of a route's event streams is metered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Metering {
    /// Streams are not read.
    Off,
    /// Reported usage is counted; a stream that reports none is counted as unmetered.
    #[default]
    Reported,
    /// As `Reported`, and in a stream that reports no usage, each event counts as one output token.
    Estimated,
    /// The gateway makes the provider report usage in streams that would not, and hides that from
    /// the client.
    Exact,
}

impl Metering {
    /// All values with their names in the configuration.
    pub(crate) const NAMES: [(&str, Self); 4] = [
        ("off", Self::Off),
        ("reported", Self::Reported),
        ("estimated", Self::Estimated),
        ("exact", Self::Exact),
    ];
}
