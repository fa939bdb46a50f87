//! How much of each limit is used now, for metrics: one level for all scopes of a limit together.

use std::collections::HashMap;
use std::sync::Arc;

use super::book::{CellId, Counted, Per};
use super::moment::Moment;
use super::of_key;
use super::rate::Pace;
use super::terms::{Amount, Counts, Limit, Mode, Of};

/// What distinguishes levels: no scope, so that their number does not grow with the number of clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LevelId {
    /// The limit's name.
    pub(crate) limit: Arc<str>,
    /// What is counted: see [`counts_label`].
    pub(crate) counts: &'static str,
    /// In which time: see [`per_label`].
    pub(crate) per: &'static str,
}

/// Whether a limit refuses, and how much of it is used, in its units: requests, tokens, or billionths of a currency unit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Level {
    /// Whether the limit refuses.
    pub(crate) mode: Mode,
    /// The largest part that is used or reserved of one scope's amount, above 1 with debt of a budget.
    pub(crate) ratio: f64,
    /// What is reserved, of all scopes.
    pub(crate) reserved: i64,
    /// What was used in the current period, of all scopes. Only for budgets.
    pub(crate) used: i64,
    /// The amounts of the scopes that the gateway knows, together, with what operators added. Only for budgets.
    pub(crate) amount: i64,
}

/// The levels of all limits.
pub(crate) struct Levels {
    all: HashMap<LevelId, Configured, ahash::RandomState>,
    now: Moment,
}

/// A level, and its limit if that is one of the configuration: those of keys' entries differ.
#[derive(Default)]
struct Configured {
    level: Level,
    limit: Option<Arc<Limit>>,
}

/// What `counts` is called in the label of a metric.
pub(crate) fn counts_label(counts: Counts) -> &'static str {
    match counts {
        Counts::Requests => "requests",
        Counts::Money => "money",
        Counts::Parallel => "parallel",
        Counts::Tokens(tokens) => match (tokens.input, tokens.output) {
            (true, false) => "input_tokens",
            (false, true) => "output_tokens",
            _ => "tokens",
        },
    }
}

/// What `per` is called in the label of a metric.
pub(crate) fn per_label(per: Per) -> &'static str {
    match per {
        Per::Window(window) => window.name(),
        Per::Period(period) => period.name(),
        Per::Now => "at_once",
    }
}

impl LevelId {
    fn new(limit: &Arc<str>, counts: Counts, per: Per) -> Self {
        Self {
            limit: limit.clone(),
            counts: counts_label(counts),
            per: per_label(per),
        }
    }
}

impl Levels {
    /// The levels at `now` of `limits`, those of the configuration, of which nothing is used yet.
    pub(crate) fn new(limits: &[Arc<Limit>], now: Moment) -> Self {
        let level = |limit: &Arc<Limit>| {
            let id = LevelId::new(&limit.name, limit.counts, Per::of(&limit.amount));
            let configured = Configured {
                level: Level {
                    mode: limit.mode,
                    ..Level::default()
                },
                limit: Some(limit.clone()),
            };
            (id, configured)
        };
        Self {
            all: limits.iter().map(level).collect(),
            now,
        }
    }

    /// Adds the cell of one scope, which counted for `limit` last.
    ///
    /// A cell that a removed limit has left behind does not count, nor one of a key that has sent nothing since its entry
    /// was read last: the key may be gone.
    pub(crate) fn add(&mut self, id: &CellId, cell: &Counted, limit: &Limit) {
        if limit.of == Of::Key && !cell.is_held() {
            return;
        }
        let level = LevelId::new(&id.limit, id.counts, id.per);
        if of_key::is_setting(&id.limit) {
            let known = self.all.entry(level).or_default();
            known.level.add(cell, limit, self.now);
        } else if let Some(Configured {
            level,
            limit: Some(configured),
        }) = self.all.get_mut(&level)
            && configured.of == limit.of
        {
            level.add(cell, configured, self.now);
        }
    }

    /// All levels.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&LevelId, &Level)> {
        self.all.iter().map(|(id, it)| (id, &it.level))
    }

    /// The level of `id`, if there is one.
    pub(crate) fn get(&self, id: &LevelId) -> Option<&Level> {
        self.all.get(id).map(|it| &it.level)
    }
}

impl Level {
    fn add(&mut self, cell: &Counted, limit: &Limit, now: Moment) {
        let (ratio, reserved) = match (cell, limit.amount) {
            (Counted::Rate(rate), Amount::Rate(amount)) => {
                let (left, _) = rate.left(now.ticks, Pace::of(&amount));
                (
                    1.0 - ratio(units(left), units(amount.burst)),
                    rate.reserved(),
                )
            }
            (Counted::Slots(slots), Amount::AtOnce(most)) => (
                ratio(slots.taken().into(), most.into()),
                slots.taken().into(),
            ),
            (Counted::Budget(budget), Amount::Budget { units, .. }) => {
                let account = budget.current();
                let amount = account.part(100, units);
                self.amount = self.amount.saturating_add(amount);
                if account.id().end <= now.time {
                    return;
                }
                self.used = self.used.saturating_add(account.used());
                (ratio(account.spent(), amount), account.reserved())
            }
            _ => return,
        };
        self.ratio = self.ratio.max(ratio);
        self.reserved = self.reserved.saturating_add(reserved);
    }
}

fn units(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

/// `part` of `whole`; of nothing, anything is all.
#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio in a metric needs no more digits"
)]
fn ratio(part: i64, whole: i64) -> f64 {
    if whole > 0 {
        part as f64 / whole as f64
    } else {
        1.0
    }
}
