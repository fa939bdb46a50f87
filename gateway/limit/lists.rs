//! The limits that hold for a request: those of its key, of its route and of its target, each as a list.

use std::sync::Arc;

use super::applied::{Amounts, Applied};
use super::estimate::{Learnt, estimate};
use super::terms::Counts;

/// The limits that hold for one key, route or target.
#[derive(Default)]
pub(crate) struct Limits {
    /// The plan that they belong to; 0 for none.
    plan: u64,
    /// The limits.
    pub(crate) all: Box<[Applied]>,
    /// What requests of this key or route used so far.
    pub(crate) learnt: Arc<Learnt>,
}

impl Limits {
    /// The limits `all` of the plan with the number `plan`.
    pub(super) fn new(plan: u64, all: Box<[Applied]>, learnt: Arc<Learnt>) -> Self {
        Self { plan, all, learnt }
    }

    /// Whether they belong to the plan with this number.
    pub(super) fn is_of(&self, plan: u64) -> bool {
        self.plan == plan
    }

    /// Whether the body of a request has to be read for one of them on `route`: they count tokens or money, or requests
    /// for some models.
    pub(crate) fn need_body(&self, route: &str) -> bool {
        let needs = |applied: &Applied| {
            let is_of_use = matches!(applied.limit.counts, Counts::Tokens(_) | Counts::Money);
            (is_of_use || applied.has_models()) && applied.is_on(route)
        };
        self.all.iter().any(needs)
    }
}

/// The limits of a request: of its key, its route and its target.
#[derive(Clone)]
pub(crate) struct Lists {
    /// The limits of the key, if there are any.
    pub(crate) key: Option<Arc<Limits>>,
    /// Those of the route and the gateway.
    pub(crate) route: Arc<Limits>,
    /// Those of the provider.
    pub(crate) target: Arc<Limits>,
}

/// A place in the lists: which one, and the index in it.
pub(super) type Place = (u8, u16);

impl Lists {
    /// Whether the body of a request on `route` has to be read for one of them.
    pub(crate) fn need_body(&self, route: &str) -> bool {
        let key = self.key.as_deref();
        key.is_some_and(|key| key.need_body(route))
            || self.route.need_body(route)
            || self.target.need_body(route)
    }

    /// The estimate for a request whose body has so many `bytes`.
    pub(crate) fn estimate(&self, bytes: u64) -> Amounts {
        let key = self.key.as_deref().map(|key| &*key.learnt);
        estimate(key, &self.route.learnt, bytes)
    }

    /// Learns from a request whose body had so many `bytes`.
    pub(crate) fn learn(&self, bytes: u64, used: &Amounts) {
        let own = self.key.as_deref().map(|key| &*key.learnt);
        for learnt in own.into_iter().chain([&*self.route.learnt]) {
            learnt.add(bytes, used);
        }
    }

    /// All limits that hold on `route`, with their places.
    pub(crate) fn on<'l>(&'l self, route: &'l str) -> impl Iterator<Item = (Place, &'l Applied)> {
        let key = self.key.as_deref().map(|key| &*key.all).unwrap_or_default();
        let lists = [key, &*self.route.all, &*self.target.all];
        let places = (0_u8..).zip(lists).flat_map(|(list, all)| {
            let place = move |(index, applied)| ((list, index), applied);
            (0_u16..).zip(all).map(place)
        });
        places.filter(move |(_, applied)| applied.is_on(route))
    }

    /// The limit at a place.
    pub(super) fn get(&self, (list, index): Place) -> Option<&Applied> {
        let limits = match list {
            0 => self.key.as_ref()?,
            1 => &self.route,
            _ => &self.target,
        };
        limits.all.get(usize::from(index))
    }
}
