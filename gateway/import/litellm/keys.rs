//! `LiteLLM`'s keys: the master key, and the tables of keys, teams, users and team members as CSV.
//!
//! A key is imported as enabled only if everything in its row is known: a column that is not known
//! to be harmless may restrict the key.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::import::error::ImportError;
use crate::import::fields::Fields;
use crate::import::litellm::common_settings::CommonSettings;
use crate::import::litellm::csv_table::{File, Row, Table};
use crate::import::litellm::owners::{Owners, Reader, members, teams, users};
use crate::import::litellm::tables::Tables;
use crate::import::notes::Notes;
use crate::import::plan::Plan;
use crate::import::planned::PlannedKey;
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

/// Imports `LiteLLM_VerificationToken`, in which `token` is the SHA-256 of a key, with the tables
/// of teams, users and members.
pub(super) fn key_tables(
    tables: &Tables<'_>,
    plan: &mut Plan,
    notes: &Notes,
) -> Result<(), ImportError> {
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

/// Adds the key of a row.
pub(super) fn key(
    row: &Row<'_>,
    digest: KeyDigest,
    of: &Owners,
    plan: &mut Plan,
    notes: &Notes,
) -> Result<(), ImportError> {
    let at = &row.at;
    let short = row.get("token").and_then(|hash| hash.get(..8));
    let id = row.get("key_alias").map_or_else(
        || format!("litellm-{}", short.unwrap_or_default()),
        str::to_owned,
    );
    let expires = match row.get("expires").map(time) {
        Some(None) => {
            return Err(ImportError::new(
                at,
                format_args!("`expires` of the key `{id}` is no time"),
            ));
        }
        Some(end) => end.filter(|end| *end != Timestamp::MAX),
        None => None,
    };
    let mut restrictions = row.restrictions();
    restrictions.extend(row.reached());
    let mut disabled = row.is_blocked();
    if !restrictions.is_empty() {
        let why = format!("keygate cannot hold the key `{id}` to it: it is disabled");
        notes.lost(at, &restrictions.join(", "), why);
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
