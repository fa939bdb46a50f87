//! `LiteLLM`'s keys: the master key, and the tables of keys, teams, users and team members as CSV.
//!
//! A key is imported as enabled only if everything in its row is known: a column that is not known
//! to be harmless may restrict the key.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::super::fields::Fields;
use super::super::{Notes, Plan, PlannedKey};
use super::Tables;
use super::surroundings::Surroundings;
use crate::key::KeyDigest;

/// Columns that set limits, which keygate does not have yet. `budget_id` is not among them: it
/// refers to a row of another table, so whether its limit is reached is not known.
const LIMITS: [&str; 8] = [
    "budget_duration",
    "budget_limits",
    "max_budget",
    "max_parallel_requests",
    "rpm_limit",
    "soft_budget",
    "tpd_limit",
    "tpm_limit",
];
/// Columns of keys, teams and users that restrict nobody.
const HARMLESS: [&str; 45] = [
    "admins",
    "aliases",
    "allow_team_guardrail_config",
    "auto_rotate",
    "budget_reset_at",
    "config",
    "created_at",
    "created_by",
    "default_team_member_models",
    "expires",
    "key_alias",
    "key_name",
    "key_rotation_at",
    // Its restrictions are in `allowed_routes`.
    "key_type",
    "last_active",
    "last_active_at",
    "last_rotation_at",
    "max_budget_in_team",
    "members",
    "members_with_roles",
    "model_id",
    "model_spend",
    "rotation_count",
    "rotation_interval",
    "router_settings",
    "settings_updated_at",
    "soft_budget_cooldown",
    "spend",
    "team_alias",
    "team_id",
    "team_member_permissions",
    "token",
    "total_spend",
    "updated_at",
    "updated_by",
    "user_id",
    "blocked",
    "metadata",
    // Columns of users only.
    "last_breach_check_at",
    "password",
    "sso_user_id",
    "teams",
    "user_alias",
    "user_email",
    "user_role",
];
/// The roles that may call models. View-only roles may not, and an unknown role may mean anything.
const CALLERS: [&str; 3] = ["internal_user", "org_admin", "proxy_admin"];
/// Entries of `metadata` that restrict a key.
const NARROWING: [&str; 20] = [
    "allowed_passthrough_routes",
    "allowed_vector_store_indexes",
    "denied_passthrough_routes",
    "disabled",
    "enforced_batch_output_expires_after",
    "enforced_file_expires_after",
    "enforced_params",
    "guardrails",
    "model_itpm_limit",
    "model_max_budget",
    "model_otpm_limit",
    "model_rpm_limit",
    "model_tpm_limit",
    "password_reset_required",
    "policies",
    "require_trace_id",
    "scopes",
    "tag_rpm_limit",
    "tags",
    // What each member of a team may spend in it.
    "team_member_budget_id",
];

/// Columns of every version of `LiteLLM_VerificationToken` that disable or restrict a key. A file
/// without one of them does not say which keys it restricts.
const NEEDED_OF_KEYS: [&str; 13] = [
    "token",
    "blocked",
    "expires",
    "models",
    "metadata",
    "permissions",
    "team_id",
    "user_id",
    "spend",
    "max_budget",
    "rpm_limit",
    "tpm_limit",
    "max_parallel_requests",
];
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

/// Values of a cell that mean nothing is set.
const EMPTY: [&str; 5] = ["{}", "[]", "f", "false", "False"];
/// Values of a cell that mean nothing is set, in any column. Ids have only these, since an id may
/// be `f`.
const NOTHING: [&str; 4] = ["", "null", "NULL", "\\N"];

/// The name of a file and its text.
type File<'t> = (&'t str, &'t str);

/// A table read from CSV.
struct Table<'t> {
    file: &'t str,
    columns: Vec<String>,
    rows: Vec<csv::StringRecord>,
}

/// A row of a table.
struct Row<'t> {
    /// The file and line.
    at: String,
    columns: &'t [String],
    cells: &'t csv::StringRecord,
}

