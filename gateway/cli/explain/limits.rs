//! The limits that apply to a request: what each has left, and what it would reserve.

use pingora::http::RequestHeader;

use super::Said;
use crate::admin::limits::{LimitRow, Wanted};
use crate::cli::limits::{Standing, scope, units};
use crate::cli::output::eprint;
use crate::limit::amount::write_terms;
use crate::limit::applied::{Amounts, Applied};
use crate::proxy::admit::Admission;
use crate::proxy::attempt::Attempt;
use crate::proxy::limits::forecast::{Forecast, Sketch, forecast};
use crate::proxy::reject::Reason;
use crate::snapshot::Snapshot;

/// How many rows are wanted of a limit and scope: it may have several amounts.
const ROWS: usize = 100;

/// What is known of a request's body.
pub(super) struct Content<'c> {
    pub(super) body: Option<&'c [u8]>,
    /// Its size.
    pub(super) bytes: u64,
    /// The model that it names, where it is not given itself.
    pub(super) model: Option<&'c str>,
}

/// The limits of a request.
pub(super) struct Limits<'l> {
    pub(super) standing: &'l Standing,
    pub(super) snapshot: &'l Snapshot,
    pub(super) request: &'l RequestHeader,
    pub(super) content: &'l Content<'l>,
}

impl Limits<'_> {
    /// Explains each limit. Fails with the reason of the first one that would refuse the request.
    pub(super) fn explain(
        &self,
        admission: &Admission,
        attempt: &Attempt,
        said: &mut Said<'_>,
    ) -> Result<(), Reason> {
        let sketch = Sketch {
            rules: &self.snapshot.rules,
            method: self.request.method.as_str(),
            headers: &self.request.headers,
            admission,
            attempt,
            now: self.standing.moment().time,
            body: self.content.body,
            bytes: self.content.bytes,
            model: self.content.model,
        };
        // Which limits there are does not depend on what was learnt: a gateway is asked only if there are some.
        if forecast(&sketch, Amounts::default()).is_empty() {
            return Ok(());
        }
        let all = forecast(&sketch, self.learnt(admission));
        let mut refused = None;
        for it in &all {
            let row = self.row(&it.applied);
            said.line("limit", describe(it, row.as_ref()));
            let is_enforced = it.applied.enforces();
            refused = refused.or_else(|| refusal(it, row.as_ref()).filter(|_| is_enforced));
        }
        if let Some(source) = self.standing.source() {
            eprint(&source);
        }
        match refused {
            Some(reason) => Err(said.refused(reason)),
            None => Ok(()),
        }
    }

    /// What requests like this one used so far, by the gateway that serves.
    fn learnt(&self, admission: &Admission) -> Amounts {
        let wanted = Wanted {
            rows: Some(0),
            key: admission.key().map(|key| key.id.to_string()),
            route: Some(admission.route().name.to_string()),
            bytes: Some(self.content.bytes),
            ..Wanted::default()
        };
        let report = self.standing.report(&wanted).ok();
        let estimate = report.and_then(|report| report.estimate);
        estimate.map_or_else(Amounts::default, |it| Amounts {
            input: it.input,
            cached: 0,
            output: it.output,
            money: it.money,
        })
    }

    /// What the limit has left; `None` if that could not be read.
    fn row(&self, applied: &Applied) -> Option<LimitRow> {
        let wanted = Wanted {
            name: Some(applied.limit.name.to_string()),
            scope: Some(applied.scope.to_string()),
            rows: Some(ROWS),
            ..Wanted::default()
        };
        let report = self.standing.report(&wanted).ok()?;
        let mut rows = report.limits.into_iter();
        let (limit, scope) = (&applied.limit, &applied.scope);
        let found = rows.find(|row| row.is_of(limit, scope));
        // A gateway has no row of a key that has used nothing.
        Some(found.unwrap_or_else(|| LimitRow::unused(limit, scope)))
    }
}

/// `search-team of team=search: 100.00 per day, 87.50 left; would reserve 0.02`.
fn describe(it: &Forecast, row: Option<&LimitRow>) -> String {
    let limit = &it.applied.limit;
    let counts = limit.counts;
    let whose = scope(&limit.of, &it.applied.scope);
    let amount = write_terms(counts, &limit.amount);
    let observed = if it.applied.enforces() {
        ""
    } else {
        ", observed only"
    };
    let left = row.map_or_else(String::new, |row| {
        let raised = match row.raised {
            0 => String::new(),
            raised => format!(", raised by {}", units(counts, raised)),
        };
        format!("{raised}, {} left", units(counts, row.left))
    });
    let takes = match it.units {
        Ok(count) => format!("would reserve {}", units(counts, count)),
        Err(reason) => format!("would refuse it: {}", reason.code()),
    };
    format!(
        "{} of {whose}: {amount}{left}{observed}; {takes}",
        limit.name
    )
}

/// Why the limit would refuse the request, if it would.
fn refusal(it: &Forecast, row: Option<&LimitRow>) -> Option<Reason> {
    let wanted = match it.units {
        Err(reason) => return Some(reason),
        Ok(units) => units.max(1),
    };
    let row = row?;
    // What is larger than a whole window passes when all of it is there.
    let whole = row.most.saturating_add(row.raised).max(1);
    (row.left < wanted.min(whole)).then(|| it.reason_if_short())
}
