//! Which limit, scope and budget an operator means.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::words;
use crate::admin::limits::{counts_word, per_word};
use crate::document::nearest;
use crate::error::Error;
use crate::limit::amount::write_terms;
use crate::limit::of_key::{MAX_BUDGET, MAX_PARALLEL, RPM_LIMIT, TPM_LIMIT};
use crate::limit::terms::{Amount, Limit, Of, Period};
use crate::snapshot::Snapshot;

/// The names of the limits that keys' own entries set.
const OF_KEYS: [&str; 4] = [RPM_LIMIT, TPM_LIMIT, MAX_PARALLEL, MAX_BUDGET];

/// The limits of one name that hold for one scope.
pub(super) struct Scoped {
    /// Whose use is meant, as in an account's identity.
    pub(super) scope: Arc<str>,
    /// The limits, one of each amount.
    pub(super) limits: Vec<Arc<Limit>>,
}

/// Fails if there is no limit of this name.
pub(super) fn check_name(snapshot: &Snapshot, name: &str) -> Result<(), Error> {
    let limits = snapshot.rules.plan.limits().iter();
    let known: BTreeSet<&str> = limits.map(|limit| &*limit.name).collect();
    if known.contains(name) || OF_KEYS.contains(&name) {
        return Ok(());
    }
    let all = known.iter().copied().chain(OF_KEYS);
    let hint = match nearest(name, all) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`keygate limits list` shows all".to_owned(),
    };
    Err(Error::Failed(format!("there is no limit `{name}`: {hint}")))
}

/// The limits of this name and scope.
pub(super) fn scope(snapshot: &Snapshot, name: &str, given: Option<&str>) -> Result<Scoped, Error> {
    check_name(snapshot, name)?;
    if OF_KEYS.contains(&name) {
        return of_key(snapshot, name, given);
    }
    let limits = snapshot.rules.plan.limits().iter();
    let limits: Vec<_> = limits.filter(|it| *it.name == *name).cloned().collect();
    let Some(first) = limits.first() else {
        return Err(Error::Failed(format!("there is no limit `{name}`")));
    };
    let scope = scope_of(snapshot, first, given)?;
    Ok(Scoped { scope, limits })
}

/// The limits of this name that a key's entry sets.
fn of_key(snapshot: &Snapshot, name: &str, given: Option<&str>) -> Result<Scoped, Error> {
    let Some(id) = given else {
        let why = format!("`{name}` is a limit of each key: name the key, as in `{name} KEY`");
        return Err(Error::Usage(why));
    };
    let Some(key) = snapshot.keys.keys().find(|key| *key.id == *id) else {
        return Err(unknown("key", id, snapshot.keys.keys().map(|key| &*key.id)));
    };
    let own = key.limits.iter().flat_map(|own| own.limits.iter());
    let limits: Vec<_> = own.filter(|it| *it.name == *name).cloned().collect();
    if limits.is_empty() {
        let why = format!("the key `{id}` has no `{name}`: `keygate keys limit` sets it");
        return Err(Error::Failed(why));
    }
    let scope = key.id.clone();
    Ok(Scoped { scope, limits })
}

fn scope_of(snapshot: &Snapshot, limit: &Limit, given: Option<&str>) -> Result<Arc<str>, Error> {
    match &limit.of {
        Of::Gateway => match given {
            None | Some("") => Ok("".into()),
            Some(_) => Err(Error::Failed(format!(
                "`{}` counts the use of the whole gateway: it has no scope",
                limit.name
            ))),
        },
        Of::Key => one_of(limit, "key", given, || {
            snapshot.keys.keys().map(|key| &key.id)
        }),
        Of::Route => {
            let is_on = |name: &&Arc<str>| {
                limit
                    .routes
                    .as_ref()
                    .is_none_or(|routes| routes.contains(*name))
            };
            let routes = snapshot.rules.router.routes();
            one_of(limit, "route", given, || {
                routes.iter().map(|it| &it.name).filter(is_on)
            })
        }
        Of::Provider => one_of(limit, "provider", given, || {
            snapshot.rules.providers.iter().map(|it| &it.name)
        }),
        Of::Label { name, value } => {
            let prefix = format!("{name}=");
            let given = given.map(|it| it.strip_prefix(&prefix).unwrap_or(it));
            let values: Vec<Arc<str>> = match value {
                Some(value) => vec![value.clone()],
                None => values(snapshot, name),
            };
            let what = format!("value of the label `{name}`");
            one_of(limit, &what, given, || values.iter())
        }
    }
}

