//! Imported limits: whatever the original says, `check` accepts what is written, and no enabled key may do more.

use std::fmt::Write as _;

use keygate::testing::import;
use keygate::testing::import::litellm::{self, Tables};
use proptest::prelude::*;
use toml_edit::{DocumentMut, Table};

use super::write_and_load;

/// Numbers in cells, with the greatest whole number that each allows; `None` allows any.
const NUMBERS: [(&str, Option<u64>); 14] = [
    ("", None),
    ("0", Some(0)),
    ("-1", Some(0)),
    ("1", Some(1)),
    ("10", Some(10)),
    ("10.0", Some(10)),
    ("2.5", Some(2)),
    ("1e3", Some(1_000)),
    ("1e-9", Some(0)),
    ("9223372036854775807", Some(i64::MAX as u64)),
    ("1e+40", None),
    ("Infinity", None),
    ("NaN", Some(0)),
    ("lots", Some(0)),
];

/// Durations, with the periods that last as long or longer.
const DURATIONS: [(&str, &[&str]); 9] = [
    ("", &["for ever"]),
    ("24h", &["per day"]),
    ("7d", &["per week"]),
    ("30d", &["per month"]),
    ("30m", &["per hour"]),
    ("14d", &["per month"]),
    ("90d", &["per quarter"]),
    ("1y", &["for ever"]),
    ("-1", &["for ever"]),
];

const LISTS: [&str; 7] = [
    "",
    "[]",
    "[{}]",
    "{\"max_budget\": 1}",
    "[{\"max_budget\": 3, \"budget_duration\": \"1d\"}, {\"max_budget\": -2, \"budget_duration\": \"1d\"}]",
    "[{\"max_budget\": \"x\"}]",
    "[{\"max_budget\": 1e30, \"budget_duration\": 5}]",
];

const METADATA: [&str; 8] = [
    "{}",
    "{\"model_rpm_limit\": {\"smart\": 3, \"any/x\": 0}}",
    "{\"model_rpm_limit\": {\"unknown\": 3}}",
    "{\"model_tpm_limit\": {\"smart\": -3}, \"model_itpm_limit\": {\"smart\": 1e20}}",
    "{\"model_rpm_limit\": [1]}",
    "{\"model_otpm_limit\": {\"any/\": 1, \"any/*\": 2, \"odd\": 3}}",
    "{\"model_max_budget\": {\"smart\": {\"budget_limit\": 1, \"time_period\": \"30d\"}}}",
    "not json",
];

#[derive(Clone, Debug)]
struct Limits {
    rpm: usize,
    tpm: usize,
    parallel: usize,
    most: usize,
    soft: usize,
    duration: usize,
    list: usize,
    metadata: usize,
}

fn limits() -> impl Strategy<Value = Limits> {
    let number = || 0..NUMBERS.len();
    let rest = (0..DURATIONS.len(), 0..LISTS.len(), 0..METADATA.len());
    let numbers = (number(), number(), number(), number(), number());
    (numbers, rest).prop_map(
        |((rpm, tpm, parallel, most, soft), (duration, list, metadata))| Limits {
            rpm,
            tpm,
            parallel,
            most,
            soft,
            duration,
            list,
            metadata,
        },
    )
}

const COLUMNS: &str = "rpm_limit,tpm_limit,max_parallel_requests,max_budget,soft_budget,budget_duration,budget_limits,\
                       metadata,spend,blocked,models,expires,permissions,user_role";

impl Limits {
    /// The cells of [`COLUMNS`].
    fn cells(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        format!(
            "{},{},{},{},{},{},{},{},0,f,{{}},,,",
            NUMBERS[self.rpm].0,
            NUMBERS[self.tpm].0,
            NUMBERS[self.parallel].0,
            NUMBERS[self.most].0,
            NUMBERS[self.soft].0,
            DURATIONS[self.duration].0,
            quoted(LISTS[self.list]),
            quoted(METADATA[self.metadata]),
        )
    }
}

/// The number of a setting; `u64::MAX` if it is not set.
fn number(table: &Table, name: &str) -> u64 {
    let item = table.get(name).and_then(|item| item.as_integer());
    item.map_or(u64::MAX, |number| u64::try_from(number).unwrap())
}

