//! The last check before an edit is renamed over the key file: the reader that serves reads the result.
//! A file that it refuses would keep every later change, revocations among them, from being served.

use std::path::Path;

use super::EditError;
use crate::document::{Document, Problem, Problems, Severity};
use crate::key::file::KeyFile;
use crate::secret::{LARGEST_KEYS, LocalSecrets};

/// How many faults one message tells.
const TOLD: usize = 3;

/// Refuses the text `after` if a gateway would refuse it as the key file at `path`. The text `before` is
/// the file as it is: a fault that it has already is told with its line.
pub(super) fn read_back(path: &Path, before: &str, after: &str) -> Result<(), EditError> {
    if after.len() as u64 > LARGEST_KEYS {
        let why = format!("the file would be larger than {LARGEST_KEYS} bytes");
        return Err(EditError::Invalid(why));
    }
    let faults = faults(path, after);
    if faults.is_empty() {
        return Ok(());
    }
    let earlier = self::faults(path, before);
    Err(EditError::Invalid(if earlier.is_empty() {
        let faults = told(&faults, |fault| fault.message.clone());
        format!("a gateway would refuse the file with this change: {faults}")
    } else {
        let faults = told(&earlier, |fault| match fault.at.line {
            0 => fault.message.clone(),
            line => format!("line {line}: {}", fault.message),
        });
        format!("a gateway refuses the file as it is, mend that first: {faults}")
    }))
}

/// Why a gateway refuses `text` as the key file at `path`; nothing if it takes it.
fn faults(path: &Path, text: &str) -> Vec<Problem> {
    let problems = Problems::default();
    let folder = path.parent().unwrap_or(Path::new(""));
    let document = Document::new(path, text.to_owned());
    KeyFile::read(&document, folder, &LocalSecrets, &problems);
    let mut all = problems.into_sorted();
    all.retain(|problem| problem.severity == Severity::Fatal);
    all
}

fn told(faults: &[Problem], tell: impl Fn(&Problem) -> String) -> String {
    let mut told: Vec<String> = faults.iter().take(TOLD).map(tell).collect();
    let more = faults.len().saturating_sub(TOLD);
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::new_key;
    use super::super::{add, delete, set_disabled};
    use crate::key::KeyDigest;

    fn hash(secret: &str) -> String {
        KeyDigest::of(secret.as_bytes()).to_string()
    }

    #[test]
    fn a_secret_that_a_key_has_already_is_refused_with_both_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        add(&path, &[new_key("a")]).unwrap();
        let before = std::fs::read_to_string(&path).unwrap();
        let taken = || {
            let mut key = new_key("b");
            key.digest = KeyDigest::of(b"a");
            key
        };
        let twice = || {
            let mut key = new_key("d");
            key.digest = KeyDigest::of(b"c");
            key
        };
        for (keys, names) in [
            (vec![taken()], "keys `a` and `b` have the same hash"),
            (
                vec![new_key("c"), twice()],
                "keys `c` and `d` have the same hash",
            ),
        ] {
            let error = add(&path, &keys).unwrap_err().to_string();
            assert!(error.contains(names), "{error}");
            assert!(error.ends_with("nothing was changed"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
        }
        // The file and the lock: an edit that is refused leaves nothing behind.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn no_edit_is_made_to_a_file_that_no_gateway_takes_and_the_line_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let (a, b) = (hash("a"), hash("b"));
        let broken = format!(
            "[[key]]\nid = \"a\"\nhashes = [\"{a}\"]\n[[key]]\nid = \"b\"\nhashes = [\"{b}\"]\ndisable = true\n"
        );
        std::fs::write(&path, &broken).unwrap();
        for refused in [
            add(&path, &[new_key("c")]),
            set_disabled(&path, "a", true),
            set_disabled(&path, "a", false),
            delete(&path, "a"),
        ] {
            let error = refused.unwrap_err().to_string();
            assert!(
                error.contains("mend that first: line 7: unknown key"),
                "{error}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), broken);
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_not_deleted_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let key = |secret: &str| format!("[[key]]\nid = \"a\"\nhashes = [\"{}\"]\n", hash(secret));
        let twice = key("one") + &key("two");
        std::fs::write(&path, &twice).unwrap();
        let error = delete(&path, "a").unwrap_err().to_string();
        assert!(error.contains("more than once"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), twice);
    }

    #[test]
    fn an_edit_that_mends_the_file_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let key = |id: &str| format!("[[key]]\nid = \"{id}\"\nhashes = [\"{}\"]\n", hash("same"));
        std::fs::write(&path, key("a") + &key("b")).unwrap();
        assert!(set_disabled(&path, "a", true).is_err());
        delete(&path, "b").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), key("a"));
    }
}
