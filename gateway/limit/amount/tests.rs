//! Amounts are read and written exactly, and each that is none states why.

use proptest::prelude::{any, proptest};

use super::AmountError as E;
use super::*;
use crate::limit::terms::Counts;

fn per(units: u64, window: Window) -> Amount {
    rate(units, window).unwrap()
}

fn budget_of(units: i64, period: Period) -> Amount {
    Amount::Budget { units, period }
}

#[test]
fn short_periods_make_rates_of_a_whole_window_and_long_ones_budgets() {
    for (text, amount) in [
        ("6000 per minute", per(6000, Window::Minute)),
        ("6000 Per Minute", per(6000, Window::Minute)),
        ("600/minute", per(600, Window::Minute)),
        (" 600 / min ", per(600, Window::Minute)),
        ("600 /s", per(600, Window::Second)),
        ("10 per sec", per(10, Window::Second)),
        ("1k per hours", per(1000, Window::Hour)),
        ("1G per h", per(1_000_000_000, Window::Hour)),
        ("20M per day", budget_of(20_000_000, Period::Day)),
        ("1_000 per week", budget_of(1000, Period::Week)),
        ("1.5M per month", budget_of(1_500_000, Period::Month)),
        ("1.500K per quarter", budget_of(1500, Period::Quarter)),
        ("7.0 per year", budget_of(7, Period::Year)),
        ("0 per day", budget_of(0, Period::Day)),
        ("5 for ever", budget_of(5, Period::Ever)),
        ("5 forever", budget_of(5, Period::Ever)),
    ] {
        assert_eq!(counted(text), Ok(amount), "{text}");
    }
    let Amount::Rate(rate) = per(600, Window::Minute) else {
        panic!("no rate");
    };
    assert_eq!(rate.burst, 600);
}

#[test]
fn an_amount_that_is_none_states_why() {
    for (text, why) in [
        ("", E::Form("6000 per minute")),
        ("per minute", E::Form("6000 per minute")),
        ("many per minute", E::Form("6000 per minute")),
        ("1e3 per minute", E::Form("6000 per minute")),
        ("0x10 per minute", E::Form("6000 per minute")),
        ("1,000 per minute", E::Form("6000 per minute")),
        ("1__0 per minute", E::Form("6000 per minute")),
        ("_1 per minute", E::Form("6000 per minute")),
        ("1. per minute", E::Form("6000 per minute")),
        (".5M per minute", E::Form("6000 per minute")),
        ("+1 per minute", E::Form("6000 per minute")),
        ("1MM per minute", E::Form("6000 per minute")),
        ("1kM per minute", E::Form("6000 per minute")),
        ("1m per minute", E::Form("6000 per minute")),
        ("M per minute", E::Form("6000 per minute")),
        ("\u{0661} per minute", E::Form("6000 per minute")),
        ("6000", E::Period("6000 per minute")),
        ("6000 minute", E::UnknownPeriod),
        ("6000 per", E::UnknownPeriod),
        ("6000 per fortnight", E::UnknownPeriod),
        ("6000 per minute or so", E::UnknownPeriod),
        ("6000 per ever", E::UnknownPeriod),
        ("20 M per day", E::UnknownPeriod),
        ("6000/", E::UnknownPeriod),
        ("6000//minute", E::UnknownPeriod),
        ("6000 per m", E::Ambiguous),
        ("6000 per 5 minutes", E::Multiple),
        ("6000/5min", E::Multiple),
        ("0.5 per minute", E::Fraction),
        ("1.2345k per day", E::Fraction),
        ("-1 per minute", E::Negative),
        ("0 per minute", E::Zero),
        ("0k/hour", E::Zero),
        ("1_000_000_001 per minute", E::Rate),
        ("18446744073709551615 per minute", E::Rate),
        ("18446744073709551616 per minute", E::TooLarge),
        ("2305843009213693952 per day", E::TooLarge),
        ("99999999999999999999999999999999G per day", E::TooLarge),
    ] {
        assert_eq!(counted(text), Err(why), "{text}");
    }
}

