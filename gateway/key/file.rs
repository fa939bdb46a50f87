//! Parses the key file, `keys.toml`, into [`KeyEntry`]s. [`edit`](super::edit) writes it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::client_key::{ClientKey, KeyEntry, is_key_id};
use super::collected::CollectedKeys;
use super::digest::KeyDigest;
use super::known::Known;
use super::limits::GivenLimits;
use super::plain::{PlainChunk, PlainKey};
use crate::document::{
    Document, FileStamp, Located, Location, OneOrMany, Problems, Section, Severity, ValueError,
};
use crate::limit::slot::KeySlot;
use crate::runtime::background;
use crate::secret::{Secret, SecretError, SecretRef, SecretSource};

/// The content of a key file.
#[derive(Default)]
pub(crate) struct KeyFile {
    /// The keys, in the file's order.
    pub(crate) entries: Vec<KeyEntry>,
    /// The files that the keys' metadata refers to.
    pub(crate) secret_files: Vec<FileStamp>,
    known: Known,
}

/// Notes about a key for people: nothing depends on them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// The comment.
    pub(crate) comment: Option<String>,
    /// When the key was made, if the file has it.
    pub(crate) created: Option<Timestamp>,
}

impl KeyFile {
    /// Reads `document`, and the secrets in its metadata from `secrets`; whatever is wrong goes to `problems`.
    /// Relative secret files count from `folder`.
    pub(crate) fn read(
        document: &Document,
        folder: &Path,
        secrets: &dyn SecretSource,
        problems: &Problems,
    ) -> Self {
        let reader = Reader {
            folder,
            secrets,
            problems,
        };
        reader.read(document, |_| ())
    }

    /// Reads `document` as [`read`](Self::read) does, with the note of each entry, in the order of the entries.
    pub(crate) fn read_with_notes(
        document: &Document,
        folder: &Path,
        secrets: &dyn SecretSource,
        problems: &Problems,
    ) -> (Self, Vec<Note>) {
        let mut notes = Vec::new();
        let reader = Reader {
            folder,
            secrets,
            problems,
        };
        let file = reader.read(document, |note| notes.push(note));
        (file, notes)
    }
}

/// What the entries of a key file are read with.
struct Reader<'r> {
    folder: &'r Path,
    secrets: &'r dyn SecretSource,
    problems: &'r Problems,
}

impl Reader<'_> {
    /// Reads `document`, and hands the note of each entry to `keep`: a gateway drops it at once, so that the notes of
    /// a million keys take no memory.
    fn read(&self, document: &Document, mut keep: impl FnMut(Note)) -> KeyFile {
        let mut file = KeyFile::default();
        let mut keys = CollectedKeys::of(document, self.problems);
        let mut plain = PlainChunk::default();
        let mut roots = document.roots("key", self.problems);
        loop {
            let rest = roots.rest();
            if let Some(length) = plain.read(rest, &mut file.known) {
                let offset = document.text().len() - rest.len();
                roots.pass(length, plain.count());
                for key in plain.take() {
                    let (start, entry, note) = self::plain(key);
                    if keys.add(entry, offset + start) {
                        keep(note);
                    }
                }
            } else if let Some(mut root) = roots.next() {
                for section in root.list("key") {
                    let start = section.start();
                    let read = self.read_key(section, &mut file);
                    if let Some((entry, note)) = read
                        && keys.add(entry, start)
                    {
                        keep(note);
                    }
                }
                root.finish();
            } else {
                break;
            }
            background::yield_to_others();
        }
        file.entries = keys.finish();
        file
    }

    fn read_key(&self, section: Section<'_>, file: &mut KeyFile) -> Option<(KeyEntry, Note)> {
        let given = GivenKey::take(section);
        let id = given.id?;
        if !is_key_id(&id.value) {
            let why = "a key's id has 1 to 64 letters, digits and `.`, `_`, `-`, `@`";
            self.problems.fatal(&id.at, why);
            return None;
        }
        let hashes = given.hashes?;
        if hashes.value.is_empty() {
            let why = format!("key `{}` has no hash and is never valid", id.value);
            self.problems.fatal(&hashes.at, why);
        }
        if ends_before_it_begins(given.expires, given.not_before) {
            let why = format!("key `{}` ends before it begins", id.value);
            self.problems.push(&given.at, Severity::Warning, why);
        }
        let limits = given.limits.limits(&id.value, self.problems);
        let metadata = given.metadata.into_iter();
        let metadata = metadata.map(|(name, text)| {
            let secret = self.read_metadata(&id.value, &name.value, &text, file);
            (name.value, secret)
        });
        let key = ClientKey {
            metadata: metadata.collect(),
            id: Arc::from(id.value),
            labels: file.known.labels.share(given.labels.into()),
            not_before: given.not_before,
            expires: given.expires,
            disabled: given.disabled,
            counted: true,
            limits: limits.map(|limits| file.known.limits.share(limits)),
            slot: KeySlot::default(),
        };
        let digests = hashes.value.into_iter();
        let digests = digests.map(|hash| (hash.digest, hash.expires)).collect();
        Some((KeyEntry { key, digests }, given.note))
    }

    fn read_metadata(
        &self,
        id: &str,
        name: &str,
        text: &Located<String>,
        file: &mut KeyFile,
    ) -> Result<Secret, SecretError> {
        let resolved = SecretRef::parse(&text.value, self.folder).and_then(|reference| {
            let path = self.secrets.file(&reference);
            file.secret_files.extend(path.map(FileStamp::take));
            self.secrets.fetch(&reference)
        });
        if let Err(error) = &resolved {
            let severity = match error {
                SecretError::Missing(_) | SecretError::Unread(_) => Severity::Warning,
                SecretError::Unusable(_) => Severity::Strict,
                SecretError::Malformed(_) => Severity::Fatal,
            };
            let why = format!("metadata `{name}` of key `{id}`: {error}");
            self.problems
                .push_unread(&text.at, severity, error.may_pass(), why);
        }
        resolved
    }
}

