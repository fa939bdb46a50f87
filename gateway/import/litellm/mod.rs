//! Imports `LiteLLM`'s `config.yaml`, and its tables of keys, teams, users and team members as CSV.
//!
//! `LiteLLM` chooses the provider by the model's name and translates bodies; keygate chooses it by
//! the path and passes bodies unchanged. So each provider gets a route of its own, and clients use
//! the provider's own model names.

mod aliases;
mod anything;
mod common_settings;
mod csv_table;
mod deployment;
mod keys;
mod kinds;
mod known;
mod left_out;
mod limits;
mod model_info;
mod owners;
mod params;
mod place;
mod prices;
mod provider;
mod table;
mod tables;
mod target;

use http::HeaderName;
use serde_json::Value;

use crate::config::may_hold_key;
use crate::import::error::ImportError;
use crate::import::fields::Fields;
use crate::import::litellm::common_settings::CommonSettings;
pub(crate) use crate::import::litellm::common_settings::Environment;
use crate::import::litellm::left_out::Entries;
use crate::import::litellm::limits::config::ConfigLimits;
use crate::import::litellm::limits::owner::Terms;
pub use crate::import::litellm::tables::Tables;
use crate::import::notes::Notes;
use crate::import::plan::Plan;
use crate::import::yaml;

/// Parts of names of settings that restrict callers in ways that keygate does not support: all keys
/// are imported as disabled.
const RESTRICTING: [&str; 8] = [
    "admin_only_routes",
    "allowed_",
    "custom_auth",
    "enable_oauth2_proxy_auth",
    "enforce",
    "reject",
    "require",
    "restrict",
];

/// Imports `config.yaml` and the tables, with the environment variables of this process. The error
/// describes an input that cannot be read at all.
pub fn read(name: &str, text: &str, tables: &Tables<'_>) -> Result<Plan, ImportError> {
    // A variable that is not valid UTF-8 is set all the same.
    let environment = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    read_in(name, text, tables, &environment)
}

/// Imports like [`read`], with the variables of `environment`.
pub fn read_in(
    name: &str,
    text: &str,
    tables: &Tables<'_>,
    environment: Environment<'_>,
) -> Result<Plan, ImportError> {
    let notes = Notes::default();
    let mut plan = Plan::default();
    let mut root = root_of(name, text, &notes)?;
    let limits = ConfigLimits::take(&mut root);
    let mut common = CommonSettings::of(&mut root, environment);
    let entries = read_models(&mut root, &common, &mut plan);
    let is_restricted = root
        .fields(&["general_settings"])
        .is_some_and(|general| general_settings(general, &mut common, &mut plan));
    if common.exact_streams {
        plan.meter_streams_exactly();
    }
    common.list_unused(&root);
    entries.note_reachable(&mut plan, &notes);
    plan.remove_inapplicable_prices(&notes);
    let title = root.place("");
    limits.apply(&title, &common, &entries.reached, &mut plan, &notes);
    finish(root, &plan);
    let terms = Terms {
        tokens: limits.tokens(),
        aliases: &entries.reached,
    };
    keys::key_tables(tables, terms, &mut plan, &notes)?;
    if is_restricted {
        for key in &mut plan.keys {
            key.disabled = true;
        }
    }
    plan.remove_limits_of_nobody(&notes);
    plan.note_needs_of_budgets(entries.reached.models(), &title, &notes);
    plan.note_ledger(&title, &notes);
    plan.close(&notes);
    plan.notes = notes.into_vec();
    Ok(plan)
}

/// Parses `config.yaml`: the first document of the file.
fn root_of<'n>(name: &str, text: &str, notes: &'n Notes) -> Result<Fields<'n>, ImportError> {
    let first = yaml::read(name, text)?.into_iter().next();
    let Some((Value::Object(map), line, lines)) =
        first.map(|document| (document.value, document.line, document.lines))
    else {
        return Err(ImportError::new(
            name,
            "there is no LiteLLM configuration in it",
        ));
    };
    let title = format!("{name}:{line}");
    notes.register_lines(&title, lines);
    Ok(Fields::new(&title, map, notes))
}

/// Reads `model_list`.
fn read_models(root: &mut Fields<'_>, common: &CommonSettings<'_>, plan: &mut Plan) -> Entries {
    let mut entries = Entries::default();
    for mut model in root.list("model_list") {
        let alias = model.text("model_name").unwrap_or_default();
        let title = format!("model `{alias}` ({})", model.place(""));
        let mut model = model.with_title(&title);
        deployment::deployment(&alias, &mut model, common, plan, &mut entries);
        model.finish();
    }
    entries
}

/// Notes what is left over at the root of the file.
fn finish(mut root: Fields<'_>, plan: &Plan) {
    root.discard(
        "guardrails",
        "keygate looks at no content: what they block there goes to the provider here",
    );
    if plan.providers.is_empty() {
        root.lost(
            "model_list",
            "no provider came out of it: models that LiteLLM keeps in its database stand in no file",
        );
    }
    root.finish();
}

/// Reads `general_settings`. Returns whether they restrict callers in a way that keygate does not
/// support.
fn general_settings(
    mut general: Fields<'_>,
    common: &mut CommonSettings<'_>,
    plan: &mut Plan,
) -> bool {
    common.streams(&mut general);
    if let Some(master) = general.text("master_key") {
        keys::master_key(&general, &master, common, plan);
    }
    general.discard(
        "database_url",
        "keygate has no database: bring the key table along as CSV, by `--keys FILE`",
    );
    if let Some(header) = general.text("litellm_key_header_name") {
        match HeaderName::try_from(&header) {
            Ok(name) if may_hold_key(&name) => {
                plan.key_headers.insert(name.as_str().to_owned());
            }
            _ => general.lost("litellm_key_header_name", "no key can stand there"),
        }
    }
    let is_restricting = |name: &&String| RESTRICTING.iter().any(|part| name.contains(part));
    let restricting: Vec<String> = general.unread().filter(is_restricting).cloned().collect();
    for name in &restricting {
        general.discard(
            name,
            "keygate cannot hold keys to it: all of them are disabled",
        );
    }
    general.finish();
    !restricting.is_empty()
}
