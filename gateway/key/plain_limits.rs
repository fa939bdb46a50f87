//! Reads the settings of a key's limits as `keygate keys` writes them, without a TOML parser; see `plain`.

use super::plain_reader::Reader;
use crate::limit::amount;
use crate::limit::of_key::{KeyLimits, LimitSettings};

/// The settings of a key's limits as they are written behind the equals sign; an empty text is none.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct LimitText<'t> {
    pub(super) rpm_limit: &'t str,
    pub(super) tpm_limit: &'t str,
    pub(super) max_parallel_requests: &'t str,
    pub(super) max_budget: &'t str,
    pub(super) soft_budget: &'t str,
}

/// A setting that the TOML parser has to read.
struct NotPlain;

impl LimitText<'_> {
    /// The limits; `None` if the TOML parser has to read them.
    pub(super) fn limits(self) -> Option<KeyLimits> {
        let settings = self.settings().ok()?;
        if settings.lacks_budget() {
            return None;
        }
        settings.limits().ok().flatten()
    }

    fn settings(self) -> Result<LimitSettings, NotPlain> {
        let budgets = |text| amount::budgets(budget_texts(text)?).ok();
        let percents = |text| amount::percents(strings(text)?).ok();
        Ok(LimitSettings {
            rpm_limit: optional(self.rpm_limit, whole)?,
            tpm_limit: optional(self.tpm_limit, whole)?,
            max_parallel_requests: optional(self.max_parallel_requests, whole)?,
            max_budget: optional(self.max_budget, budgets)?.unwrap_or_default(),
            soft_budget: optional(self.soft_budget, percents)?.unwrap_or_default(),
        })
    }
}

/// What `read` makes of a setting, if it is there.
fn optional<'t, T>(
    text: &'t str,
    read: impl FnOnce(&'t str) -> Option<T>,
) -> Result<Option<T>, NotPlain> {
    if text.is_empty() {
        return Ok(None);
    }
    read(text).map(Some).ok_or(NotPlain)
}

/// A whole number without a sign, which may have an underscore between two digits.
fn whole(text: &str) -> Option<u64> {
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = !text.starts_with('0') && text.split('_').all(is_digits);
    // TOML's whole numbers have 63 bits and a sign.
    let number: Option<i64> = is_number.then(|| text.replace('_', "").parse().ok())?;
    number.and_then(|number| u64::try_from(number).ok())
}

/// The texts of budgets; a whole number is one of them.
fn budget_texts(text: &str) -> Option<Vec<&str>> {
    match whole(text) {
        Some(_) => Some(vec![text]),
        None => strings(text),
    }
}

/// A string, or a list of strings in one line.
fn strings(text: &str) -> Option<Vec<&str>> {
    let mut reader = Reader::new(text);
    let is_list = reader.skip("[").is_some();
    let mut strings = vec![reader.string()?];
    while is_list && reader.skip(", ").is_some() {
        strings.push(reader.string()?);
    }
    if is_list {
        reader.skip("]")?;
    }
    reader.is_at_end().then_some(strings)
}
