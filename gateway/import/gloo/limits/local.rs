//! Limits that policies contain themselves: token buckets of kgateway, and local limits of
//! agentgateway.

use std::time::Duration;

use crate::document::parse_duration;
use crate::import::amounts::{PlannedAmounts, TOKENS};
use crate::import::fields::Fields;
use crate::import::gloo::limits::bucket::Bucket;
use crate::import::planned_limit::PlannedLimit;
use crate::limit::terms::Counts;

/// The note about limits in a service of their own.
const ELSEWHERE: &str = "how much it allows stands in the configuration of the rate limit service, which keygate cannot \
                         read: write it as a table [[limits]]";

/// The local limits of a policy.
pub(super) struct Local {
    /// The limits, without their routes. There are none if the policy switches them off.
    pub(super) limits: Vec<PlannedLimit>,
}

impl Local {
    /// The limits of a policy that has `count`. If none of them is carried over, `None`: those of a
    /// less specific policy stay.
    fn of(limits: Vec<PlannedLimit>, count: usize) -> Option<Self> {
        (count == 0 || !limits.is_empty()).then_some(Self { limits })
    }
}

/// Takes `rateLimit` of kgateway's policy. Returns `None` if it has no local limit.
pub(super) fn kgateway(part: &mut Fields<'_>, name: &str) -> Option<Local> {
    let mut settings = part.fields(&["rateLimit"])?;
    settings.discard("global", ELSEWHERE);
    let local = settings.fields(&["local"]).and_then(|mut local| {
        let count = local.unread().count();
        let bucket = local.fields(&["tokenBucket"]);
        let limit = bucket.and_then(|bucket| of_bucket(bucket, name));
        local.finish();
        Local::of(limit.into_iter().collect(), count)
    });
    settings.finish();
    local
}

fn of_bucket(mut bucket: Fields<'_>, name: &str) -> Option<PlannedLimit> {
    let interval = bucket.text("fillInterval");
    let interval = interval.and_then(|text| parse_duration(&text).ok());
    let limit = Bucket {
        capacity: bucket.number("maxTokens").unwrap_or_default(),
        fill: bucket.number("tokensPerFill").unwrap_or(1),
        interval: interval.unwrap_or_default(),
    };
    let is_whole = bucket.unread().next().is_none();
    let planned = planned(limit, Counts::Requests, name, &bucket);
    bucket.finish();
    planned.filter(|_| is_whole)
}

/// Takes `rateLimit` of agentgateway's policy. Returns `None` if it has no local limit.
pub(super) fn agentgateway(part: &mut Fields<'_>, name: &str) -> Option<Local> {
    let mut settings = part.fields(&["rateLimit"])?;
    settings.discard("global", ELSEWHERE);
    let is_local = settings.has("local");
    let items = settings.list("local");
    let count = items.len() + settings.unread().count();
    let limits = items.into_iter();
    let limits = limits.filter_map(|item| of_item(item, name)).collect();
    settings.finish();
    Local::of(limits, count).filter(|_| is_local)
}

fn of_item(mut item: Fields<'_>, name: &str) -> Option<PlannedLimit> {
    let (requests, tokens) = (item.number("requests"), item.number("tokens"));
    let interval = match item.text("unit").as_deref() {
        Some("Seconds") => Duration::from_secs(1),
        Some("Minutes") => Duration::from_secs(60),
        Some("Hours") => Duration::from_secs(3600),
        _ => Duration::ZERO,
    };
    let burst = item.number("burst").unwrap_or_default();
    let is_whole = item.unread().next().is_none();
    let (fill, counts) = match (requests, tokens) {
        (Some(requests), None) => (requests, Counts::Requests),
        (None, Some(tokens)) => (tokens, Counts::Tokens(TOKENS[0].1)),
        _ => {
            item.lost(
                "",
                "it is a number of either requests or tokens: it is left out",
            );
            item.finish();
            return None;
        }
    };
    let limit = Bucket {
        capacity: fill.saturating_add(burst),
        fill,
        interval,
    };
    let planned = planned(limit, counts, name, &item);
    item.finish();
    planned.filter(|_| is_whole)
}

/// The limit of a bucket. One that keygate does not have is noted.
fn planned(
    bucket: Bucket,
    counts: Counts,
    name: &str,
    fields: &Fields<'_>,
) -> Option<PlannedLimit> {
    match bucket.rate() {
        Ok((amount, burst)) => {
            let mut amounts = PlannedAmounts::default();
            amounts.add(counts, amount);
            Some(PlannedLimit {
                name: name.to_owned(),
                amounts,
                burst,
                from: (fields.title().to_owned(), String::new()),
                ..PlannedLimit::default()
            })
        }
        Err(why) => {
            fields.lost("", format!("{why}: it is left out"));
            None
        }
    }
}
