//! `keygate reload` and `keygate upgrade`: send a signal to a running gateway, and wait for the outcome.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::Signal;

use super::admin_client::read_status;
use super::config_path::ConfigPath;
use super::listener::{Gateway, Trusted};
use super::same_gateway;
use crate::admin::status::Status;
use crate::config::{Locations, Purpose, Resolved};
use crate::error::Error;

/// How long to wait for the outcome.
const TIMEOUT: Duration = Duration::from_secs(150);
/// How often to read the status meanwhile.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long there may be no response after the old process has ended: a service manager starts another within that time.
const SILENCE: Duration = Duration::from_secs(5);

/// Reload a changed configuration, and report whether it was accepted.
#[derive(Args)]
#[command(after_help = "Example: keygate reload\n\
                        Checks the configuration first, and sends no signal if it is wrong. The gateway applies a \
                        changed file within a second without this command as well.")]
pub(super) struct Reload {
    #[command(flatten)]
    config: ConfigPath,
}

/// Replace a running gateway with the binary that is installed now, without losing a request.
#[derive(Args)]
#[command(
    after_help = "Example: install target/release/keygate /usr/bin/ && keygate upgrade\n\
                        The new process gets the sockets and serves before the old one stops accepting; the old one \
                        ends when its requests have, or after server.timeouts.upgrade_drain. If the new one fails \
                        before it serves, the old one continues to serve. To roll back, install the older binary and \
                        upgrade again."
)]
pub(super) struct Upgrade {
    #[command(flatten)]
    config: ConfigPath,
}

pub(super) fn reload(options: &Reload) -> Result<(), Error> {
    let path = options.config.find()?;
    let config = Resolved::load(&path, Purpose::Reload)?;
    let admin = config.server.listener.admin;
    let trusted = trusted(&path, &config);
    let (before, _) = read_status(admin)?;
    // The check for another's gateway comes after the reload: until then, the gateway reads the key file of the old
    // configuration. If there is no reload because the signal failed, another's gateway is the better explanation.
    trusted
        .gateway(before.pid)?
        .signal(Signal::HUP)
        .map_err(|error| refuse_foreign(&before, &config).err().unwrap_or(error))?;
    let after = until(|| {
        let (now, _) = read_status(admin).ok()?;
        (now.pid != before.pid || now.last_reload.at != before.last_reload.at).then_some(now)
    })
    .ok_or_else(|| Error::Failed(format!("no reload within {TIMEOUT:?}")))?;
    trusted.check()?;
    refuse_foreign(&after, &config)?;
    match after.last_reload.error {
        Some(why) => Err(Error::Failed(format!("refused: {why}"))),
        None => super::output::print(&format!("configuration {} serves", after.generation)),
    }
}

pub(super) fn upgrade(options: &Upgrade) -> Result<(), Error> {
    let path = options.config.find()?;
    // Checks as a reload does, not as a start: this command need not have the service's credentials. The new process
    // checks everything.
    let config = Resolved::load(&path, Purpose::Reload)?;
    let admin = config.server.listener.admin;
    let trusted = trusted(&path, &config);
    let (before, _) = read_status(admin)?;
    refuse_foreign(&before, &config)?;
    let old = trusted.gateway(before.pid)?;
    old.signal(Signal::USR2)?;
    let after = outcome(admin, &before, &old)?;
    if after.pid == before.pid {
        let why = after.last_failed_upgrade.unwrap_or_default();
        return Err(Error::Failed(format!(
            "process {} goes on: {why}",
            before.pid
        )));
    }
    trusted.gateway(after.pid)?;
    super::output::print(&format!(
        "process {} of keygate {} serves; process {} of {} ends with its requests, {} now",
        after.pid, after.version, before.pid, before.version, before.requests_in_flight,
    ))
}

/// The status after an upgrade has succeeded or failed.
fn outcome(admin: SocketAddr, before: &Status, old: &Gateway) -> Result<Status, Error> {
    let mut last_response = Instant::now();
    let ended = until(|| {
        let Ok((now, _)) = read_status(admin) else {
            let is_over = old.has_ended() && last_response.elapsed() > SILENCE;
            return is_over.then_some(None);
        };
        last_response = Instant::now();
        let failed = now.failed_upgrades > before.failed_upgrades;
        let succeeded = now.pid != before.pid && now.ready && !now.provisional;
        (succeeded || failed).then_some(Some(now))
    })
    .ok_or_else(|| Error::Failed(format!("no outcome within {TIMEOUT:?}")))?;
    ended.ok_or_else(|| {
        Error::Failed(format!(
            "process {} has ended before another had taken over, and nobody responds on {admin}: start keygate again. \
             The reason is in its log",
            before.pid
        ))
    })
}

/// Refuses a gateway that runs with another configuration than this one.
fn refuse_foreign(status: &Status, config: &Resolved) -> Result<(), Error> {
    if same_gateway::reads_key_file(status, config.key_source.place()) {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "the gateway at {} has another configuration: it reads the keys of {}",
        config.server.listener.admin, status.key_file.path
    )))
}

/// The users who may run the gateway of this configuration.
pub(super) fn trusted(path: &Path, config: &Resolved) -> Trusted {
    let places = Locations {
        key_file: config.key_source.place().to_owned(),
        admin: config.server.listener.admin,
    };
    Trusted::of(path, &places)
}

/// The first result of `look`, called again and again; `None` after [`TIMEOUT`].
fn until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < TIMEOUT {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(INTERVAL);
    }
    None
}
