//! Which limits hold for a request: those of its route, of its target and of its key. They are put together before, so
//! that a request finds them without a map.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use super::book::Book;
use super::lists::Limits;
use super::of_key::KeyLimits;
use super::period::Calendar;
use super::slot::KeySlot;
use super::terms::{Limit, Of};

/// The number of the next plan.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The limits of a configuration.
pub(crate) struct Plan {
    /// A number that no other plan of the process has.
    number: u64,
    /// The limits, in the configuration's order.
    limits: Vec<Arc<Limit>>,
    /// The calendar of its periods.
    pub(crate) calendar: Calendar,
    book: Arc<Book>,
    /// Whether some limits are by key or label.
    is_keyed: bool,
}

/// Whose limits are looked for.
pub(crate) struct Holder<'h> {
    /// The key's id.
    pub(crate) id: &'h Arc<str>,
    /// The limits of its own entry.
    pub(crate) own: Option<&'h KeyLimits>,
    /// The cells that it has already.
    pub(crate) slot: &'h KeySlot,
}

impl Plan {
    /// The plan of `limits`, whose cells are in `book`.
    pub(crate) fn new(limits: Vec<Arc<Limit>>, calendar: Calendar, book: Arc<Book>) -> Self {
        let is_keyed = limits
            .iter()
            .any(|limit| matches!(limit.of, Of::Key | Of::Label { .. }));
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            limits,
            calendar,
            book,
            is_keyed,
        }
    }

    /// The limits, in the configuration's order.
    pub(crate) fn limits(&self) -> &[Arc<Limit>] {
        &self.limits
    }

    /// The cells.
    pub(crate) fn book(&self) -> &Arc<Book> {
        &self.book
    }

    /// The limits of the route `name`, and those of the whole gateway that hold on it.
    pub(crate) fn of_route(&self, name: &Arc<str>, now: Timestamp) -> Arc<Limits> {
        let nobody: Arc<str> = Arc::from("");
        let scope = |limit: &Limit| match limit.of {
            Of::Route => Some(name.clone()),
            Of::Gateway => Some(nobody.clone()),
            _ => None,
        };
        self.collect(name, scope, now)
    }

    /// The limits of the provider `provider` that hold on the route `route`.
    pub(crate) fn of_target(
        &self,
        route: &Arc<str>,
        provider: &Arc<str>,
        now: Timestamp,
    ) -> Arc<Limits> {
        let scope = |limit: &Limit| (limit.of == Of::Provider).then(|| provider.clone());
        self.collect(route, scope, now)
    }

    fn collect(
        &self,
        route: &str,
        scope: impl Fn(&Limit) -> Option<Arc<str>>,
        now: Timestamp,
    ) -> Arc<Limits> {
        let apply = |limit: &Arc<Limit>| {
            let applied = self.book.apply(limit, &scope(limit)?, now, &self.calendar);
            applied.is_on(route).then_some(applied)
        };
        Arc::new(Limits::new(
            self.number,
            self.limits.iter().filter_map(apply).collect(),
            self.book.learnt(route),
        ))
    }

    /// The limits of a key; `None` if it has none. `label` is the value of one of its labels. They are put together at
    /// the first request of the key in this plan, which asks for the time.
    pub(crate) fn of_key<'k>(
        &self,
        holder: &Holder<'_>,
        label: impl Fn(&str) -> Option<&'k str>,
        now: impl FnOnce() -> Timestamp,
    ) -> Option<Arc<Limits>> {
        if !self.is_keyed && holder.own.is_none() {
            return None;
        }
        if let Some(known) = holder.slot.get()
            && known.is_of(self.number)
        {
            return Some(known);
        }
        Some(self.put_together(holder, label, now()))
    }

    #[cold]
    fn put_together<'k>(
        &self,
        holder: &Holder<'_>,
        label: impl Fn(&str) -> Option<&'k str>,
        now: Timestamp,
    ) -> Arc<Limits> {
        let scope = |limit: &Limit| match &limit.of {
            Of::Key => Some(holder.id.clone()),
            Of::Label { name, value } => {
                let has = label(name)?;
                match value {
                    Some(value) => (**value == *has).then(|| value.clone()),
                    None => Some(Arc::from(has)),
                }
            }
            _ => None,
        };
        let own = holder.own.into_iter().flat_map(|own| own.limits.iter());
        let all = own.chain(&self.limits);
        let apply = |limit: &Arc<Limit>| {
            let scope = scope(limit)?;
            Some(self.book.apply(limit, &scope, now, &self.calendar))
        };
        let limits = Arc::new(Limits::new(
            self.number,
            all.filter_map(apply).collect(),
            self.book.learnt_of_key(holder.id),
        ));
        holder.slot.set(limits.clone());
        limits
    }
}
