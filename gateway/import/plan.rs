//! The plan of an import: the files to be written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use zeroize::Zeroizing;

use crate::import::amounts::PlannedAmounts;
use crate::import::names::Names;
use crate::import::notes::{Note, Notes};
use crate::import::planned::{PlannedKey, PlannedPrice, PlannedRoute, Unpriced};
use crate::import::planned_limit::PlannedLimit;
use crate::import::provider::PlannedProvider;
use crate::key::KeyDigest;
use crate::provider::Kind;

/// The label that a key needs on a route that is closed until somebody decides. Its value is the
/// route's name.
pub(super) const CLOSED_LABEL: &str = "imported";

/// The headers that may hold a client key by default.
pub(super) const DEFAULT_KEY_HEADERS: [&str; 4] =
    ["authorization", "api-key", "x-api-key", "x-goog-api-key"];

/// The result of an import.
#[derive(Default)]
pub struct Plan {
    /// Headers besides the default ones that may hold a client key.
    pub(crate) key_headers: BTreeSet<String>,
    /// The providers.
    pub providers: Vec<PlannedProvider>,
    /// The routes.
    pub routes: Vec<PlannedRoute>,
    /// The client keys.
    pub keys: Vec<PlannedKey>,
    /// The limits besides those in the keys' own entries.
    pub(crate) limits: Vec<PlannedLimit>,
    /// The time zone of budgets, if it is not UTC.
    pub(crate) timezone: Option<String>,
    /// The prices. Without any, and without a budget, no price file is written.
    pub prices: Vec<PlannedPrice>,
    /// The models without a known price.
    pub(super) unpriced: Vec<Unpriced>,
    /// The files of the secrets folder, by name.
    pub secrets: BTreeMap<String, Zeroizing<String>>,
    /// What the operator should know.
    pub notes: Vec<Note>,
    secret_names: Names,
    provider_names: Names,
    pub(super) route_names: Names,
    key_ids: Names,
    pub(super) limit_names: Names,
    /// Labels that belong to the keys of one object only.
    pub(super) policy_labels: BTreeSet<(String, String)>,
    digests: HashMap<KeyDigest, String>,
}

impl Plan {
    /// Adds a file to the secrets folder and returns the reference to it.
    pub(super) fn add_secret(&mut self, name: &str, secret: Zeroizing<String>) -> String {
        let name = self.secret_names.unique(name);
        let reference = format!("file:secrets/{name}");
        self.secrets.insert(name, secret);
        reference
    }

    /// Returns a reference to a secret that does not exist yet, in a file of its own.
    pub(super) fn missing_secret(&mut self, name: &str) -> String {
        format!("file:secrets/{}", self.secret_names.unique(name))
    }

    /// Adds a provider, or returns the name of an equal one.
    pub(super) fn add_provider(&mut self, mut provider: PlannedProvider) -> String {
        let same = self.providers.iter().find(|known| {
            (known.kind, &known.token, &known.settings)
                == (provider.kind, &provider.token, &provider.settings)
        });
        if let Some(known) = same {
            return known.name.clone();
        }
        provider.name = self.provider_names.unique(&provider.name);
        let name = provider.name.clone();
        self.providers.push(provider);
        name
    }

    /// Adds a key. If another key has the same digest, returns its id as the error.
    pub(super) fn add_key(&mut self, mut key: PlannedKey) -> Result<(), String> {
        if let Some(other) = self.digests.get(&key.digest) {
            return Err(other.clone());
        }
        key.id = self.key_ids.unique(&key.id);
        self.digests.insert(key.digest, key.id.clone());
        self.keys.push(key);
        Ok(())
    }

    /// Makes the gateway ask for the usage of streams, on routes whose providers support that.
    pub(super) fn meter_streams_exactly(&mut self) {
        for route in &mut self.routes {
            let mut providers = self.providers.iter();
            let provider = providers.find(|provider| provider.name == route.provider);
            let kind = provider.and_then(|provider| Kind::named(provider.kind));
            route.exact_streams = kind.is_some_and(Kind::takes_stream_options);
        }
    }

    /// The labels of `key`, if it was added before.
    pub(super) fn labels_of(&self, key: &str) -> Option<&BTreeMap<String, String>> {
        let digest = KeyDigest::of(key.as_bytes());
        let known = self.keys.iter().find(|known| known.digest == digest)?;
        Some(&known.labels)
    }

    /// Adds a label to `key`. Returns whether the key was added before.
    pub(super) fn label_key(&mut self, key: &str, name: &str, value: &str) -> bool {
        let digest = KeyDigest::of(key.as_bytes());
        let known = self.keys.iter_mut().find(|known| known.digest == digest);
        let is_there = known.is_some();
        if let Some(known) = known {
            known.labels.insert(name.to_owned(), value.to_owned());
        }
        is_there
    }

    /// Adds what `check` requires: it rejects a selector that no key satisfies, so a disabled key
    /// stands in until there is one.
    pub(super) fn close(&mut self, notes: &Notes) {
        let mut wanting: Vec<(&PlannedRoute, bool, BTreeMap<String, String>)> = Vec::new();
        for route in &self.routes {
            let Some(labels) = route.keys.as_ref().filter(|labels| !labels.is_empty()) else {
                continue;
            };
            let satisfied = self.keys.iter().any(|key| {
                labels
                    .iter()
                    .all(|(name, value)| key.labels.get(name) == Some(value))
            });
            if !satisfied && !wanting.iter().any(|(.., known)| known == labels) {
                // A comment on the route already says that it is closed.
                let is_said = !route.comment.is_empty();
                wanting.push((route, is_said, labels.clone()));
            }
        }
        let wanting: Vec<_> = wanting
            .into_iter()
            .map(|(route, is_said, labels)| {
                if !is_said {
                    note_missing_key(route, &labels, notes);
                }
                (route.name.clone(), labels)
            })
            .collect();
        for (route, labels) in wanting {
            // A random key that nobody knows.
            let nobody = crate::key::format::generate("nobody").unwrap_or_default();
            let _ = self.add_key(PlannedKey {
                id: format!("nobody-{route}"),
                digest: KeyDigest::of(nobody.as_bytes()),
                labels,
                metadata: BTreeMap::new(),
                limits: PlannedAmounts::default(),
                expires: None,
                disabled: true,
                comment: "stands in until there is a key with these labels".to_owned(),
            });
        }
    }
}

/// Notes that a route has no key, and how to create one.
fn note_missing_key(route: &PlannedRoute, labels: &BTreeMap<String, String>, notes: &Notes) {
    let flags: Vec<String> = labels
        .iter()
        .map(|(k, v)| format!("--label {k}={v}"))
        .collect();
    let cure = format!("keygate keys create --id NAME {}", flags.join(" "));
    let name = &route.name;
    notes.lost(
        &route.from,
        "",
        format!(
            "no key in the files has the labels of the route `{name}`: nobody can use it yet; make one with `{cure}`"
        ),
    );
}
