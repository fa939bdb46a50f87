//! Loads a configuration beside the one that serves, and the keys alone where the rest is refused.

use std::path::Path;

use crate::config::Resolved;
use crate::document::{FileStamp, Problem, Problems, Severity};
use crate::key::restrict::{Restricted, restrict};
use crate::key::{KeySource, KeyStore, Revision};
use crate::secret::LocalSecrets;
use crate::snapshot::{BuildError, Live, Snapshot};

/// A configuration that was read, and the files that it was read from.
pub(super) struct Loaded {
    pub(super) files: Vec<FileStamp>,
    /// The snapshot it became, with its warnings; or why it is refused.
    pub(super) outcome: Result<(Snapshot, Vec<String>), Refused>,
}

/// What is left of a configuration that is not taken over.
pub(super) struct Refused {
    /// Every problem, one per line.
    pub(super) why: String,
    /// Whether the same files may be good a moment later.
    pub(super) may_pass: bool,
    /// The keys that serve without those that a newer version of the keys has revoked.
    pub(super) keys: Option<FewerKeys>,
    /// The version of the keys that was loaded alone; `None` if it is worth another try although it stays the same.
    pub(super) known: Option<Revision>,
}

/// Keys that permit no more than the ones that serve.
pub(super) struct FewerKeys {
    pub(super) store: KeyStore,
    /// The version that revoked the others.
    pub(super) closed_by: Revision,
    /// Whether they are all that this version permits.
    pub(super) is_whole: bool,
}

/// Loads the configuration at `path`. If it is refused, the keys are loaded alone, unless their version is `known`.
pub(super) fn load(live: &Live, path: &Path, known: Option<&Revision>) -> Loaded {
    let serving = live.snapshot();
    let resolved = Resolved::reload(path, &serving.keys);
    drop(serving);
    let (mut files, (why, may_pass)) = match resolved {
        Ok(config) => {
            let files = config.files.clone();
            match prepare(live, config) {
                Ok(prepared) => {
                    let outcome = Ok(prepared);
                    return Loaded { files, outcome };
                }
                Err(error) => (files, (error.to_string(), error.may_pass())),
            }
        }
        Err(errors) => {
            let refused = (errors.to_string(), errors.may_pass());
            (errors.files, refused)
        }
    };
    let source = live.snapshot().key_source.clone();
    // Watched in any case: a configuration that cannot be read does not name its key file.
    let stamp = source.file().map(FileStamp::take);
    let current = source.current();
    let keys = if known == Some(&current) {
        Ok(None)
    } else {
        fewer_keys(live, &*source, &current)
    };
    if let Some(stamp) = stamp
        && !files.iter().any(|other| other.path == stamp.path)
    {
        files.push(stamp);
    }
    Loaded {
        files,
        outcome: Err(Refused {
            why,
            may_pass: may_pass || keys.is_err(),
            known: keys.is_ok().then_some(current),
            keys: keys.unwrap_or_default(),
        }),
    }
}

/// Why a checked configuration is not taken over.
#[derive(Debug, thiserror::Error)]
enum PrepareError {
    /// The keys are the beginning of those that serve: what to do.
    #[error("{0}")]
    CutOff(String),
    /// The snapshot cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl PrepareError {
    /// Whether another try may succeed a moment later.
    fn may_pass(&self) -> bool {
        matches!(self, Self::Build(BuildError::Keys(why)) if why.may_pass())
    }
}

/// Builds the snapshot of `config`, and returns it with the warnings.
fn prepare(live: &Live, config: Resolved) -> Result<(Snapshot, Vec<String>), PrepareError> {
    let serving = live.snapshot();
    let (revision, count) = (&config.keys.revision, config.keys.keys.count());
    if let Some(why) = cut_off(&serving, &*config.key_source, revision, count) {
        return Err(PrepareError::CutOff(why));
    }
    drop(serving);
    let warnings = config.warnings.iter().map(ToString::to_string).collect();
    Ok((live.prepare(config)?, warnings))
}

/// The reason to refuse a version of the keys that holds only the beginning of what serves; it has `left` keys.
fn cut_off(
    serving: &Snapshot,
    source: &dyn KeySource,
    revision: &Revision,
    left: usize,
) -> Option<String> {
    let (path, all) = (source.place().display(), serving.keys.count());
    revision.is_cut_from(&serving.revision).then(|| {
        format!(
            "{path}: looks cut off: it was changed in place and holds only the beginning of what \
             serves ({left} of {all} keys). If that is meant, replace it whole: \
             `cp -p {path} {path}.new && mv {path}.new {path}`"
        )
    })
}

/// The keys could not be loaded, and may be a moment later.
struct Unread;

/// What the version `current` of `source` leaves of the keys that serve; `None` if it is the one that serves, or is
/// refused itself.
fn fewer_keys(
    live: &Live,
    source: &dyn KeySource,
    current: &Revision,
) -> Result<Option<FewerKeys>, Unread> {
    let serving = live.snapshot();
    if *current == serving.revision {
        return Ok(None);
    }
    let problems = Problems::default();
    let keys = match source.load(&LocalSecrets, &problems) {
        Ok(keys) => keys,
        Err(error) if error.may_pass => return Err(Unread),
        Err(_) => return Ok(None),
    };
    if problems.any(is_fatal) {
        return if problems.any(|problem| problem.may_pass) {
            Err(Unread)
        } else {
            Ok(None)
        };
    }
    let closed_by = keys.revision;
    if cut_off(&serving, source, &closed_by, keys.keys.len()).is_some() {
        return Ok(None);
    }
    let Restricted {
        entries,
        whole: is_whole,
    } = restrict(&serving.keys, keys.keys);
    match KeyStore::build(entries) {
        Ok(store) => Ok(Some(FewerKeys {
            store,
            closed_by,
            is_whole,
        })),
        Err(error) if error.may_pass() => Err(Unread),
        Err(_) => Ok(None),
    }
}

fn is_fatal(problem: &Problem) -> bool {
    problem.severity == Severity::Fatal
}
