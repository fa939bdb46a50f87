//! `keygate keys`: the commands for client keys.

mod change;
mod create;
mod hash;
mod import;
mod key_file;
mod limits;
mod list;
mod pair;
mod rotate;
mod secret;
mod served;
mod show;
mod view;

use clap::Subcommand;

use crate::error::Error;

/// Create, rotate, revoke and list client keys.
#[derive(Subcommand)]
pub(super) enum Keys {
    /// Create a key, print it this once, and keep only its digest
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
    /// Disable a key at once; `enable` makes it valid again
    #[command(after_help = "Example: keygate keys disable alice --wait")]
    Disable(change::Named),
    /// Make a disabled key valid again
    #[command(after_help = "Example: keygate keys enable alice --wait")]
    Enable(change::Named),
    /// Change the limits of a key; `none` removes one
    #[command(
        after_help = "Example: keygate keys limit alice --rpm-limit 600 --max-budget '50.00 per month' --wait"
    )]
    Limit(limits::Limit),
    /// Give a key a new secret; the old one stays valid for a while
    #[command(after_help = "Example: keygate keys rotate alice --overlap 24h --wait")]
    Rotate(rotate::Rotate),
    /// Delete a key from the key file
    #[command(after_help = "Example: keygate keys delete alice --wait")]
    Delete(change::Named),
    /// Import keys from standard input as CSV: `ID,SHA256` or `ID,KEY` on each line
    #[command(
        after_help = "Example: keygate keys import --label team=search < keys.csv\n\
                            To import keys of LiteLLM, use `keygate import litellm --keys FILE`: it disables keys that \
                            were blocked or restricted there.\n\
                            A value of 64 hexadecimal digits is a digest, as in LiteLLM's table; any other value is a \
                            key, of which only the digest is kept. The first line may name the columns: \
                            id, key, expires, not_before, disabled, comment, rpm_limit, tpm_limit, \
                            max_parallel_requests, max_budget, soft_budget. Fields are separated by commas, \
                            semicolons, tabs or `|`; a field that contains a separator must be in double quotes. \
                            Either all lines are imported, or none."
    )]
    Import(import::Import),
    /// Print the digest of a key from standard input, as it is written in the key file
    #[command(after_help = "Example: printf mysecretkey | keygate keys hash")]
    Hash(hash::Hash),
}

pub(super) fn run(command: &Keys) -> Result<(), Error> {
    match command {
        Keys::Create(options) => create::run(options),
        Keys::List(options) => list::run(options),
        Keys::Show(options) => show::run(options),
        Keys::Disable(options) => change::disable(options),
        Keys::Enable(options) => change::enable(options),
        Keys::Limit(options) => limits::run(options),
        Keys::Rotate(options) => rotate::run(options),
        Keys::Delete(options) => change::delete(options),
        Keys::Import(options) => import::run(options),
        Keys::Hash(options) => hash::run(options),
    }
}
