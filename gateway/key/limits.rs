//! The settings of a key's limits in the key file, and limits that keys share. Keys with the same limits share them: a
//! million keys of ten plans have ten.

use std::collections::HashSet;
use std::sync::Arc;

use toml::de::DeValue;

use crate::document::{Located, Location, OneOrMany, Problems, Section, Value, ValueError};
use crate::limit::amount::{self, AmountError};
use crate::limit::of_key::{
    KeyLimits, LimitSettings, MAX_BUDGET, MAX_PARALLEL, RPM_LIMIT, SOFT_BUDGET, TPM_LIMIT,
};
use crate::limit::terms::{Amount, Window};

/// Limits, so that equal ones share one allocation.
#[derive(Default)]
pub(super) struct KnownLimits(HashSet<Arc<KeyLimits>>);

impl KnownLimits {
    /// Returns the equal limits that are known already, or `limits`, which it remembers.
    pub(super) fn share(&mut self, limits: KeyLimits) -> Arc<KeyLimits> {
        if let Some(known) = self.0.get(&limits) {
            return known.clone();
        }
        let limits = Arc::new(limits);
        self.0.insert(limits.clone());
        limits
    }
}

/// The settings of a key's limits as they are given.
pub(super) struct GivenLimits {
    settings: LimitSettings,
    /// Where percentages of a budget are, if there is no budget.
    lone_soft: Option<Location>,
}

impl GivenLimits {
    /// Takes the settings from the table of a key.
    pub(super) fn take(section: &mut Section<'_>) -> Self {
        let has_budget = section.has(MAX_BUDGET);
        let per_minute = |setting: Option<Located<PerMinute>>| setting.map(|it| it.value.0);
        let rpm_limit = per_minute(section.take(RPM_LIMIT));
        let tpm_limit = per_minute(section.take(TPM_LIMIT));
        let parallel = section.take::<Parallel>(MAX_PARALLEL);
        let budgets = section.take::<Budgets>(MAX_BUDGET);
        let soft = section.take::<SoftBudget>(SOFT_BUDGET);
        let (soft_at, soft_budget) = soft.map(|it| (it.at, it.value.0)).unzip();
        Self {
            settings: LimitSettings {
                rpm_limit,
                tpm_limit,
                max_parallel_requests: parallel.map(|it| it.value.0),
                max_budget: budgets.map(|it| it.value.0).unwrap_or_default(),
                soft_budget: soft_budget.unwrap_or_default(),
            },
            lone_soft: soft_at.filter(|_| !has_budget),
        }
    }

    /// The limits of the key `id`; what is wrong with them goes to `problems`.
    pub(super) fn limits(&self, id: &str, problems: &Problems) -> Option<KeyLimits> {
        if let Some(at) = &self.lone_soft {
            let why = format!(
                "key `{id}` has a {SOFT_BUDGET} and no {MAX_BUDGET}: a {SOFT_BUDGET} is a percentage of it"
            );
            problems.fatal(at, why);
        }
        // Each setting was checked when it was taken.
        self.settings.limits().ok().flatten()
    }
}

impl From<AmountError> for ValueError {
    fn from(error: AmountError) -> Self {
        Self::Unusable(error.to_string().into())
    }
}

fn whole(value: &DeValue<'_>) -> Result<u64, ValueError> {
    let number = usize::read(value)?;
    Ok(number as u64)
}

/// Requests or tokens per minute: a whole number.
struct PerMinute(u64);

impl Value for PerMinute {
    fn read(value: &DeValue<'_>) -> Result<Self, ValueError> {
        let units = whole(value)?;
        amount::rate(units, Window::Minute)?;
        Ok(Self(units))
    }
}

/// Requests in flight: a whole number.
struct Parallel(u64);

impl Value for Parallel {
    fn read(value: &DeValue<'_>) -> Result<Self, ValueError> {
        let most = whole(value)?;
        amount::at_once(most)?;
        Ok(Self(most))
    }
}

/// Budgets: a text, a list of texts, or a whole number for one that is never renewed.
struct Budgets(Vec<Amount>);

impl Value for Budgets {
    fn read(value: &DeValue<'_>) -> Result<Self, ValueError> {
        if let DeValue::Float(_) = value {
            let why = "is a number with a fraction, which TOML does not keep exactly: write it in quotes, with its \
                       period, such as \"50.00 per month\"";
            return Err(why.into());
        }
        let texts = match value {
            DeValue::Integer(_) => vec![whole(value)?.to_string()],
            _ => OneOrMany::read(value)?.0,
        };
        Ok(Self(amount::budgets(texts.iter().map(String::as_str))?))
    }
}

/// Percentages of a budget: a text, or a list of texts.
struct SoftBudget(Vec<u8>);

