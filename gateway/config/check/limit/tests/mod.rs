//! What `[[limits]]` become, and what is wrong with them.

mod mistakes;

use std::path::Path;
use std::time::Duration;

use jiff::civil::Weekday;

use super::super::check;
use super::*;
use crate::config::file::GatewayFile;
use crate::config::meant::Config;
use crate::document::{Document, Problems};
use crate::limit::notice::{BudgetStatus, LimitHeaders};
use crate::limit::terms::{Of, Period, RateAmount, Tokens, Window};

/// A provider and a route of each sort.
const BEFORE: &str = "\
[providers.openai]
kind = \"openai\"
token = \"inline:t\"
[providers.openrouter]
kind = \"openrouter\"
token = \"inline:t\"
[providers.local]
kind = \"custom\"
base_url = \"https://local.test/v1\"
token = \"none\"
[[routes]]
name = \"chat\"
path = \"/chat\"
provider = \"openai\"
[[routes]]
name = \"router\"
path = \"/router\"
provider = \"openrouter\"
[[routes]]
name = \"open\"
path = \"/open\"
provider = \"local\"
auth = \"none\"
";

/// The line behind them.
const LINE: usize = 24;

/// The configuration of a text behind [`BEFORE`], and its problems behind these lines.
fn read(text: &str) -> (Config, Vec<String>) {
    let path = Path::new("g.toml");
    let document = Document::new(path, format!("{BEFORE}{text}"));
    let problems = Problems::default();
    let file = GatewayFile::parse(&document, &problems);
    let config = check(file, path, &problems);
    let problems = problems.into_sorted().into_iter();
    let problems = problems.filter(|problem| problem.at.line == 0 || problem.at.line >= LINE);
    (
        config,
        problems.map(|problem| problem.to_string()).collect(),
    )
}

/// The problems of a table of `[[limits]]` with the name in line 25, of which `rest` begins in line 26.
fn problems(rest: &str) -> Vec<String> {
    read(&format!("[[limits]]\nname = \"l\"\n{rest}")).1
}

/// The limits of such a table, which has no problem but that of a ledger that is missing.
fn limits(rest: &str) -> Vec<Arc<Limit>> {
    let text = format!(
        "[[limits]]\nname = \"l\"\n{rest}\n[usage]\nprices = \"p\"\n[ledger]\nstore = \"l\""
    );
    let (config, problems) = read(&text);
    assert!(problems.is_empty(), "{rest}\n{problems:?}");
    let rows = config.limits.rows.into_iter();
    rows.flat_map(|row| row.limits).collect()
}

#[test]
fn each_amount_of_a_table_makes_a_limit_and_the_rest_is_at_its_defaults() {
    let all = limits(
        "of = \"key\"\nrequests = [\"60 per minute\", \"1000 per day\"]\ntokens = \"20k per hour\"\n\
         input_tokens = \"5 per second\"\noutput_tokens = \"7 per week\"\nbudget = \"2.50 per month\"\nparallel = 3",
    );
    let rate = |units, window| {
        Amount::Rate(RateAmount {
            units,
            window,
            burst: units,
        })
    };
    let budget = |units, period| Amount::Budget { units, period };
    let tokens = |input, output| {
        Counts::Tokens(Tokens {
            input,
            output,
            cached: false,
        })
    };
    let expected = [
        (Counts::Requests, rate(60, Window::Minute)),
        (Counts::Requests, budget(1000, Period::Day)),
        (tokens(true, true), rate(20_000, Window::Hour)),
        (tokens(true, false), rate(5, Window::Second)),
        (tokens(false, true), budget(7, Period::Week)),
        (Counts::Money, budget(2_500_000_000, Period::Month)),
        (Counts::Parallel, Amount::AtOnce(3)),
    ];
    let found: Vec<_> = all
        .iter()
        .map(|limit| (limit.counts, limit.amount))
        .collect();
    assert_eq!(found, expected);
    for limit in &all {
        let plain = Limit {
            name: "l".into(),
            of: Of::Key,
            routes: None,
            models: Box::default(),
            counts: limit.counts,
            amount: limit.amount,
            reserve: Reserve::Estimate,
            mode: Mode::Enforce,
            over_budget: OverBudget::Finish,
            soft: Box::default(),
            unpriced: false,
            unmetered: false,
            unbounded: false,
        };
        assert_eq!(**limit, plain);
    }
}

#[test]
fn each_setting_of_a_limit_is_taken_over() {
    let all = limits(
        "of = { label = \"team\", value = \"search\" }\nroutes = [\"chat\", \"router\"]\nmodels = [\"GPT-5*\", \"o3\"]\n\
         tokens = \"100 per minute\"\nbudget = \"1 per day\"\nburst = \"6s\"\nreserve = \"max\"\nunbounded = \"refuse\"\n\
         mode = \"observe\"\nover_budget_streams = \"cut\"\nsoft_budget = [\"95%\", \"80%\", \"95%\"]\n\
         cached_tokens = true\nunpriced = \"allow\"\nunmetered = \"allow\"",
    );
    let [tokens, money] = &all[..] else {
        panic!("{all:?}")
    };
    let common = |limit: &Limit| {
        assert_eq!(
            limit.of,
            Of::Label {
                name: "team".into(),
                value: Some("search".into())
            }
        );
        let routes: Vec<&str> = limit.routes.iter().flatten().map(|name| &**name).collect();
        assert_eq!(routes, ["chat", "router"]);
        assert!(limit.models[0].matches("gpt-5-mini") && limit.models[1].matches("o3"));
        assert_eq!(
            (limit.reserve, limit.mode, limit.over_budget),
            (Reserve::Max, Mode::Observe, OverBudget::Cut)
        );
        assert!(limit.unpriced && limit.unmetered && limit.unbounded);
    };
    common(tokens);
    common(money);
    let Counts::Tokens(Tokens { cached: true, .. }) = tokens.counts else {
        panic!("{tokens:?}")
    };
    let Amount::Rate(RateAmount { burst: 10, .. }) = tokens.amount else {
        panic!("{tokens:?}")
    };
    // A warning is given of budgets only.
    assert_eq!((&*tokens.soft, &*money.soft), (&[][..], &[80, 95][..]));
    let each = limits("of = { label = \"team\", each = true }\nparallel = 1");
    assert_eq!(
        each[0].of,
        Of::Label {
            name: "team".into(),
            value: None
        }
    );
}

