//! Whether what requests use becomes known.

use std::sync::Arc;

use super::super::super::meant::RouteConfig;
use super::super::checker::Checker;
use super::{Counted, Known};
use crate::document::{Location, enumerate};
use crate::limit::terms::Counts;
use crate::usage::Metering;

impl Checker<'_> {
    /// Warns of routes whose streams are not read, if a limit at `at` counts their tokens or cost.
    pub(super) fn metered(
        &self,
        amounts: &[Counted],
        routes: Option<&[Arc<str>]>,
        known: &Known<'_>,
        at: &Location,
    ) {
        let is_metered = |(counts, _): &Counted| match counts {
            Counts::Tokens(_) | Counts::Money => true,
            Counts::Requests | Counts::Parallel => false,
        };
        let is_unread = |route: &&&RouteConfig| {
            let spec = route.spec.as_ref();
            spec.is_some_and(|spec| spec.metering == Metering::Off)
        };
        let counted = known.counted(routes);
        let unread: Vec<&str> = counted
            .iter()
            .filter(is_unread)
            .map(|route| &*route.name)
            .collect();
        if amounts.iter().any(is_metered) && !unread.is_empty() {
            let why = format!(
                "with `meter_streams = \"off\"`, this limit counts streams and WebSockets of {} as estimated",
                enumerate(unread)
            );
            self.warn(at, why);
        }
    }
}
