//! The table of settings: what each one is called, holds and does, and when a change of it takes effect.
//!
//! [`file`](super::file) declares every setting once and so makes the table. The reader's known names, the JSON schema,
//! the reference in `docs/settings.md` and the comments of `conf/gateway.toml` come from it or are compared with it.

use jiff::civil::Weekday;

use crate::limit::notice::LimitHeaders;
use crate::limit::terms::{Mode, OverBudget, Reserve};
use crate::provider::KINDS;
use crate::usage::Metering;

/// The values of `week_starts`.
pub(super) const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// The values of `unpriced` and `unmetered`, and whether requests pass.
pub(super) const PERMISSIONS: [(&str, bool); 2] = [("refuse", false), ("allow", true)];

/// The values of `unbounded`, and whether requests are refused.
pub(super) const UNBOUNDED: [(&str, bool); 2] = [("estimate", false), ("refuse", true)];

/// A setting of `gateway.toml`.
#[derive(Debug)]
pub struct Setting {
    /// The section: `server.limits`, `providers.*` where the user chooses a name, `routes[]` for an array of tables.
    pub section: &'static str,
    /// The name in it.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The value if it is left out.
    pub default: Fallback,
    /// When a change takes effect.
    pub effect: Effect,
    /// What it does, in a line or two.
    pub text: &'static str,
}

/// What a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number, zero or more.
    Count,
    /// A text.
    Text,
    /// A duration with its unit, such as `"45s"`.
    Duration,
    /// A number of bytes with its unit, such as `"10MiB"`.
    Size,
    /// A text, or a list of texts.
    List,
    /// A table of texts under names of the user's choice.
    Table,
    /// Whose use a limit counts together: a text, or a table that names a label.
    Scope,
}

/// What holds where a setting is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This value, as TOML.
    Value(&'static str),
    /// No value; `conf/gateway.toml` shows this one as an example.
    Example(&'static str),
    /// It cannot be left out; this is an example.
    Required(&'static str),
}

/// When a change of a setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// As soon as the file is saved, or with SIGHUP.
    Reload,
    /// At the next start, or with `keygate upgrade`.
    Restart,
}

impl Kind {
    /// The type in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Count => "whole number",
            Self::Text => "text",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::List => "text or list of texts",
            Self::Table => "table of texts",
            Self::Scope => "text or table",
        }
    }
}

impl Fallback {
    /// The value that `conf/gateway.toml` shows.
    pub fn shown(self) -> &'static str {
        let (Self::Value(text) | Self::Example(text) | Self::Required(text)) = self;
        text
    }
}

impl Setting {
    /// The only values that it takes, if there is a list of them.
    pub fn values(&self) -> Option<Vec<&'static str>> {
        fn of<T>(all: &[(&'static str, T)]) -> Vec<&'static str> {
            all.iter().map(|(name, _)| *name).collect()
        }
        match (self.section, self.name) {
            ("providers.*", "kind") => Some(KINDS.iter().map(|kind| kind.name).collect()),
            ("providers.*", "http") => Some(vec!["1.1", "2", "auto"]),
            ("routes[]", "meter_streams") => Some(of(&Metering::NAMES)),
            ("routes[]", "auth") => Some(vec!["key", "none"]),
            ("server", "log_level") => Some(vec!["error", "warn", "info"]),
            ("keys", "revoked_streams") => Some(vec!["finish", "cut"]),
            ("usage", "week_starts") => Some(of(&WEEKDAYS)),
            ("usage", "limit_headers") => Some(of(&LimitHeaders::NAMES)),
            ("limits[]", "reserve") => Some(of(&Reserve::NAMES)),
            ("limits[]", "mode") => Some(of(&Mode::NAMES)),
            ("limits[]", "over_budget_streams") => Some(of(&OverBudget::NAMES)),
            ("limits[]", "unpriced" | "unmetered") => Some(of(&PERMISSIONS)),
            ("limits[]", "unbounded") => Some(of(&UNBOUNDED)),
            _ => None,
        }
    }
}
