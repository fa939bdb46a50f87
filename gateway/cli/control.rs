//! `keygate reload` and `keygate upgrade`: a signal to a running gateway, and what comes of it.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::Signal;

use super::config_path::ConfigPath;
use super::foreign;
use super::listener::Trusted;
use super::status::ask;
use crate::admin::status::Status;
use crate::config::{Locations, Purpose, Resolved};
use crate::error::Error;

/// How long the outcome is waited for.
const PATIENCE: Duration = Duration::from_secs(150);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long nobody may answer once the old process has ended: a service manager starts another one within that.
const SILENCE: Duration = Duration::from_secs(5);

/// Take a changed configuration over, and say whether it was.
#[derive(Args)]
#[command(after_help = "Example: keygate reload\n\
                        Checks it first: what is refused is not even tried. A changed file is taken over without it \
                        as well, within a second.")]
pub(super) struct Reload {
    #[command(flatten)]
    config: ConfigPath,
}

/// Replace a running gateway by one of the binary that is installed now, without losing a request.
#[derive(Args)]
#[command(
    after_help = "Example: install target/release/keygate /usr/bin/ && keygate upgrade\n\
                        The new process gets the sockets and serves before the old one stops accepting; the old one \
                        ends when its requests have, or after server.timeouts.upgrade_drain. If the new one does not come to \
                        serve, the old one goes on. The way back is the same: install the older binary, and upgrade."
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
    let (before, _) = ask(admin)?;
    let told = trusted.gateway(before.pid)?.signal(Signal::HUP);
    // A new key file is another one than the gateway reads until it has reloaded. One that cannot be told is not ours.
    told.map_err(|error| refuse_foreign(&before, &config).err().unwrap_or(error))?;
    let after = until(|| {
        let (now, _) = ask(admin).ok()?;
        (now.pid != before.pid || now.last_reload.at != before.last_reload.at).then_some(now)
    });
    let after = after.ok_or_else(|| Error::Failed(format!("no reload within {PATIENCE:?}")))?;
    trusted.check()?;
    refuse_foreign(&after, &config)?;
    match after.last_reload.error {
        Some(why) => Err(Error::Failed(format!("refused: {why}"))),
        None => super::say(&format!("configuration {} serves", after.generation)),
    }
}

pub(super) fn upgrade(options: &Upgrade) -> Result<(), Error> {
    let path = options.config.find()?;
    // The next process looks more closely: this one need not have the service's credentials.
    let config = Resolved::load(&path, Purpose::Reload)?;
    let admin = config.server.listener.admin;
    let trusted = trusted(&path, &config);
    let (before, _) = ask(admin)?;
    refuse_foreign(&before, &config)?;
    let old = trusted.gateway(before.pid)?;
    old.signal(Signal::USR2)?;
    let mut heard = Instant::now();
    let after = until(|| {
        let Ok((now, _)) = ask(admin) else {
            let is_over = old.has_ended() && heard.elapsed() > SILENCE;
            return is_over.then_some(None);
        };
        heard = Instant::now();
        let failed = now.failed_upgrades > before.failed_upgrades;
        let succeeded = now.pid != before.pid && now.ready && !now.provisional;
        (succeeded || failed).then_some(Some(now))
    });
    let after = after.ok_or_else(|| Error::Failed(format!("no outcome within {PATIENCE:?}")))?;
    let after = after.ok_or_else(|| {
        Error::Failed(format!(
            "process {} has ended before another had taken over, and nobody responses on {admin}: start keygate again. \
             What it has said is in its log",
            before.pid
        ))
    })?;
    if after.pid == before.pid {
        let why = after.last_failed_upgrade.unwrap_or_default();
        return Err(Error::Failed(format!(
            "process {} goes on: {why}",
            before.pid
        )));
    }
    trusted.gateway(after.pid)?;
    super::say(&format!(
        "process {} of keygate {} serves; process {} of {} ends with its requests, {} now",
        after.pid, after.version, before.pid, before.version, before.requests_in_flight,
    ))
}

/// Refuses a gateway that has another configuration than this one.
fn refuse_foreign(status: &Status, config: &Resolved) -> Result<(), Error> {
    if foreign::reads(status, config.key_source.place()) {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "the gateway at {} has another configuration: it reads the keys of {}",
        config.server.listener.admin, status.key_file.path
    )))
}

/// Who may be the gateway of this configuration.
fn trusted(path: &Path, config: &Resolved) -> Trusted {
    let places = Locations {
        key_file: config.key_source.place().to_owned(),
        admin: config.server.listener.admin,
    };
    Trusted::of(path, &places)
}

fn until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    None
}
