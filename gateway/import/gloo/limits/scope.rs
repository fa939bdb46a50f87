//! Whose requests count together: what a rate limit service tells from headers and metadata, keygate
//! knows from keys and their labels.

use crate::import::gloo::draft::RouteDraft;
use crate::import::gloo::limits::raw::Counted;
use crate::import::plan::{DEFAULT_KEY_HEADERS, Plan};
use crate::import::planned_limit::PlannedScope;

/// Whose use a limit counts together here; `None` if nobody has it. `is_after_auth` says whether
/// headers are those that the check of keys sets. The error is the reason why keygate cannot count so.
pub(super) fn scope(
    plan: &mut Plan,
    counted: &Counted,
    is_after_auth: bool,
    routes: &[&RouteDraft],
) -> Result<Option<PlannedScope>, String> {
    let (header, value) = match counted {
        Counted::All => return Ok(Some(PlannedScope::Gateway)),
        Counted::EachUser => return Ok(Some(PlannedScope::Key)),
        Counted::EachValue(header) if is_key_header(plan, header) => {
            return Ok(Some(PlannedScope::Key));
        }
        Counted::EachValue(header) => (header, None),
        Counted::Value { header, .. } if is_key_header(plan, header) => {
            return Err(format!(
                "it is of one key, which it names by `{header}`: write the limit into that key"
            ));
        }
        Counted::Value { header, value } => (header, Some(value)),
    };
    let mut entries = routes.iter().map(|route| route.from_metadata.get(header));
    let entry = entries.next().flatten();
    let (Some(entry), true, true) = (entry, entries.all(|other| other == entry), is_after_auth)
    else {
        return Err(format!(
            "clients may send any `{header}`, and keygate counts by keys and their labels: label the keys, and write a \
             table [[limits]] of that label"
        ));
    };
    let Some(value) = value else {
        return Err(format!(
            "it counts each value of `{entry}` for itself, which the key file keeps as a secret: label the keys, and \
             write a table [[limits]] with `of = {{ label = \"...\", each = true }}`"
        ));
    };
    label_keys(plan, routes, entry, value)
}

/// Whether clients may show their keys in a header.
fn is_key_header(plan: &Plan, header: &str) -> bool {
    DEFAULT_KEY_HEADERS.contains(&header) || plan.key_headers.contains(header)
}

/// Labels the keys with this value of a metadata entry. Returns the label; `None` if no key has it.
fn label_keys(
    plan: &mut Plan,
    routes: &[&RouteDraft],
    entry: &str,
    value: &str,
) -> Result<Option<PlannedScope>, String> {
    let label = format!("rate-{entry}");
    let selects = |route: &&RouteDraft| {
        let keys = route.keys.as_ref();
        keys.is_some_and(|(_, labels)| labels.contains_key(&label))
    };
    if routes.iter().any(selects) {
        return Err(format!(
            "routes select keys by the label `{label}`, which it needs"
        ));
    }
    let secrets = &plan.secrets;
    let mut has_any = false;
    for key in &mut plan.keys {
        let Some(reference) = key.metadata.get(entry) else {
            continue;
        };
        let secret = reference.strip_prefix("file:secrets/");
        let Some(secret) = secret.and_then(|name| secrets.get(name)) else {
            return Err(format!(
                "`{entry}` of a key is a variable, whose value is not known here"
            ));
        };
        if secret.as_str() == value {
            key.labels.insert(label.clone(), value.to_owned());
            has_any = true;
        }
    }
    Ok(has_any.then(|| PlannedScope::Label(label, value.to_owned())))
}
