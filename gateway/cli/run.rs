//! `keygate run`: serve until told to end.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, Purpose};
use crate::error::Error;
use crate::events;
use crate::server::{Gateway, Inherited, Signals, keep_memory_private};

/// What allows root as well, for where a command line cannot be changed.
const ALLOW_ROOT: &str = "KEYGATE_ALLOW_ROOT";

/// Serve.
#[derive(Args)]
pub(super) struct Run {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = "conf/gateway.toml")]
    config: PathBuf,
    /// Run as root, which it has no need of; `KEYGATE_ALLOW_ROOT=1` says the same
    #[arg(long)]
    allow_root: bool,
}

pub(super) fn run(options: &Run) -> Result<(), Error> {
    let allowed =
        options.allow_root || std::env::var_os(ALLOW_ROOT).is_some_and(|said| said == "1");
    if rustix::process::geteuid().is_root() && !allowed {
        let why = "it holds every provider's token, and has no need to be root: run it as a user of its own, as \
                   systemd/keygate.service does, or say --allow-root";
        return Err(Error::Failed(why.to_owned()));
    }
    let inherited = Inherited::take()?;
    // Before anything that may be complained of: from here on, nobody waits for whoever reads it.
    events::start().map_err(|error| Error::failed("start the thread for events", error))?;
    let signals = Signals::catch()?;
    let config = Config::load(&options.config, Purpose::Start)?;
    events::log_from(config.server.log_level.into());
    keep_memory_private();
    for warning in &config.warnings {
        tracing::warn!(target: events::UNLIMITED, "{}: {}", warning.at, warning.message);
    }
    let gateway = Gateway::start_on(inherited, config, options.config.clone(), std::io::stdout())?;
    gateway.run_until_signal(signals)
}
