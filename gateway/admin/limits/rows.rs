//! The rows of a report: of cells, of budgets that were used before the start, and of limits that nobody has used.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::{LimitRow, Wanted, counts_word, per_word};
use crate::ledger::Remembered;
use crate::limit::amount::write_terms;
use crate::limit::book::{CellId, Counted, Per};
use crate::limit::moment::Moment;
use crate::limit::of_key::KeyLimits;
use crate::limit::rate::Pace;
use crate::limit::terms::{Amount, Counts, Limit, Mode, Of};
use crate::snapshot::Snapshot;

/// The rows that are wanted, in no order.
pub(super) fn rows(
    snapshot: &Snapshot,
    cells: &[(CellId, Counted)],
    remembered: &[Remembered],
    now: Moment,
    wanted: &Wanted,
) -> Vec<LimitRow> {
    let rows = Rows {
        snapshot,
        terms: Terms::of(snapshot, cells, remembered),
        now,
        wanted,
        known: HashSet::new(),
        made: Vec::new(),
    };
    rows.of_all(cells, remembered)
}

/// The limits that cells belong to.
struct Terms {
    configured: HashMap<(Arc<str>, Counts, Per), Arc<Limit>>,
    of_keys: HashMap<Arc<str>, Arc<KeyLimits>>,
}

impl Terms {
    fn of(snapshot: &Snapshot, cells: &[(CellId, Counted)], remembered: &[Remembered]) -> Self {
        let limits = snapshot.rules.plan.limits().iter();
        let configured: HashMap<_, _> = limits
            .map(|it| {
                (
                    (it.name.clone(), it.counts, Per::of(&it.amount)),
                    it.clone(),
                )
            })
            .collect();
        let names: HashSet<_> = configured.keys().map(|(name, ..)| name.clone()).collect();
        // Those of other limits are of a key's entry, or of a limit that is gone.
        let used = cells.iter().map(|(id, _)| (&id.limit, &id.scope));
        let used = used.chain(remembered.iter().map(|it| (&it.id.limit, &it.id.scope)));
        let ids: HashSet<&Arc<str>> = used
            .filter(|(name, _)| !names.contains(*name))
            .map(|(_, scope)| scope)
            .collect();
        let keys = snapshot.keys.keys().filter(|key| ids.contains(&key.id));
        let of_keys = keys.filter_map(|key| Some((key.id.clone(), key.limits.clone()?)));
        Self {
            configured,
            of_keys: of_keys.collect(),
        }
    }

    fn find(&self, name: &Arc<str>, scope: &str, counts: Counts, per: Per) -> Option<&Arc<Limit>> {
        if let Some(limit) = self.configured.get(&(name.clone(), counts, per)) {
            return Some(limit);
        }
        let of_key = self.of_keys.get(scope)?;
        let is_same = |it: &&Arc<Limit>| {
            it.name == *name && it.counts == counts && Per::of(&it.amount) == per
        };
        of_key.limits.iter().find(is_same)
    }
}

/// The rows of a report, while they are made.
struct Rows<'r> {
    snapshot: &'r Snapshot,
    terms: Terms,
    now: Moment,
    wanted: &'r Wanted,
    /// The cells that have a row, and their limits.
    known: HashSet<CellId>,
    made: Vec<LimitRow>,
}

