//! `of` of a limit: whose use is counted together.

use std::sync::Arc;

use super::super::super::scope::ScopeFile;
use super::super::checker::Checker;
use super::Known;
use crate::document::{Located, Location, enumerate, nearest};
use crate::limit::terms::Of;
use crate::route::Access;

/// The words of `of`.
const WORDS: [(&str, Of); 4] = [
    ("key", Of::Key),
    ("route", Of::Route),
    ("provider", Of::Provider),
    ("gateway", Of::Gateway),
];

impl Checker<'_> {
    /// Whose use a limit counts together that is for `routes`.
    pub(super) fn scope(
        &self,
        given: &Located<ScopeFile>,
        routes: Option<&[Arc<str>]>,
        known: &Known<'_>,
    ) -> Option<Of> {
        let of = match &given.value {
            ScopeFile::Word(word) => self.scope_word(word, &given.at)?,
            ScopeFile::Label { label, value, each } => {
                self.one_or_each(value.is_some(), *each, &given.at);
                Of::Label {
                    name: label.as_str().into(),
                    value: value.as_deref().map(Arc::from),
                }
            }
        };
        if matches!(of, Of::Key | Of::Label { .. }) {
            self.someone_shows_a_key(routes, known, &given.at);
        }
        Some(of)
    }

    fn scope_word(&self, word: &str, at: &Location) -> Option<Of> {
        let mut words = WORDS.iter();
        if let Some((_, of)) = words.find(|(name, _)| *name == word) {
            return Some(of.clone());
        }
        let names = || WORDS.iter().map(|(name, _)| *name);
        let hint = nearest(word, names())
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        let why = format!(
            "of: `{word}` is none of {}, and a label is {{ label = \"team\", each = true }}{hint}",
            enumerate(names())
        );
        self.fatal(at, why);
        None
    }

    fn one_or_each(&self, has_value: bool, each: Option<bool>, at: &Location) {
        let each = each.unwrap_or_default();
        if has_value == each {
            let why = if each {
                "of has `value` and `each`: which is meant, the keys with this value together, or those of each value?"
            } else {
                "of has a label alone: add `value = \"...\"` for the keys with this value together, or `each = true` for \
                 those of each value"
            };
            self.fatal(at, why);
        }
    }

    /// Refuses a limit of keys on open routes, whose requests have none.
    fn someone_shows_a_key(&self, routes: Option<&[Arc<str>]>, known: &Known<'_>, at: &Location) {
        let counted = known.counted(routes);
        if !counted.is_empty() && counted.iter().all(|route| route.access == Access::Open) {
            let why = "a limit of keys counts nothing on routes with `auth = \"none\"`, whose requests have none: use \
                       of = \"route\" or of = \"gateway\"";
            self.fatal(at, why);
        }
    }
}
