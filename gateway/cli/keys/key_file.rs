//! The key file that a command of `keygate keys` works on.

use std::path::{Path, PathBuf};

use clap::Args;

use super::view::KeyView;
use crate::cli::config_path::ConfigPath;
use crate::cli::output;
use crate::config::{self, ConfigErrors};
use crate::document::{Document, Problems, Severity};
use crate::error::Error;
use crate::key::edit::EditError;
use crate::key::file::KeyFile;
use crate::key::lock;
use crate::runtime::folder::base_of;
use crate::secret::{LARGEST_KEYS, LocalSecrets, Private};

/// The options that name the key file, and the format of the output.
#[derive(Args)]
pub(super) struct KeyFileArgs {
    #[command(flatten)]
    pub(super) config: ConfigPath,
    /// The key file; if given, the configuration is not read
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl KeyFileArgs {
    /// The path of the key file.
    pub(super) fn path(&self) -> Result<PathBuf, Error> {
        match &self.file {
            Some(file) => Ok(file.clone()),
            None => Ok(config::locations(&self.config.find()?)?.key_file),
        }
    }

    /// Reads all keys of the file. Prints a warning if other users can read it.
    pub(super) fn read(&self) -> Result<Vec<KeyView>, Error> {
        let path = self.path()?;
        let Private { text, exposed } = Private::read(&path, LARGEST_KEYS)
            .map_err(|error| Error::Failed(format!("{} {error}", path.display())))?;
        if let Some(why) = exposed {
            output::eprint(&format!("warning: {} {why}", path.display()));
        }
        let problems = Problems::default();
        let folder = base_of(&path);
        let document = Document::new(&path, text);
        let (file, notes) = KeyFile::read_with_notes(&document, folder, &LocalSecrets, &problems);
        let problems = problems.into_sorted();
        if problems
            .iter()
            .any(|problem| problem.severity == Severity::Fatal)
        {
            return Err(Error::Config(ConfigErrors {
                problems,
                files: Vec::new(),
            }));
        }
        let all = file.entries.into_iter().zip(notes);
        Ok(all.map(|(entry, note)| KeyView { entry, note }).collect())
    }
}

/// What a successful edit leaves to report: that the disk did not confirm it.
pub(super) type Unconfirmed = Option<Error>;

/// Edits the key file. If another process holds its lock for a while, prints which one.
///
/// # Errors
/// The file was not changed.
pub(super) fn edit_key_file(
    path: &Path,
    edit: impl FnOnce() -> Result<(), EditError>,
) -> Result<Unconfirmed, Error> {
    let name = path.display().to_string();
    let report = |holder: &str| {
        output::eprint(&format!("waiting for the lock of {name}: {holder}"));
    };
    match lock::report_holder(path, report, edit) {
        Ok(()) => Ok(None),
        // Not an error yet: the key is in the file and must be printed, or nobody would ever have it.
        Err(error @ EditError::Unconfirmed(_)) => {
            Ok(Some(Error::Failed(format!("{name}: {error}"))))
        }
        Err(error) => Err(Error::failed(format_args!("change {name}"), error)),
    }
}
