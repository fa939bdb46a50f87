//! The summary of the delays.

use serde_json::json;

/// Prints a summary of `delays`, which are in nanoseconds, as a line of JSON.
pub(crate) fn print_summary(mut delays: Vec<u64>, took: f64) {
    delays.sort_unstable();
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    println!(
        "{}",
        json!({"count": delays.len(), "seconds": took, "p50_us": at(0.5), "p99_us": at(0.99), "p999_us": at(0.999)})
    );
}
