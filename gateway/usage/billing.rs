//! Reads what a response reports about its price besides tokens: the service tier, and the cost
//! that the provider bills.

use super::fields::Field;
use super::money::Cost;
use super::tokens::ServiceTier;
use crate::wire::json::number::scaled;

/// The decimal places of one of xAI's ticks, in dollars.
const TICK_DECIMALS: u8 = 10;
/// The largest cost in dollars that is accepted for one response. A larger one would saturate the
/// counter for good.
const MAX_DOLLARS: u128 = 1_000_000;
const MAX_COST: u128 = MAX_DOLLARS * 10_u128.pow(Cost::DECIMALS as u32);

/// The values reported so far.
#[derive(Default)]
pub(super) struct Billing {
    tier: Option<ServiceTier>,
    fast: bool,
    cost: Option<Cost>,
    /// The cost that the upstream provider bills, which counts if the key is the customer's own.
    upstream_cost: Option<Cost>,
    own_key: bool,
}

impl Billing {
    /// The service tier. Anthropic reports the fast mode beside the tier, and it has prices of its
    /// own.
    pub(super) fn service_tier(&self) -> Option<ServiceTier> {
        if self.fast {
            return Some(ServiceTier::Fast);
        }
        self.tier
    }

    /// The cost that the provider reports, plus what the upstream provider bills for the customer's
    /// own key.
    pub(super) fn reported_cost(&self) -> Option<Cost> {
        let cost = self.cost?;
        let upstream_cost = self.upstream_cost.filter(|_| self.own_key);
        Some(cost.plus(upstream_cost.unwrap_or_default()))
    }

    /// Reads a text field.
    pub(super) fn text(&mut self, field: Field, text: &[u8]) {
        match field {
            Field::ServiceTier => self.tier = ServiceTier::named(text).or(self.tier),
            Field::Speed => self.fast |= text == b"fast",
            _ => {}
        }
    }

    /// Records that the request used the customer's own key.
    pub(super) fn own_key(&mut self) {
        self.own_key = true;
    }

    /// Reads a cost and returns whether it is valid. As with counts, a zero replaces nothing.
    pub(super) fn cost(&mut self, field: Field, written: &[u8]) -> bool {
        let (slot, decimals) = match field {
            Field::UpstreamCost => (&mut self.upstream_cost, Cost::DECIMALS),
            Field::CostTicks => (&mut self.cost, Cost::DECIMALS - TICK_DECIMALS),
            _ => (&mut self.cost, Cost::DECIMALS),
        };
        let cost = scaled(written, decimals).filter(|cost| *cost <= MAX_COST);
        if let Some(cost) = cost.filter(|cost| *cost > 0 || slot.is_none()) {
            *slot = Some(Cost(cost));
        }
        cost.is_some()
    }
}
