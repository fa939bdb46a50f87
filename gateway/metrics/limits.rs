//! The metrics of limits and of the ledger. Series are by the names of limits in the configuration, and never by scope.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge};

use super::catalog::{self, BUDGET_WARNING_LABELS, LIMIT_REFUSAL_LABELS};
use super::declare::Declare;
use super::series::remove_series;
use crate::limit::level::{Level, LevelId, Levels, counts_label};
use crate::limit::of_key;
use crate::limit::terms::{Counts, Mode};

/// Around 1, where an estimate is exact.
const RATIOS: [f64; 13] = [
    0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0, 10.0,
];
/// What is counted in billionths of the currency, and shown in the currency.
const MONEY: &str = "money";
const BILLIONTHS: f64 = 1e9;

/// The metrics of limits.
pub(crate) struct LimitMetrics {
    refusals: IntCounterVec,
    warnings: IntCounterVec,
    used_ratio: GaugeVec,
    reserved: GaugeVec,
    spent: GaugeVec,
    limit: GaugeVec,
    /// The levels that have series.
    shown: Mutex<HashSet<LevelId>>,
    /// Tokens used for each that was reserved by estimate.
    pub(crate) estimate_ratio: Histogram,
    behind: Gauge,
    dropped: IntCounter,
    holders: IntGauge,
    clock_ahead: Gauge,
}

