//! Reading a configuration beside the one that serves, and the key file alone where the rest is refused.

use std::path::Path;

use crate::config::{Config, KeysAlone, Purpose};
use crate::document::{FileStamp, PrefixHash};
use crate::key::KeyStore;
use crate::key::restrict::{Restricted, restrict};
use crate::snapshot::{BuildError, Live, Snapshot};

/// A configuration that was read, and the files that it was read from.
pub(super) struct Loaded {
    pub(super) files: Vec<FileStamp>,
    /// What it became, with what is worth saying about it; or why it is refused.
    pub(super) outcome: Result<(Snapshot, Vec<String>), Refused>,
}

/// What is left of a configuration that is not taken over.
pub(super) struct Refused {
    /// Every problem, one per line.
    pub(super) why: String,
    /// Whether the same files may be good a moment later.
    pub(super) may_pass: bool,
    /// The keys that serve without those that the key file has revoked.
    pub(super) keys: Option<FewerKeys>,
    /// The key file, unless it is worth another look though it stays as it is.
    pub(super) known: Option<FileStamp>,
}

/// Keys that open no more than the ones that serve.
pub(super) struct FewerKeys {
    pub(super) store: KeyStore,
    /// The key file.
    pub(super) closed_by: FileStamp,
    /// Likewise, if they are all of it.
    pub(super) file: Option<(FileStamp, PrefixHash)>,
}

/// Reads the configuration at `path`. The key file is not looked at on its own where it is `known` already.
pub(super) fn load(live: &Live, path: &Path, known: Option<&FileStamp>) -> Loaded {
    let (mut files, refused) = match Config::load(path, Purpose::Reload) {
        Ok(config) => {
            let files = config.files.clone();
            match prepare(live, config) {
                Ok(prepared) => {
                    let outcome = Ok(prepared);
                    return Loaded { files, outcome };
                }
                Err(refused) => (files, refused),
            }
        }
        Err(errors) => {
            let refused = (errors.to_string(), errors.may_pass());
            (errors.files, refused)
        }
    };
    // Watched in any case: a configuration that cannot be read does not name it.
    let key_file = live.snapshot().key_file.retake();
    let keys = if known == Some(&key_file) {
        Ok(None)
    } else {
        fewer_keys(live, &key_file)
    };
    let known = keys.is_ok().then(|| key_file.clone());
    if !files.iter().any(|stamp| stamp.path == key_file.path) {
        files.push(key_file);
    }
    let (why, may_pass) = refused;
    Loaded {
        files,
        outcome: Err(Refused {
            why,
            may_pass: may_pass || keys.is_err(),
            keys: keys.unwrap_or_default(),
            known,
        }),
    }
}

/// Why it is refused, and whether that may pass.
fn prepare(live: &Live, config: Config) -> Result<(Snapshot, Vec<String>), (String, bool)> {
    let serving = live.snapshot();
    let keys = config.keys.len();
    if let Some(why) = cut_off(&serving, &config.key_file, &config.key_outline, keys) {
        return Err((why, false));
    }
    drop(serving);
    let warnings = config.warnings.iter().map(ToString::to_string).collect();
    let next = live.prepare(config).map_err(|error| {
        let may_pass = matches!(error, BuildError::Keys(ref why) if why.may_pass());
        (error.to_string(), may_pass)
    })?;
    Ok((next, warnings))
}

/// What to say of a key file that holds only the beginning of what serves.
fn cut_off(
    serving: &Snapshot,
    file: &FileStamp,
    outline: &PrefixHash,
    left: usize,
) -> Option<String> {
    let is_cut = file.is_same_file(&serving.key_file) && serving.key_outline.was_cut_to(outline);
    let (path, all) = (file.path.display(), serving.keys.keys().len());
    is_cut.then(|| {
        format!(
            "{path}: looks cut off: it was changed in place and holds only the beginning of what \
             serves ({left} of {all} keys). If that is meant, replace it whole: \
             `cp -p {path} {path}.new && mv {path}.new {path}`"
        )
    })
}

/// The key file could not be read, and may be a moment later.
struct Unread;

/// What is left of the keys that serve by the key file alone, if that is good and another than the one that serves.
fn fewer_keys(live: &Live, file: &FileStamp) -> Result<Option<FewerKeys>, Unread> {
    let serving = live.snapshot();
    if *file == serving.key_file {
        return Ok(None);
    }
    let alone = match Config::keys_alone(&file.path) {
        Ok(alone) => alone,
        Err(errors) if errors.may_pass() => return Err(Unread),
        Err(_) => return Ok(None),
    };
    let KeysAlone {
        file,
        outline,
        entries,
    } = alone;
    if cut_off(&serving, &file, &outline, entries.len()).is_some() {
        return Ok(None);
    }
    let Restricted { entries, whole } = restrict(&serving.keys, entries);
    match KeyStore::build(entries) {
        Ok(store) => Ok(Some(FewerKeys {
            store,
            closed_by: file.clone(),
            file: whole.then_some((file, outline)),
        })),
        Err(error) if error.may_pass() => Err(Unread),
        Err(_) => Ok(None),
    }
}
