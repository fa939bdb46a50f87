//! `LiteLLM`'s tables as CSV: rows, and the columns that restrict a key.

use crate::import::error::ImportError;

/// Columns that set limits. `budget_id` is not among them: it refers to a row of another table.
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

/// Entries of `metadata` that restrict a key.
const RESTRICTING: [&str; 20] = [
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

/// What stands behind the name of a limit that is reached.
pub(super) const REACHED: &str = " (reached)";

/// Values of a cell that mean nothing is set.
const EMPTY_VALUES: [&str; 5] = ["{}", "[]", "f", "false", "False"];

/// Values of a cell that mean nothing is set, in any column. Ids have only these, since an id may
/// be `f`.
const NULLS: [&str; 4] = ["", "null", "NULL", "\\N"];

/// The name of a file and its text.
pub(super) type File<'t> = (&'t str, &'t str);

/// A table read from CSV.
pub(super) struct Table<'t> {
    file: &'t str,
    columns: Vec<String>,
    rows: Vec<csv::StringRecord>,
}

/// A row of a table.
pub(super) struct Row<'t> {
    /// The file and line.
    pub(super) at: String,
    columns: &'t [String],
    cells: &'t csv::StringRecord,
}

impl<'t> Table<'t> {
    /// Parses a table of the database table `name`, which must have the columns `needed`.
    pub(super) fn read(
        file: &'t str,
        text: &str,
        name: &str,
        needed: &[&str],
    ) -> Result<Self, ImportError> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let headers = reader
            .headers()
            .map_err(|error| ImportError::new(file, error))?;
        let columns: Vec<String> = headers.iter().map(|name| name.trim().to_owned()).collect();
        let missing = needed
            .iter()
            .filter(|name| !columns.iter().any(|it| it == *name));
        let missing: Vec<String> = missing.map(|name| format!("`{name}`")).collect();
        if !missing.is_empty() {
            let why = format!(
                "there is no column {}: what closes a key there would be lost. Export the whole table, with \
                 its header: \\copy \"{name}\" to '{file}' csv header",
                missing.join(", ")
            );
            return Err(ImportError::new(format!("{file}:1"), why));
        }
        let mut rows = Vec::new();
        for row in reader.records() {
            rows.push(row.map_err(|error| match error.position() {
                Some(at) => ImportError::new(format!("{file}:{}", at.line()), error),
                None => ImportError::new(file, error),
            })?);
        }
        Ok(Self {
            file,
            columns,
            rows,
        })
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
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
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let place = self.columns.iter().position(|column| column == name)?;
        let value = self.cells.get(place)?.trim();
        let is_empty = EMPTY_VALUES.contains(&value) && !name.ends_with("_id");
        (!is_empty && !NULLS.contains(&value)).then_some(value)
    }

    /// The columns and metadata entries that restrict the key, or may.
    pub(super) fn restrictions(&self) -> Vec<String> {
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
                let says = |name: &&&str| metadata.get(name).is_some_and(is_set);
                // The company's directory has removed the user.
                let is_gone = metadata.get("scim_active") == Some(&false.into());
                let names = RESTRICTING.iter().filter(says).copied();
                let names = names.chain(is_gone.then_some("scim_active"));
                found.extend(names.map(|name| format!("metadata.{name}")));
            }
            Err(_) if metadata.is_empty() => {}
            Err(_) => found.push("metadata".to_owned()),
        }
        found
    }

    /// Returns whether the row is blocked. Any value but "nothing" and `0` counts as blocked.
    pub(super) fn is_blocked(&self) -> bool {
        self.get("blocked").is_some_and(|blocked| blocked != "0")
    }

    /// The limits that are reached: LiteLLM rejects all requests until somebody raises them or
    /// their period is over.
    pub(super) fn reached(&self) -> impl Iterator<Item = String> + '_ {
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
        reached.map(|(name, _)| format!("{name}{REACHED}"))
    }
}

/// Returns whether a list of models, in the form of PostgreSQL or JSON, includes all models. A
/// team's own restrictions are in the team's row.
fn is_every_model(models: &str) -> bool {
    let bare = models.trim_matches(['{', '}', '[', ']', '"', '\'']);
    ["all-proxy-models", "all-team-models"].contains(&bare)
}

/// Returns whether a value is not empty.
fn is_set(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null | serde_json::Value::Bool(false) => false,
        serde_json::Value::Array(items) => !items.is_empty(),
        serde_json::Value::Object(entries) => !entries.is_empty(),
        serde_json::Value::String(text) => !text.is_empty(),
        _ => true,
    }
}
