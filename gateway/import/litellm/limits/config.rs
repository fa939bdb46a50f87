//! The limits in `config.yaml`: those of the whole proxy, of providers and of deployments, and those
//! that apply to nobody that an import knows.

use jiff::tz::TimeZone;
use serde_json::Value;

use crate::import::amounts::{PlannedAmounts, TOKENS};
use crate::import::fields::Fields;
use crate::import::litellm::aliases::Aliases;
use crate::import::litellm::common_settings::CommonSettings;
use crate::import::litellm::limits::amount;
use crate::import::litellm::limits::holder::{Holder, budget_of};
use crate::import::litellm::limits::text::{UNCLEAR, any_text, resolved};
use crate::import::notes::Notes;
use crate::import::plan::Plan;
use crate::import::planned_limit::{PlannedLimit, PlannedScope};
use crate::limit::terms::Counts;

/// Settings that are templates of keys, teams and users, or limits of what keygate does not know, with
/// the note about each.
const OTHERS: [(&str, &str, &str); 15] = [
    ("litellm_settings", "default_internal_user_params", DEFAULTS),
    ("litellm_settings", "default_key_generate_params", DEFAULTS),
    ("litellm_settings", "default_team_params", DEFAULTS),
    ("litellm_settings", "default_team_settings", DEFAULTS),
    (
        "litellm_settings",
        "internal_user_budget_duration",
        DEFAULTS,
    ),
    ("litellm_settings", "max_internal_user_budget", DEFAULTS),
    (
        "litellm_settings",
        "upperbound_key_generate_params",
        DEFAULTS,
    ),
    (
        "litellm_settings",
        "max_ui_session_budget",
        "keygate has no pages that ask models",
    ),
    ("litellm_settings", "max_end_user_budget", END_USERS),
    ("litellm_settings", "max_end_user_budget_id", END_USERS),
    (
        "litellm_settings",
        "max_budget_per_session",
        "keygate knows no sessions: a limit is of keys, labels, routes or providers",
    ),
    ("litellm_settings", "tag_budget_config", TAGS),
    (
        "litellm_settings",
        "budget_reset_time",
        "budgets are renewed at midnight here",
    ),
    (
        "general_settings",
        "max_parallel_requests",
        "it is of each deployment there, whose requests wait: write `parallel` into a table [[limits]]",
    ),
    ("router_settings", "tag_budget_config", TAGS),
];

const DEFAULTS: &str = "it is for keys, teams and users that are made later: write limits of their own for them, or a \
                        table [[limits]] with `of = \"key\"` or `of = { label = \"team\", each = true }`";
const END_USERS: &str = "an end user is named by the request there, and keygate believes only keys: give each its own key \
                         with a label, and write a table [[limits]] with `of = { label = \"customer\", each = true }`";
const TAGS: &str = "tags come from requests there, and keygate believes only keys: label the keys, and write a table \
                    [[limits]] of that label";

/// The limits in `config.yaml`, as texts.
#[derive(Default)]
pub(in crate::import::litellm) struct ConfigLimits {
    max_budget: Option<String>,
    budget_duration: Option<String>,
    timezone: Option<String>,
    token_type: Option<String>,
    parallel: Option<String>,
    providers: Vec<(String, Value)>,
}

impl ConfigLimits {
    /// Takes the settings from the root of the file.
    pub(in crate::import::litellm) fn take(root: &mut Fields<'_>) -> Self {
        let mut limits = Self::default();
        within(root, "litellm_settings", |settings| {
            limits.max_budget = any_text(settings, "max_budget");
            limits.budget_duration = any_text(settings, "budget_duration");
            limits.timezone = any_text(settings, "timezone");
        });
        within(root, "general_settings", |settings| {
            limits.token_type = any_text(settings, "token_rate_limit_type");
            limits.parallel = any_text(settings, "global_max_parallel_requests");
        });
        within(root, "router_settings", |settings| {
            let name = "provider_budget_config";
            let providers = settings.value(&[name]);
            if providers
                .as_ref()
                .is_some_and(|providers| !providers.is_object())
            {
                settings.lost(name, "it is no table of providers and budgets");
            }
            let providers = providers.as_ref().and_then(Value::as_object);
            let providers = providers.into_iter().flatten();
            limits.providers = providers
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
        });
        for (section, name, why) in OTHERS {
            within(root, section, |settings| settings.discard(name, why));
        }
        limits
    }

