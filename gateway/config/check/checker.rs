//! What every rule is checked with: where problems go, and where relative paths start.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;

use super::super::names::is_framing;
use crate::document::{Located, Location, Problems, Severity, enumerate};

/// Checks parts of a configuration. Opens no file, and reads no variable and no clock.
pub(super) struct Checker<'p> {
    pub(super) problems: &'p Problems,
    /// The folder of the configuration.
    pub(super) folder: &'p Path,
}

impl Checker<'_> {
    pub(super) fn fatal(&self, at: &Location, why: impl Into<String>) {
        self.problems.fatal(at, why);
    }

    pub(super) fn warn(&self, at: &Location, why: impl Into<String>) {
        self.problems.push(at, Severity::Warning, why);
    }

    /// The path of a file that the configuration names.
    pub(super) fn path(&self, given: Located<String>) -> Located<PathBuf> {
        Located {
            value: self.folder.join(given.value),
            at: given.at,
        }
    }

    /// A timeout, which cannot be zero.
    pub(super) fn positive(&self, given: Option<Located<Duration>>, default: Duration) -> Duration {
        match given {
            Some(Located {
                value: Duration::ZERO,
                at,
            }) => {
                self.fatal(
                    &at,
                    "a timeout of nothing would fail every request: give a time",
                );
                default
            }
            Some(given) => given.value,
            None => default,
        }
    }

    /// The value of a setting that takes one of the `known` words; the default if it is left out or unknown.
    pub(super) fn one_of<T: Copy + Default>(
        &self,
        given: Option<&Located<String>>,
        setting: &str,
        known: &[(&str, T)],
    ) -> T {
        let Some(given) = given else {
            return T::default();
        };
        let mut words = known.iter();
        if let Some((_, value)) = words.find(|(word, _)| *word == given.value) {
            return *value;
        }
        let words = enumerate(known.iter().map(|(word, _)| *word));
        self.fatal(&given.at, format!("{setting} is one of {words}"));
        T::default()
    }

    /// The name of a header that the configuration may set.
    pub(super) fn header_name(&self, text: &str, at: &Location) -> Option<HeaderName> {
        let name = HeaderName::try_from(text).ok();
        match name {
            None => self.fatal(at, "that is not the name of a header"),
            Some(ref name) if is_framing(name) => {
                self.fatal(
                    at,
                    format!("`{name}` belongs to the gateway and cannot be used here"),
                );
                return None;
            }
            Some(_) => {}
        }
        name
    }
}
