//! Where a route's requests may go. It knows providers and the metrics of each; it does not know which requests may come
//! in, nor what any of them tries.

use std::sync::Arc;

use crate::limit::lists::Limits;
use crate::metrics::TargetMetrics;
use crate::provider::Provider;

/// A provider as one route uses it.
pub struct Target {
    /// The provider, which other routes may use as well.
    pub(crate) provider: Arc<Provider>,
    /// The metrics of this route with this provider.
    pub(crate) metrics: TargetMetrics,
    /// The limits of the provider that hold on this route.
    pub(crate) limits: Arc<Limits>,
}

/// The targets of a route. There is at least one.
pub(crate) struct Targets {
    first: Arc<Target>,
}

impl Targets {
    /// The targets of a route that has one provider.
    pub(crate) fn one(target: Target) -> Self {
        Self {
            first: Arc::new(target),
        }
    }

    /// The target to try after so many were `tried` for a request; `None` if none is left.
    pub(crate) fn next(&self, tried: usize) -> Option<&Arc<Target>> {
        (tried == 0).then_some(&self.first)
    }

    /// The target that a request counts for if it was refused before one was chosen, and by which the route is shown.
    pub(crate) fn primary(&self) -> &Arc<Target> {
        &self.first
    }

    /// All targets, in the order in which they are tried.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Target>> {
        std::iter::once(&self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::testing::{provider, route};

    #[test]
    fn a_single_target_is_tried_once() {
        let targets = route("r", "*", "/", &provider("custom", "")).targets;
        let first = targets.next(0).unwrap();
        assert!(Arc::ptr_eq(first, targets.primary()));
        assert!(targets.next(1).is_none());
        assert_eq!(targets.iter().count(), 1);
    }
}
