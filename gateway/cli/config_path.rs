//! The configuration of a command: the one that `--config` names, or the first of the usual places that has one.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::Access;
use rustix::io::Errno;

use crate::error::Error;

/// The environment variable that names the configuration if `--config` does not.
const VARIABLE: &str = "KEYGATE_CONFIG";
/// The configuration in the current folder.
const HERE: &str = "gateway.toml";
/// The configuration that the package installs.
const INSTALLED: &str = "/etc/keygate/gateway.toml";
/// The environment variable in which `sudo` names its caller.
const CALLER: &str = "SUDO_UID";

/// The option of every command that reads a configuration.
#[derive(Args)]
pub(super) struct ConfigPath {
    /// The configuration file; by default the first that exists of `$KEYGATE_CONFIG`, `./gateway.toml` and
    /// `/etc/keygate/gateway.toml`
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigPath {
    /// Whether a configuration is named: by the option, or by the environment.
    pub(super) fn is_named(&self) -> bool {
        let variable = std::env::var_os(VARIABLE);
        self.config.is_some() || variable.is_some_and(|named| !named.is_empty())
    }

    /// The path of the configuration. Fails if it does not exist or cannot be read, or if none is named and none of the usual
    /// places has one.
    pub(super) fn find(&self) -> Result<PathBuf, Error> {
        let path = match &self.config {
            Some(given) => given.clone(),
            None => find(
                std::env::var_os(VARIABLE),
                Path::new(HERE),
                Path::new(INSTALLED),
            )?,
        };
        match rustix::fs::access(&path, Access::READ_OK) {
            Err(Errno::NOENT) => Err(Error::Unconfigured(format!(
                "the configuration {} is not there: make one with `keygate init`, or name another with --config FILE",
                path.display()
            ))),
            Err(Errno::ACCESS) => Err(Error::Unconfigured(format!(
                "the configuration {} cannot be read by this user: run the command as root, or as the user that keygate \
                 runs as (sudo -u keygate keygate ...)",
                path.display()
            ))),
            _ => Ok(path),
        }
    }
}

fn find(named: Option<OsString>, here: &Path, installed: &Path) -> Result<PathBuf, Error> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return Ok(named.into());
    }
    // A user who may not look into the folder, such as root's for `sudo -u keygate`, finds nothing here.
    if let Ok(about) = fs::metadata(here) {
        return owned(&about).map(|()| here.to_owned());
    }
    // Any other error means that the file exists: reading it reports the error.
    let absent = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    if !fs::metadata(installed).is_err_and(absent) {
        return Ok(installed.to_owned());
    }
    Err(Error::Unconfigured(format!(
        "no configuration found: {VARIABLE} is not set, and neither ./{HERE} nor {} is there. Make one with `keygate \
         init`, or name one with --config FILE",
        installed.display()
    )))
}

/// Refuses a file in the current folder that belongs to another user. In a folder like /tmp, any user could otherwise
/// choose the configuration of whoever runs a command there.
fn owned(about: &Metadata) -> Result<(), Error> {
    let us = rustix::process::geteuid();
    let caller = std::env::var(CALLER)
        .ok()
        .filter(|_| us.is_root())
        .and_then(|user| user.parse().ok());
    if [Some(us.as_raw()), Some(0), caller].contains(&Some(about.uid())) {
        return Ok(());
    }
    Err(Error::Unconfigured(format!(
        "./{HERE} belongs to user {}, who is neither you nor root, and is not taken unasked: name it with --config \
         ./{HERE} if it is the one you mean",
        about.uid()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_existing_configuration_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let (here, installed) = (folder.path().join("here"), folder.path().join("installed"));
        let why = find(None, &here, &installed).unwrap_err();
        assert_eq!(why.exit_code(), 78);
        let why = why.to_string();
        for part in [
            "KEYGATE_CONFIG",
            "./gateway.toml",
            "installed",
            "keygate init",
            "--config",
        ] {
            assert!(why.contains(part), "{why}");
        }
        fs::write(&installed, "").unwrap();
        assert_eq!(find(None, &here, &installed).unwrap(), installed);
        fs::write(&here, "").unwrap();
        assert_eq!(find(None, &here, &installed).unwrap(), here);
        // A file that is named is used even if it does not exist: another one in its place would be a surprise.
        let named = find(Some("absent".into()), &here, &installed).unwrap();
        assert_eq!(named, Path::new("absent"));
        assert_eq!(find(Some("".into()), &here, &installed).unwrap(), here);
    }

    #[test]
    fn a_configuration_of_another_user_in_the_current_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().join("here");
        fs::write(&here, "").unwrap();
        // Only root may change the owner of a file.
        if std::os::unix::fs::chown(&here, Some(54_321), None).is_err() {
            return;
        }
        let why = find(None, &here, Path::new("/none")).unwrap_err();
        assert!(why.to_string().contains("belongs to user 54321"), "{why}");
    }
}
