//! `--wait` of `keygate keys`: waits until the running gateway has taken over a change of the key file, and reports a
//! change that it has taken over only in part.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;

use super::config_path::ConfigPath;
use super::listener::Trusted;
use crate::admin::status::Status;
use crate::config;
use crate::document::FileStamp;
use crate::error::Error;

/// How long `--wait` waits for the running gateway.
const WAIT: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(super) struct Waiting {
    /// Return only when the running gateway serves the change
    #[arg(long, conflicts_with = "file")]
    wait: bool,
}

/// What a change does to keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It revokes, which is in force even where the configuration is refused.
    Closes,
    /// It permits something, which waits for the configuration.
    Opens,
}

/// How much of the key file as it is now a running gateway serves.
enum Progress {
    /// All of it, since this configuration; and why a later configuration was refused, if one was.
    Served(u64, Option<String>),
    /// Its revocations; and why the rest is refused.
    Closed(String),
    /// Nothing of it: another version serves, perhaps for this reason.
    Behind(Option<String>),
}

impl Progress {
    fn of(status: Status, file: &FileStamp) -> Self {
        let (mark, why) = (file.mark(), status.last_reload.error);
        match why {
            why if status.key_file.mark == mark => Self::Served(status.generation, why),
            Some(why) if status.key_file.closed_mark == mark => Self::Closed(why),
            why => {
                let path = status.key_file.path;
                Self::Behind(why.or_else(|| Some(format!("the gateway reads {path}"))))
            }
        }
    }
}

impl Waiting {
    /// Ends every change: waits if `--wait` is given, and then returns the complaint, if there is one.
    pub(super) fn finish(
        &self,
        config: &ConfigPath,
        path: &Path,
        effect: Effect,
        complaint: Option<Error>,
    ) -> Result<(), Error> {
        self.for_change(config, path, effect)?;
        complaint.map_or(Ok(()), Err)
    }

    /// Waits until a change of this effect is in force in the running gateway, or says why it isn't.
    fn for_change(&self, config: &ConfigPath, path: &Path, effect: Effect) -> Result<(), Error> {
        if !self.wait {
            return Ok(());
        }
        let found = config.find()?;
        let places = config::locations(&found)?;
        let (admin, trusted) = (places.admin, Trusted::of(&found, &places));
        let start = Instant::now();
        loop {
            let (status, _) = super::admin_client::read_status(admin)?;
            // As the file is now: a version that somebody else wrote meanwhile contains this change, too.
            let progress = Progress::of(status, &FileStamp::take(path));
            if let Some(done) = progress.done(effect, path) {
                // Everybody who may read the metadata of the file can compute its mark: check who responded.
                trusted.check()?;
                super::output::eprint(&done);
                return Ok(());
            }
            if start.elapsed() > WAIT {
                return Err(progress.undone(admin, path));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Progress {
    /// The message about a change of this effect that is in force; `None` if it is not.
    fn done(&self, effect: Effect, path: &Path) -> Option<String> {
        let path = path.display();
        match self {
            Self::Served(generation, None) => Some(format!(
                "Served by every thread since configuration {generation}."
            )),
            Self::Served(generation, Some(why)) => Some(format!(
                "Served by every thread, with configuration {generation}: a later one is refused: {why}"
            )),
            Self::Closed(why) if effect == Effect::Closes => Some(format!(
                "The change is in force on every thread. Other changes of {path} are not, for the configuration is \
                 refused: {why}"
            )),
            Self::Closed(_) | Self::Behind(_) => None,
        }
    }

    /// The reason why a change is not in force.
    fn undone(self, admin: SocketAddr, path: &Path) -> Error {
        let place = path.display();
        let (less, why) = match self {
            Self::Closed(why) => (", though what the file closes is closed", why),
            Self::Served(_, why) | Self::Behind(why) => ("", why.unwrap_or_default()),
        };
        Error::Failed(format!(
            "the change is in {place} and is not served by the gateway at {admin}{less}: {why}"
        ))
    }
}
