//! `keygate check`: everything that is wrong with a configuration, before it serves.

use std::path::Path;

use crate::config::{Config, Purpose};
use crate::error::Error;
use crate::server;

pub(super) fn run(path: &Path) -> Result<(), Error> {
    let config = Config::load(path, Purpose::Start)?;
    for warning in &config.warnings {
        super::say(&warning.to_string())?;
    }
    if let Err(error) = server::check_trust(&config) {
        super::say(&format!(
            "warning: on this machine it would not start: {error}"
        ))?;
    }
    super::say(&format!(
        "{}: good: {} routes, {} providers, {} keys",
        path.display(),
        config.routes.len(),
        config.providers.len(),
        config.keys.len(),
    ))
}
