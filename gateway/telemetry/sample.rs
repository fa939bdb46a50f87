//! Which traces are recorded: a share of them, chosen by their ids.

use opentelemetry::trace::TraceId;

/// Whether a trace is among `in_a_million`. The decision depends on the id alone, so that every service of a trace
/// decides the same (<https://opentelemetry.io/docs/specs/otel/trace/sdk/#traceidratiobased>).
pub(super) fn is_sampled(trace: TraceId, in_a_million: u32) -> bool {
    // The last seven bytes of an id are random.
    let random = u128::from_be_bytes(trace.to_bytes()) & ((1 << 56) - 1);
    let share = (random * 1_000_000) >> 56;
    share < u128::from(in_a_million)
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

    use super::*;

    #[test]
    fn the_configured_share_of_traces_is_sampled() {
        let ids = RandomIdGenerator::default();
        let count = |sample| {
            (0..10_000)
                .filter(|_| is_sampled(ids.new_trace_id(), sample))
                .count()
        };
        assert_eq!((count(0), count(1_000_000)), (0, 10_000));
        let tenth = count(100_000);
        assert!((800..1200).contains(&tenth), "{tenth}");
    }
}