/// The place of a plain key in its chunk, its entry and its note.
fn plain(key: PlainKey<'_>) -> (usize, KeyEntry, Note) {
    let entry = KeyEntry {
        key: key.client_key(),
        digests: key.digests,
    };
    let note = Note {
        comment: key.comment.map(str::to_owned),
        created: key.created,
    };
    (key.start, entry, note)
}

/// A `[[key]]` as it is given, before it is checked.
struct GivenKey {
    at: Location,
    id: Option<Located<String>>,
    hashes: Option<Located<Vec<HashEntry>>>,
    labels: BTreeMap<String, String>,
    metadata: Vec<(Located<String>, Located<String>)>,
    not_before: Option<Timestamp>,
    expires: Option<Timestamp>,
    disabled: bool,
    limits: GivenLimits,
    note: Note,
}

impl GivenKey {
    /// Takes the settings of a key. Others are reported as unknown.
    fn take(mut section: Section<'_>) -> Self {
        let at = section.at().clone();
        let id = section.require("id");
        let hashes = section.require("hashes");
        let labels = section.strings("labels").into_iter();
        let given = Self {
            at,
            id,
            hashes,
            labels: labels
                .map(|(name, label)| (name.value, label.value))
                .collect(),
            metadata: section.strings("metadata"),
            not_before: section.take::<Timestamp>("not_before").map(|t| t.value),
            expires: section.take::<Timestamp>("expires").map(|t| t.value),
            disabled: section.take::<bool>("disabled").is_some_and(|d| d.value),
            limits: GivenLimits::take(&mut section),
            note: Note {
                comment: section.take::<String>("comment").map(|c| c.value),
                created: section.take::<Timestamp>("created").map(|t| t.value),
            },
        };
        section.finish();
        given
    }
}

fn ends_before_it_begins(expires: Option<Timestamp>, not_before: Option<Timestamp>) -> bool {
    expires
        .zip(not_before)
        .is_some_and(|(end, start)| end <= start)
}

struct HashEntry {
    digest: KeyDigest,
    expires: Option<Timestamp>,
}

/// `"sha256:..."`, or `{ hash = "sha256:...", expires = 2027-01-31T12:00:00Z }`.
impl crate::document::Value for Vec<HashEntry> {
    fn read(value: &toml::de::DeValue<'_>) -> Result<Self, ValueError> {
        use toml::de::DeValue;
        let DeValue::Array(items) = value else {
            let OneOrMany(texts) = OneOrMany::read(value)?;
            return texts.iter().map(|text| hash_entry(text, None)).collect();
        };
        items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => hash_entry(text, None),
                DeValue::Table(table) => {
                    if let Some((name, _)) = table
                        .iter()
                        .find(|(name, _)| !["hash", "expires"].contains(&name.get_ref().as_ref()))
                    {
                        let why = format!("unknown key `{}` in a hash", name.get_ref());
                        return Err(ValueError::Unusable(why.into()));
                    }
                    let hash = table.get("hash").and_then(|hash| hash.get_ref().as_str());
                    let hash =
                        hash.ok_or("a hash written as a table needs `hash = \"sha256:...\"`")?;
                    let expires = table
                        .get("expires")
                        .map(|end| Timestamp::read(end.get_ref()))
                        .transpose()?;
                    hash_entry(hash, expires)
                }
                _ => Err(ValueError::Form(
                    "`sha256:...` or a table with `hash` and `expires`",
                )),
            })
            .collect()
    }
}