/// The values that keys have of a label.
fn values(snapshot: &Snapshot, label: &str) -> Vec<Arc<str>> {
    let keys = snapshot.keys.keys();
    let values: BTreeSet<&str> = keys.filter_map(|key| key.labels.get(label)).collect();
    values.into_iter().map(Arc::from).collect()
}

/// The scope that is given, or the only one.
fn one_of<'a, I: Iterator<Item = &'a Arc<str>>>(
    limit: &Limit,
    what: &str,
    given: Option<&str>,
    all: impl Fn() -> I,
) -> Result<Arc<str>, Error> {
    let Some(given) = given else {
        let mut first = all();
        return match (first.next(), first.next()) {
            (Some(only), None) => Ok(only.clone()),
            _ => Err(Error::Usage(format!(
                "`{0}` counts for each {what}: name one, as in `{0} SCOPE`",
                limit.name
            ))),
        };
    };
    let found = all().find(|it| ***it == *given).cloned();
    found.ok_or_else(|| unknown(what, given, all().map(|it| &**it)))
}

fn unknown<'a>(what: &str, given: &str, all: impl Iterator<Item = &'a str>) -> Error {
    let hint = match nearest(given, all) {
        Some(near) => format!(": did you mean `{near}`?"),
        None => String::new(),
    };
    Error::Failed(format!("there is no {what} `{given}`{hint}"))
}

/// The one budget among the limits of a scope that counts `counts` in `per`, each if given.
pub(super) fn budget(
    name: &str,
    scoped: &Scoped,
    counts: Option<&str>,
    per: Option<Period>,
) -> Result<(Arc<Limit>, Period), Error> {
    let counted = scoped
        .limits
        .iter()
        .filter(|it| counts.is_none_or(|counts| counts_word(it.counts) == counts));
    let counted: Vec<&Arc<Limit>> = counted.collect();
    if counted.is_empty() {
        return Err(Error::Failed(format!(
            "`{name}` does not count {}: it is {}",
            counts.unwrap_or_default(),
            listed(scoped.limits.iter())
        )));
    }
    let budgets = counted.iter().filter_map(|limit| match limit.amount {
        Amount::Budget { period, .. } => Some((*limit, period)),
        Amount::Rate(_) | Amount::AtOnce(_) => None,
    });
    let budgets: Vec<_> = budgets.collect();
    if budgets.is_empty() {
        return Err(Error::Failed(format!(
            "`{name}` is {}, which comes back by itself and is no budget of a period: change its amount, and a reload keeps \
             what was used",
            listed(counted.into_iter())
        )));
    }
    let meant = budgets
        .iter()
        .filter(|(_, period)| per.is_none_or(|per| per == *period));
    match meant.collect::<Vec<_>>().as_slice() {
        [(limit, period)] => Ok((Arc::clone(limit), *period)),
        [] => Err(Error::Failed(format!(
            "`{name}` has no budget per {}: it is {}",
            per.map_or("", Period::name),
            listed(budgets.iter().map(|(limit, _)| *limit))
        ))),
        several => {
            let how = several.iter().map(|(limit, _)| {
                let (per, counts) = (per_word(&limit.amount), counts_word(limit.counts));
                format!("--per {per} ({counts})")
            });
            let how: Vec<_> = how.collect();
            Err(Error::Usage(format!(
                "`{name}` has several budgets: {}. Choose one: {}",
                listed(several.iter().map(|(limit, _)| *limit)),
                how.join(" or ")
            )))
        }
    }
}

fn listed<'l>(limits: impl Iterator<Item = &'l Arc<Limit>>) -> String {
    let all: Vec<_> = limits
        .map(|limit| write_terms(limit.counts, &limit.amount))
        .collect();
    all.join(", ")
}

/// A limit and its scope for people: `search-team (team=search)`.
pub(super) fn named(limit: &Limit, scope: &str) -> String {
    format!("`{}` of {}", limit.name, words::scope(&limit.of, scope))
}
