//! `LiteLLM`'s keys: the master key, and the tables of keys, teams, users and team members as CSV.
//!
//! A key is imported as enabled only if everything in its row is known: a column that is not known
//! to be harmless may restrict the key.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::import::amounts::PlannedAmounts;
use crate::import::error::ImportError;
use crate::import::fields::Fields;
use crate::import::litellm::common_settings::CommonSettings;
use crate::import::litellm::csv_table::{REACHED, Row, Table};
use crate::import::litellm::limits::owner::{RowLimits, Terms};
use crate::import::litellm::limits::owners::{add_owner_limits, note_key_limits, note_spent};
use crate::import::litellm::owners::{Owners, members, teams, users};
use crate::import::litellm::tables::Tables;
use crate::import::notes::Notes;
use crate::import::plan::Plan;
use crate::import::planned::PlannedKey;
use crate::import::planned_limit::PlannedScope;
use crate::key::KeyDigest;

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

/// The label of a key that has limits which its entry cannot hold. Its value is the key's id.
const KEY_LABEL: &str = "limited-key";

/// Imports the master key, which may use everything there and every route here.
pub(super) fn master_key(
    general: &Fields<'_>,
    master: &str,
    common: &CommonSettings<'_>,
    plan: &mut Plan,
) {
    let value = match common.resolve(master) {
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
    general.note(
        "master_key",
        "it is the key `master`, which opens every route; it administers nothing here",
    );
    let _ = plan.add_key(PlannedKey {
        id: "master".to_owned(),
        digest: KeyDigest::of(value.trim().as_bytes()),
        labels: BTreeMap::new(),
        metadata: BTreeMap::new(),
        limits: PlannedAmounts::default(),
        expires: None,
        disabled: false,
        comment: "LiteLLM's master key".to_owned(),
    });
}

/// Imports `LiteLLM_VerificationToken`, in which `token` is the SHA-256 of a key, with the tables
/// of teams, users and members.
pub(super) fn key_tables(
    tables: &Tables<'_>,
    terms: Terms<'_>,
    plan: &mut Plan,
    notes: &Notes,
) -> Result<(), ImportError> {
    let Some((file, text)) = tables.keys else {
        return Ok(());
    };
    let table = Table::read(file, text, "LiteLLM_VerificationToken", &NEEDED_OF_KEYS)?;
    let read_teams = |table| teams(table, terms, notes);
    let read_users = |table| users(table, terms, notes);
    let mut owners = Owners {
        teams: tables.teams.map(read_teams).transpose()?,
        users: tables.users.map(read_users).transpose()?,
        members: tables.members.map(members).transpose()?,
    };
    let mut keys = Keys {
        owners: &owners,
        terms,
        notes,
        plan,
        spent: Vec::new(),
    };
    for row in table.rows() {
        let digest = digest_of(&row)?;
        // Sessions of the dashboard, which expire on their own.
        if row.get("team_id") == Some("litellm-dashboard") {
            continue;
        }
        keys.add(&row, digest)?;
    }
    let spent = keys.spent;
    note_key_limits(file, plan, &spent, notes);
    for (column, (owners, table)) in [
        ("team", (owners.teams.take(), tables.teams)),
        ("user", (owners.users.take(), tables.users)),
    ] {
        if let (Some(owners), Some((file, _))) = (owners, table) {
            let limits = owners.into_iter().map(|(id, owner)| (id, owner.limits));
            let spent = add_owner_limits(column, limits, terms, plan);
            note_spent(file, &spent, notes);
        }
    }
    Ok(())
}

fn digest_of(row: &Row<'_>) -> Result<KeyDigest, ImportError> {
    let hash = row.get("token").unwrap_or_default();
    KeyDigest::parse(&format!("sha256:{}", hash.to_ascii_lowercase())).map_err(|_| {
        let of_key = row
            .get("key_alias")
            .map_or_else(String::new, |alias| format!(" of the key `{alias}`"));
        let why = format!("`token`{of_key} is not the SHA-256 of a key, in hexadecimal digits");
        ImportError::new(&row.at, why)
    })
}

/// The keys of the table, while they are added.
struct Keys<'k> {
    owners: &'k Owners,
    terms: Terms<'k>,
    notes: &'k Notes,
    plan: &'k mut Plan,
    /// The keys whose budgets begin anew.
    spent: Vec<String>,
}

