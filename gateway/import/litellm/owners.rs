//! The teams, users and team members that own keys, and their restrictions.

use std::collections::BTreeMap;

use crate::import::error::ImportError;
use crate::import::litellm::csv_table::{File, Row, Table};
use crate::import::litellm::limits::owner::{RowLimits, Terms};
use crate::import::notes::Notes;

/// The roles that may call models. View-only roles may not, and an unknown role may mean anything.
const CALLER_ROLES: [&str; 3] = ["internal_user", "org_admin", "proxy_admin"];

/// Columns of every version of `LiteLLM_TeamTable` that restrict a team.
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

/// Columns of every version of `LiteLLM_UserTable` that restrict a user.
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

/// Columns of `LiteLLM_TeamMembership` that name a member and its budget.
const NEEDED_OF_MEMBERS: [&str; 3] = ["user_id", "team_id", "budget_id"];

/// A team or a user.
#[derive(Default)]
pub(super) struct Owner {
    /// What restricts it.
    restrictions: Vec<String>,
    /// Its limits, from each of its rows, with the name that people know it by.
    pub(super) limits: Vec<(String, RowLimits)>,
}

/// The teams or users, by id.
pub(super) type OwnersById = BTreeMap<String, Owner>;

/// A table of teams or of users.
struct Kind {
    /// `team` or `user`.
    name: &'static str,
    /// The column of the name that people know it by.
    alias: &'static str,
    id: &'static str,
}

/// The place in the table where a team gives one of its members a budget of their own, by team and
/// user.
type Members = BTreeMap<(String, String), String>;

/// The teams, users and members, as far as their tables are given.
pub(super) struct Owners {
    pub(super) teams: Option<OwnersById>,
    pub(super) users: Option<OwnersById>,
    pub(super) members: Option<Members>,
}

/// Reads `LiteLLM_TeamTable`.
pub(super) fn teams(
    (file, text): File<'_>,
    terms: Terms<'_>,
    notes: &Notes,
) -> Result<OwnersById, ImportError> {
    let table = Table::read(file, text, "LiteLLM_TeamTable", &NEEDED_OF_TEAMS)?;
    let kind = Kind {
        name: "team",
        alias: "team_alias",
        id: "team_id",
    };
    Ok(owners_by_id(&table, &kind, terms, notes))
}

/// Reads `LiteLLM_UserTable`.
pub(super) fn users(
    (file, text): File<'_>,
    terms: Terms<'_>,
    notes: &Notes,
) -> Result<OwnersById, ImportError> {
    let table = Table::read(file, text, "LiteLLM_UserTable", &NEEDED_OF_USERS)?;
    let kind = Kind {
        name: "user",
        alias: "user_alias",
        id: "user_id",
    };
    Ok(owners_by_id(&table, &kind, terms, notes))
}

fn owners_by_id(table: &Table<'_>, kind: &Kind, terms: Terms<'_>, notes: &Notes) -> OwnersById {
    let mut by_id = OwnersById::new();
    for row in table.rows() {
        let Some(id) = row.get(kind.id) else {
            continue;
        };
        let whose = format!("of the {} `{id}`: ", kind.name);
        let limits = RowLimits::read(&row, terms, notes, whose);
        let restrictions = restrictions(&row, &limits);
        let known = by_id.entry(id.to_owned()).or_default();
        known.restrictions.extend(
            restrictions
                .iter()
                .map(|column| format!("{}, {column}", row.at)),
        );
        let name = row.get(kind.alias).unwrap_or(id);
        known.limits.push((format!("{}-{name}", kind.name), limits));
    }
    by_id
}

/// What restricts an owner besides its limits.
fn restrictions(row: &Row<'_>, limits: &RowLimits) -> Vec<String> {
    let mut restrictions = limits.restrictions_beside(row);
    if row.is_blocked() {
        restrictions.push("blocked".to_owned());
    }
    if row
        .get("user_role")
        .is_some_and(|role| !CALLER_ROLES.contains(&role))
    {
        restrictions.push("user_role".to_owned());
    }
    restrictions
}

/// Reads `LiteLLM_TeamMembership`. The models and amounts that a budget allows are in another
/// table.
pub(super) fn members((file, text): File<'_>) -> Result<Members, ImportError> {
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
        reason_against("team", team, self.teams.as_ref(), "LiteLLM_TeamTable")
    }

    /// The reason why the key's user prevents enabling it. Keys of the proxy's own administrator
    /// belong to no user.
    pub(super) fn user(&self, row: &Row<'_>) -> Option<String> {
        reason_against(
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
fn reason_against(
    what: &str,
    id: &str,
    owners: Option<&OwnersById>,
    table: &str,
) -> Option<String> {
    let Some(owners) = owners else {
        return Some(format!(
            "what the {what} `{id}` may do stands in {table}: bring it along by `--{what}s FILE`"
        ));
    };
    match owners.get(id).map(|owner| &owner.restrictions) {
        None => Some(format!("the {what} `{id}` is not in the table of {what}s")),
        Some(restrictions) if restrictions.is_empty() => None,
        Some(restrictions) => Some(format!(
            "keygate cannot hold it to what the {what} `{id}` may do ({})",
            restrictions.join("; ")
        )),
    }
}
