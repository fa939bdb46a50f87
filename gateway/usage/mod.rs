//! What a response tells of its use, read beside the stream.
//!
//! Nothing in here changes a body or holds it up, but [`IncludeUsage`] and [`ExcludeUsage`], where a route says so.

mod cost;
mod errors;
mod events;
mod exclude;
mod expected;
mod form;
mod include;
mod media;
mod media_places;
mod meter;
mod model_name;
#[cfg(test)]
mod oddities;
mod parts;
mod places;
mod price_file;
#[cfg(test)]
mod priced;
mod prices;
#[cfg(test)]
mod said;
mod socket;
mod tariff;
mod terms;
mod tokens;

pub use cost::{Cost, CostSource, MediumRates, Price, Rates};
pub use exclude::ExcludeUsage;
pub use expected::{Expected, expected};
pub use include::{IncludeUsage, ROOM};
pub use media::{Media, MediumTokens};
pub use meter::Meter;
pub(crate) use model_name::normal;
pub use prices::{PriceList, Prices};
pub use socket::{Counts, Response, Socket};
pub use tokens::{ServiceTier, Usage};

/// What is done about the usage of a route's streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metering {
    /// They are not read.
    Off,
    /// What they say is counted; one that says nothing is counted as unmetered.
    #[default]
    Reported,
    /// And for one that says nothing, each event as a token that came out.
    Estimated,
    /// Those that would say nothing are asked to, unseen by the client.
    Exact,
}

impl Metering {
    /// All of them, by the names that `meter_streams` has for them.
    pub const NAMES: [(&str, Self); 4] = [
        ("off", Self::Off),
        ("reported", Self::Reported),
        ("estimated", Self::Estimated),
        ("exact", Self::Exact),
    ];
}
