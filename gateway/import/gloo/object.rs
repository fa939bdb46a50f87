//! An object of Kubernetes, read field by field: what is left when it has been read was not understood, and
//! is listed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::Notes;
use super::super::fields::{Fields, text_of, texts};

/// Fields that the cluster puts in, or that say nothing about what the object does.
const OF_THE_CLUSTER: [&str; 9] = [
    "annotations",
    "creationTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// An object.
pub(super) struct Object {
    /// `Upstream`.
    pub kind: String,
    /// `gloo.solo.io`, without the version.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Its namespace; empty where it says none.
    pub namespace: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What people call it: `Upstream gloo-system/openai (openai.yaml:12)`.
    pub title: String,
    /// Everything else.
    pub body: Value,
}

impl Object {
    /// Reads a document; `None` if it is no object at all.
    pub(super) fn of(file: &str, line: usize, document: Value) -> Option<Self> {
        let Value::Object(mut map) = document else {
            return None;
        };
        let text =
            |value: Option<Value>| value.and_then(|value| text_of(&value)).unwrap_or_default();
        let kind = text(map.remove("kind"));
        let version = text(map.remove("apiVersion"));
        map.remove("status");
        let metadata = map.remove("metadata");
        let mut metadata = match metadata {
            Some(Value::Object(metadata)) => metadata,
            _ => Map::new(),
        };
        let (name, namespace) = (
            text(metadata.remove("name")),
            text(metadata.remove("namespace")),
        );
        if kind.is_empty() || name.is_empty() {
            return None;
        }
        let labels = metadata
            .remove("labels")
            .map(|labels| texts(&labels))
            .unwrap_or_default();
        for field in OF_THE_CLUSTER {
            metadata.remove(field);
        }
        if !metadata.is_empty() {
            map.insert("metadata".to_owned(), Value::Object(metadata));
        }
        let place = match namespace.as_str() {
            "" => name.clone(),
            namespace => format!("{namespace}/{name}"),
        };
        Some(Self {
            title: format!("{kind} {place} ({file}:{line})"),
            group: version
                .split_once('/')
                .map_or("", |(group, _)| group)
                .to_owned(),
            kind,
            name,
            namespace,
            labels,
            body: Value::Object(map),
        })
    }

    /// Its fields, to be read.
    pub(super) fn fields<'n>(&self, notes: &'n Notes) -> Fields<'n> {
        let map = self.body.as_object().cloned().unwrap_or_default();
        Fields::new(&self.title, map, notes)
    }
}