/// The texts of a setting that may be a list.
fn texts(table: &Table, name: &str) -> Vec<String> {
    let Some(item) = table.get(name) else {
        return Vec::new();
    };
    let list = item.as_array().into_iter().flatten();
    let list = list.filter_map(|item| item.as_str());
    item.as_str()
        .into_iter()
        .chain(list)
        .map(str::to_owned)
        .collect()
}

/// Returns whether a limit of the key alone lets no request pass.
fn may_do_nothing(key: &Table, gateway: &DocumentMut) -> bool {
    let tables = gateway
        .get("limits")
        .and_then(|item| item.as_array_of_tables());
    let mut tables = tables.into_iter().flatten();
    tables.any(|table| {
        let of = table["of"].as_inline_table();
        let value = of
            .and_then(|of| of.get("value"))
            .and_then(|value| value.as_str());
        value == key["id"].as_str()
            && table.get("models").is_none()
            && ["requests", "tokens"].iter().any(|name| {
                let amounts = texts(table, name);
                amounts.iter().any(|amount| amount == "0 per day")
            })
    })
}

/// Checks that an enabled key may do no more than the row says.
fn check_key(key: &Table, limits: &Limits, gateway: &DocumentMut) {
    if key.get("disabled").is_some() || may_do_nothing(key, gateway) {
        return;
    }
    for (name, cell) in [
        ("rpm_limit", limits.rpm),
        ("tpm_limit", limits.tpm),
        ("max_parallel_requests", limits.parallel),
    ] {
        let (text, most) = NUMBERS[cell];
        if let Some(most) = most {
            assert!(number(key, name) <= most, "{name} of {text}: {key}");
        }
    }
    let (text, most) = NUMBERS[limits.most];
    let Some(most) = most else { return };
    let budgets = texts(key, "max_budget");
    let (_, periods) = DURATIONS[limits.duration];
    let is_within = |budget: &String| {
        let (amount, period) = budget.split_once(' ').unwrap();
        #[expect(clippy::cast_precision_loss, reason = "the amounts are small")]
        let is_less = amount.parse::<f64>().unwrap() <= most as f64 + 0.5;
        is_less && periods.contains(&period)
    };
    assert!(budgets.iter().any(is_within), "max_budget of {text}: {key}");
}

const CONFIG: &str = "model_list:\n\
    - {model_name: smart, litellm_params: {model: openai/gpt-5, api_key: sk-x}}\n\
    - {model_name: any/*, litellm_params: {model: groq/*, api_key: sk-x}}\n\
    - {model_name: odd, litellm_params: {model: openai/a*b, api_key: sk-x}}\n";

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_imported_key_may_do_more_than_its_row_in_litellm_says(
        keys in prop::collection::vec(limits(), 1..6),
        team in limits(),
        user in limits(),
        kind in prop::sample::select(vec!["total", "input", "output"]),
    ) {
        let mut tokens = format!("token,key_alias,team_id,user_id,{COLUMNS}\n");
        for (place, limits) in keys.iter().enumerate() {
            let (team, user) = [("", ""), ("t", ""), ("", "u"), ("t", "u")][place % 4];
            writeln!(tokens, "{place:064x},k{place},{team},{user},{}", limits.cells()).unwrap();
        }
        let teams = format!("team_id,team_alias,{COLUMNS}\nt,rpm_limit,{}\n", team.cells());
        let users = format!("user_id,{COLUMNS}\nu,{}\n", user.cells());
        let config = format!("{CONFIG}general_settings: {{token_rate_limit_type: {kind}}}\n");
        let tables = Tables {
            keys: Some(("keys", &tokens)),
            teams: Some(("teams", &teams)),
            users: Some(("users", &users)),
            members: Some(("members", "user_id,team_id,budget_id\nu,t,\n")),
        };
        let plan = litellm::read_in("c", &config, &tables, &|_| None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (_, loaded) = write_and_load(&plan, folder.path());
        if let Err(errors) = loaded {
            prop_assert!(false, "{errors}\n{tokens}{teams}{users}\n{}", import::gateway(&plan));
        }
        if kind == "total" {
            let written: DocumentMut = import::keys(&plan).parse().unwrap();
            let written = written["key"].as_array_of_tables().unwrap();
            let gateway: DocumentMut = import::gateway(&plan).parse().unwrap();
            for (key, limits) in written.iter().zip(&keys) {
                check_key(key, limits, &gateway);
            }
        }
    }
}
