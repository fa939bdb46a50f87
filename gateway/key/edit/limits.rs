//! The limits of a key: written with a new key, and changed later.

use std::path::Path;

use toml_edit::{Array, Item, Table, value};

use super::error::EditError;
use super::tables::{edit_tables, find};
use crate::limit::amount::write_amount;
use crate::limit::of_key::{
    LimitSettings, MAX_BUDGET, MAX_PARALLEL, RPM_LIMIT, SOFT_BUDGET, TPM_LIMIT,
};
use crate::limit::terms::{Amount, Counts};

/// What becomes of a setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Change<T> {
    /// It stays.
    #[default]
    Keep,
    /// It is removed.
    Remove,
    /// It gets this value.
    Set(T),
}

/// What becomes of the settings of a key's limits. Lists have at least one element.
#[derive(Debug, Default)]
pub(crate) struct LimitChanges {
    /// Requests per minute.
    pub(crate) rpm_limit: Change<u64>,
    /// Tokens per minute.
    pub(crate) tpm_limit: Change<u64>,
    /// Requests in flight.
    pub(crate) max_parallel_requests: Change<u64>,
    /// Budgets of money.
    pub(crate) max_budget: Change<Vec<Amount>>,
    /// Percentages of the budgets.
    pub(crate) soft_budget: Change<Vec<u8>>,
}

impl<T> Change<T> {
    /// The value that it sets.
    fn set(self) -> Option<T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Remove => None,
        }
    }
}

impl LimitChanges {
    /// Whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.rpm_limit == Change::Keep
            && self.tpm_limit == Change::Keep
            && self.max_parallel_requests == Change::Keep
            && self.max_budget == Change::Keep
            && self.soft_budget == Change::Keep
    }

    /// The settings of a key that had none.
    pub(crate) fn of_new_key(self) -> LimitSettings {
        LimitSettings {
            rpm_limit: self.rpm_limit.set(),
            tpm_limit: self.tpm_limit.set(),
            max_parallel_requests: self.max_parallel_requests.set(),
            max_budget: self.max_budget.set().unwrap_or_default(),
            soft_budget: self.soft_budget.set().unwrap_or_default(),
        }
    }
}

/// Changes the limits of a key.
///
/// # Errors
/// The file has no such key, the gateway would refuse the file (a `soft_budget` would be left without its `max_budget`,
/// for example), or it could not be written.
pub(crate) fn set_limits(path: &Path, id: &str, changes: &LimitChanges) -> Result<(), EditError> {
    edit_tables(path, |tables| {
        let table = find(tables, id)?;
        change(table, RPM_LIMIT, &changes.rpm_limit, |units| whole(*units));
        change(table, TPM_LIMIT, &changes.tpm_limit, |units| whole(*units));
        let parallel = &changes.max_parallel_requests;
        change(table, MAX_PARALLEL, parallel, |most| whole(*most));
        change(table, MAX_BUDGET, &changes.max_budget, |all| budgets(all));
        change(table, SOFT_BUDGET, &changes.soft_budget, |all| {
            percents(all)
        });
        Ok(())
    })
}

fn change<T>(table: &mut Table, name: &str, change: &Change<T>, item: impl Fn(&T) -> Item) {
    match change {
        Change::Keep => {}
        Change::Remove => {
            table.remove(name);
        }
        Change::Set(value) => {
            table.insert(name, item(value));
        }
    }
}

/// Writes the settings of a new key.
pub(super) fn write(table: &mut Table, settings: &LimitSettings) {
    for (name, number) in [
        (RPM_LIMIT, settings.rpm_limit),
        (TPM_LIMIT, settings.tpm_limit),
        (MAX_PARALLEL, settings.max_parallel_requests),
    ] {
        if let Some(number) = number {
            table.insert(name, whole(number));
        }
    }
    if !settings.max_budget.is_empty() {
        table.insert(MAX_BUDGET, budgets(&settings.max_budget));
    }
    if !settings.soft_budget.is_empty() {
        table.insert(SOFT_BUDGET, percents(&settings.soft_budget));
    }
}

fn whole(number: u64) -> Item {
    // A valid number is far below the greatest that TOML has; the file is read back.
    value(i64::try_from(number).unwrap_or(i64::MAX))
}

fn budgets(budgets: &[Amount]) -> Item {
    let texts = budgets.iter();
    one_or_many(texts.map(|amount| write_amount(Counts::Money, amount)))
}

fn percents(percents: &[u8]) -> Item {
    one_or_many(percents.iter().map(|percent| format!("{percent}%")))
}

/// A text, or a list of texts.
fn one_or_many(texts: impl Iterator<Item = String>) -> Item {
    let texts: Vec<_> = texts.collect();
    match texts.as_slice() {
        [text] => value(text),
        _ => value(Array::from_iter(texts)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::add;
    use super::super::tests::new_key;
    use super::*;
    use crate::key::file::read;
    use crate::limit::amount::budgets;

    fn limits(path: &Path) -> LimitSettings {
        let (file, problems) = read(&std::fs::read_to_string(path).unwrap());
        assert!(problems.is_empty(), "{problems:?}");
        let limits = file.entries[0].key.limits.as_ref();
        limits.map_or_else(LimitSettings::default, |limits| limits.settings())
    }

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        add(&path, &[new_key("a")]).unwrap();
        (folder, path)
    }

    #[test]
    fn limits_are_set_changed_and_removed_one_by_one_and_comments_stay() {
        let (_folder, path) = file();
        let text = std::fs::read_to_string(&path).unwrap() + "rpm_limit = 5 # few\n";
        std::fs::write(&path, text).unwrap();
        let changes = LimitChanges {
            rpm_limit: Change::Set(600),
            max_budget: Change::Set(budgets(["5 per day", "50 per month"]).unwrap()),
            soft_budget: Change::Set(vec![80, 95]),
            ..LimitChanges::default()
        };
        set_limits(&path, "a", &changes).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for line in [
            "rpm_limit = 600",
            "max_budget = [\"5.00 per day\", \"50.00 per month\"]\n",
            "soft_budget = [\"80%\", \"95%\"]\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(limits(&path), changes.of_new_key());
        let remove = LimitChanges {
            max_budget: Change::Remove,
            soft_budget: Change::Remove,
            tpm_limit: Change::Remove,
            ..LimitChanges::default()
        };
        set_limits(&path, "a", &remove).unwrap();
        let expected = LimitSettings {
            rpm_limit: Some(600),
            ..LimitSettings::default()
        };
        assert_eq!(limits(&path), expected);
        let unknown = set_limits(&path, "b", &LimitChanges::default());
        assert!(matches!(unknown, Err(EditError::NoSuchKey(_))));
    }

    #[test]
    fn a_budget_is_not_removed_from_under_its_percentages() {
        let (_folder, path) = file();
        let set = LimitChanges {
            max_budget: Change::Set(budgets(["5"]).unwrap()),
            soft_budget: Change::Set(vec![80]),
            ..LimitChanges::default()
        };
        set_limits(&path, "a", &set).unwrap();
        let before = std::fs::read_to_string(&path).unwrap();
        let remove = LimitChanges {
            max_budget: Change::Remove,
            ..LimitChanges::default()
        };
        let error = set_limits(&path, "a", &remove).unwrap_err().to_string();
        assert!(
            error.contains("has a soft_budget and no max_budget"),
            "{error}"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    }
}