impl LimitMetrics {
    pub(super) fn declare(declare: &Declare<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            refusals: declare.counters(&catalog::LIMIT_REFUSALS)?,
            warnings: declare.counters(&catalog::BUDGET_WARNINGS)?,
            used_ratio: declare.float_gauges(&catalog::LIMIT_USED_RATIO)?,
            reserved: declare.float_gauges(&catalog::LIMIT_RESERVED)?,
            spent: declare.float_gauges(&catalog::BUDGET_SPENT)?,
            limit: declare.float_gauges(&catalog::BUDGET_LIMIT)?,
            shown: Mutex::default(),
            estimate_ratio: declare.histogram(&catalog::LIMIT_ESTIMATE_RATIO, &RATIOS)?,
            behind: declare.float_gauge(&catalog::LEDGER_BEHIND)?,
            dropped: declare.counter(&catalog::LEDGER_DROPPED)?,
            holders: declare.gauge(&catalog::LEDGER_HOLDERS)?,
            clock_ahead: declare.float_gauge(&catalog::LIMITS_CLOCK_AHEAD)?,
        })
    }

    /// Counts a request that the limit `limit` refused, or would have refused if it was not only observed.
    pub(crate) fn refusal(&self, limit: &str, counts: Counts, mode: Mode) {
        self.refusals_of(limit, counts_label(counts), mode).inc();
    }

    fn refusals_of(&self, limit: &str, counts: &str, mode: Mode) -> IntCounter {
        let mode = match mode {
            Mode::Enforce => "enforce",
            Mode::Observe => "observe",
        };
        self.refusals.with_label_values(&[limit, counts, mode])
    }

    /// Counts that a scope has passed `percent` of its budget.
    pub(crate) fn warning(&self, limit: &str, percent: u8) {
        let labels = [limit, &percent.to_string()];
        self.warnings.with_label_values(&labels).inc();
    }

    /// Shows how much of each limit is used. The series of limits that are not among `levels` go away.
    pub(crate) fn show(&self, levels: &Levels) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, level) in levels.iter() {
            self.show_one(id, level);
            if !shown.contains(id) {
                shown.insert(id.clone());
            }
        }
        let gone = shown.extract_if(|id| levels.get(id).is_none());
        gone.for_each(|id| self.remove(&id));
    }

    fn show_one(&self, id: &LevelId, level: &Level) {
        // Begins at 0: Prometheus sees no increase in a counter that begins at 1.
        self.refusals_of(&id.limit, id.counts, level.mode);
        let divisor = if id.counts == MONEY { BILLIONTHS } else { 1.0 };
        let labels = [&*id.limit, id.counts, id.per];
        self.used_ratio.with_label_values(&labels).set(level.ratio);
        let reserved = units(level.reserved) / divisor;
        self.reserved.with_label_values(&labels).set(reserved);
        if id.counts == MONEY {
            let labels = [&*id.limit, id.per];
            let (spent, limit) = (units(level.used) / divisor, units(level.amount) / divisor);
            self.spent.with_label_values(&labels).set(spent);
            self.limit.with_label_values(&labels).set(limit);
        }
    }

    /// Series that do not exist are removed, too: only budgets have all of them.
    fn remove(&self, id: &LevelId) {
        let labels = [&*id.limit, id.counts, id.per];
        let _ = self.used_ratio.remove_label_values(&labels);
        let _ = self.reserved.remove_label_values(&labels);
        if id.counts == MONEY {
            let labels = [&*id.limit, id.per];
            let _ = self.spent.remove_label_values(&labels);
            let _ = self.limit.remove_label_values(&labels);
        }
    }

    /// Removes the counters of all limits but those of keys' entries and those that `is_known` accepts.
    pub(crate) fn keep_limits(&self, is_known: impl Fn(&str) -> bool) {
        let is_gone = |name: &str| !of_key::is_setting(name) && !is_known(name);
        remove_series(&self.refusals, &LIMIT_REFUSAL_LABELS, "limit", &is_gone);
        remove_series(&self.warnings, &BUDGET_WARNING_LABELS, "limit", &is_gone);
    }

    /// Shows how the ledger is: for how long news has waited, how many rows of the history were dropped in all, and how
    /// many processes hold rights.
    pub(crate) fn ledger(&self, behind: Duration, dropped: u64, holders: u64) {
        self.behind.set(behind.as_secs_f64());
        self.dropped
            .inc_by(dropped.saturating_sub(self.dropped.get()));
        self.holders.set(i64::try_from(holders).unwrap_or(i64::MAX));
    }

    /// Shows how far the clock is ahead of the calendar's.
    pub(crate) fn clock_ahead(&self, ahead: Duration) {
        self.clock_ahead.set(ahead.as_secs_f64());
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a metric needs no more digits than a float has"
)]
fn units(units: i64) -> f64 {
    units as f64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use jiff::Timestamp;
    use prometheus::{Registry, TextEncoder};

    use super::*;
    use crate::limit::amount::{counted, money};
    use crate::limit::moment::Moment;
    use crate::limit::terms::{Amount, Limit, Of, OverBudget, Reserve};

    fn limit(name: &str, counts: Counts, amount: Amount, mode: Mode) -> Arc<Limit> {
        Arc::new(Limit {
            name: name.into(),
            of: Of::Gateway,
            routes: None,
            models: Box::default(),
            counts,
            amount,
            reserve: Reserve::default(),
            mode,
            over_budget: OverBudget::default(),
            soft: Box::default(),
            unpriced: false,
            unmetered: false,
            unbounded: false,
        })
    }

    fn metrics() -> (LimitMetrics, Registry) {
        let registry = Registry::new();
        (
            LimitMetrics::declare(&Declare(&registry)).unwrap(),
            registry,
        )
    }

    #[test]
    fn a_limit_has_series_from_the_start_and_none_once_it_is_removed() {
        let (metrics, registry) = metrics();
        let budget = money("2.00 per month").unwrap();
        let rate = counted("9 per minute").unwrap();
        let all = [
            limit("team", Counts::Money, budget, Mode::Enforce),
            limit("team", Counts::Requests, rate, Mode::Enforce),
            limit("trial", Counts::Requests, rate, Mode::Observe),
        ];
        let now = Moment::new(Instant::now(), Instant::now(), Timestamp::UNIX_EPOCH);
        let show = |limits: &[Arc<Limit>]| {
            metrics.show(&Levels::new(limits, now));
            let is_known = |name: &str| limits.iter().any(|limit| *limit.name == *name);
            metrics.keep_limits(is_known);
            TextEncoder::new()
                .encode_to_string(&registry.gather())
                .unwrap()
        };
        let text = show(&all);
        for series in [
            "limit_refusals_total{counts=\"money\",limit=\"team\",mode=\"enforce\"} 0",
            "limit_refusals_total{counts=\"requests\",limit=\"trial\",mode=\"observe\"} 0",
            "limit_used_ratio{counts=\"requests\",limit=\"team\",per=\"minute\"} 0",
            "limit_reserved{counts=\"money\",limit=\"team\",per=\"month\"} 0",
            "budget_spent{limit=\"team\",per=\"month\"} 0",
        ] {
            assert!(text.contains(&format!("\n{series}\n")), "{series}: {text}");
        }
        metrics.refusal("team", Counts::Money, Mode::Enforce);
        metrics.refusal("rpm_limit", Counts::Requests, Mode::Enforce);
        metrics.warning("team", 80);
        let text = show(&all[2..]);
        assert!(!text.contains("limit=\"team\""), "{text}");
        assert!(text.contains("limit=\"rpm_limit\"") && text.contains("limit=\"trial\""));
    }

    #[test]
    fn dropped_rows_are_counted_as_the_ledger_counts_them() {
        let (metrics, _) = metrics();
        for (dropped, expected) in [(0, 0), (5, 5), (5, 5), (9, 9)] {
            metrics.ledger(Duration::ZERO, dropped, 1);
            assert_eq!(metrics.dropped.get(), expected);
        }
    }
}
