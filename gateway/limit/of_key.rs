//! The limits that a key's own entry sets, in its settings `rpm_limit`, `tpm_limit`, `max_parallel_requests`,
//! `max_budget` and `soft_budget`: names that users of `LiteLLM` know.

use std::sync::Arc;

use super::amount::{self, AmountError, write_amount};
use super::terms::{
    Amount, Counts, Limit, Mode, Of, OverBudget, RateAmount, Reserve, Tokens, Window,
};

/// The names of the settings, and of the limits that they make.
pub(crate) const RPM_LIMIT: &str = "rpm_limit";
/// See [`RPM_LIMIT`].
pub(crate) const TPM_LIMIT: &str = "tpm_limit";
/// See [`RPM_LIMIT`].
pub(crate) const MAX_PARALLEL: &str = "max_parallel_requests";
/// See [`RPM_LIMIT`].
pub(crate) const MAX_BUDGET: &str = "max_budget";
/// The setting of the percentages of a budget at which a warning is given.
pub(crate) const SOFT_BUDGET: &str = "soft_budget";

/// Whether `name` is that of a limit that a key's entry sets. No other limit has it.
pub(crate) fn is_setting(name: &str) -> bool {
    [RPM_LIMIT, TPM_LIMIT, MAX_PARALLEL, MAX_BUDGET].contains(&name)
}

/// The tokens that a key's `tpm_limit` counts: those that providers count in their own limits.
const TOKENS: Tokens = Tokens {
    input: true,
    output: true,
    cached: false,
};

/// The limits of a key. Keys with the same limits share them.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct KeyLimits {
    /// The limits, those of requests first: at least one.
    pub(crate) limits: Box<[Arc<Limit>]>,
}

/// The settings of a key's limits, each as it is checked alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct LimitSettings {
    /// Requests per minute.
    pub(crate) rpm_limit: Option<u64>,
    /// Tokens per minute, without those that the provider read from its cache.
    pub(crate) tpm_limit: Option<u64>,
    /// Requests in flight.
    pub(crate) max_parallel_requests: Option<u64>,
    /// Budgets of money: [`Amount::Budget`]s of billionths with different periods.
    pub(crate) max_budget: Vec<Amount>,
    /// The percentages of each budget at which a warning is given, in ascending order.
    pub(crate) soft_budget: Vec<u8>,
}

impl LimitSettings {
    /// Whether there are percentages of a budget, and no budget.
    pub(crate) fn lacks_budget(&self) -> bool {
        self.max_budget.is_empty() && !self.soft_budget.is_empty()
    }

    /// The limits that the settings make; `None` if there are none.
    pub(crate) fn limits(&self) -> Result<Option<KeyLimits>, AmountError> {
        let mut limits = Vec::new();
        if let Some(rate) = self.rpm_limit {
            limits.push(per_minute(RPM_LIMIT, Counts::Requests, rate)?);
        }
        if let Some(rate) = self.tpm_limit {
            limits.push(per_minute(TPM_LIMIT, Counts::Tokens(TOKENS), rate)?);
        }
        if let Some(most) = self.max_parallel_requests {
            let amount = amount::at_once(most)?;
            limits.push(limit(MAX_PARALLEL, Counts::Parallel, amount, &[]));
        }
        let budgets = self.max_budget.iter();
        limits.extend(
            budgets.map(|amount| limit(MAX_BUDGET, Counts::Money, *amount, &self.soft_budget)),
        );
        Ok(KeyLimits::of(limits))
    }
}

fn per_minute(name: &str, counts: Counts, units: u64) -> Result<Arc<Limit>, AmountError> {
    let amount = amount::rate(units, Window::Minute)?;
    Ok(limit(name, counts, amount, &[]))
}

/// A limit of each key, with the defaults of all that a key's entry does not set.
fn limit(name: &str, counts: Counts, amount: Amount, soft: &[u8]) -> Arc<Limit> {
    Arc::new(Limit {
        name: name.into(),
        of: Of::Key,
        routes: None,
        models: Box::default(),
        counts,
        amount,
        reserve: Reserve::default(),
        mode: Mode::default(),
        over_budget: OverBudget::default(),
        soft: soft.into(),
        unpriced: false,
        unmetered: false,
        unbounded: false,
    })
}

impl KeyLimits {
    fn of(limits: Vec<Arc<Limit>>) -> Option<Self> {
        let limits: Box<[_]> = limits.into();
        (!limits.is_empty()).then_some(Self { limits })
    }

    /// The settings that make these limits.
    pub(crate) fn settings(&self) -> LimitSettings {
        let mut settings = LimitSettings::default();
        for limit in &self.limits {
            match (limit.counts, limit.amount) {
                (Counts::Requests, Amount::Rate(rate)) => settings.rpm_limit = Some(rate.units),
                (Counts::Tokens(_), Amount::Rate(rate)) => settings.tpm_limit = Some(rate.units),
                (Counts::Parallel, Amount::AtOnce(most)) => {
                    settings.max_parallel_requests = Some(most.into());
                }
                (_, amount) => {
                    settings.max_budget.push(amount);
                    settings.soft_budget = limit.soft.to_vec();
                }
            }
        }
        settings
    }

