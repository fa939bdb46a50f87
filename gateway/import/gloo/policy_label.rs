//! The labels that tie imported keys to the policy that accepts them.

use zeroize::Zeroizing;

use crate::import::gloo::backend::Secrets;
use crate::import::gloo::object::Object;
use crate::import::plan::Plan;

/// A key that was found: the secret, the entry's name, and the key.
pub(super) type KeyEntry<'o> = (&'o Object, String, Zeroizing<String>);

/// A label for the keys of one policy, so that they do not open the routes of another. No secret
/// has a label of this name, no key has it for another policy, and no object of another kind with
/// the same name gets the same label.
pub(super) fn policy_label(
    policy: &Object,
    keys: &[KeyEntry<'_>],
    secrets: &Secrets<'_>,
    plan: &mut Plan,
) -> (String, String) {
    let place = match policy.namespace.as_str() {
        "" => policy.name.clone(),
        namespace => format!("{namespace}/{}", policy.name),
    };
    let is_taken = |name: &str| {
        let of_secrets = secrets
            .values()
            .any(|secret| secret.labels.contains_key(name));
        let mut keys = keys.iter();
        of_secrets
            || plan
                .policy_labels
                .contains(&(name.to_owned(), place.clone()))
            || keys.any(|(_, _, key)| {
                let labels = plan.labels_of(key.trim());
                labels.is_some_and(|labels| labels.get(name).is_some_and(|held| *held != place))
            })
    };
    let mut names = (1..).map(|number| match number {
        1 => "policy".to_owned(),
        number => format!("policy-{number}"),
    });
    let name = names.find(|name| !is_taken(name)).unwrap_or_default();
    let mark = (name, place);
    plan.policy_labels.insert(mark.clone());
    mark
}
