//! The teams, users and team members that own keys, and their restrictions.

use std::collections::{BTreeMap, BTreeSet};

use crate::import::litellm::csv_table::{File, Row, Table};

/// The roles that may call models. View-only roles may not, and an unknown role may mean anything.
const CALLERS: [&str; 3] = ["internal_user", "org_admin", "proxy_admin"];

/// The same for `LiteLLM_TeamTable`.
const NEEDED_OF_TEAMS: [&str; 9] = [
    "team_id",
    "blocked",
    "models",
    "metadata",
    "spend",
    "max_budget",
    "rpm_limit",
    "tpm_limit",
    "max_parallel_requests",
];

/// The same for `LiteLLM_UserTable`.
const NEEDED_OF_USERS: [&str; 9] = [
    "user_id",
    "user_role",
    "models",
    "metadata",
    "spend",
    "max_budget",
    "rpm_limit",
    "tpm_limit",
    "max_parallel_requests",
];

/// The same for `LiteLLM_TeamMembership`.
const NEEDED_OF_MEMBERS: [&str; 3] = ["user_id", "team_id", "budget_id"];

/// The restrictions of each team or user, by id.
type Holders = BTreeMap<String, Vec<String>>;

/// Reads a table of teams or users, and collects the limits that it sets.
pub(super) type Reader = fn(File<'_>, &mut BTreeSet<&'static str>) -> Result<Holders, String>;

/// The place in the table where a team gives one of its members a budget of their own, by team and
/// user.
type Members = BTreeMap<(String, String), String>;

/// The teams, users and members, as far as their tables are given.
pub(super) struct Owners {
    pub(super) teams: Option<Holders>,
    pub(super) users: Option<Holders>,
    pub(super) members: Option<Members>,
}

/// Reads `LiteLLM_TeamTable`.
pub(super) fn teams(
    (file, text): File<'_>,
    limited: &mut BTreeSet<&'static str>,
) -> Result<Holders, String> {
    let table = Table::read(file, text, "LiteLLM_TeamTable", &NEEDED_OF_TEAMS)?;
    Ok(holders(&table, "team_id", limited))
}

/// Reads `LiteLLM_UserTable`.
pub(super) fn users(
    (file, text): File<'_>,
    limited: &mut BTreeSet<&'static str>,
) -> Result<Holders, String> {
    let table = Table::read(file, text, "LiteLLM_UserTable", &NEEDED_OF_USERS)?;
    Ok(holders(&table, "user_id", limited))
}

fn holders(table: &Table<'_>, id: &str, limited: &mut BTreeSet<&'static str>) -> Holders {
    let mut holders = Holders::new();
    for row in table.rows() {
        let Some(id) = row.get(id) else {
            continue;
        };
        let mut narrowing = row.narrowing();
        narrowing.extend(row.reached());
        if row.is_blocked() {
            narrowing.push("blocked".to_owned());
        }
        if row
            .get("user_role")
            .is_some_and(|role| !CALLERS.contains(&role))
        {
            narrowing.push("user_role".to_owned());
        }
        limited.extend(row.limits());
        let known = holders.entry(id.to_owned()).or_default();
        known.extend(
            narrowing
                .iter()
                .map(|column| format!("{}, {column}", row.at)),
        );
    }
    holders
}

/// Reads `LiteLLM_TeamMembership`. The models and amounts that a budget allows are in another
/// table.
pub(super) fn members((file, text): File<'_>) -> Result<Members, String> {
    let table = Table::read(file, text, "LiteLLM_TeamMembership", &NEEDED_OF_MEMBERS)?;
    let budgets = table.rows().filter_map(|row| {
        row.get("budget_id")?;
        let member = (
            row.get("team_id")?.to_owned(),
            row.get("user_id")?.to_owned(),
        );
        Some((member, format!("{}, budget_id", row.at)))
    });
    Ok(budgets.collect())
}

impl Owners {
    /// The reason why the key's team prevents enabling it.
    pub(super) fn team(&self, row: &Row<'_>) -> Option<String> {
        let team = row.get("team_id")?;
        why_not("team", team, self.teams.as_ref(), "LiteLLM_TeamTable")
    }

    /// The reason why the key's user prevents enabling it. Keys of the proxy's own administrator
    /// belong to no user.
    pub(super) fn user(&self, row: &Row<'_>) -> Option<String> {
        why_not(
            "user",
            user_of(row)?,
            self.users.as_ref(),
            "LiteLLM_UserTable",
        )
    }

    /// The reason why the user's membership in the team prevents enabling the key.
    pub(super) fn member(&self, row: &Row<'_>) -> Option<String> {
        let (team, user) = (row.get("team_id")?, user_of(row)?);
        let Some(members) = &self.members else {
            return Some(format!(
                "what the user `{user}` may do in the team `{team}` stands in LiteLLM_TeamMembership: bring it along by \
                 `--members FILE`"
            ));
        };
        let budget = members.get(&(team.to_owned(), user.to_owned()))?;
        Some(format!(
            "keygate cannot hold it to what the user `{user}` may do in the team `{team}` ({budget})"
        ))
    }
}

fn user_of<'r>(row: &'r Row<'_>) -> Option<&'r str> {
    row.get("user_id").filter(|user| *user != "default_user_id")
}

/// The reason why keys of a team or a user cannot be enabled.
fn why_not(what: &str, id: &str, holders: Option<&Holders>, table: &str) -> Option<String> {
    let Some(holders) = holders else {
        return Some(format!(
            "what the {what} `{id}` may do stands in {table}: bring it along by `--{what}s FILE`"
        ));
    };
    match holders.get(id) {
        None => Some(format!("the {what} `{id}` is not in the table of {what}s")),
        Some(narrowing) if narrowing.is_empty() => None,
        Some(narrowing) => Some(format!(
            "keygate cannot hold it to what the {what} `{id}` may do ({})",
            narrowing.join("; ")
        )),
    }
}
