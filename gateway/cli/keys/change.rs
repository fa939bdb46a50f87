//! `keygate keys disable`, `enable` and `delete`: changes of one key that print no secret.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::key_file::{KeyFileArgs, edit_key_file};
use crate::cli::output::print;
use crate::cli::wait::{Effect, Waiting};
use crate::error::Error;
use crate::key::edit::{self, EditError};

/// The options of a command that changes one key.
#[derive(Args)]
pub(in crate::cli) struct Named {
    #[command(flatten)]
    pub(super) key_file: KeyFileArgs,
    #[command(flatten)]
    pub(super) waiting: Waiting,
    /// The key's id
    pub(super) id: String,
}

pub(super) fn disable(options: &Named) -> Result<(), Error> {
    let edit = |path: &Path, id: &str| edit::set_disabled(path, id, true);
    change(options, Effect::Closes, "disabled", edit)
}

pub(super) fn enable(options: &Named) -> Result<(), Error> {
    let edit = |path: &Path, id: &str| edit::set_disabled(path, id, false);
    change(options, Effect::Opens, "enabled", edit)
}

pub(super) fn delete(options: &Named) -> Result<(), Error> {
    change(options, Effect::Closes, "deleted", edit::delete)
}

fn change(
    options: &Named,
    effect: Effect,
    done: &str,
    edit: impl FnOnce(&Path, &str) -> Result<(), EditError>,
) -> Result<(), Error> {
    let path = options.key_file.path()?;
    let unconfirmed = edit_key_file(&path, || edit(&path, &options.id))?;
    if options.key_file.json {
        print(&json!({"id": options.id, "done": done}).to_string())?;
    } else {
        print(&format!(
            "Key `{}` is {done} in {}.",
            options.id,
            path.display()
        ))?;
    }
    options
        .waiting
        .finish(&options.key_file.config, &path, effect, unconfirmed)
}
