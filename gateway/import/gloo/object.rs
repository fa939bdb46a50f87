//! A Kubernetes object.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::import::fields::{Fields, text_of, texts};
use crate::import::notes::Notes;

/// Fields of metadata that the cluster adds, or that do not affect what the object does.
const CLUSTER_FIELDS: [&str; 9] = [
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
    /// The kind, such as `Upstream`.
    pub(crate) kind: String,
    /// The API group without the version, such as `gloo.solo.io`.
    pub(crate) group: String,
    /// The name.
    pub(crate) name: String,
    /// The namespace; empty if the object names none.
    pub(crate) namespace: String,
    /// The labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// The title, such as `Upstream gloo-system/openai (openai.yaml:12)`.
    pub(crate) title: String,
    /// The remaining fields.
    pub(crate) body: Value,
}

impl Object {
    /// Reads a document. Returns `None` if it is not an object.
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
        for field in CLUSTER_FIELDS {
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

    /// The remaining fields, for reading.
    pub(super) fn fields<'n>(&self, notes: &'n Notes) -> Fields<'n> {
        let map = self.body.as_object().cloned().unwrap_or_default();
        Fields::new(&self.title, map, notes)
    }

    /// The remaining fields and those of `spec`, for reading. Returns `None` and notes it if there is
    /// no `spec`.
    pub(super) fn spec<'n>(&self, notes: &'n Notes) -> Option<(Fields<'n>, Fields<'n>)> {
        let mut fields = self.fields(notes);
        let spec = fields.fields(&["spec"]);
        if spec.is_none() {
            notes.lost(&self.title, "spec", "there is none");
        }
        Some((fields, spec?))
    }

    /// Takes the namespace that a reference names: by default, the object's own.
    pub(super) fn take_namespace(&self, reference: &mut Fields<'_>) -> String {
        let named = reference.text("namespace");
        named.unwrap_or_else(|| self.namespace.clone())
    }
}
