//! Why a ledger cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rustix::process::geteuid;

/// Why a ledger cannot be used. Nothing was changed, and nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// The folder is not there, or no file can be created in it.
    #[error(
        "no file can be created in the folder of the ledger {path} by the user with the id {user}: {source}"
    )]
    Folder {
        /// The ledger's path.
        path: PathBuf,
        /// The id of the process's user.
        user: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused the file.
    #[error("the ledger {path} cannot be opened by the user with the id {user}: {source}")]
    File {
        /// The ledger's path.
        path: PathBuf,
        /// The id of the process's user.
        user: u32,
        /// What the system said.
        source: io::Error,
    },
    /// What is there is no file for a ledger.
    #[error("the ledger {path} {why}")]
    Unfit {
        /// The ledger's path.
        path: PathBuf,
        /// What is wrong with it, and the cure.
        why: String,
    },
    /// The file belongs to another program.
    #[error(
        "{path} is no ledger: it is a file of another program, or its beginning was overwritten. Name another path, or \
         restore its backup"
    )]
    Foreign {
        /// The ledger's path.
        path: PathBuf,
    },
    /// The file was written by a newer version.
    #[error(
        "the ledger {path} has the format {found}, and this version of keygate knows formats up to {known}: use the \
         newer version, or the ledger's backup of before the update"
    )]
    Newer {
        /// The ledger's path.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that this version knows.
        known: i64,
    },
    /// The file is cut or damaged.
    #[error(
        "the ledger {path} is damaged: {why}. Restore its backup; or move it away, together with the files beside it \
         whose names begin with its name: a new ledger is created then, in which nothing is spent"
    )]
    Damaged {
        /// The ledger's path.
        path: PathBuf,
        /// How that was noticed.
        why: String,
    },
    /// The database refused.
    #[error("the ledger {path} cannot be used by the user with the id {user}: {source}")]
    Database {
        /// The ledger's path.
        path: PathBuf,
        /// The id of the process's user.
        user: u32,
        /// What the database said.
        source: rusqlite::Error,
    },
    /// The system gave no thread.
    #[error("the ledger has no thread: {0}")]
    NoThread(#[source] io::Error),
}

impl LedgerError {
    /// The folder of `path` cannot be written.
    pub(super) fn folder(path: &Path, source: io::Error) -> Self {
        let (path, user) = (path.to_owned(), user());
        Self::Folder { path, user, source }
    }

    /// The system refused `path`.
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        let (path, user) = (path.to_owned(), user());
        Self::File { path, user, source }
    }

    /// `path` is no file for a ledger.
    pub(super) fn unfit(path: &Path, why: &str) -> Self {
        let (path, why) = (path.to_owned(), why.to_owned());
        Self::Unfit { path, why }
    }

    /// `path` is damaged.
    pub(super) fn damaged(path: &Path, why: impl Into<String>) -> Self {
        let (path, why) = (path.to_owned(), why.into());
        Self::Damaged { path, why }
    }

    /// What the database said about `path`.
    pub(super) fn database(path: &Path, source: rusqlite::Error) -> Self {
        let is_damage = matches!(
            source.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        );
        if is_damage {
            return Self::damaged(path, source.to_string());
        }
        let (path, user) = (path.to_owned(), user());
        Self::Database { path, user, source }
    }
}

/// The id of the process's user.
fn user() -> u32 {
    geteuid().as_raw()
}
