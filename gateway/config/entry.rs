//! What a setting of `gateway.toml` can be read as, and what the table of settings calls it.

use std::time::Duration;

use super::scope::ScopeFile;
use super::settings::Kind;
use crate::document::{ByteSize, Located, OneOrMany, Section, Value};

/// A list of names with the values behind them, as written.
pub(super) type Pairs = Vec<(Located<String>, Located<String>)>;
/// A value, if it is given.
pub(super) type Given<T> = Option<Located<T>>;

/// What a setting can be read as.
pub(super) trait Entry: Sized {
    /// What the table of settings calls it.
    const KIND: Kind;

    /// Reads the setting `name` of `section`.
    fn read(section: &mut Section<'_>, name: &'static str, is_required: bool) -> Self;
}

impl<T: Value + Typed> Entry for Given<T> {
    const KIND: Kind = T::KIND;

    fn read(section: &mut Section<'_>, name: &'static str, is_required: bool) -> Self {
        if is_required {
            section.require(name)
        } else {
            section.take(name)
        }
    }
}

impl Entry for Pairs {
    const KIND: Kind = Kind::Table;

    fn read(section: &mut Section<'_>, name: &'static str, _: bool) -> Self {
        section.strings(name)
    }
}

/// Left out is not the same as empty.
impl Entry for Option<Pairs> {
    const KIND: Kind = Kind::Table;

    fn read(section: &mut Section<'_>, name: &'static str, _: bool) -> Self {
        section.has(name).then(|| section.strings(name))
    }
}

/// What the table of settings calls the type of a value.
pub(super) trait Typed {
    /// Its name there.
    const KIND: Kind;
}

macro_rules! typed {
    ($($type:ty => $kind:ident,)*) => {
        $(impl Typed for $type {
            const KIND: Kind = Kind::$kind;
        })*
    };
}

typed! {
    bool => Flag,
    usize => Count,
    String => Text,
    Duration => Duration,
    ByteSize => Size,
    OneOrMany => List,
    ScopeFile => Scope,
}