#[test]
fn money_is_in_billionths_and_lasts_for_ever_without_a_period() {
    for (text, amount) in [
        ("50", budget_of(50_000_000_000, Period::Ever)),
        ("50 for ever", budget_of(50_000_000_000, Period::Ever)),
        ("50.00 per month", budget_of(50_000_000_000, Period::Month)),
        ("0.000000001/day", budget_of(1, Period::Day)),
        (
            "1.0000000010 per day",
            budget_of(1_000_000_001, Period::Day),
        ),
        ("2.5k per hour", budget_of(2_500_000_000_000, Period::Hour)),
        ("0", budget_of(0, Period::Ever)),
        ("2305843009.213693951", budget_of(MOST, Period::Ever)),
    ] {
        assert_eq!(money(text), Ok(amount), "{text}");
    }
    for (text, why) in [
        ("0.0000000001", E::Decimals),
        ("$50 per month", E::Currency),
        ("50 € per month", E::Currency),
        ("50 per minute", E::Brief),
        ("50/s", E::Brief),
        ("50,00", E::Form("50.00 per month")),
        ("-50", E::Negative),
        ("\u{2212}50", E::Negative),
        ("2305843009.213693952", E::TooLarge),
        ("50 per moon", E::UnknownPeriod),
    ] {
        assert_eq!(money(text), Err(why), "{text}");
    }
}

#[test]
fn a_burst_is_what_the_rate_allows_in_a_time_and_at_least_one() {
    let rate = |units, window| RateAmount {
        units,
        window,
        burst: units,
    };
    let minute = rate(600, Window::Minute);
    assert_eq!(burst(Duration::from_secs(10), &minute), 100);
    assert_eq!(burst(Duration::from_secs(120), &minute), 1200);
    assert_eq!(burst(Duration::ZERO, &minute), 1);
    assert_eq!(burst(Duration::from_secs(1), &rate(1, Window::Hour)), 1);
    let most = rate(RateAmount::MOST, Window::Second);
    assert_eq!(burst(Duration::MAX, &most), u64::MAX);
}

#[test]
fn a_percentage_is_between_nothing_and_everything() {
    assert_eq!(
        (percent("80%"), percent(" 1 %"), percent("99%")),
        (Ok(80), Ok(1), Ok(99))
    );
    for text in [
        "80",
        "0%",
        "100%",
        "-1%",
        "+5%",
        "8.5%",
        "%",
        "",
        "999%",
        "80%%",
        "80 per cent",
    ] {
        assert_eq!(percent(text), Err(E::Percent), "{text}");
    }
}

#[test]
fn money_is_written_exactly_with_at_least_two_decimals() {
    for (units, text) in [
        (50_000_000_000, "50.00"),
        (1_500_000_000, "1.50"),
        (1, "0.000000001"),
        (0, "0.00"),
        (-250_000_000, "-0.25"),
        (i64::MIN, "-9223372036.854775808"),
    ] {
        assert_eq!(write_money(units), text);
    }
}

proptest! {
    #[test]
    fn an_amount_is_read_as_it_is_written(
        units in 0..=MOST, rate_units in 1..=RateAmount::MOST, window in 0..3_usize, period in 0..6_usize,
    ) {
        let rate = per(rate_units, Window::ALL[window]);
        assert_eq!(counted(&rate.to_string()), Ok(rate));
        for period in [Period::ALL[period], Period::Ever] {
            let budget = budget_of(units, period);
            assert_eq!(money(&write_amount(Counts::Money, &budget)), Ok(budget));
            if period != Period::Hour {
                assert_eq!(counted(&budget.to_string()), Ok(budget));
            }
        }
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in any::<String>()) {
        let _ = (counted(&text), money(&text), percent(&text));
    }

    #[test]
    fn no_text_of_amounts_makes_a_reader_panic(text in "[-0-9._kMG%/ ]{0,24}( per | for |/)?[a-z0-9 ]{0,12}") {
        let _ = (counted(&text), money(&text), percent(&text));
    }
}
