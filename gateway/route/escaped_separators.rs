//! Requests whose path has escaped separators (`%2F`, `%3B`, `%3F`), which go to the provider as they are.
//!
//! A server may decode them before it looks for separators. The path that it reads then must not belong to another route,
//! and must hide no credential.

use std::sync::Arc;

use super::definition::Route;
use super::router::Router;
use crate::grammar::path::{BadPath, NormalPath};
use crate::key::has_credential;
use crate::provider::Provider;

/// Reads the raw target of a request. Refuses one that hides a credential behind an escaped `;` or `?`.
pub fn request_path(target: &[u8]) -> Result<NormalPath<'_>, BadPath> {
    NormalPath::with_escaped_separators(target, has_credential)
}

impl Router {
    /// Whether a server that decodes escaped separators may read a request as another route's. The request's `path` on
    /// `host` takes `route`, and becomes `target` at the provider.
    pub(crate) fn unescaped_belongs_to_other(
        &self,
        host: &str,
        route: &Arc<Route>,
        provider: &Provider,
        path: &NormalPath<'_>,
        target: &str,
    ) -> bool {
        let stays = |reading: &String| {
            let found = self.find(host, reading);
            found.is_some_and(|found| Arc::ptr_eq(found.route, route))
        };
        let belongs_to_other =
            |target: &String| self.belongs_to_other(host, route, provider, target);
        !path.other_readings().iter().all(stays)
            || path.readings_of(target).iter().any(belongs_to_other)
    }
}
