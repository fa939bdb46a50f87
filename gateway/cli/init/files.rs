//! The files of a first configuration: written to a temporary folder beside their place, checked there, and moved into
//! place, all or none.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use zeroize::Zeroizing;

use crate::config::{ConfigErrors, Purpose, Resolved};
use crate::error::Error;
use crate::key::edit::{self, NewKey};

const CONFIGURATION: &str = "gateway.toml";
const KEYS: &str = "keys.toml";
const SECRETS: &str = "secrets";

/// The files to write.
pub(super) struct New {
    /// The text of `gateway.toml`.
    pub(super) configuration: String,
    /// The name and the content of a file in `secrets/`.
    pub(super) secret: Option<(String, Zeroizing<String>)>,
    /// The first key.
    pub(super) key: NewKey,
}

/// Refuses a folder that has one of the files already.
pub(super) fn refuse_what_is_there(out: &Path) -> Result<(), Error> {
    for name in [CONFIGURATION, KEYS] {
        let path = out.join(name);
        if fs::symlink_metadata(&path).is_ok() {
            return Err(Error::Failed(format!(
                "{} is there already, and nothing is written over it: edit it, add keys with `keygate keys create`, or \
                 name another folder with --out DIR",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Refuses a folder that has the file of the secret already.
pub(super) fn refuse_secret_that_is_there(out: &Path, name: &str) -> Result<(), Error> {
    let file = Path::new(SECRETS).join(name);
    if fs::symlink_metadata(out.join(&file)).is_err() {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "{} is there already, and nothing is written over it: use the token in it with --token file:{}, or name another \
         folder with --out DIR",
        out.join(&file).display(),
        file.display()
    )))
}

/// Writes all files into `out`, and returns the warnings of the configuration.
pub(super) fn put(new: &New, out: &Path) -> Result<Vec<String>, Error> {
    let failed = |error| Error::failed(format_args!("write into {}", out.display()), error);
    fs::create_dir_all(out).map_err(failed)?;
    let made = tempfile::Builder::new()
        .prefix(".init-")
        .tempdir_in(out)
        .map_err(failed)?;
    write(new, made.path()).map_err(failed)?;
    let keys = made.path().join(KEYS);
    edit::add(&keys, std::slice::from_ref(&new.key))
        .map_err(|error| Error::failed("write the key file", error))?;
    load(&made.path().join(CONFIGURATION))
        .map_err(|errors| refused(&in_place(&errors.to_string(), made.path(), out)))?;
    let moved = move_all(new, made.path(), out).map_err(failed)?;
    // Checked again in its place: the path of a token file is relative to the configuration.
    load(&folder_of(out).join(CONFIGURATION)).map_err(|errors| {
        take_back(&moved);
        refused(&errors.to_string())
    })
}

/// The warnings of a valid configuration.
fn load(path: &Path) -> Result<Vec<String>, ConfigErrors> {
    let config = Resolved::load(path, Purpose::Start)?;
    Ok(config.warnings.iter().map(ToString::to_string).collect())
}

fn refused(why: &str) -> Error {
    Error::Failed(format!("{why} (nothing was written)"))
}

/// The folder as a prefix of a file name: empty for the current folder.
fn folder_of(out: &Path) -> &Path {
    if out == Path::new(".") {
        Path::new("")
    } else {
        out
    }
}

/// Replaces the temporary folder in a message by the folder in which the files will be.
fn in_place(message: &str, made: &Path, out: &Path) -> String {
    let made = format!("{}/", made.display());
    let out = folder_of(out).join("").display().to_string();
    message.replace(&made, &out)
}

fn write(new: &New, folder: &Path) -> io::Result<()> {
    private(&folder.join(CONFIGURATION), &new.configuration)?;
    if let Some((name, secret)) = &new.secret {
        let secrets = folder.join(SECRETS);
        DirBuilder::new().mode(0o700).create(&secrets)?;
        private(&secrets.join(name), secret)?;
    }
    Ok(())
}

fn private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Moves all files into place, the configuration last: without it nothing is served. Removes the moved files if one cannot
/// be moved.
fn move_all(new: &New, made: &Path, out: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if let Some((name, _)) = &new.secret {
        files.push(Path::new(SECRETS).join(name));
    }
    files.extend([KEYS, CONFIGURATION].map(PathBuf::from));
    let secrets = out.join(SECRETS);
    if new.secret.is_some() && !secrets.exists() {
        DirBuilder::new().mode(0o700).create(&secrets)?;
        give(&secrets, out)?;
    }
    let mut moved: Vec<PathBuf> = Vec::new();
    for file in &files {
        let to = out.join(file);
        if let Err(error) = move_one(&made.join(file), &to, out) {
            take_back(&moved);
            return Err(io::Error::new(
                error.kind(),
                format!("{}: {error}", to.display()),
            ));
        }
        moved.push(to);
    }
    Ok(moved)
}

fn take_back(moved: &[PathBuf]) {
    for path in moved {
        let _ = fs::remove_file(path);
    }
}

/// Moves a file, unless the destination exists.
fn move_one(from: &Path, to: &Path, out: &Path) -> io::Result<()> {
    give(from, out)?;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // The file system cannot do that atomically. A hard link never overwrites a file either.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => fs::hard_link(from, to),
        Err(error) => Err(error.into()),
    }
}

/// If root creates a file in the folder of another user, that user becomes its owner, who has to read it.
fn give(path: &Path, out: &Path) -> io::Result<()> {
    let (ours, owner) = (fs::metadata(path)?, fs::metadata(out)?);
    if !rustix::process::geteuid().is_root() || ours.uid() == owner.uid() {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, Some(owner.uid()), Some(owner.gid()))
}
