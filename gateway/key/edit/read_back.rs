//! The last check before an edit replaces the key file: the gateway's own reader reads the result. A file that it
//! refuses would keep every later change, revocations included, from taking effect.

use std::fmt;
use std::path::Path;

use crate::document::{Document, Problem, Problems, Severity};
use crate::key::file::KeyFile;
use crate::runtime::folder::base_of;
use crate::secret::{LARGEST_KEYS, LocalSecrets};

/// The number of problems that one message lists.
const LISTED: usize = 3;

/// Why the gateway would refuse the key file after an edit.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The file would be larger than a gateway reads.
    TooLarge,
    /// The file has these problems before the edit already.
    Before(Vec<Problem>),
    /// The edit would cause these problems.
    After(Vec<Problem>),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "the file would be larger than {LARGEST_KEYS} bytes"),
            Self::Before(problems) => {
                let list = list(problems, |problem| match problem.at.line {
                    0 => problem.message.clone(),
                    line => format!("line {line}: {}", problem.message),
                });
                write!(
                    f,
                    "a gateway refuses the file as it is, mend that first: {list}"
                )
            }
            // Without lines: they would be those of a file that nobody has.
            Self::After(problems) => {
                let list = list(problems, |problem| problem.message.clone());
                write!(
                    f,
                    "a gateway would refuse the file with this change: {list}"
                )
            }
        }
    }
}

/// Checks that the gateway accepts the text `after` as the key file at `path`, whose text is `before` now.
pub(super) fn read_back(path: &Path, before: &str, after: &str) -> Result<(), Refusal> {
    if after.len() as u64 > LARGEST_KEYS {
        return Err(Refusal::TooLarge);
    }
    let problems = problems(path, after);
    if problems.is_empty() {
        return Ok(());
    }
    let earlier = self::problems(path, before);
    Err(if earlier.is_empty() {
        Refusal::After(problems)
    } else {
        Refusal::Before(earlier)
    })
}

/// The problems for which the gateway refuses `text` as the key file at `path`.
fn problems(path: &Path, text: &str) -> Vec<Problem> {
    let problems = Problems::default();
    let folder = base_of(path);
    let document = Document::new(path, text.to_owned());
    KeyFile::read(&document, folder, &LocalSecrets, &problems);
    let mut all = problems.into_sorted();
    all.retain(|problem| problem.severity == Severity::Fatal);
    all
}

/// The first problems as one text, and how many more there are.
fn list(problems: &[Problem], describe: impl Fn(&Problem) -> String) -> String {
    let mut listed: Vec<String> = problems.iter().take(LISTED).map(describe).collect();
    let more = problems.len().saturating_sub(LISTED);
    if more > 0 {
        listed.push(format!("and {more} more"));
    }
    listed.join("; ")
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
    fn a_file_that_the_gateway_refuses_is_not_edited_and_its_faulty_line_is_named() {
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
    fn a_key_that_is_in_the_file_twice_is_not_deleted() {
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
    fn an_edit_that_repairs_the_file_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let key = |id: &str| format!("[[key]]\nid = \"{id}\"\nhashes = [\"{}\"]\n", hash("same"));
        std::fs::write(&path, key("a") + &key("b")).unwrap();
        assert!(set_disabled(&path, "a", true).is_err());
        delete(&path, "b").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), key("a"));
    }
}