impl<'t> Table<'t> {
    /// Parses a table of the database table `name`, which must have the columns `needed`.
    fn read(file: &'t str, text: &str, name: &str, needed: &[&str]) -> Result<Self, String> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let headers = reader
            .headers()
            .map_err(|error| format!("{file}: {error}"))?;
        let columns: Vec<String> = headers.iter().map(|name| name.trim().to_owned()).collect();
        let lacking = needed
            .iter()
            .filter(|name| !columns.iter().any(|it| it == *name));
        let lacking: Vec<String> = lacking.map(|name| format!("`{name}`")).collect();
        if !lacking.is_empty() {
            return Err(format!(
                "{file}:1: there is no column {}: what closes a key there would be lost. Export the whole table, with \
                 its header: \\copy \"{name}\" to '{file}' csv header",
                lacking.join(", ")
            ));
        }
        let mut rows = Vec::new();
        for row in reader.records() {
            rows.push(row.map_err(|error| match error.position() {
                Some(at) => format!("{file}:{}: {error}", at.line()),
                None => format!("{file}: {error}"),
            })?);
        }
        Ok(Self {
            file,
            columns,
            rows,
        })
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|cells| Row {
            // A cell may contain line breaks.
            at: match cells.position() {
                Some(at) => format!("{}:{}", self.file, at.line()),
                None => self.file.to_owned(),
            },
            columns: &self.columns,
            cells,
        })
    }
}

impl Row<'_> {
    /// The value in a column, if one is set.
    fn get(&self, name: &str) -> Option<&str> {
        let place = self.columns.iter().position(|column| column == name)?;
        let value = self.cells.get(place)?.trim();
        let is_empty = EMPTY.contains(&value) && !name.ends_with("_id");
        (!is_empty && !NOTHING.contains(&value)).then_some(value)
    }

    /// The columns and metadata entries that restrict the key, or may.
    fn narrowing(&self) -> Vec<String> {
        let known = |name: &str| HARMLESS.contains(&name) || LIMITS.contains(&name);
        let columns = self.columns.iter().filter(|name| !known(name));
        let columns = columns.filter(|name| {
            let value = self.get(name);
            value.is_some_and(|value| *name != "models" || !is_every_model(value))
        });
        let mut found: Vec<String> = columns.cloned().collect();
        let metadata = self.get("metadata").unwrap_or_default();
        match serde_json::from_str::<serde_json::Value>(metadata) {
            Ok(metadata) => {
                let says = |name: &&&str| metadata.get(name).is_some_and(says_something);
                // The company's directory has removed the user.
                let is_gone = metadata.get("scim_active") == Some(&false.into());
                let names = NARROWING.iter().filter(says).copied();
                let names = names.chain(is_gone.then_some("scim_active"));
                found.extend(names.map(|name| format!("metadata.{name}")));
            }
            Err(_) if metadata.is_empty() => {}
            Err(_) => found.push("metadata".to_owned()),
        }
        found
    }

    /// Returns whether the row is blocked. Any value but "nothing" and `0` counts as blocked.
    fn is_blocked(&self) -> bool {
        self.get("blocked").is_some_and(|blocked| blocked != "0")
    }

    /// The limits that are reached: LiteLLM rejects all requests until somebody raises them or
    /// their period is over.
    fn reached(&self) -> impl Iterator<Item = String> + '_ {
        let number = |name: &str| self.get(name).map(str::parse::<f64>);
        let spend = match number("spend") {
            None => 0.0,
            Some(spend) => spend.unwrap_or(f64::INFINITY),
        };
        let allowed = [
            ("max_budget", spend),
            ("rpm_limit", 0.0),
            ("tpm_limit", 0.0),
            ("tpd_limit", 0.0),
            ("max_parallel_requests", 0.0),
        ];
        let reached = allowed.into_iter().filter(move |(name, used)| {
            number(name).is_some_and(|limit| !limit.is_ok_and(|limit| limit > *used))
        });
        reached.map(|(name, _)| format!("{name} (reached)"))
    }

    fn limits(&self) -> impl Iterator<Item = &'static str> + '_ {
        LIMITS
            .into_iter()
            .filter(|name| self.get(name).is_some_and(|limit| limit != "0"))
    }
}

