//! Exported tables of `LiteLLM`'s database, and its wildcard models.

use keygate::testing::import;
use keygate::testing::import::litellm::{self, Tables};

/// A CSV table without one of its columns.
fn without(table: &str, column: &str) -> String {
    let mut lines = table
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let place = head.iter().position(|name| *name == column).unwrap();
    let rest = |mut line: Vec<&str>| {
        line.remove(place);
        line.join(",") + "\n"
    };
    rest(head.clone()) + &lines.map(rest).collect::<String>()
}

#[test]
fn a_litellm_table_without_a_column_that_restricts_keys_is_refused() {
    let digest = "0".repeat(64);
    let keys = format!(
        "token,key_alias,blocked,models,expires,metadata,permissions,team_id,user_id,spend,max_budget,rpm_limit,tpm_limit,max_parallel_requests\n\
         {digest},a,,{{}},,{{}},,t,u,0,,,,\n"
    );
    let teams = "team_id,team_alias,blocked,models,metadata,spend,max_budget,rpm_limit,tpm_limit,max_parallel_requests\n\
                 t,T,f,{},{},0,,,,\n";
    let users = "user_id,user_alias,user_role,models,metadata,spend,max_budget,rpm_limit,tpm_limit,max_parallel_requests\n\
                 u,U,internal_user,{},{},0,,,,\n";
    let members = "user_id,team_id,spend,budget_id\nu,t,3,\n";
    let read_all = |keys: &str, teams: &str, users: &str, members: &str| {
        let tables = Tables {
            keys: Some(("k", keys)),
            teams: Some(("t", teams)),
            users: Some(("u", users)),
            members: Some(("m", members)),
        };
        let plan = litellm::read("c", "a: 1\n", &tables);
        plan.map(|plan| import::keys(&plan).contains("disabled"))
    };
    let read = |keys: &str, teams: &str, users: &str| read_all(keys, teams, users, members);
    assert_eq!(read(&keys, teams, users), Ok(false));
    for column in ["user_id", "team_id", "budget_id"] {
        let error = read_all(&keys, teams, users, &without(members, column))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("m:1") && error.contains(&format!("`{column}`")),
            "{error}"
        );
    }
    for (table, names) in [(&*keys, "k:1"), (teams, "t:1"), (users, "u:1")] {
        let with = |other: &str| {
            let choose = |whole: &str| {
                if whole == table {
                    other.to_owned()
                } else {
                    whole.to_owned()
                }
            };
            read(&choose(&keys), &choose(teams), &choose(users))
        };
        let columns = table.lines().next().unwrap().split(',');
        for column in columns.filter(|name| !name.ends_with("_alias")) {
            let error = with(&without(table, column)).unwrap_err().to_string();
            assert!(
                error.starts_with(names)
                    && error.contains(&format!("`{column}`"))
                    && error.contains("csv header"),
                "{column}: {error}"
            );
        }
    }
    assert!(read(&without(&keys, "key_alias"), teams, users).is_ok());
    assert!(read(&keys, &without(teams, "team_alias"), users).is_ok());
    assert!(read(&keys, teams, &without(users, "user_alias")).is_ok());
    let few = without(&without(&without(&keys, "blocked"), "models"), "expires");
    let error = read(&few, teams, users).unwrap_err().to_string();
    assert!(error.contains("`blocked`, `expires`, `models`"), "{error}");
}

/// The notes about a `LiteLLM` file with these environment variables set.
fn summary_of_litellm(config: &str, set: &[&str]) -> String {
    let set = |name: &str| {
        set.contains(&name)
            .then(|| "sk-of-the-environment".to_owned())
    };
    super::summary(&litellm::read_in("c", config, &Tables::default(), &set).unwrap())
}

#[test]
fn an_invalid_row_after_a_row_of_several_lines_is_reported_with_its_own_line() {
    let columns = "token,key_alias,blocked,expires,models,metadata,permissions,team_id,user_id,spend,max_budget,rpm_limit,\
                   tpm_limit,max_parallel_requests\n";
    let digest = "0".repeat(64);
    let keys = format!("{columns}{digest},a,,,,\"{{\n\n}}\",,,,,,,,\nabc,search bot,,,,,,,,,,,,\n");
    let tables = Tables {
        keys: Some(("k", &keys)),
        ..Tables::default()
    };
    let error = litellm::read("c", "a: 1\n", &tables)
        .err()
        .map(|error| error.to_string());
    let wanted =
        "k:5: `token` of the key `search bot` is not the SHA-256 of a key, in hexadecimal digits";
    assert_eq!(error.as_deref(), Some(wanted));
}

#[test]
fn a_wildcard_for_all_models_is_imported_for_the_providers_whose_tokens_are_set() {
    let any = "model_list: [{model_name: '*', litellm_params: {model: '*'}}]\n";
    let summary = summary_of_litellm(
        any,
        &["GROQ_API_KEY", "TOGETHER_API_KEY", "UNKNOWN_API_KEY"],
    );
    assert!(
        summary.contains("token = \"env:GROQ_API_KEY\""),
        "{summary}"
    );
    assert!(
        summary.contains("token = \"env:TOGETHER_API_KEY\""),
        "{summary}"
    );
    assert_eq!(summary.matches("[[routes]]").count(), 2, "{summary}");
    // A provider whose address is set by a variable is left out, and a note says so.
    let summary = summary_of_litellm(any, &["GROQ_API_KEY", "GROQ_API_BASE", "XAI_API_KEY"]);
    assert_eq!(summary.matches("[[routes]]").count(), 1, "{summary}");
    assert!(
        summary.contains("model `*` (c:1): litellm_params: `groq/*`: GROQ_API_BASE is set here"),
        "{summary}"
    );
    let summary = summary_of_litellm(any, &[]);
    assert!(
        !summary.contains("[[routes]]")
            && summary.contains("here there is none: set the variables"),
        "{summary}"
    );
}