fn hash_entry(text: &str, expires: Option<Timestamp>) -> Result<HashEntry, ValueError> {
    Ok(HashEntry {
        digest: KeyDigest::parse(text)?,
        expires,
    })
}

/// Parses a key file; the problems are texts.
#[cfg(test)]
pub(super) fn read(text: &str) -> (KeyFile, Vec<String>) {
    use crate::secret::LocalSecrets;
    let document = Document::new(Path::new("keys.toml"), text.to_owned());
    let problems = Problems::default();
    let file = KeyFile::read(&document, Path::new("."), &LocalSecrets, &problems);
    (
        file,
        problems
            .into_sorted()
            .iter()
            .map(ToString::to_string)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::LocalSecrets;

    fn hash(key: &str) -> String {
        KeyDigest::of(key.as_bytes()).to_string()
    }

    #[test]
    fn the_key_of_the_lab_is_read() {
        let text = format!(
            "[[key]]\nid = \"alice\"\nhashes = [\"{}\", {{ hash = \"{}\", expires = 2027-01-31T12:00:00Z }}]\n\
             labels = {{ api-key = \"api-huggingface\" }}\nmetadata = {{ tier = \"inline:gold\" }}\n",
            hash("mysecretkey"),
            hash("old"),
        );
        let (file, problems) = read(&text);
        assert!(problems.is_empty(), "{problems:?}");
        let entry = &file.entries[0];
        assert_eq!(&*entry.key.id, "alice");
        assert_eq!(entry.key.labels.get("api-key"), Some("api-huggingface"));
        assert_eq!(entry.key.metadata("tier").unwrap().expose(), "gold");
        assert!(entry.digests[0].1.is_none() && entry.digests[1].1.is_some());
    }

    #[test]
    fn notes_stand_beside_the_entries_that_they_are_of() {
        let key = |id: &str, more: &str| {
            format!(
                "[[key]]\nid = \"{id}\"\nhashes = [\"{}\"]\n{more}\n",
                hash(id)
            )
        };
        let text = key("a", "comment = \"of a\"")
            + &key("b", "")
            + &key("a", "comment = \"of another\"")
            + &key("c", "created = 2026-01-31T12:00:00Z");
        let document = Document::new(Path::new("keys.toml"), text);
        let (file, notes) = KeyFile::read_with_notes(
            &document,
            Path::new("."),
            &LocalSecrets,
            &Problems::default(),
        );
        let ids: Vec<_> = file.entries.iter().map(|entry| &*entry.key.id).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        let of = |comment: Option<&str>, created: Option<&str>| Note {
            comment: comment.map(str::to_owned),
            created: created.map(|time| time.parse().unwrap()),
        };
        let expected = [
            of(Some("of a"), None),
            of(None, None),
            of(None, Some("2026-01-31T12:00:00Z")),
        ];
        assert_eq!(notes, expected);
    }

    #[test]
    fn every_problem_of_a_key_is_reported_with_its_line() {
        let h = hash("k");
        let (_, problems) = read(&format!(
            "[[key]]\nid = \"a\"\nhashes = [\"{h}\"]\n[[key]]\nid = \"b\"\nhashes = [\"{h}\"]\n\
             [[key]]\nid = \"a\"\nhashes = [\"{}\"]\n[[key]]\nid = \"sp ace\"\nhashes = [\"{}\"]\n\
             [[key]]\nid = \"c\"\nhashes = [\"sha256:12\"]\nlabel = \"x\"\n\
             [[key]]\nid = \"d\"\nhashes = [\"{}\"]\nmetadata = {{ t = \"hf_secret\" }}\n",
            hash("x"),
            hash("y"),
            hash("z"),
        ));
        let all = problems.join("\n");
        for expected in [
            "keys.toml:4: keys `a` and `b` have the same hash",
            "keys.toml:7: key `a` is there already, in line 1",
            "keys.toml:11: a key's id has",
            "keys.toml:15: key[4].hashes: expected `sha256:`",
            "keys.toml:16: unknown key `key[4].label`: did you mean `labels`?",
            "keys.toml:20: metadata `t` of key `d`: a secret is never written here as a bare string",
        ] {
            assert!(all.contains(expected), "{expected}\nnot in\n{all}");
        }
        assert!(!all.contains("hf_secret"));
    }
}
