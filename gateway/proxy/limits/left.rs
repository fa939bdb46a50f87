//! Phase 4, observe: what the limits of a request have left, for the headers of its response.

use std::time::Duration;

use http::HeaderMap;

use crate::limit::applied::{Applied, Cell};
use crate::limit::moment::Moment;
use crate::limit::notice::LimitHeaders;
use crate::limit::period::Calendar;
use crate::limit::terms::{Amount, Counts, Limit, Of};
use crate::proxy::admit::Admission;
use crate::proxy::exchange::Exchange;
use crate::proxy::limit_headers::{self, Kind, Left};

/// Writes what the limits of the exchange have left into the headers of its response.
pub(in crate::proxy) fn write(exchange: &Exchange, headers: &mut HeaderMap) {
    let choice = exchange.rules.limits.headers;
    let (Some(reserved), Some(admission)) = (&exchange.reserved, &exchange.admission) else {
        return;
    };
    if choice == LimitHeaders::None {
        return;
    }
    let moment = exchange.moment_now();
    let calendar = &exchange.rules.plan.calendar;
    let route = Admission::route(admission);
    let enforced = || {
        let limits = reserved.reservation.lists().on(&route.name);
        let limits = limits.map(|(_, applied)| applied);
        limits.filter(|it| {
            // What is left of a limit that other tenants share would tell what they used.
            let is_own = matches!(it.limit.of, Of::Key | Of::Label { .. });
            is_own && it.enforces() && it.is_for(reserved.model.as_deref())
        })
    };
    let left: Vec<_> = enforced()
        .filter_map(|applied| left_of(applied, moment, calendar))
        .collect();
    limit_headers::write(headers, route.dialect, &left, moment.time, choice);
    if choice == LimitHeaders::All {
        let warnings = enforced().filter_map(|applied| warning(applied, moment, calendar));
        if let Some((percent, name)) = warnings.max_by_key(|(percent, _)| *percent) {
            limit_headers::warn(headers, name, percent);
        }
    }
}

/// The last percentage of `soft_budget` that a budget of the client's own has passed, and the limit's name. Budgets that
/// clients of other keys or labels use, too, are none of its own.
fn warning<'l>(applied: &'l Applied, moment: Moment, calendar: &Calendar) -> Option<(u8, &'l str)> {
    let limit = &applied.limit;
    let Cell::Budget(budget) = &applied.cell else {
        return None;
    };
    if limit.soft.is_empty() || !matches!(limit.of, Of::Key | Of::Label { .. }) {
        return None;
    }
    let account = budget.at(moment.time, calendar);
    let percent = account.passed(&limit.soft, budget.amount())?;
    Some((percent, &limit.name))
}

fn left_of<'l>(applied: &'l Applied, moment: Moment, calendar: &Calendar) -> Option<Left<'l>> {
    let kind = kind(&applied.limit)?;
    let name = &*applied.limit.name;
    match (&applied.cell, applied.limit.amount) {
        (Cell::Rate(rate, pace), Amount::Rate(amount)) => {
            let (left, resets_in) = rate.left(moment.ticks, *pace);
            Some(Left {
                kind,
                name,
                limit: amount.units,
                remaining: left,
                window: amount.window.length(),
                resets_in,
            })
        }
        (Cell::Budget(budget), _) => {
            let account = budget.at(moment.time, calendar);
            let (start, end) = (account.id().start, account.id().end);
            let between = |from, to: jiff::Timestamp| {
                Duration::try_from(to.duration_since(from)).unwrap_or_default()
            };
            let units = |units: i64| u64::try_from(units).unwrap_or(0);
            Some(Left {
                kind,
                name,
                limit: units(budget.amount()),
                remaining: units(account.left(budget.amount())),
                window: between(start, end),
                resets_in: between(moment.time, end),
            })
        }
        _ => None,
    }
}

fn kind(limit: &Limit) -> Option<Kind> {
    Some(match limit.counts {
        Counts::Requests => Kind::Requests,
        Counts::Money => Kind::Budget,
        Counts::Parallel => return None,
        Counts::Tokens(tokens) => match (tokens.input, tokens.output) {
            (true, false) => Kind::InputTokens,
            (false, true) => Kind::OutputTokens,
            _ => Kind::Tokens,
        },
    })
}
