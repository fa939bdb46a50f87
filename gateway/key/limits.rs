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
