//! The labels of a key. Keys with the same labels share them: a million keys of ten teams have ten.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

type Label = (Box<str>, Box<str>);

/// Labels sorted by name. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels(Option<Arc<[Label]>>);

impl Labels {
    /// The value of the label `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// All labels, as name and value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .flat_map(|labels| labels.iter())
            .map(|(name, value)| (&**name, &**value))
    }
}

impl From<BTreeMap<String, String>> for Labels {
    fn from(labels: BTreeMap<String, String>) -> Self {
        if labels.is_empty() {
            return Self(None);
        }
        let labels = labels.into_iter();
        Self(Some(
            labels
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        ))
    }
}

/// Sets of labels, so that equal sets share one allocation.
#[derive(Default)]
pub struct KnownLabels(HashSet<Labels>);

impl KnownLabels {
    /// Returns the equal set that is known already, or `labels`, which it remembers.
    pub fn share(&mut self, labels: Labels) -> Labels {
        if let Some(known) = self.0.get(&labels) {
            return known.clone();
        }
        self.0.insert(labels.clone());
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_labels_are_kept_once() {
        let labels =
            |team: &str| Labels::from(BTreeMap::from([("team".to_owned(), team.to_owned())]));
        let mut known = KnownLabels::default();
        let (a, b) = (known.share(labels("a")), known.share(labels("a")));
        assert!(Arc::ptr_eq(a.0.as_ref().unwrap(), b.0.as_ref().unwrap()));
        assert_eq!((a.get("team"), a.get("x")), (Some("a"), None));
        assert_ne!(known.share(labels("b")), a);
        assert_eq!(Labels::default().iter().count(), 0);
    }
}
