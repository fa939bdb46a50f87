//! The key file, `keys.toml`: read into [`KeyEntry`]s, and added to without touching what a person
//! wrote in it.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, value};

use super::{ClientKey, KeyDigest, KeyEntry, is_key_id};
use crate::document::{Document, FileStamp, Located, OneOrMany, Problems, Section, Severity};
use crate::secret::{SecretError, SecretRef};

/// What a key file holds.
#[derive(Default)]
pub struct KeyFile {
    /// Its keys, in its order.
    pub entries: Vec<KeyEntry>,
    /// The files that its metadata refers to.
    pub secret_files: Vec<FileStamp>,
}

impl KeyFile {
    /// Reads `document`; whatever is wrong with it goes to `problems`. Relative secret files count
    /// from `folder`.
    pub fn read(document: &Document, folder: &Path, problems: &Problems) -> Self {
        let mut root = document.root(problems);
        let mut file = Self::default();
        let mut seen = HashMap::new();
        let mut digests = HashMap::new();
        for section in root.list("key") {
            let at = section.at().clone();
            let Some(entry) = file.read_key(section, folder, problems) else {
                continue;
            };
            if let Some(first) = seen.insert(entry.key.id.clone(), at.clone()) {
                let line = first.line;
                problems.fatal(
                    &at,
                    format!("key `{}` is there already, in line {line}", entry.key.id),
                );
                continue;
            }
            for (digest, _) in &entry.digests {
                if let Some(first) = digests.insert(*digest, entry.key.id.clone()) {
                    let id = &entry.key.id;
                    let what = if first == *id {
                        format!("key `{id}` has the same hash twice")
                    } else {
                        format!(
                            "keys `{first}` and `{id}` have the same hash: one secret, two names"
                        )
                    };
                    problems.fatal(&at, what);
                }
            }
            file.entries.push(entry);
        }
        root.finish();
        file
    }

    fn read_key(
        &mut self,
        mut section: Section<'_>,
        folder: &Path,
        problems: &Problems,
    ) -> Option<KeyEntry> {
        let at = section.at().clone();
        let id = section.require::<String>("id");
        let hashes = section.require::<Vec<HashEntry>>("hashes");
        let labels = section.strings("labels");
        let metadata = section.strings("metadata");
        let not_before = section.take::<Timestamp>("not_before").map(|t| t.value);
        let expires = section.take::<Timestamp>("expires").map(|t| t.value);
        let disabled = section.take::<bool>("disabled").is_some_and(|d| d.value);
        section.take::<String>("comment");
        section.finish();

        let id = id?;
        if !is_key_id(&id.value) {
            let why = "a key's id has 1 to 64 letters, digits and `.`, `_`, `-`, `@`";
            problems.fatal(&id.at, why);
            return None;
        }
        let hashes = hashes?;
        if hashes.value.is_empty() {
            problems.fatal(
                &hashes.at,
                format!("key `{}` has no hash and opens nothing", id.value),
            );
        }
        if expires
            .zip(not_before)
            .is_some_and(|(end, start)| end <= start)
        {
            problems.push(
                &at,
                Severity::Warning,
                format!("key `{}` ends before it begins", id.value),
            );
        }
        let metadata = metadata
            .into_iter()
            .map(|(name, text)| {
                let secret = self.read_metadata(&id.value, &name.value, &text, folder, problems);
                (name.value, secret)
            })
            .collect();
        let key = ClientKey {
            id: Arc::from(id.value),
            labels: labels
                .into_iter()
                .map(|(name, label)| (name.value, label.value))
                .collect(),
            metadata,
            not_before,
            expires,
            disabled,
        };
        let digests = hashes
            .value
            .into_iter()
            .map(|hash| (hash.digest, hash.expires))
            .collect();
        Some(KeyEntry { key, digests })
    }

    fn read_metadata(
        &mut self,
        id: &str,
        name: &str,
        text: &Located<String>,
        folder: &Path,
        problems: &Problems,
    ) -> Result<crate::secret::Secret, SecretError> {
        let resolved = SecretRef::parse(&text.value, folder).and_then(|reference| {
            self.secret_files
                .extend(reference.file().map(FileStamp::take));
            reference.resolve()
        });
        if let Err(error) = &resolved {
            let severity = match error {
                SecretError::Missing(_) => Severity::Warning,
                SecretError::Unusable(_) => Severity::Strict,
                SecretError::Malformed(_) => Severity::Fatal,
            };
            problems.push(
                &text.at,
                severity,
                format!("metadata `{name}` of key `{id}`: {error}"),
            );
        }
        resolved
    }
}

struct HashEntry {
    digest: KeyDigest,
    expires: Option<Timestamp>,
}

/// `"sha256:..."`, or `{ hash = "sha256:...", expires = 2027-01-31T12:00:00Z }`.
impl crate::document::Value for Vec<HashEntry> {
    fn read(value: &toml::de::DeValue<'_>) -> Result<Self, String> {
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
                        return Err(format!("unknown key `{}` in a hash", name.get_ref()));
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
                _ => Err("expected `sha256:...` or a table with `hash` and `expires`".to_owned()),
            })
            .collect()
    }
}

fn hash_entry(text: &str, expires: Option<Timestamp>) -> Result<HashEntry, String> {
    Ok(HashEntry {
        digest: KeyDigest::parse(text)?,
        expires,
    })
}

/// A key to be written into a key file: what [`append`] needs to know.
pub struct NewKey {
    /// Its id; must be free.
    pub id: String,
    /// The digest of its secret.
    pub digest: KeyDigest,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// References to its secrets, as written.
    pub metadata: BTreeMap<String, String>,
    /// When it begins.
    pub not_before: Option<Timestamp>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// A note for people.
    pub comment: Option<String>,
}

