//! `keygate keys limit`: changes the limits of a key; and the options of limits, which `create` has as well.

use clap::Args;
use serde_json::json;

use super::change::Named;
use super::key_file::edit_key_file;
use crate::cli::output::print;
use crate::cli::wait::Effect;
use crate::error::Error;
use crate::key::edit::{self, Change, LimitChanges};
use crate::limit::amount::{self, AmountError};
use crate::limit::of_key::LimitSettings;
use crate::limit::terms::Amount;

/// The word for no limit.
const NONE: &str = "none";

/// The limits of a key.
#[derive(Args)]
pub(super) struct LimitArgs {
    /// Requests per minute
    #[arg(long, value_name = "NUMBER", value_parser = |text: &str| setting(text, amount::per_minute))]
    rpm_limit: Option<Setting<u64>>,
    /// Tokens per minute, without those that the provider read from its cache; `2M` is two million
    #[arg(long, value_name = "NUMBER", value_parser = |text: &str| setting(text, amount::per_minute))]
    tpm_limit: Option<Setting<u64>>,
    /// Requests at once
    #[arg(long, value_name = "NUMBER", value_parser = |text: &str| setting(text, amount::parallel))]
    max_parallel_requests: Option<Setting<u64>>,
    /// Money, in the currency of the price file: `50.00 per month` (or hour, day, week, quarter, year), or `50` for ever;
    /// may be repeated with other periods
    #[arg(long, value_name = "AMOUNT", value_parser = |text: &str| setting(text, amount::money))]
    max_budget: Vec<Setting<Amount>>,
    /// The percentage of each budget from which on keygate warns, such as `80%`; may be repeated
    #[arg(long, value_name = "PERCENT", value_parser = |text: &str| setting(text, amount::percent))]
    soft_budget: Vec<Setting<u8>>,
}

/// The value of an option.
#[derive(Clone, Debug)]
enum Setting<T> {
    None,
    To(T),
}

fn setting<T>(
    text: &str,
    read: impl Fn(&str) -> Result<T, AmountError>,
) -> Result<Setting<T>, SettingError> {
    if text.trim() == NONE {
        return Ok(Setting::None);
    }
    read(text).map(Setting::To).map_err(SettingError)
}

/// Why a value cannot be used, as the sentence that clap prints behind the value.
#[derive(Debug, thiserror::Error)]
#[error("it {0}")]
struct SettingError(AmountError);

impl LimitArgs {
    /// What becomes of each setting.
    fn changes(&self) -> Result<LimitChanges, Error> {
        let budgets = list("--max-budget", &self.max_budget)?;
        if let Change::Set(budgets) = &budgets {
            amount::check_periods(budgets)
                .map_err(|why| Error::Usage(format!("--max-budget {why}")))?;
        }
        let mut soft = list("--soft-budget", &self.soft_budget)?;
        if let Change::Set(soft) = &mut soft {
            soft.sort_unstable();
            soft.dedup();
        }
        Ok(LimitChanges {
            rpm_limit: one(self.rpm_limit.as_ref()),
            tpm_limit: one(self.tpm_limit.as_ref()),
            max_parallel_requests: one(self.max_parallel_requests.as_ref()),
            max_budget: budgets,
            soft_budget: soft,
        })
    }

    /// The settings of a new key.
    pub(super) fn of_new_key(&self) -> Result<LimitSettings, Error> {
        let settings = self.changes()?.of_new_key();
        if settings.lacks_budget() {
            let why = "--soft-budget needs --max-budget: it is a percentage of it";
            return Err(Error::Usage(why.to_owned()));
        }
        Ok(settings)
    }
}

fn one(setting: Option<&Setting<u64>>) -> Change<u64> {
    match setting {
        None => Change::Keep,
        Some(Setting::None) => Change::Remove,
        Some(Setting::To(number)) => Change::Set(*number),
    }
}

fn list<T: Clone>(name: &str, settings: &[Setting<T>]) -> Result<Change<Vec<T>>, Error> {
    let values = settings.iter().map(|setting| match setting {
        Setting::None => None,
        Setting::To(value) => Some(value.clone()),
    });
    match (settings, values.collect::<Option<Vec<_>>>()) {
        ([], _) => Ok(Change::Keep),
        ([Setting::None], _) => Ok(Change::Remove),
        (_, Some(values)) => Ok(Change::Set(values)),
        (_, None) => {
            let why = format!("{name}: `{NONE}` cannot be combined with a value");
            Err(Error::Usage(why))
        }
    }
}

#[derive(Args)]
pub(in crate::cli) struct Limit {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    limits: LimitArgs,
}

pub(super) fn run(options: &Limit) -> Result<(), Error> {
    let Named {
        key_file,
        waiting,
        id,
    } = &options.named;
    let changes = options.limits.changes()?;
    if changes.is_empty() {
        let why = "there is nothing to change: give a limit, such as --rpm-limit 600, or --rpm-limit none";
        return Err(Error::Usage(why.to_owned()));
    }
    let path = key_file.path()?;
    let unconfirmed = edit_key_file(&path, || edit::set_limits(&path, id, &changes))?;
    let keys = key_file.read().unwrap_or_default();
    let limits = keys.iter().find(|key| *key.entry.key.id == **id);
    if key_file.json {
        let limits = limits.map(super::view::KeyView::limits_json);
        print(&json!({"id": id, "limits": limits}).to_string())?;
    } else {
        let words = limits.map_or_else(String::new, super::view::KeyView::limits);
        let words = if words.is_empty() {
            "no limits".to_owned()
        } else {
            words
        };
        print(&format!("Key `{id}` in {}: {words}.", path.display()))?;
    }
    // A limit that is raised waits for the configuration; one that is lowered is in force before, and is not told apart.
    waiting.finish(&key_file.config, &path, Effect::Opens, unconfirmed)
}
