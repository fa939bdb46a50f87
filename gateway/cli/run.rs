//! `keygate run`: serve until told to end.

use std::path::Path;

use crate::config::{Config, Purpose};
use crate::error::Error;
use crate::server::{Gateway, Inherited, Signals, log_to_stderr};

pub(super) fn run(path: &Path) -> Result<(), Error> {
    let config = Config::load(path, Purpose::Start)?;
    log_to_stderr(config.server.log_level);
    for warning in &config.warnings {
        tracing::warn!("{}: {}", warning.at, warning.message);
    }
    let inherited = Inherited::take()?;
    let signals = Signals::catch()?;
    let gateway = Gateway::start_on(inherited, config, path.to_owned(), std::io::stdout())?;
    gateway.run_until_signal(signals);
    Ok(())
}
