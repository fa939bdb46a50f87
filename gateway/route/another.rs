//! Whether a request belongs to another route than the one that its path finds: see [`overlap`](super::overlap).

use std::sync::Arc;

use super::definition::{Overlap, Route};
use super::router::Router;
use crate::provider::Provider;

impl Router {
    /// Whether `path`, to which `route` is about to send a request on `host` at `provider`, belongs to another route by
    /// another spelling of the request's own path.
    pub(crate) fn belongs_to_other(
        &self,
        host: &str,
        route: &Arc<Route>,
        provider: &Provider,
        path: &str,
    ) -> bool {
        let Overlap { has_inner, part_of } = &route.overlap;
        if !has_inner && part_of.is_none() {
            return false;
        }
        // Not every route takes every host.
        let serves = |path: &String| {
            let found = self.find(host, path);
            found.is_some_and(|it| it.rest.is_empty() && !Arc::ptr_eq(it.route, route))
        };
        let leaves_its_part = part_of.is_some() && !is_under(path, provider.paths.base());
        let within = || self.paths.within(route, provider, path);
        let beside = || self.paths.beside(route, provider, path);
        leaves_its_part || within().into_iter().any(serves) || beside().into_iter().any(serves)
    }
}

/// Whether `target`, a path with or without a query, is `base` or lies below it.
fn is_under(target: &str, base: &str) -> bool {
    let rest = target.strip_prefix(base);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}
