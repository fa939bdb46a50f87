//! The configuration: as written ([`mod@file`]), as meant ([`Config`](meant::Config)), and with everything fetched that it refers to
//! ([`Resolved`]).
//!
//! ```text
//! file -> check -> Config -> fetch -> Resolved
//! ```
//!
//! `check` is pure: it opens no file, reads no variable and no clock. `fetch` is the only step that does IO: secrets,
//! keys, certificates and prices. `consistency` then compares the configuration with what was fetched, and is pure
//! again. All problems come at once, each with file, line and cure. Nothing above this layer sees a file; nothing in it
//! knows of requests.

mod check;
mod consistency;
mod entry;
mod error;
mod fetch;
mod file;
mod limits;
mod meant;
mod names;
mod read;
mod resolved;
mod scope;
mod server;
mod settings;

pub use self::error::ConfigErrors;
pub(crate) use self::fetch::certificate_end;
pub use self::file::SETTINGS;
pub(crate) use self::limits::LimitRules;
pub(crate) use self::meant::RouteSpec;
pub(crate) use self::names::{is_framing, may_hold_key};
pub use self::read::load_prices;
pub(crate) use self::read::{Locations, locations, records};
pub use self::resolved::{Purpose, Resolved};
pub use self::server::LogLevel;
pub(crate) use self::server::{Listen, ServerConfig};
pub use self::settings::{Effect, Fallback, Kind, Setting};
