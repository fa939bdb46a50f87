//! Tests: no response costs more than the bound for its request, and a bound is no more than a price of the file.

use jiff::civil::Date;
use proptest::prelude::*;

use super::costs::list;
use super::naive_costs::{plain, usage};
use crate::usage::Usage;

fn day() -> Date {
    "2026-11-27".parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_cost_is_above_the_most_of_its_counts_or_of_larger_ones(
        plain in plain(),
        (_, usage) in usage(),
        more_input in prop_oneof![Just(0), 0_u64..1_000_000],
        more_output in prop_oneof![Just(0), 0_u64..100_000],
    ) {
        let prices = list(&plain.text());
        let usage = Usage { searches: 0, ..usage };
        let (input, output) = (usage.input + more_input, usage.output + more_output);
        let most = prices.most("p", "m", day(), input, output).unwrap();
        if let Some(cost) = prices.cost("p", "m", day(), &usage) {
            prop_assert!(cost <= most, "{cost} > {most}: {}{usage:?}", plain.text());
        }
        prop_assert_eq!(prices.most("p", "other", day(), input, output), None);
    }

    #[test]
    fn an_estimate_is_the_cost_of_plain_text_and_within_the_most(
        plain in plain(),
        input in 0_u64..2_000_000,
        output in 0_u64..100_000,
    ) {
        let prices = list(&plain.text());
        let usage = Usage { input, output, ..Usage::default() };
        let estimate = prices.estimate("p", "m", day(), input, output);
        prop_assert_eq!(estimate, prices.cost("p", "m", day(), &usage));
        prop_assert!(estimate <= prices.most("p", "m", day(), input, output));
    }
}

#[test]
fn the_most_is_at_the_dearest_rates_of_a_tier_that_can_apply() {
    let prices = list(
        "[[price]]\nmodel = \"m\"\ninput = \"1\"\noutput = \"4\"\n\
         cache_creation = \"1.25\"\ncache_creation_1h = \"2\"\nper_request = \"0.01\"\n\
         [[price.tier]]\nservice = \"priority\"\ninput = \"3\"\noutput = \"8\"\n\
         cache_creation = \"3\"\ncache_creation_1h = \"3\"\n\
         [[price.tier]]\nabove = 200000\ninput = \"5\"\noutput = \"20\"\n\
         cache_creation = \"5\"\ncache_creation_1h = \"10\"\n",
    );
    let most = |input, output| {
        let most = prices.most("p", "m", day(), input, output).unwrap();
        most.to_string()
    };
    assert_eq!(most(0, 0), "0.01");
    assert_eq!(most(200_000, 1_000_000), "8.61");
    assert_eq!(most(200_001, 1_000_000), "22.01001");
    let estimate = prices.estimate("p", "m", day(), 100_000, 1_000_000);
    assert_eq!(estimate.unwrap().to_string(), "4.11");
    let plain =
        list("[[price]]\nmodel = \"m\"\ninput = \"1\"\noutput = \"2\"\nreasoning = \"9\"\n");
    let most = plain.most("p", "m", day(), 1_000_000, 1_000_000).unwrap();
    assert_eq!(most.to_string(), "10");
    let endless = plain.most("p", "m", day(), u64::MAX, u64::MAX).unwrap();
    assert!(endless.billionths() == u64::MAX);
}