impl Value for SoftBudget {
    fn read(value: &DeValue<'_>) -> Result<Self, ValueError> {
        if let DeValue::Integer(_) | DeValue::Float(_) = value {
            return Err(AmountError::Percent.into());
        }
        let OneOrMany(texts) = OneOrMany::read(value)?;
        Ok(Self(amount::percents(texts.iter().map(String::as_str))?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::KeyDigest;
    use super::super::file::{KeyFile, read};
    use super::*;

    fn read_key(more: &str) -> (KeyFile, Vec<String>) {
        let hash = KeyDigest::of(b"a");
        read(&format!(
            "[[key]]\nid = \"a\"\nhashes = [\"{hash}\"]\n{more}\n"
        ))
    }

    #[test]
    fn a_key_has_the_limits_that_its_entry_sets() {
        let all = "rpm_limit = 600\ntpm_limit = 2_000_000\nmax_parallel_requests = 20\n\
                   max_budget = [\"5 per day\", \"50.00/month\"]\nsoft_budget = [\"95%\", \"80%\"]";
        for (more, words, soft) in [
            ("", "", &[][..]),
            ("max_budget = 0", "max_budget 0.00 for ever", &[]),
            ("max_budget = 50", "max_budget 50.00 for ever", &[]),
            (
                "max_budget = '1.5k per year'",
                "max_budget 1500.00 per year",
                &[],
            ),
            (
                all,
                "rpm_limit 600 per minute, tpm_limit 2000000 per minute, max_parallel_requests 20 at once, \
                 max_budget 5.00 per day, max_budget 50.00 per month",
                &[80, 95],
            ),
        ] {
            let (file, problems) = read_key(more);
            assert!(problems.is_empty(), "{problems:?}");
            let limits = file.entries[0].key.limits.as_ref();
            let found: Vec<_> = limits.iter().flat_map(|limits| limits.words()).collect();
            let found: Vec<_> = found
                .iter()
                .map(|(name, amount)| format!("{name} {amount}"))
                .collect();
            assert_eq!(found.join(", "), words);
            let settings = limits.map(|limits| limits.settings()).unwrap_or_default();
            assert_eq!(settings.soft_budget, soft);
        }
    }

    /// Asserts that a key with these lines has one problem, with this begin behind the name of the file.
    fn assert_refused(more: &str, why: &str) {
        let (_, problems) = read_key(more);
        assert_eq!(problems.len(), 1, "{more}: {problems:?}");
        let why = format!("keys.toml:{why}");
        assert!(problems[0].starts_with(&why), "{more}: {problems:?}");
    }

    #[test]
    fn a_rate_that_cannot_be_meant_is_reported_with_its_line() {
        for (more, why) in [
            (
                "rpm_limit = 0",
                "4: key[0].rpm_limit: must not be zero; to let nothing pass, disable the key",
            ),
            (
                "rpm_limit = -1",
                "4: key[0].rpm_limit: expected a whole number, zero or more",
            ),
            (
                "rpm_limit = 1.5",
                "4: key[0].rpm_limit: expected a whole number, found a number with a fraction",
            ),
            (
                "rpm_limit = '600 per minute'",
                "4: key[0].rpm_limit: expected a whole number, found a string",
            ),
            (
                "rpm_limit = 1_000_000_001",
                "4: key[0].rpm_limit: must be at most 1_000_000_000",
            ),
            (
                "rpm_limits = 600",
                "4: unknown key `key[0].rpm_limits`: did you mean `rpm_limit`?",
            ),
            ("\ntpm_limit = 0", "5: key[0].tpm_limit: must not be zero"),
            (
                "max_parallel_requests = 0",
                "4: key[0].max_parallel_requests: must be from 1 to",
            ),
            (
                "max_parallel_requests = 4294967296",
                "4: key[0].max_parallel_requests: must be from 1 to",
            ),
        ] {
            assert_refused(more, why);
        }
    }

    #[test]
    fn a_budget_that_cannot_be_meant_is_reported_with_its_line() {
        let budget = "max_budget = '50'\n";
        for (more, why) in [
            (
                "max_budget = 50.0",
                "4: key[0].max_budget: is a number with a fraction, which TOML",
            ),
            (
                "max_budget = -50",
                "4: key[0].max_budget: expected a whole number, zero or more",
            ),
            (
                "max_budget = '-50'",
                "4: key[0].max_budget: must not be negative",
            ),
            (
                "max_budget = '$50'",
                "4: key[0].max_budget: must be written without a currency",
            ),
            (
                "max_budget = '50 per moon'",
                "4: key[0].max_budget: has an unknown period; known are",
            ),
            (
                "max_budget = '50 per minute'",
                "4: key[0].max_budget: is money, which has a period of an hour",
            ),
            (
                "max_budget = ['5 per day', '6/d']",
                "4: key[0].max_budget: has two amounts with the same period",
            ),
            (
                "max_budget = []",
                "4: key[0].max_budget: must be an amount such as",
            ),
            (
                "max_budget = [5]",
                "4: key[0].max_budget: expected a string or a list of strings",
            ),
            (
                "max_budget = '3_000M'",
                "4: key[0].max_budget: is too large",
            ),
            (
                "soft_budget = '80%'",
                "4: key `a` has a soft_budget and no max_budget",
            ),
            (
                &format!("{budget}soft_budget = 80"),
                "5: key[0].soft_budget: must be a percentage of the budget",
            ),
            (
                &format!("{budget}soft_budget = 40.0"),
                "5: key[0].soft_budget: must be a percentage",
            ),
            (
                &format!("{budget}soft_budget = '100%'"),
                "5: key[0].soft_budget: must be a percentage",
            ),
            (
                &format!("{budget}soft_budget = ['80%', '']"),
                "5: key[0].soft_budget: must be a percentage",
            ),
        ] {
            assert_refused(more, why);
        }
    }

    #[test]
    fn equal_limits_are_kept_once_and_however_their_keys_are_written() {
        let key = |id: &str, more: &str| {
            let hash = KeyDigest::of(id.as_bytes());
            format!("[[key]]\nid = \"{id}\"\nhashes = [\"{hash}\"]\n{more}\n")
        };
        let (file, problems) = read(
            &(key("a", "rpm_limit = 600")
                + &key("b", "rpm_limit = 600")
                + &key("c", "rpm_limit = 6_00 # as the others")
                + &key("d", "tpm_limit = 600")
                + &key("e", "")),
        );
        assert!(problems.is_empty(), "{problems:?}");
        let limits = |place: usize| file.entries[place].key.limits.as_ref();
        for place in [1, 2] {
            assert!(Arc::ptr_eq(limits(0).unwrap(), limits(place).unwrap()));
        }
        assert!(limits(0) != limits(3) && limits(4).is_none());
    }
}
