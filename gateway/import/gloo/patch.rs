//! Reads JSON patches: a script with `kubectl patch --type=json` commands, or documents with
//! `target` and `patch`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use json_patch::Patch;
use serde_json::Value;

use crate::import::error::ImportError;
use crate::import::fields::text_of;
use crate::import::gloo::object::Object;
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
    let mut found = Vec::new();
    for (at, _) in text.match_indices("kubectl patch") {
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        let at_line = format!("{file}:{line}");
        let words = words(text.get(at..).unwrap_or_default())
            .map_err(|why| ImportError::new(&at_line, why))?;
        let mut names = Vec::new();
        let (mut patch, mut namespace) = (None, None);
        let mut words = words.into_iter().skip(2);
        while let Some(word) = words.next() {
            match word.as_str() {
                "-p" | "--patch" => patch = words.next(),
                "-n" | "--namespace" => namespace = words.next(),
                "--type" => {
                    words.next();
                }
                _ if word.starts_with("--namespace=") || word.starts_with("-n=") => {
                    namespace = word
                        .split_once('=')
                        .map(|(_, namespace)| namespace.to_owned());
                }
                _ if word.starts_with("-p=") || word.starts_with("--patch=") => {
                    patch = word.split_once('=').map(|(_, patch)| patch.to_owned());
                }
                _ if word.starts_with('-') => {}
                _ => names.push(word),
            }
        }
        // `secret/name` or `secret name`.
        let joined = names.join("/");
        let (Some((kind, name)), Some(patch)) = (joined.split_once('/'), patch) else {
            return Err(ImportError::new(
                at_line,
                "a `kubectl patch` names a kind, a name and `-p`",
            ));
        };
        let patch = serde_json::from_str(&patch).map_err(|error| {
            ImportError::new(
                &at_line,
                format_args!("the patch is not valid JSON: {error}"),
            )
        })?;
        found.push(ObjectPatch {
            kind: kind.to_owned(),
            namespace,
            name: name.to_owned(),
            patch,
            at: at_line,
        });
    }
    Ok(found)
}

/// The words of a shell command up to its end. `$(echo -n $NAME | base64)` becomes a placeholder,
/// since the variable's value is not known here.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '\\' if rest.starts_with('\n') => rest = rest.get(1..).unwrap_or_default(),
            '\n' | ';' | '&' | '|' => break,
            ' ' | '\t' | '\r' => words.extend(word.take()),
            '\'' => {
                let (inside, behind) = rest.split_once('\'').ok_or("a quote is not closed")?;
                word.get_or_insert_default().push_str(inside);
                rest = behind;
            }
            '"' => {
                let (inside, behind) = rest.split_once('"').ok_or("a quote is not closed")?;
                word.get_or_insert_default().push_str(inside);
                rest = behind;
            }
            '$' if rest.starts_with('(') => {
                let (inside, behind) = rest.split_once(')').ok_or("a `$(` is not closed")?;
                // The placeholder is inside JSON, where a NUL must be escaped.
                let word = word.get_or_insert_default();
                match encoded(inside.trim_start_matches('(')) {
                    Some(Echoed::Variable(name)) => word.extend(["\\u0000variable:", name]),
                    Some(Echoed::Text(text)) => word.push_str(&STANDARD.encode(text)),
                    // The message does not quote the command, which may contain a secret.
                    None => {
                        let why = "what stands in `$( )` is known to the shell only: write `$(echo -n $NAME | base64)`";
                        return Err(why);
                    }
                }
                rest = behind;
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// The argument of `echo -n ... | base64`.
enum Echoed<'c> {
    Variable(&'c str),
    Text(&'c str),
}

fn encoded(command: &str) -> Option<Echoed<'_>> {
    let (echo, encode) = command.split_once('|')?;
    let echoed = echo
        .trim()
        .strip_prefix("echo")?
        .trim()
        .strip_prefix("-n")?;
    let word = echoed.trim().trim_matches(['"', '\'']);
    if word.is_empty() || word.contains(char::is_whitespace) || !encode.trim().starts_with("base64")
    {
        return None;
    }
    let Some(name) = word.strip_prefix('$') else {
        return (!word.contains(['$', '`', '\\'])).then_some(Echoed::Text(word));
    };
    let name = name.trim_matches(['{', '}']);
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.is_empty();
    is_name.then_some(Echoed::Variable(name))
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