impl Keys<'_> {
    /// Adds the key of a row.
    fn add(&mut self, row: &Row<'_>, digest: KeyDigest) -> Result<(), ImportError> {
        let notes = self.notes;
        let id = id_of(row);
        let expires = expiry_of(row, &id)?;
        let whose = format!("of the key `{id}`: ");
        let mut limits = RowLimits::read(row, self.terms, notes, whose);
        let is_restricted = note_restrictions(row, &id, &limits, notes);
        let has_restricted_owner = note_owners(row, &id, self.owners, notes);
        let in_tables = limits.split_from_key();
        let added = self.plan.add_key(PlannedKey {
            id: id.clone(),
            digest,
            labels: labels_of(row),
            metadata: BTreeMap::new(),
            limits: limits.amounts,
            expires,
            disabled: row.is_blocked() || is_restricted || has_restricted_owner,
            comment: format!("from {}", row.at),
        });
        if let Err(other) = added {
            let why = format!("the key `{id}` has the same hash as `{other}`: left out");
            notes.lost(&row.at, "", why);
            return Ok(());
        }
        if let Some(in_tables) = in_tables {
            self.add_tables(in_tables);
        }
        self.spent.extend(limits.is_spent.then_some(id));
        Ok(())
    }

    /// Adds those limits of the last key that its entry cannot hold, by a label of that key alone.
    fn add_tables(&mut self, limits: RowLimits) {
        let Some(key) = self.plan.keys.last_mut() else {
            return;
        };
        let id = key.id.clone();
        key.labels.insert(KEY_LABEL.to_owned(), id.clone());
        let of = PlannedScope::Label(KEY_LABEL.to_owned(), id.clone());
        let name = format!("key-{id}");
        limits.add_tables(&name, &of, self.terms.aliases, self.plan);
    }
}

/// The id of a key: its alias, or the beginning of its hash.
fn id_of(row: &Row<'_>) -> String {
    if let Some(alias) = row.get("key_alias") {
        return alias.to_owned();
    }
    let short = row.get("token").and_then(|hash| hash.get(..8));
    format!("litellm-{}", short.unwrap_or_default())
}

/// The time at which a key expires, if it does.
fn expiry_of(row: &Row<'_>, id: &str) -> Result<Option<Timestamp>, ImportError> {
    let Some(written) = row.get("expires") else {
        return Ok(None);
    };
    let Some(end) = time(written) else {
        let why = format!("`expires` of the key `{id}` is no time");
        return Err(ImportError::new(&row.at, why));
    };
    Ok(Some(end).filter(|end| *end != Timestamp::MAX))
}

/// Notes the restrictions of a key in its own row. Returns whether there are any.
fn note_restrictions(row: &Row<'_>, id: &str, limits: &RowLimits, notes: &Notes) -> bool {
    let restrictions = limits.restrictions_beside(row);
    if restrictions.is_empty() {
        return false;
    }
    let why = if restrictions.iter().all(|name| name.ends_with(REACHED)) {
        format!(
            "it lets nothing pass there, and what was used there does not count here: the key `{id}` is disabled; let it \
             in again by `keygate keys enable {id}`"
        )
    } else {
        format!("keygate cannot hold the key `{id}` to it: it is disabled")
    };
    notes.lost(&row.at, &restrictions.join(", "), why);
    true
}

/// Notes the owners of a key that may be restricted. Returns whether there are any.
fn note_owners(row: &Row<'_>, id: &str, owners: &Owners, notes: &Notes) -> bool {
    let reasons = [
        ("team_id", owners.team(row)),
        ("user_id", owners.user(row)),
        ("team_id, user_id", owners.member(row)),
    ];
    let mut is_restricted = false;
    for (column, reason) in reasons {
        if let Some(why) = reason {
            notes.lost(
                &row.at,
                column,
                format!("{why}: the key `{id}` is disabled"),
            );
            is_restricted = true;
        }
    }
    is_restricted
}

/// The labels of a key: its team and its user.
fn labels_of(row: &Row<'_>) -> BTreeMap<String, String> {
    let columns = [("team", "team_id"), ("user", "user_id")];
    let labels = columns
        .iter()
        .filter_map(|(label, column)| Some(((*label).to_owned(), row.get(column)?.to_owned())));
    labels.collect()
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
