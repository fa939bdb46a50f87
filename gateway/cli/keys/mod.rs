//! `keygate keys`: client keys, from their making to their end.

mod create;
mod hash;
mod import;
mod list;
mod rotate;
mod secret;
mod show;
mod shown;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::config_path::ConfigPath;
use super::foreign;
use super::listener::Trusted;
use super::wait::{Effect, Waiting};
use crate::config::{self, ConfigErrors};
use crate::document::{Document, FileStamp, Problems, Severity};
use crate::error::Error;
use crate::key::edit::{self, EditError};
use crate::key::file::KeyFile;
use crate::key::lock;
use crate::secret::{LARGEST_KEYS, LocalSecrets, Private};
use shown::Shown;

/// Make, rotate, revoke and list client keys.
#[derive(Subcommand)]
pub(super) enum Keys {
    /// Make a key, print it this once, and keep its digest
    #[command(
        after_help = "Example: keygate keys create --id alice --label team=search --expires 30d"
    )]
    Create(create::Create),
    /// List the keys of the key file
    #[command(
        after_help = "Example: keygate keys list --state valid --label team=search --expires-within 30d"
    )]
    List(list::List),
    /// Show one key
    #[command(after_help = "Example: keygate keys show alice")]
    Show(show::Show),
    /// Close a key at once; `enable` opens it again
    #[command(after_help = "Example: keygate keys disable alice --wait")]
    Disable(Named),
    /// Open a disabled key again
    #[command(after_help = "Example: keygate keys enable alice --wait")]
    Enable(Named),
    /// Give a key a new secret; the old one opens for a while longer
    #[command(after_help = "Example: keygate keys rotate alice --overlap 24h --wait")]
    Rotate(rotate::Rotate),
    /// Take a key out of the key file
    #[command(after_help = "Example: keygate keys delete alice --wait")]
    Delete(Named),
    /// Take over keys from standard input as CSV: `ID,SHA256` or `ID,KEY` on each line
    #[command(
        after_help = "Example: keygate keys import --label team=search < keys.csv\n\
                            The keys of LiteLLM come by `keygate import litellm --keys FILE`, which disables those that \
                            were blocked or restricted there.\n\
                            A value of 64 hexadecimal digits is a digest, as LiteLLM's table has it; anything \
                            else is a key, of which only the digest is kept. A first line may name the columns: \
                            id, key, expires, not_before, disabled, comment. Fields are parted by a comma, \
                            semicolon, tab or `|`; a field that holds one goes in double quotes. All lines are \
                            taken, or none."
    )]
    Import(import::Import),
    /// Print the digest of a key from standard input, as the key file has it
    #[command(after_help = "Example: printf mysecretkey | keygate keys hash")]
    Hash(hash::Hash),
}

#[derive(Args)]
struct Place {
    #[command(flatten)]
    config: ConfigPath,
    /// The key file; the configuration is not read then
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct Named {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    waiting: Waiting,
    /// The key's id
    id: String,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

pub(super) fn run(command: &Keys) -> Result<(), Error> {
    match command {
        Keys::Create(options) => create::run(options),
        Keys::List(options) => list::run(options),
        Keys::Show(options) => show::run(options),
        Keys::Disable(options) => change(options, Effect::Closes, "disabled", |path, id| {
            edit::set_disabled(path, id, true)
        }),
        Keys::Enable(options) => change(options, Effect::Opens, "enabled", |path, id| {
            edit::set_disabled(path, id, false)
        }),
        Keys::Rotate(options) => rotate::run(options),
        Keys::Delete(options) => change(options, Effect::Closes, "deleted", edit::delete),
        Keys::Import(options) => import::run(options),
        Keys::Hash(options) => hash::run(options),
    }
}

impl Place {
    fn key_file(&self) -> Result<PathBuf, Error> {
        match &self.file {
            Some(file) => Ok(file.clone()),
            None => Ok(config::locations(&self.config.find()?)?.key_file),
        }
    }

    /// Whether the running gateway serves `stamp`; nothing where there is none to be asked.
    fn served(&self, stamp: &FileStamp) -> Option<Served> {
        if self.file.is_some() {
            return None;
        }
        let path = self.config.find().ok()?;
        let places = config::locations(&path).ok()?;
        let (status, _) = super::admin_client::read_status(places.admin).ok()?;
        Trusted::of(&path, &places).check().ok()?;
        let ours = foreign::reads(&status, &places.key_file);
        Some(Served {
            current: ours && status.key_file.mark == stamp.mark(),
            closed: ours && status.key_file.closed_mark == stamp.mark(),
            admin: places.admin,
            reads: (!ours).then_some(status.key_file.path),
            generation: status.generation,
            at: status.last_reload.at,
            ok: status.last_reload.ok,
        })
    }

    fn read(&self) -> Result<Vec<Shown>, Error> {
        let path = self.key_file()?;
        let Private { text, exposed } = Private::read(&path, LARGEST_KEYS)
            .map_err(|error| Error::Failed(format!("{} {error}", path.display())))?;
        if let Some(why) = exposed {
            super::eprint(&format!("warning: {} {why}", path.display()));
        }
        let problems = Problems::default();
        let folder = path.parent().unwrap_or(Path::new(""));
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
        Ok(all.map(|(entry, note)| Shown { entry, note }).collect())
    }
}

/// What a running gateway makes of the key file.
#[derive(Serialize)]
struct Served {
    /// Whether it serves the file as it is now.
    current: bool,
    /// Whether what the file as it is now closes is closed.
    closed: bool,
    /// The configuration that serves.
    generation: u64,
    /// When the last reload was.
    at: String,
    /// Whether that was taken over.
    ok: bool,
    /// The admin listener that says all this.
    admin: SocketAddr,
    /// The key file of the gateway there, if that is another one.
    reads: Option<String>,
}

/// What is left to print_error about once a change is in the file.
type Complaint = Option<Error>;

/// Changes the key file; fails unless the change is in it. Says for whom it waits if that takes a while.
fn edited(path: &Path, edit: impl FnOnce() -> Result<(), EditError>) -> Result<Complaint, Error> {
    let place = path.display().to_string();
    let tell = |who: &str| super::eprint(&format!("waiting for the lock of {place}: {who}"));
    let outcome = lock::tell_who_holds(path, tell, edit);
    let path = &place;
    match outcome {
        Ok(()) => Ok(None),
        // The key is there and must be told, or nobody would ever have it.
        Err(error @ EditError::Unconfirmed(_)) => {
            Ok(Some(Error::Failed(format!("{path}: {error}"))))
        }
        Err(error) => Err(Error::failed(format_args!("change {path}"), error)),
    }
}

fn change(
    options: &Named,
    effect: Effect,
    done: &str,
    edit: impl FnOnce(&Path, &str) -> Result<(), EditError>,
) -> Result<(), Error> {
    let path = options.place.key_file()?;
    let complaint = edited(&path, || edit(&path, &options.id))?;
    if options.place.json {
        super::say(&json!({"id": options.id, "done": done}).to_string())?;
    } else {
        super::say(&format!(
            "Key `{}` is {done} in {}.",
            options.id,
            path.display()
        ))?;
    }
    options
        .waiting
        .finish(&options.place.config, &path, effect, complaint)
}