impl Rows<'_> {
    fn of_all(mut self, cells: &[(CellId, Counted)], remembered: &[Remembered]) -> Vec<LimitRow> {
        for (id, cell) in cells {
            self.of_cell(id, cell);
        }
        for it in remembered {
            self.of_remembered(it);
        }
        self.of_unused();
        self.made
    }

    fn of_cell(&mut self, id: &CellId, cell: &Counted) {
        self.known.insert(id.clone());
        if !self.wanted.takes(&id.limit, Some(&id.scope)) {
            return;
        }
        let found = self.terms.find(&id.limit, &id.scope, id.counts, id.per);
        let Some(limit) = found.cloned() else { return };
        let mut row = row(&limit, Some(&id.scope));
        match (cell, limit.amount) {
            (Counted::Rate(rate), Amount::Rate(amount)) => {
                let pace = Pace::of(&amount);
                let (left, full_in) = rate.left(self.now.ticks, pace);
                row.reserved = rate.reserved();
                row.left = i64::try_from(left).unwrap_or(i64::MAX);
                let taken = row.most.saturating_sub(row.left);
                row.used = taken.saturating_sub(row.reserved).max(0);
                let full_at = self.now.time.checked_add(full_in).ok();
                row.resets = full_at.filter(|_| taken > 0).map(|it| it.to_string());
            }
            (Counted::Slots(slots), _) => {
                row.used = slots.taken().into();
                row.left = row.most.saturating_sub(row.used);
            }
            (Counted::Budget(budget), _) => {
                let calendar = &self.snapshot.rules.plan.calendar;
                let account = budget.at(self.now.time, calendar);
                row.reserved = account.reserved();
                let spent = account.spent().saturating_sub(row.reserved);
                row.spend(spent, account.raised(), account.id().end);
            }
            _ => return,
        }
        self.made.push(row);
    }

    fn of_remembered(&mut self, it: &Remembered) {
        let id = CellId {
            limit: it.id.limit.clone(),
            scope: it.id.scope.clone(),
            counts: it.id.counts,
            per: Per::Period(it.id.period),
        };
        if !self.wanted.takes(&id.limit, Some(&id.scope)) || self.known.contains(&id) {
            return;
        }
        let found = self.terms.find(&id.limit, &id.scope, id.counts, id.per);
        if let Some(limit) = found.cloned() {
            let mut row = row(&limit, Some(&id.scope));
            row.spend(it.spent, it.raised, it.id.end);
            self.made.push(row);
            self.known.insert(id);
        }
    }

    /// Rows of configured limits that nobody has used.
    fn of_unused(&mut self) {
        let used = self.known.iter();
        let used: HashSet<_> = used
            .map(|id| (id.limit.clone(), id.counts, id.per))
            .collect();
        let rules = &self.snapshot.rules;
        for limit in rules.plan.limits() {
            let scope = match &limit.of {
                Of::Label { value, .. } => value.as_deref(),
                Of::Gateway => Some(""),
                _ => None,
            };
            let id = (limit.name.clone(), limit.counts, Per::of(&limit.amount));
            if used.contains(&id) || !self.wanted.takes(&limit.name, scope) {
                continue;
            }
            let mut row = row(limit, scope);
            if let Amount::Budget { period, .. } = limit.amount {
                let (_, end) = rules.plan.calendar.span(period, self.now.time);
                row.spend(0, 0, end);
            }
            self.made.push(row);
        }
    }
}

impl LimitRow {
    fn spend(&mut self, spent: i64, raised: i64, end: Timestamp) {
        self.raised = raised;
        self.used = spent;
        let most = self.most.saturating_add(raised);
        self.left = most.saturating_sub(spent).saturating_sub(self.reserved);
        self.resets = (end < Timestamp::MAX).then(|| end.to_string());
    }
}

/// The row of a limit of which nothing was used.
pub(super) fn row(limit: &Limit, scope: Option<&str>) -> LimitRow {
    let most = match limit.amount {
        Amount::Rate(rate) => i64::try_from(rate.burst).unwrap_or(i64::MAX),
        Amount::Budget { units, .. } => units,
        Amount::AtOnce(most) => most.into(),
    };
    LimitRow {
        name: limit.name.to_string(),
        of: match &limit.of {
            Of::Key => "key".to_owned(),
            Of::Route => "route".to_owned(),
            Of::Provider => "provider".to_owned(),
            Of::Gateway => "gateway".to_owned(),
            Of::Label { name, .. } => format!("label {name}"),
        },
        scope: scope.map(str::to_owned),
        counts: counts_word(limit.counts).to_owned(),
        per: per_word(&limit.amount).to_owned(),
        amount: write_terms(limit.counts, &limit.amount),
        most,
        raised: 0,
        used: 0,
        reserved: 0,
        left: most,
        resets: None,
        enforced: limit.mode == Mode::Enforce,
    }
}
