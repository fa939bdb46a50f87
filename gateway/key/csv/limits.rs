//! The limits of a key, from the fields of a line.

use super::columns::Column;
use crate::limit::amount::{self, AmountError};
use crate::limit::of_key::{
    LimitSettings, MAX_BUDGET, MAX_PARALLEL, RPM_LIMIT, SOFT_BUDGET, TPM_LIMIT,
};

/// Reads the settings of a key's limits. `field` returns the text of a column, if there is one.
pub(super) fn read_limits<'f>(
    field: impl Fn(Column) -> Option<&'f str>,
) -> Result<LimitSettings, String> {
    let settings = LimitSettings {
        rpm_limit: read(field(Column::RpmLimit), RPM_LIMIT, amount::per_minute)?,
        tpm_limit: read(field(Column::TpmLimit), TPM_LIMIT, amount::per_minute)?,
        max_parallel_requests: read(field(Column::MaxParallel), MAX_PARALLEL, amount::parallel)?,
        max_budget: list(read(field(Column::MaxBudget), MAX_BUDGET, amount::money)?),
        soft_budget: list(read(
            field(Column::SoftBudget),
            SOFT_BUDGET,
            amount::percent,
        )?),
    };
    if settings.lacks_budget() {
        return Err(format!("{SOFT_BUDGET} needs a {MAX_BUDGET}"));
    }
    Ok(settings)
}

fn read<T>(
    text: Option<&str>,
    name: &str,
    read: impl Fn(&str) -> Result<T, AmountError>,
) -> Result<Option<T>, String> {
    let value = text.map(read).transpose();
    value.map_err(|why| format!("{name} {why}"))
}

fn list<T>(value: Option<T>) -> Vec<T> {
    value.into_iter().collect()
}
