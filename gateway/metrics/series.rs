//! Removes series of what the configuration no longer names.

use prometheus::IntCounterVec;
use prometheus::core::Collector;

/// Removes the series whose label `by` has a value that `is_gone` accepts from a family with these labels.
pub(super) fn remove_series(
    family: &IntCounterVec,
    labels: &[&str],
    by: &str,
    is_gone: &impl Fn(&str) -> bool,
) {
    for collected in family.collect() {
        for series in collected.get_metric() {
            let value = |name: &&str| {
                let found = series
                    .get_label()
                    .iter()
                    .find(|label| label.name() == *name);
                found.map_or("", prometheus::proto::LabelPair::value)
            };
            if is_gone(value(&by)) {
                let values: Vec<&str> = labels.iter().map(value).collect();
                // The series exists: it was just collected.
                let _ = family.remove_label_values(&values);
            }
        }
    }
}