    /// The tokens that limits of tokens count.
    pub(in crate::import::litellm) fn tokens(&self) -> Counts {
        let place = match self.token_type.as_deref() {
            Some("input") => 1,
            Some("output") => 2,
            _ => 0,
        };
        let (_, tokens) = TOKENS.get(place).unwrap_or(&TOKENS[0]);
        Counts::Tokens(*tokens)
    }

    /// Adds the limits to the plan, whose routes are known.
    pub(in crate::import::litellm) fn apply(
        &self,
        title: &str,
        common: &CommonSettings<'_>,
        aliases: &Aliases,
        plan: &mut Plan,
        notes: &Notes,
    ) {
        let holder = Holder {
            notes,
            title,
            whose: String::new(),
        };
        self.apply_timezone(&holder, common, plan);
        self.apply_global(&holder, common, plan);
        for (name, value) in &self.providers {
            apply_provider(&holder, name, value, aliases, plan);
        }
    }

    fn apply_timezone(&self, holder: &Holder<'_>, common: &CommonSettings<'_>, plan: &mut Plan) {
        let Some(text) = &self.timezone else { return };
        match common.resolve(text) {
            Ok(name) if TimeZone::get(&name).is_ok() => {
                plan.timezone = (name != "UTC").then_some(name);
            }
            _ => holder.lost(
                "litellm_settings.timezone",
                "no time zone of this machine has that name: budgets are renewed at midnight in UTC",
            ),
        }
    }

    fn apply_global(&self, holder: &Holder<'_>, common: &CommonSettings<'_>, plan: &mut Plan) {
        let mut amounts = PlannedAmounts::default();
        if let Some(text) = &self.max_budget {
            let field = "litellm_settings.max_budget";
            let duration = self.budget_duration.as_deref();
            let read = resolved(text, common).and_then(|text| amount::budget(&text, duration));
            add(holder, &mut amounts, Counts::Money, field, read);
        }
        if let Some(text) = &self.parallel {
            let field = "general_settings.global_max_parallel_requests";
            let read = resolved(text, common).and_then(|text| amount::at_once(&text));
            add(holder, &mut amounts, Counts::Parallel, field, read);
        }
        if !amounts.is_empty() {
            plan.add_limit(PlannedLimit {
                name: "all".to_owned(),
                amounts,
                from: (holder.title.to_owned(), String::new()),
                ..PlannedLimit::default()
            });
        }
    }
}

/// Adds an amount, or notes that it is not understood.
fn add(
    holder: &Holder<'_>,
    to: &mut PlannedAmounts,
    counts: Counts,
    field: &str,
    read: Result<amount::Found, amount::Unclear>,
) {
    if !holder.add(to, counts, field, read) {
        holder.lost(field, UNCLEAR);
    }
}

/// Adds the budget of a provider.
fn apply_provider(
    holder: &Holder<'_>,
    name: &str,
    value: &Value,
    aliases: &Aliases,
    plan: &mut Plan,
) {
    let field = format!("router_settings.provider_budget_config.{name}");
    let routes = aliases.routes_of(name);
    if routes.is_empty() {
        return holder.lost(&field, "no route leads to it: its budget is left out");
    }
    let Some((most, duration)) = budget_of(value) else {
        return holder.lost(
            &field,
            "its budget is not understood: nothing limits it here",
        );
    };
    let mut amounts = PlannedAmounts::default();
    let read = amount::budget(&most, duration.as_deref());
    add(holder, &mut amounts, Counts::Money, &field, read);
    if amounts.is_empty() {
        return;
    }
    holder.note(
        &field,
        "its period begins with the calendar's here, and with its first request there; once it is spent, requests are \
         refused here, and go to another provider there if there is one",
    );
    plan.add_limit(PlannedLimit {
        name: format!("provider-{name}"),
        // The routes of several providers count together.
        of: match routes.as_slice() {
            [_] => PlannedScope::Provider,
            _ => PlannedScope::Gateway,
        },
        routes,
        amounts,
        from: (holder.title.to_owned(), field),
        ..PlannedLimit::default()
    });
}

/// Takes fields of a section.
fn within<'n>(root: &mut Fields<'n>, section: &str, take: impl FnOnce(&mut Fields<'n>)) {
    if let Some(mut settings) = root.fields(&[section]) {
        take(&mut settings);
        root.put(section, settings);
    }
}
