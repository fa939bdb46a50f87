//! Reads JSON patches: a script with `kubectl patch --type=json` commands, or documents with
//! `target` and `patch`.

use json_patch::Patch;
use serde_json::Value;

use crate::import::error::ImportError;
use crate::import::fields::text_of;
use crate::import::gloo::object::Object;
use crate::import::gloo::shell::words;
use crate::import::yaml;

/// The prefix of a placeholder for the value of an environment variable in a patched object.
const VARIABLE: &str = "\0variable:";

/// A patch of one object.
pub(super) struct ObjectPatch {
    kind: String,
    namespace: Option<String>,
    name: String,
    patch: Value,
    /// The file and line.
    pub(crate) at: String,
}

/// The variable of a placeholder.
pub(super) fn variable_in(value: &str) -> Option<&str> {
    value.strip_prefix(VARIABLE)
}

/// The patches of a file.
pub(super) fn patches(file: &str, text: &str) -> Result<Vec<ObjectPatch>, ImportError> {
    if text.contains("kubectl patch") {
        return commands(file, text);
    }
    let documents = yaml::documents(file, text)?;
    let documents = documents.into_iter().map(|(line, document)| {
        let at = format!("{file}:{line}");
        let target = |name: &str| {
            document
                .pointer(&format!("/target/{name}"))
                .and_then(text_of)
        };
        // Kustomize has the patch as a text.
        let patch = match document.get("patch") {
            Some(Value::String(text)) => {
                let inner = yaml::documents(file, text)?;
                inner.into_iter().next().map(|(_, patch)| patch)
            }
            other => other.cloned(),
        };
        match (target("kind"), target("name"), patch) {
            (Some(kind), Some(name), Some(patch)) => Ok(ObjectPatch {
                namespace: target("namespace"),
                kind,
                name,
                patch,
                at,
            }),
            _ => Err(ImportError::new(
                at,
                "a patch has `target` with `kind` and `name`, and `patch`",
            )),
        }
    });
    documents.collect()
}

/// The `kubectl patch` commands of a shell script.
fn commands(file: &str, text: &str) -> Result<Vec<ObjectPatch>, ImportError> {
    let places = text.match_indices("kubectl patch");
    let patches = places.map(|(at, _)| {
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        let place = format!("{file}:{line}");
        let words = words(text.get(at..).unwrap_or_default())
            .map_err(|why| ImportError::new(&place, why))?;
        Command::parse(words).into_patch(place)
    });
    patches.collect()
}

/// A `kubectl patch` command.
#[derive(Default)]
struct Command {
    /// The words that are no options: `secret/name` or `secret name`.
    names: Vec<String>,
    namespace: Option<String>,
    patch: Option<String>,
}

impl Command {
    /// Sorts the words of a command, of which the first two are `kubectl patch`.
    fn parse(words: Vec<String>) -> Self {
        let mut command = Self::default();
        let mut words = words.into_iter().skip(2);
        while let Some(word) = words.next() {
            let value = || Some(word.split_once('=')?.1.to_owned());
            match word.as_str() {
                "-p" | "--patch" => command.patch = words.next(),
                "-n" | "--namespace" => command.namespace = words.next(),
                "--type" => {
                    words.next();
                }
                _ if word.starts_with("--namespace=") || word.starts_with("-n=") => {
                    command.namespace = value();
                }
                _ if word.starts_with("-p=") || word.starts_with("--patch=") => {
                    command.patch = value();
                }
                _ if word.starts_with('-') => {}
                _ => command.names.push(word),
            }
        }
        command
    }

    /// The patch of a command at a place, which is a file and line.
    fn into_patch(self, at: String) -> Result<ObjectPatch, ImportError> {
        let joined = self.names.join("/");
        let (Some((kind, name)), Some(patch)) = (joined.split_once('/'), self.patch) else {
            return Err(ImportError::new(
                at,
                "a `kubectl patch` names a kind, a name and `-p`",
            ));
        };
        let patch = serde_json::from_str(&patch).map_err(|error| {
            ImportError::new(&at, format_args!("the patch is not valid JSON: {error}"))
        })?;
        Ok(ObjectPatch {
            kind: kind.to_owned(),
            namespace: self.namespace,
            name: name.to_owned(),
            patch,
            at,
        })
    }
}

impl ObjectPatch {
    /// Applies the patch to its object.
    pub(super) fn apply(&self, objects: &mut [Object]) -> Result<(), ImportError> {
        let wanted = self.kind.to_ascii_lowercase();
        // kubectl accepts `secret`, `secrets` and `secrets.v1`.
        let wanted = wanted.split('.').next().unwrap_or_default();
        let is_kind = |kind: &str| {
            let kind = kind.to_ascii_lowercase();
            let plural = kind
                .strip_suffix('y')
                .map_or(format!("{kind}s"), |stem| format!("{stem}ies"));
            wanted == kind || wanted == plural
        };
        let target = objects.iter_mut().find(|object| {
            // A missing namespace matches any namespace.
            let same = self.namespace.as_ref().is_none_or(|namespace| {
                object.namespace.is_empty() || object.namespace == *namespace
            });
            is_kind(&object.kind) && object.name == self.name && same
        });
        let Some(target) = target else {
            let why = format!("there is no {} `{}` in the files", self.kind, self.name);
            return Err(ImportError::new(&self.at, why));
        };
        let patch: Patch = serde_json::from_value(self.patch.clone()).map_err(|error| {
            ImportError::new(&self.at, format_args!("not a JSON patch: {error}"))
        })?;
        json_patch::patch(&mut target.body, &patch)
            .map_err(|error| ImportError::new(&self.at, format_args!("{}: {error}", target.title)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patches_of_the_lab_are_read_as_they_stand() {
        let text = "kubectl patch secret api-huggingface-key \\\n    --type=json \\\n    \
                    -p='[{\"op\": \"add\", \"path\": \"/data/huggingface-api-key\", \"value\": \"'$(echo -n $HF_API_TOKEN | base64)'\"}]'\n\
                    kubectl patch extauthpolicy huggingface-apikey -n gloo-mesh-gateways --type=json -p='[]'\n";
        let found = patches("lab", text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].kind.as_str(), found[0].name.as_str()),
            ("secret", "api-huggingface-key")
        );
        let value = found[0]
            .patch
            .pointer("/0/value")
            .unwrap()
            .as_str()
            .unwrap();
        assert_eq!(variable_in(value), Some("HF_API_TOKEN"));
        assert_eq!(
            (found[1].name.as_str(), found[1].at.as_str()),
            ("huggingface-apikey", "lab:4")
        );
        for (bad, why) in [
            ("kubectl patch secret a -p='[", "not closed"),
            ("kubectl patch secret a -p='[}'", "not valid JSON"),
            ("kubectl patch secret", "names a kind"),
            ("kubectl patch secret a -p=\"$(cat x)\"", "not valid JSON"),
            (
                "kubectl patch secret a -p=$(cat x)",
                "known to the shell only",
            ),
        ] {
            let said = patches("f", bad).err().unwrap().to_string();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }
}