#[test]
fn a_budget_needs_prices_unless_its_providers_report_their_cost() {
    let with = |routes: &str, more: &str| {
        let limit = format!(
            "of = \"gateway\"\nbudget = \"1 per day\"\n{routes}\n[ledger]\nstore = \"l\"\n{more}"
        );
        problems(&limit)
    };
    for routes in [
        "",
        "routes = \"chat\"",
        "routes = [\"chat\", \"open\", \"router\"]",
    ] {
        let found = with(routes, "");
        let expected = "g.toml:27: a budget needs prices, because openai reports no cost itself: name a price file in \
                        usage.prices";
        assert_eq!(found, [expected], "{routes}");
        assert!(with(routes, "[usage]\nprices = \"p\"").is_empty());
    }
    assert!(with("routes = \"router\"", "").is_empty());
    let maybe = with("routes = [\"open\", \"router\"]", "");
    let expected =
        "g.toml:27: warning: this budget has no price file: unless local reports the cost itself";
    assert!(
        maybe.len() == 1 && maybe[0].starts_with(expected),
        "{maybe:?}"
    );
}

#[test]
fn a_restart_that_forgets_a_budget_is_a_warning() {
    let limit = "of = \"gateway\"\nrequests = ";
    let found = problems(&format!("{limit}\"9 per day\""));
    let expected = "g.toml:24: warning: a restart forgets what was used of this limit: name a file in ledger.store";
    assert_eq!(found, [expected]);
    assert!(problems(&format!("{limit}\"9 per minute\"")).is_empty());
    assert!(problems(&format!("{limit}\"9 per day\"\n[ledger]\nstore = \"l.db\"")).is_empty());
}

#[test]
fn what_limits_have_in_common_is_read_or_refused() {
    let (config, problems) = read("");
    let limits = config.limits;
    assert!(problems.is_empty() && limits.rows.is_empty() && limits.ledger.is_none());
    assert_eq!(
        (limits.week_starts, limits.budget_status, limits.headers),
        (
            Weekday::Monday,
            BudgetStatus::PaymentRequired,
            LimitHeaders::Rates
        )
    );
    assert_eq!(limits.retention, Duration::from_secs(400 * 86_400));
    let (config, problems) = read(
        "[usage]\ntimezone = \"Europe/Berlin\"\nweek_starts = \"sunday\"\nbudget_status = 429\nlimit_headers = \"all\"\n\
         retention = \"30d\"\n[ledger]\nstore = \"/l/ledger.db\"",
    );
    let limits = config.limits;
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(limits.timezone.unwrap().value, "Europe/Berlin");
    assert_eq!(
        (limits.week_starts, limits.budget_status, limits.headers),
        (
            Weekday::Sunday,
            BudgetStatus::TooManyRequests,
            LimitHeaders::All
        )
    );
    assert_eq!(limits.retention, Duration::from_secs(30 * 86_400));
    assert_eq!(limits.ledger.unwrap(), Path::new("/l/ledger.db"));
    for (setting, expected) in [
        (
            "week_starts = \"sonday\"",
            "g.toml:25: usage.week_starts is one of monday, tuesday, wednesday, thursday, friday, saturday and sunday: did you mean `monday`?",
        ),
        (
            "budget_status = 400",
            "g.toml:25: usage.budget_status is 402, 403 or 429",
        ),
        (
            "limit_headers = \"some\"",
            "g.toml:25: usage.limit_headers is one of all, rates and none",
        ),
        (
            "retention = \"1h\"",
            "g.toml:25: usage.retention is at least \"1d\"",
        ),
    ] {
        assert_eq!(read(&format!("[usage]\n{setting}")).1, [expected]);
    }
    for store in ["", "/var/lib/keygate/"] {
        let found = read(&format!("[ledger]\nstore = \"{store}\"")).1;
        assert!(
            found[0].starts_with("g.toml:25: ledger.store is the path of a file"),
            "{found:?}"
        );
    }
}

#[test]
fn a_limit_that_counts_tokens_of_streams_that_are_not_read_is_a_warning() {
    let with = |limit: &str| {
        let route = "[[routes]]\nname = \"blind\"\npath = \"/b\"\nprovider = \"openai\"\nmeter_streams = \"off\"";
        problems(&format!("of = \"route\"\n{limit}\n{route}"))
    };
    let expected = "g.toml:24: warning: with `meter_streams = \"off\"`, this limit counts streams and WebSockets of \
                    blind as estimated";
    assert_eq!(with("tokens = \"9 per minute\""), [expected]);
    for limit in [
        "requests = \"9 per minute\"",
        "tokens = \"9 per minute\"\nroutes = \"chat\"",
    ] {
        assert!(with(limit).is_empty(), "{limit}");
    }
}
