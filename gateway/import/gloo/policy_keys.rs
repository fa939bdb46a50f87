//! The keys of kgateway's and agentgateway's policies, which are entries of secrets.

use std::collections::BTreeMap;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::import::error::ImportError;
use crate::import::fields::{Fields, text_of, texts};
use crate::import::gloo::auth::{accept_header, close_all};
use crate::import::gloo::draft::{KeyCheck, Rank, RouteDraft};
use crate::import::gloo::object::Object;
use crate::import::gloo::policy_label::{KeyEntry, policy_label};
use crate::import::gloo::reader::Reader;
use crate::import::gloo::secret::{self, Entry, SecretKey};
use crate::import::notes::Notes;
use crate::import::plan::Plan;

/// The fields of kgateway's policy that require a key.
pub(super) const API_KEYS: [&str; 2] = ["apiKeyAuthentication", "apiKeyAuth"];

/// Returns whether a policy takes its keys from a secret: by its name, or by its labels in the
/// policy's own namespace.
pub(super) fn takes_keys_of(policy: &Object, secret: &Object) -> bool {
    let spec = policy.body.get("spec");
    let holder = match policy.kind.as_str() {
        "TrafficPolicy" => spec,
        "AgentgatewayPolicy" | "EnterpriseAgentgatewayPolicy" => {
            spec.and_then(|spec| spec.get("traffic"))
        }
        _ => None,
    };
    let Some(keys) = API_KEYS.iter().find_map(|name| holder?.get(name)) else {
        return false;
    };
    let reference = keys.get("secretRef");
    let says = |name: &str| reference.and_then(|reference| text_of(reference.get(name)?));
    let namespace = says("namespace").unwrap_or_else(|| policy.namespace.clone());
    // A missing namespace matches any.
    let any_namespace = namespace.is_empty() || secret.namespace.is_empty();
    let by_name = says("name").as_ref() == Some(&secret.name)
        && (any_namespace || namespace == secret.namespace);
    let selector = keys.get("secretSelector").and_then(Value::as_object);
    // A selector with further conditions selects nothing: too few keys are better than too many.
    let selector = selector.filter(|selector| selector.len() == 1);
    let labels = selector.and_then(|selector| Some(texts(selector.get("matchLabels")?)));
    let by_labels = labels.is_some_and(|labels| {
        let has = |(name, value): (&String, &String)| secret.labels.get(name) == Some(value);
        !labels.is_empty() && secret.namespace == policy.namespace && labels.iter().all(has)
    });
    by_name || by_labels
}

impl Reader<'_> {
    /// Imports kgateway's keys: each entry of a secret is a client's name and its key.
    pub(super) fn kgateway_keys(
        &mut self,
        object: &Object,
        keys: &mut Fields<'_>,
        routes: &mut [(Rank, &mut RouteDraft)],
    ) -> Result<(), ImportError> {
        accept_sources(keys, self.plan);
        note_client_settings(keys);
        let secrets = self.secrets.values().copied();
        let chosen: Vec<&Object> = secrets
            .filter(|secret| takes_keys_of(object, secret))
            .collect();
        check_references(keys, &chosen);
        if keys.unread().next().is_some() {
            keys.lost(
                "",
                "keygate checks the key and nothing else: nobody can use its routes until they are given some",
            );
            close_all(routes);
        }
        let found = client_keys(chosen, self.notes)?;
        let label = policy_label(object, &found, self.secrets, self.plan);
        for (secret, name, key) in &found {
            let id = client_id(secret, name);
            let key = SecretKey { secret, id, key };
            secret::add_labelled(self.plan, self.notes, &key, &label);
        }
        for (rank, found) in routes {
            let labels = BTreeMap::from([label.clone()]);
            found.require_keys((*rank, KeyCheck::Gateway), &labels, self.notes);
        }
        Ok(())
    }
}

/// The id of a key: the entry's name is the client's, unless it is the name that the secret's type
/// defines.
fn client_id<'k>(secret: &'k Object, entry: &'k str) -> &'k str {
    if secret::KEY_ENTRIES.contains(&entry) {
        &secret.name
    } else {
        entry
    }
}

/// Accepts keys in the headers that the policy names.
fn accept_sources(keys: &mut Fields<'_>, plan: &mut Plan) {
    for mut source in keys.list("keySources") {
        if let Some(header) = source.text("header")
            && !accept_header(&header, plan)
        {
            source.lost("header", "no key can stand there");
        }
        source.discard("cookie", "keygate takes no key from a cookie");
        let query = source.text("query");
        if query.is_some_and(|name| !["key", "api-key"].contains(&name.as_str())) {
            source.lost(
                "query",
                "keygate takes keys from `?key=` and `?api-key=` only",
            );
        }
        source.finish();
    }
}

/// Checks that the named secret was found, and takes the fields that select secrets.
fn check_references(keys: &mut Fields<'_>, chosen: &[&Object]) {
    if let Some(mut reference) = keys.fields(&["secretRef"]) {
        let name = reference.text("name").unwrap_or_default();
        if !chosen.iter().any(|secret| secret.name == name) {
            reference.lost("", format!("the secret `{name}` is not in the files"));
        }
        for known in ["namespace", "group", "kind"] {
            reference.value(&[known]);
        }
        reference.finish();
    }
    if let Some(mut selector) = keys.fields(&["secretSelector"]) {
        selector.value(&["matchLabels"]);
        selector.finish();
    }
}

/// The client keys in these secrets.
fn client_keys<'o>(
    secrets: Vec<&'o Object>,
    notes: &Notes,
) -> Result<Vec<KeyEntry<'o>>, ImportError> {
    let mut found = Vec::new();
    for secret in secrets {
        for (name, entry) in secret::data(secret)? {
            match entry {
                Entry::Text(text) => match key_in_entry(text) {
                    Some(key) => found.push((secret, name, key)),
                    None => notes.lost(
                        &secret.title,
                        &format!("data.{name}"),
                        "there is no `key` in it: it opens nothing",
                    ),
                },
                Entry::Variable(variable) => notes.lost(
                    &secret.title,
                    &format!("data.{name}"),
                    format!("the key stands in {variable}: add it with `keygate keys import`"),
                ),
            }
        }
    }
    Ok(found)
}

/// Notes how the policy treats requests with a key, or without one, if keygate does it differently.
fn note_client_settings(keys: &mut Fields<'_>) {
    keys.discard(
        "clientIdHeader",
        "keygate does not tell the provider which client asks: the access log does",
    );
    if keys
        .text("forwardCredential")
        .is_some_and(|said| said == "true")
    {
        keys.lost(
            "forwardCredential",
            "the client's key never goes to the provider here",
        );
    }
    let mode = keys.text("mode").unwrap_or_default();
    if !["", "Strict"].contains(&mode.as_str()) {
        keys.lost(
            "mode",
            format!("`{mode}` lets in requests without a key there: here there must be one"),
        );
    }
}

/// The key of an entry. agentgateway also has it as JSON together with metadata.
fn key_in_entry(text: Zeroizing<String>) -> Option<Zeroizing<String>> {
    if !text.trim_start().starts_with('{') {
        return Some(text);
    }
    let value: Value = serde_json::from_str(&text).ok()?;
    value.get("key")?.as_str().map(|key| key.to_owned().into())
}
