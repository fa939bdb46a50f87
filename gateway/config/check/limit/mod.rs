//! `[[limits]]`: what each counts, how much of it, of whom, and for which requests; and what all have in common.

mod amounts;
mod common;
mod effect;
mod metered;
mod prices;
mod scope;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use super::super::file::{LedgerFile, LimitFile, UsageFile};
use super::super::meant::{LimitConfig, LimitsConfig, ProviderConfig, RouteConfig};
use super::super::names::is_name;
use super::super::settings::{PERMISSIONS, UNBOUNDED, WEEKDAYS};
use super::checker::Checker;
use crate::document::{Located, OneOrMany, nearest};
use crate::limit::notice::LimitHeaders;
use crate::limit::of_key::{MAX_BUDGET, MAX_PARALLEL, RPM_LIMIT, SOFT_BUDGET, TPM_LIMIT};
use crate::limit::terms::{Amount, Counts, Limit, Mode, ModelPattern, OverBudget, Reserve};

/// The settings of a key that limit it: each makes a limit of this name.
const OF_KEYS: [&str; 5] = [RPM_LIMIT, TPM_LIMIT, MAX_PARALLEL, MAX_BUDGET, SOFT_BUDGET];

/// What limits refer to.
pub(super) struct Known<'k> {
    /// The names of all routes, also of those with a fatal problem, which `routes` may lack.
    pub(super) names: &'k [String],
    pub(super) routes: &'k [RouteConfig],
    pub(super) providers: &'k [ProviderConfig],
    /// Whether a price file is named.
    pub(super) has_prices: bool,
}

impl Known<'_> {
    /// The routes whose requests a limit counts that names `routes`.
    fn counted(&self, routes: Option<&[Arc<str>]>) -> Vec<&RouteConfig> {
        let is_counted =
            |route: &&RouteConfig| routes.is_none_or(|names| names.contains(&route.name));
        self.routes.iter().filter(is_counted).collect()
    }
}

impl Checker<'_> {
    pub(super) fn all_limits(
        &self,
        files: Vec<LimitFile>,
        usage: &UsageFile,
        ledger: LedgerFile,
        known: &Known<'_>,
    ) -> LimitsConfig {
        self.distinct_limits(&files);
        let rows = files.into_iter().filter_map(|file| self.limit(file, known));
        let rows: Vec<LimitConfig> = rows.collect();
        let ledger = self.ledger(ledger);
        self.forgetful(&rows, ledger.is_some());
        LimitsConfig {
            rows,
            timezone: usage.timezone.clone(),
            week_starts: self.week_starts(usage.week_starts.as_ref()),
            budget_status: self.budget_status(usage.budget_status.as_ref()),
            headers: self.one_of(
                usage.limit_headers.as_ref(),
                "usage.limit_headers",
                &LimitHeaders::NAMES,
            ),
            retention: self.retention(usage.retention.as_ref()),
            ledger,
        }
    }

    /// No two tables have the same name.
    fn distinct_limits(&self, files: &[LimitFile]) {
        let mut lines: HashMap<&str, usize> = HashMap::new();
        for name in files.iter().filter_map(|file| file.name.as_ref()) {
            if let Some(line) = lines.insert(&name.value, name.at.line) {
                let why = format!(
                    "the limit `{}` is there already, in line {line}",
                    name.value
                );
                self.fatal(&name.at, why);
            }
        }
    }

    fn limit(&self, file: LimitFile, known: &Known<'_>) -> Option<LimitConfig> {
        let routes = self.limited_routes(file.routes.as_ref(), known);
        let models = self.limited_models(file.models.as_ref());
        let of = file
            .of
            .as_ref()
            .and_then(|given| self.scope(given, routes.as_deref(), known));
        let soft = self.soft_budget(file.soft_budget.as_ref());
        let amounts = self.amounts(&file)?;
        self.without_effect(&file, &amounts);
        self.priced(&file, routes.as_deref(), known);
        self.metered(&amounts, routes.as_deref(), known, &file.at);
        let make = Common {
            reserve: self.one_of(file.reserve.as_ref(), "reserve", &Reserve::NAMES),
            mode: self.one_of(file.mode.as_ref(), "mode", &Mode::NAMES),
            over_budget: self.one_of(
                file.over_budget_streams.as_ref(),
                "over_budget_streams",
                &OverBudget::NAMES,
            ),
            unpriced: self.one_of(file.unpriced.as_ref(), "unpriced", &PERMISSIONS),
            unmetered: self.one_of(file.unmetered.as_ref(), "unmetered", &PERMISSIONS),
            unbounded: self.one_of(file.unbounded.as_ref(), "unbounded", &UNBOUNDED),
        };
        let name = self.limit_name(file.name?);
        let of = of?;
        let limits = amounts.into_iter().map(|(counts, amount)| {
            Arc::new(Limit {
                name: name.clone(),
                of: of.clone(),
                routes: routes.clone(),
                models: models.clone(),
                counts,
                amount,
                reserve: make.reserve,
                mode: make.mode,
                over_budget: make.over_budget,
                soft: match amount {
                    Amount::Budget { .. } => soft.clone(),
                    Amount::Rate(_) | Amount::AtOnce(_) => Box::default(),
                },
                unpriced: make.unpriced,
                unmetered: make.unmetered,
                unbounded: make.unbounded,
            })
        });
        Some(LimitConfig {
            at: file.at,
            limits: limits.collect(),
        })
    }

    fn limit_name(&self, given: Located<String>) -> Arc<str> {
        let name = given.value;
        if !is_name(&name) {
            let why = "a limit's name has letters, digits, `.`, `_` and `-`, 64 at most";
            self.fatal(&given.at, why);
        }
        if OF_KEYS.contains(&name.as_str()) {
            let why = format!(
                "`{name}` is the name of the limit that this setting of a key makes: choose another"
            );
            self.fatal(&given.at, why);
        }
        name.into()
    }

    fn limited_routes(
        &self,
        given: Option<&Located<OneOrMany>>,
        known: &Known<'_>,
    ) -> Option<Box<[Arc<str>]>> {
        let given = given?;
        if given.value.0.is_empty() {
            let why = "a limit of no route would count nothing: leave `routes` out for all";
            self.fatal(&given.at, why);
        }
        let is_known = |name: &&String| known.names.contains(name);
        for name in given.value.0.iter().filter(|name| !is_known(name)) {
            let names = known.names.iter().map(String::as_str);
            let hint = match nearest(name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`routes` has the names of [[routes]]".to_owned(),
            };
            self.fatal(&given.at, format!("there is no route `{name}`: {hint}"));
        }
        Some(
            given
                .value
                .0
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
        )
    }

    fn limited_models(&self, given: Option<&Located<OneOrMany>>) -> Box<[ModelPattern]> {
        let Some(given) = given else {
            return Box::default();
        };
        if given.value.0.is_empty() {
            let why = "a limit of no model would count nothing: leave `models` out for all";
            self.fatal(&given.at, why);
        }
        let parse = |text: &String| {
            let pattern = ModelPattern::parse(text);
            if pattern.is_none() {
                self.fatal(&given.at, format!(
                    "models: `{text}`: a model is a name, or a prefix of names with a `*` behind it"
                ));
            }
            pattern
        };
        given.value.0.iter().filter_map(parse).collect()
    }
}

/// What the limits of a table have in common.
struct Common {
    reserve: Reserve,
    mode: Mode,
    over_budget: OverBudget,
    unpriced: bool,
    unmetered: bool,
    unbounded: bool,
}

/// What a limit counts, and how much of it.
type Counted = (Counts, Amount);
