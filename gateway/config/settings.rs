//! The table of settings: what each one is called, holds and does, and when a change of it takes effect.
//!
//! [`file`](super::file) declares every setting once and so makes the table. The reader's known names, the JSON schema,
//! the reference in `docs/settings.md` and the comments of `conf/gateway.toml` come from it or are compared with it.

use crate::provider::KINDS;
use crate::usage::Metering;

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
        match (self.section, self.name) {
            ("providers.*", "kind") => Some(KINDS.iter().map(|kind| kind.name).collect()),
            ("providers.*", "http") => Some(vec!["1.1", "2", "auto"]),
            ("routes[]", "meter_streams") => {
                Some(Metering::NAMES.iter().map(|(name, _)| *name).collect())
            }
            ("routes[]", "auth") => Some(vec!["key", "none"]),
            ("server", "log_level") => Some(vec!["error", "warn", "info"]),
            ("keys", "revoked_streams") => Some(vec!["finish", "cut"]),
            _ => None,
        }
    }
}
