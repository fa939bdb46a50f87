//! What a request holds once it is admitted, for the log and the metrics: what it uses later changes what it holds.

use super::applied::{Amounts, Applied};
use super::terms::{Counts, Reserve};

/// What an admitted request has reserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// The most tokens of one limit; `None` if no limit counts its tokens.
    pub(crate) tokens: Option<i64>,
    /// The most money of one limit, in billionths of a currency unit; `None` if no limit counts its cost.
    pub(crate) cost: Option<i64>,
    /// The most tokens of one limit that estimates them, and what this limit counts.
    estimate: Option<(i64, Counts)>,
}

impl Admitted {
    /// What is `held` of each limit.
    pub(crate) fn of<'l>(held: impl Iterator<Item = (&'l Applied, i64)>) -> Self {
        let mut admitted = Self::default();
        for (applied, units) in held {
            let limit = &applied.limit;
            match limit.counts {
                Counts::Requests | Counts::Parallel => {}
                Counts::Money => admitted.cost = admitted.cost.max(Some(units)),
                Counts::Tokens(_) => {
                    admitted.tokens = admitted.tokens.max(Some(units));
                    if limit.reserve == Reserve::Estimate {
                        admitted.estimate = admitted.estimate.max(Some((units, limit.counts)));
                    }
                }
            }
        }
        admitted
    }

    /// How many tokens were used for each one that was reserved by estimate; `None` if none was.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio in a metric needs no more digits"
    )]
    pub(crate) fn accuracy(&self, used: &Amounts) -> Option<f64> {
        let (reserved, counts) = self.estimate.filter(|(reserved, _)| *reserved > 0)?;
        Some(used.units(counts) as f64 / reserved as f64)
    }
}