    /// Each limit's name and amount, as people read it: `max_budget` and `50.00 per month`.
    pub(crate) fn words(&self) -> impl Iterator<Item = (&str, String)> {
        let limits = self.limits.iter();
        limits.map(|limit| (&*limit.name, write_amount(limit.counts, &limit.amount)))
    }
}

/// The limits of a key that allow no more than `before` does, nor than `newer`: of each limit the lower amount, and
/// those that only one of them has.
pub(crate) fn restrict(before: Option<&KeyLimits>, newer: Option<&KeyLimits>) -> Option<KeyLimits> {
    let all = |of: Option<&KeyLimits>| of.map_or_else(Vec::new, |of| of.limits.to_vec());
    let (mut left, mut limits) = (all(before), all(newer));
    for limit in &mut limits {
        let same = left.iter().position(|other| is_of_same(limit, other));
        if let Some(same) = same {
            let before = left.remove(same);
            if is_lower(&before.amount, &limit.amount) {
                *limit = before;
            }
        }
    }
    limits.extend(left);
    KeyLimits::of(limits)
}

/// Whether two limits of a key count the same in the same time, whatever their amounts are.
fn is_of_same(a: &Limit, b: &Limit) -> bool {
    let is_same_time = match (a.amount, b.amount) {
        (Amount::Rate(a), Amount::Rate(b)) => a.window == b.window,
        (Amount::Budget { period: a, .. }, Amount::Budget { period: b, .. }) => a == b,
        (Amount::AtOnce(_), Amount::AtOnce(_)) => true,
        _ => false,
    };
    is_same_time && a.name == b.name && a.counts == b.counts
}

fn is_lower(a: &Amount, b: &Amount) -> bool {
    match (a, b) {
        (Amount::Rate(RateAmount { units: a, .. }), Amount::Rate(RateAmount { units: b, .. })) => {
            a < b
        }
        (Amount::Budget { units: a, .. }, Amount::Budget { units: b, .. }) => a < b,
        (Amount::AtOnce(a), Amount::AtOnce(b)) => a < b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(rpm: Option<u64>, budgets: &[&str], soft: &[u8]) -> LimitSettings {
        LimitSettings {
            rpm_limit: rpm,
            max_budget: budgets
                .iter()
                .map(|text| amount::money(text).unwrap())
                .collect(),
            soft_budget: soft.to_vec(),
            ..LimitSettings::default()
        }
    }

    fn words(limits: Option<&KeyLimits>) -> String {
        let all = limits.into_iter().flat_map(KeyLimits::words);
        let all: Vec<_> = all
            .map(|(name, amount)| format!("{name} {amount}"))
            .collect();
        all.join(", ")
    }

    #[test]
    fn each_setting_makes_a_limit_that_has_its_name_and_the_settings_are_found_again() {
        let mut settings = settings(Some(600), &["5 per day", "50.00 per month"], &[80, 95]);
        settings.tpm_limit = Some(2_000_000);
        settings.max_parallel_requests = Some(20);
        let limits = settings.limits().unwrap().unwrap();
        assert_eq!(
            words(Some(&limits)),
            "rpm_limit 600 per minute, tpm_limit 2000000 per minute, max_parallel_requests 20 at once, \
             max_budget 5.00 per day, max_budget 50.00 per month"
        );
        assert!(limits.limits.iter().all(|limit| limit.of == Of::Key));
        let soft: Vec<_> = limits.limits.iter().map(|limit| limit.soft.len()).collect();
        assert_eq!(soft, [0, 0, 0, 2, 2]);
        assert_eq!(limits.settings(), settings);
        assert_eq!(LimitSettings::default().limits(), Ok(None));
    }

    #[test]
    fn of_two_versions_the_lower_limit_applies_and_none_is_lost() {
        let limits = |settings: LimitSettings| settings.limits().unwrap();
        let none = || limits(LimitSettings::default());
        let of = |rpm, budgets: &[&str]| limits(settings(Some(rpm), budgets, &[]));
        for (before, newer, left) in [
            (none(), none(), ""),
            (none(), of(5, &[]), "rpm_limit 5 per minute"),
            (of(5, &[]), none(), "rpm_limit 5 per minute"),
            (of(5, &[]), of(6, &[]), "rpm_limit 5 per minute"),
            (of(6, &[]), of(5, &[]), "rpm_limit 5 per minute"),
            (
                of(5, &["9 per day", "3"]),
                of(5, &["8 per day", "4 per month"]),
                "rpm_limit 5 per minute, max_budget 8.00 per day, max_budget 4.00 per month, max_budget 3.00 for ever",
            ),
        ] {
            let restricted = restrict(before.as_ref(), newer.as_ref());
            assert_eq!(words(restricted.as_ref()), left);
        }
        // A warning at another time is no restriction, nor the opposite of one.
        let [early, late] = [&[10][..], &[90]].map(|soft| limits(settings(None, &["5"], soft)));
        assert_eq!(restrict(early.as_ref(), late.as_ref()), late);
    }
}
