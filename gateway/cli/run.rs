//! `keygate run`: serve until told to end.

use std::path::Path;

use crate::config::{Config, Purpose};
use crate::error::Error;
use crate::server::{Gateway, log_to_stderr};

pub(super) fn run(path: &Path) -> Result<(), Error> {
    let config = Config::load(path, Purpose::Start)?;
    log_to_stderr(config.server.log_level);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    Gateway::start(config, path.to_owned(), std::io::stdout())?.run_until_signal()
}
