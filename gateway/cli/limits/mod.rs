//! `keygate limits`: what limits have left, and what operators do about it.

mod change;
mod list;
mod show;
mod standing;
mod table;
mod user;
mod which;
mod words;

use clap::Subcommand;

pub(super) use self::standing::Standing;
pub(super) use self::words::{scope, units};
use crate::error::Error;

/// List limits and what is left of them; raise a budget, or reset what was used of it.
#[derive(Subcommand)]
pub(super) enum Limits {
    /// List limits and what is left of each, those that are used most first
    #[command(after_help = "Example: keygate limits list search-team\n\
                            Asks the gateway that serves. Without one, shows what the ledger has.")]
    List(list::List),
    /// Show one limit, and what operators did to it
    #[command(after_help = "Example: keygate limits show customers acme")]
    Show(show::Show),
    /// Add to a budget, until it is renewed or until a time
    #[command(
        after_help = "Examples: keygate limits raise search-team --budget +20 --per day\n          \
                            keygate limits raise max_budget alice --budget +5.00 --until 2026-12-24\n\
                            SCOPE is whose use the limit counts: the id of a key, the value of a label, the name of a \
                            route or a provider. The gateway takes it up within a second; the ledger keeps who did it \
                            and when. `--budget=-20` takes away."
    )]
    Raise(change::Raise),
    /// Count what was used of a budget in its period as not used
    #[command(after_help = "Example: keygate limits reset search-team --per day\n\
                            The gateway takes it up within a second; the ledger keeps who did it and when.")]
    Reset(change::Reset),
}

pub(super) fn run(command: &Limits) -> Result<(), Error> {
    match command {
        Limits::List(options) => list::run(options),
        Limits::Show(options) => show::run(options),
        Limits::Raise(options) => change::raise(options),
        Limits::Reset(options) => change::reset(options),
    }
}
