//! `keygate check`: everything that is wrong with a configuration, before it serves.

use super::config_path::ConfigPath;
use crate::config::{Purpose, Resolved};
use crate::error::Error;
use crate::runtime::printable::count;
use crate::server;

pub(super) fn run(path: &ConfigPath) -> Result<(), Error> {
    let path = path.find()?;
    let config = Resolved::load(&path, Purpose::Start)?;
    for warning in &config.warnings {
        super::output::print(&warning.to_string())?;
    }
    if let Err(error) = server::check_startup(&config) {
        super::output::print(&format!(
            "warning: on this machine it would not start: {error}"
        ))?;
    }
    super::output::print(&format!(
        "{}: ok: {}, {}, {}",
        path.display(),
        count(config.routes.len(), "route"),
        count(config.providers.len(), "provider"),
        count(config.keys.keys.count(), "key"),
    ))
}
