//! `keygate run`: serves until a signal ends it.

use clap::Args;

use super::config_path::ConfigPath;
use crate::config::{Purpose, Resolved};
use crate::error::Error;
use crate::runtime::log;
use crate::server::{Gateway, Inherited, Signals, keep_memory_private};

/// The environment variable that allows root as well, for services whose command line cannot be changed.
const ALLOW_ROOT: &str = "KEYGATE_ALLOW_ROOT";

/// Run the gateway in the foreground.
#[derive(Args)]
#[command(after_help = "Example: keygate run --config gateway.toml\n\
                        Reads the configuration, the key file and every file that they name, and reloads changed ones \
                        within a second. Access lines go to standard output, events to standard error.\n\
                        Signals: HUP reloads at once; USR2 upgrades to the binary that is installed now; TERM exits when \
                        the requests in flight have ended (server.timeouts.drain); INT exits at once.")]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigPath,
    /// Run as root nevertheless: keygate needs no root privileges; `KEYGATE_ALLOW_ROOT=1` does the same
    #[arg(long)]
    allow_root: bool,
}

/// The option that `keygate run` needs if this user is root, with a blank before it.
pub(super) fn root_flag() -> &'static str {
    if rustix::process::geteuid().is_root() {
        " --allow-root"
    } else {
        ""
    }
}

pub(super) fn run(options: &Run) -> Result<(), Error> {
    let allowed =
        options.allow_root || std::env::var_os(ALLOW_ROOT).is_some_and(|value| value == "1");
    if rustix::process::geteuid().is_root() && !allowed {
        let why = "it refuses to run as root: a gateway holds every provider's token and needs no root privileges. Run \
                   it as a user of its own, as the package's keygate.service does (sudo -u USER keygate run), or add \
                   --allow-root";
        return Err(Error::Failed(why.to_owned()));
    }
    let path = options.config.find()?;
    let inherited = Inherited::take()?;
    // Before anything is logged: from here on, no thread waits for the reader of the log.
    log::start().map_err(|error| Error::failed("start the thread for events", error))?;
    let signals = Signals::catch()?;
    let config = Resolved::load(&path, Purpose::Start)?;
    log::log_from(config.server.listener.log_level.into());
    keep_memory_private();
    for warning in &config.warnings {
        tracing::warn!(target: log::UNLIMITED, "{}: {}", warning.at, warning.message);
    }
    let gateway = Gateway::start_on(inherited, config, path, std::io::stdout())?;
    gateway.run_until_signal(signals)
}