/// Returns whether a list of models, in the form of PostgreSQL or JSON, includes all models. A
/// team's own restrictions are in the team's row.
fn is_every_model(models: &str) -> bool {
    let bare = models.trim_matches(['{', '}', '[', ']', '"', '\'']);
    ["all-proxy-models", "all-team-models"].contains(&bare)
}

/// Returns whether a value is not empty.
fn says_something(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null | serde_json::Value::Bool(false) => false,
        serde_json::Value::Array(items) => !items.is_empty(),
        serde_json::Value::Object(entries) => !entries.is_empty(),
        serde_json::Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

/// Imports the master key, which may use everything there and every route here.
pub(super) fn master_key(
    general: &Fields<'_>,
    master: &str,
    around: &Surroundings<'_>,
    plan: &mut Plan,
) {
    let value = match around.resolve(master) {
        Ok(value) => value,
        Err(variable) => {
            return general.lost("master_key", format!(
                "the environment variable {variable} is not set here: set it and import again, or add the key with `keygate keys import`"
            ));
        }
    };
    if value.trim().is_empty() {
        return general.lost("master_key", "it is empty");
    }
    general.say(
        "master_key",
        "it opens every route, as the key `master`; it administers nothing here",
    );
    let _ = plan.add_key(PlannedKey {
        id: "master".to_owned(),
        digest: KeyDigest::of(value.trim().as_bytes()),
        labels: BTreeMap::new(),
        metadata: BTreeMap::new(),
        expires: None,
        disabled: false,
        comment: "LiteLLM's master key".to_owned(),
    });
}

/// The restrictions of each team or user, by id.
type Holders = BTreeMap<String, Vec<String>>;

/// Reads `LiteLLM_TeamTable`.
fn teams((file, text): File<'_>, limited: &mut BTreeSet<&'static str>) -> Result<Holders, String> {
    let table = Table::read(file, text, "LiteLLM_TeamTable", &NEEDED_OF_TEAMS)?;
    Ok(holders(&table, "team_id", limited))
}

/// Reads `LiteLLM_UserTable`.
fn users((file, text): File<'_>, limited: &mut BTreeSet<&'static str>) -> Result<Holders, String> {
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

/// The place in the table where a team gives one of its members a budget of their own, by team and
/// user.
type Members = BTreeMap<(String, String), String>;

/// Reads `LiteLLM_TeamMembership`. The models and amounts that a budget allows are in another
/// table.
fn members((file, text): File<'_>) -> Result<Members, String> {
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

/// Imports `LiteLLM_VerificationToken`, in which `token` is the SHA-256 of a key, with the tables
/// of teams, users and members.
pub(super) fn key_tables(
    tables: &Tables<'_>,
    plan: &mut Plan,
    notes: &Notes,
) -> Result<(), String> {
    let Some((file, text)) = tables.keys else {
        return Ok(());
    };
    let table = Table::read(file, text, "LiteLLM_VerificationToken", &NEEDED_OF_KEYS)?;
    let mut limited = BTreeSet::new();
    let mut read = |table: Option<File<'_>>, read: Reader| {
        table.map(|table| read(table, &mut limited)).transpose()
    };
    let of = Owners {
        teams: read(tables.teams, teams)?,
        users: read(tables.users, users)?,
        members: tables.members.map(members).transpose()?,
    };
    for row in table.rows() {
        let digest = digest_of(&row)?;
        // Sessions of the dashboard, which expire on their own.
        if row.get("team_id") == Some("litellm-dashboard") {
            continue;
        }
        limited.extend(row.limits());
        key(&row, digest, &of, plan, notes)?;
    }
    for name in limited {
        notes.lost(
            file,
            name,
            "keygate has no limits yet: keys that had one there have none here",
        );
    }
    Ok(())
}

/// Reads a table of teams or users, and collects the limits that it sets.
type Reader = fn(File<'_>, &mut BTreeSet<&'static str>) -> Result<Holders, String>;

/// The teams, users and members, as far as their tables are given.
struct Owners {
    teams: Option<Holders>,
    users: Option<Holders>,
    members: Option<Members>,
}

fn digest_of(row: &Row<'_>) -> Result<KeyDigest, String> {
    let hash = row.get("token").unwrap_or_default();
    KeyDigest::parse(&format!("sha256:{}", hash.to_ascii_lowercase())).map_err(|_| {
        format!(
            "{}: `token`{} is not the SHA-256 of a key, in hexadecimal digits",
            row.at,
            row.get("key_alias")
                .map_or_else(String::new, |alias| format!(" of the key `{alias}`"))
        )
    })
}

/// Adds the key of a row.
fn key(
    row: &Row<'_>,
    digest: KeyDigest,
    of: &Owners,
    plan: &mut Plan,
    notes: &Notes,
) -> Result<(), String> {
    let at = &row.at;
    let short = row.get("token").and_then(|hash| hash.get(..8));
    let id = row.get("key_alias").map_or_else(
        || format!("litellm-{}", short.unwrap_or_default()),
        str::to_owned,
    );
    let expires = match row.get("expires").map(time) {
        Some(None) => return Err(format!("{at}: `expires` of the key `{id}` is no time")),
        Some(end) => end.filter(|end| *end != Timestamp::MAX),
        None => None,
    };
    let mut narrowing = row.narrowing();
    narrowing.extend(row.reached());
    let mut disabled = row.is_blocked();
    if !narrowing.is_empty() {
        let why = format!("keygate cannot hold the key `{id}` to it: it is disabled");
        notes.lost(at, &narrowing.join(", "), why);
        disabled = true;
    }
    let owners = [
        ("team_id", of.team(row)),
        ("user_id", of.user(row)),
        ("team_id, user_id", of.member(row)),
    ];
    for (column, why) in owners {
        if let Some(why) = why {
            notes.lost(at, column, format!("{why}: the key `{id}` is disabled"));
            disabled = true;
        }
    }
    let labels = [("team", "team_id"), ("user", "user_id")];
    let labels = labels
        .iter()
        .filter_map(|(ours, theirs)| Some(((*ours).to_owned(), row.get(theirs)?.to_owned())));
    let added = plan.add_key(PlannedKey {
        id: id.clone(),
        digest,
        labels: labels.collect(),
        metadata: BTreeMap::new(),
        expires,
        disabled,
        comment: format!("from {at}"),
    });
    if let Err(other) = added {
        notes.lost(
            at,
            "",
            format!("the key `{id}` has the same hash as `{other}`: left out"),
        );
    }
    Ok(())
}

impl Owners {
    /// The reason why the key's team prevents enabling it.
    fn team(&self, row: &Row<'_>) -> Option<String> {
        let team = row.get("team_id")?;
        why_not("team", team, self.teams.as_ref(), "LiteLLM_TeamTable")
    }

    /// The reason why the key's user prevents enabling it. Keys of the proxy's own administrator
    /// belong to no user.
    fn user(&self, row: &Row<'_>) -> Option<String> {
        why_not(
            "user",
            user_of(row)?,
            self.users.as_ref(),
            "LiteLLM_UserTable",
        )
    }

    /// The reason why the user's membership in the team prevents enabling the key.
    fn member(&self, row: &Row<'_>) -> Option<String> {
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

/// Parses a time as PostgreSQL writes it. Without a time zone it is UTC.
fn time(text: &str) -> Option<Timestamp> {
    // Later than any time that the calendar here supports.
    if text.starts_with("9999") || text == "infinity" {
        return Some(Timestamp::MAX);
    }
    let spelled = text.replacen(' ', "T", 1);
    spelled.parse().ok().or_else(|| {
        // `+00` is not valid in RFC 3339.
        let zoned = spelled.strip_suffix("+00").map(|local| format!("{local}Z"));
        zoned.and_then(|zoned| zoned.parse().ok()).or_else(|| {
            let local: DateTime = spelled.parse().ok()?;
            Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
        })
    })
}
