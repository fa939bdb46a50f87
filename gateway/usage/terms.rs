//! What a response says of its price beside its tokens: the tier it was served in, and what the provider itself bills.

use super::Cost;
use super::places::Says;
use super::tokens::ServiceTier;
use crate::wire::json::number::scaled;

/// The decimals that one of xAI's ticks has as a dollar.
const TICKS: u8 = 10;
/// The most dollars that are believed of one response: a larger number would take a counter to its end, where it shows
/// nothing any more.
const MOST_DOLLARS: u128 = 1_000_000;
const MOST: u128 = MOST_DOLLARS * 10_u128.pow(Cost::DECIMALS as u32);

/// As far as it was said.
#[derive(Default)]
pub(super) struct Terms {
    tier: Option<ServiceTier>,
    fast: bool,
    cost: Option<Cost>,
    /// What somebody else bills beside it, if the key is the customer's own.
    elsewhere: Option<Cost>,
    own_key: bool,
}

impl Terms {
    /// The tier of service: Anthropic's fast mode is said beside it, and has a price of its own.
    pub(super) fn service_tier(&self) -> Option<ServiceTier> {
        if self.fast {
            return Some(ServiceTier::Fast);
        }
        self.tier
    }

    /// What the provider says that it cost, with what the provider of the customer's own key bills.
    pub(super) fn reported_cost(&self) -> Option<Cost> {
        let cost = self.cost?;
        let elsewhere = self.elsewhere.filter(|_| self.own_key);
        Some(cost.plus(elsewhere.unwrap_or_default()))
    }

    /// Takes a text.
    pub(super) fn text(&mut self, says: Says, text: &[u8]) {
        match says {
            Says::Tier => self.tier = ServiceTier::named(text).or(self.tier),
            Says::Speed => self.fast |= text == b"fast",
            _ => {}
        }
    }

    /// The key is the customer's own.
    pub(super) fn own_key(&mut self) {
        self.own_key = true;
    }

    /// Takes a cost, in which a zero replaces nothing, like one in a count. Whether it is one.
    pub(super) fn cost(&mut self, says: Says, written: &[u8]) -> bool {
        let (place, decimals) = match says {
            Says::CostElsewhere => (&mut self.elsewhere, Cost::DECIMALS),
            Says::CostTicks => (&mut self.cost, Cost::DECIMALS - TICKS),
            _ => (&mut self.cost, Cost::DECIMALS),
        };
        let cost = scaled(written, decimals).filter(|cost| *cost <= MOST);
        if let Some(cost) = cost.filter(|cost| *cost > 0 || place.is_none()) {
            *place = Some(Cost(cost));
        }
        cost.is_some()
    }
}