/// Adds a key at the end of the file, which is made (mode 0600) if it is not there. Comments and
/// order stay; the old file stays whole until the new one is safe on disk; two at once wait for
/// each other.
pub fn append(path: &Path, key: &NewKey) -> io::Result<()> {
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let _lock = lock(path)?;
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let line = error.span().map_or(0, |span| {
            text.get(..span.start).unwrap_or("").matches('\n').count() + 1
        });
        invalid(format!(
            "line {line} is not valid TOML, nothing was changed: {}",
            error.message()
        ))
    })?;
    let tables = document
        .entry("key")
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()))
        .as_array_of_tables_mut()
        .ok_or_else(|| invalid("`key` is not written as [[key]]".to_owned()))?;
    if tables
        .iter()
        .any(|table| table.get("id").and_then(Item::as_str) == Some(&key.id))
    {
        let error = format!("there is a key `{}` already", key.id);
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, error));
    }
    tables.push(table_of(key));
    replace(path, &document.to_string())
}

fn table_of(key: &NewKey) -> Table {
    let mut table = Table::new();
    table.insert("id", value(&key.id));
    table.insert("hashes", value(Array::from_iter([key.digest.to_string()])));
    for (name, map) in [("labels", &key.labels), ("metadata", &key.metadata)] {
        if !map.is_empty() {
            table.insert(name, value(map.iter().collect::<InlineTable>()));
        }
    }
    for (name, time) in [("not_before", key.not_before), ("expires", key.expires)] {
        // A timestamp of jiff is written as TOML wants it: RFC 3339 in UTC.
        if let Some(date) =
            time.and_then(|time| time.to_string().parse::<toml_edit::Datetime>().ok())
        {
            table.insert(name, value(date));
        }
    }
    if let Some(comment) = &key.comment {
        table.insert("comment", value(comment));
    }
    table
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn lock(path: &Path) -> io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(name)?;
    file.lock()?;
    Ok(file)
}

/// Writes beside the file, syncs, and renames over it: after a crash it is the old one or the new.
/// The owner stays; a new file gets its folder's, so that root can make keys for the service's user.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut new = tempfile::Builder::new()
        .prefix(".keys-")
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    let owner = std::fs::metadata(path).or_else(|_| std::fs::metadata(folder))?;
    let ours = new.as_file().metadata()?;
    if (owner.uid(), owner.gid()) != (ours.uid(), ours.gid()) {
        match std::os::unix::fs::fchown(new.as_file(), Some(owner.uid()), Some(owner.gid())) {
            // Only root can give files away; a new file in a shared folder may stay one's own.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied || path.exists() => {
                return Err(error);
            }
            _ => {}
        }
    }
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (KeyFile, Vec<String>) {
        let document = Document::new(Path::new("keys.toml"), text.to_owned());
        let problems = Problems::default();
        let file = KeyFile::read(&document, Path::new("."), &problems);
        (
            file,
            problems
                .into_sorted()
                .iter()
                .map(ToString::to_string)
                .collect(),
        )
    }

    fn hash(key: &str) -> String {
        KeyDigest::of(key.as_bytes()).to_string()
    }

    fn new_key(id: &str) -> NewKey {
        NewKey {
            id: id.to_owned(),
            digest: KeyDigest::of(id.as_bytes()),
            labels: BTreeMap::from([("team".to_owned(), "search".to_owned())]),
            metadata: BTreeMap::from([("tier".to_owned(), "inline:gold".to_owned())]),
            not_before: None,
            expires: Some("2027-01-31T12:00:00Z".parse().unwrap()),
            comment: Some("for \"tests\"".to_owned()),
        }
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
        assert_eq!(entry.key.labels["api-key"], "api-huggingface");
        assert_eq!(entry.key.metadata("tier").unwrap().expose(), "gold");
        assert!(entry.digests[0].1.is_none() && entry.digests[1].1.is_some());
    }

    #[test]
    fn everything_wrong_with_a_key_is_said_by_its_id() {
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

    #[test]
    fn adding_a_key_keeps_comments_and_order_and_refuses_a_taken_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        append(&path, &new_key("a")).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let commented = format!(
            "# ours\n{}# end of a\n",
            std::fs::read_to_string(&path).unwrap()
        );
        std::fs::write(&path, &commented).unwrap();
        append(&path, &new_key("b")).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("# ours\n[[key]]\nid = \"a\"") && text.contains("# end of a"),
            "{text}"
        );
        let (file, problems) = read(&text);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(file.entries.len(), 2);
        assert_eq!(
            file.entries[1].key.expires.unwrap().to_string(),
            "2027-01-31T12:00:00Z"
        );
        let error = append(&path, &new_key("b")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn root_makes_keys_for_the_owner_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let owner = |path: &Path| std::fs::metadata(path).unwrap().uid();
        if std::os::unix::fs::chown(folder.path(), Some(65534), None).is_err() {
            assert_ne!(owner(folder.path()), 0, "root could not give a folder away");
            return;
        }
        let path = folder.path().join("keys.toml");
        for id in ["a", "b"] {
            append(&path, &new_key(id)).unwrap();
            assert_eq!(owner(&path), 65534);
        }
    }

    #[test]
    fn editors_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for i in 0..10 {
                        append(path, &new_key(&format!("k{worker}-{i}"))).unwrap();
                    }
                });
            }
        });
        let (file, problems) = read(&std::fs::read_to_string(&path).unwrap());
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(file.entries.len(), 40);
    }
}
