//! `env:NAME`, `file:PATH`, `credential:NAME`, `inline:VALUE`: how a file names a secret without
//! holding it. A bare string is refused, so that a pasted token never sits in a file by accident.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Private, Secret};
use crate::runtime::regular_file::{self, ReadError};

/// The largest token, key in PEM or other secret, in bytes.
const LARGEST: u64 = 64 << 10;

/// A reference to a secret, as written.
///
/// No `Debug`: an `inline:` reference holds the value.
#[derive(Clone)]
pub enum SecretRef {
    /// `env:NAME`: an environment variable.
    Env(String),
    /// `file:PATH`: a file's content; a relative path counts from the configuration's folder.
    File(PathBuf),
    /// `credential:NAME`: a file in the folder that systemd names in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// `inline:VALUE`: the value itself, said aloud.
    Inline(String),
}

/// Why a reference gave no secret. Names the reference, never the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// It isn't a reference at all.
    Malformed(String),
    /// What it points at is not there (yet): the rest of the gateway can serve without it.
    Missing(String),
    /// What it points at could not be read, for a reason that may pass by itself.
    Unread(String),
    /// What it points at is there and cannot be a secret.
    Unusable(String),
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) | Self::Missing(why) | Self::Unread(why) | Self::Unusable(why) => {
                f.write_str(why)
            }
        }
    }
}

impl std::error::Error for SecretError {}

impl SecretError {
    /// Whether the unchanged source may give the secret a moment later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unread(_))
    }

    /// What `error` means for the secret in the file at `path`.
    fn of_file(path: &Path, error: &ReadError) -> Self {
        let why = format!("{} {error}", path.display());
        match error {
            ReadError::Unfit(_) => Self::Unusable(why),
            _ if error.may_pass() => Self::Unread(why),
            _ => Self::Missing(why),
        }
    }
}

impl SecretRef {
    /// Reads a reference; relative file paths are taken from `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, SecretError> {
        let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
        let reference = match scheme {
            "env" => Self::Env(rest.to_owned()),
            "file" => Self::File(folder.join(rest)),
            "credential" => Self::Credential(rest.to_owned()),
            "inline" => Self::Inline(rest.to_owned()),
            _ => {
                return Err(SecretError::Malformed(
                    "a secret is never written here as a bare string: say where it is, \
                     `env:NAME`, `file:PATH` or `credential:NAME`, or `inline:VALUE` if you mean it"
                        .to_owned(),
                ));
            }
        };
        let is_name = match scheme {
            "inline" => true,
            "file" => !rest.is_empty(),
            // Neither leaves the folder of credentials, nor is a token that was pasted in a name's place.
            _ => {
                (1..=255).contains(&rest.len())
                    && rest
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"_.-@".contains(&b))
            }
        };
        if !is_name {
            return Err(SecretError::Malformed(format!(
                "`{scheme}:` needs a name behind it"
            )));
        }
        Ok(reference)
    }

    /// The file it reads, if it reads one: a change of it is a reason to reload.
    pub fn file(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path.clone()),
            Self::Credential(name) => credential_path(name).ok(),
            Self::Env(_) | Self::Inline(_) => None,
        }
    }

    /// Fetches the secret, which has to fit into a header.
    pub fn resolve(&self) -> Result<Secret, SecretError> {
        let mut value = self.read()?;
        Secret::new(std::mem::take(&mut *value))
            .map_err(|why| SecretError::Unusable(format!("{self} {why}")))
    }

    /// Reads it as it is: a key in PEM, for instance.
    pub fn read(&self) -> Result<Zeroizing<String>, SecretError> {
        let value = match self {
            Self::Env(name) => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => {
                    SecretError::Missing(format!("environment variable {name} is not set"))
                }
                std::env::VarError::NotUnicode(_) => {
                    SecretError::Unusable(format!("environment variable {name} is not text"))
                }
            })?,
            Self::File(path) => read_private(path)?,
            Self::Credential(name) => read_credential(&credential_path(name)?)?,
            Self::Inline(value) => value.clone(),
        };
        Ok(Zeroizing::new(value))
    }
}

/// Names the reference without giving anything away.
impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::Inline(_) => f.write_str("inline:(hidden)"),
        }
    }
}

fn credential_path(name: &str) -> Result<PathBuf, SecretError> {
    match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(folder) => Ok(Path::new(&folder).join(name)),
        None => Err(SecretError::Missing(format!(
            "credential:{name} needs systemd: $CREDENTIALS_DIRECTORY is not set \
             (LoadCredential={name}:PATH in the unit sets it)"
        ))),
    }
}

fn read_private(path: &Path) -> Result<String, SecretError> {
    match Private::read_linked(path, LARGEST) {
        Ok(Private {
            exposed: Some(why), ..
        }) => Err(SecretError::Unusable(format!("{} {why}", path.display()))),
        Ok(file) => Ok(file.text),
        Err(error) => Err(SecretError::of_file(path, &error)),
    }
}

fn read_credential(path: &Path) -> Result<String, SecretError> {
    regular_file::read_text(path, LARGEST).map_err(|error| SecretError::of_file(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SecretRef, SecretError> {
        SecretRef::parse(text, Path::new("/etc/keygate"))
    }

    #[test]
    fn a_pasted_token_is_refused_and_not_repeated() {
        for pasted in ["sk-proj-abc", "sk:abc", "", "Bearer sk-abc"] {
            let error = parse(pasted).err().unwrap();
            assert!(matches!(error, SecretError::Malformed(_)));
            assert!(!error.to_string().contains("abc"));
        }
        for misplaced in ["env:sk/abc=", "credential:Bearer abc", "env:abc+"] {
            assert!(!parse(misplaced).err().unwrap().to_string().contains("abc"));
        }
        assert!(parse("env:").is_err());
        assert!(parse("credential:../x").is_err());
    }

    #[test]
    fn a_relative_file_counts_from_the_folder_of_the_configuration() {
        assert_eq!(
            parse("file:t/openai").ok().unwrap().file(),
            Some("/etc/keygate/t/openai".into())
        );
        assert_eq!(
            parse("file:/run/t").ok().unwrap().file(),
            Some("/run/t".into())
        );
    }

    #[test]
    fn a_missing_source_is_missing_and_an_empty_one_unusable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let reference = SecretRef::File(path.clone());
        assert!(matches!(
            reference.resolve().err(),
            Some(SecretError::Missing(_))
        ));
        std::fs::write(&path, "\n").unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).unwrap();
        assert!(matches!(
            reference.resolve().err(),
            Some(SecretError::Unusable(_))
        ));
        std::fs::write(&path, "sk-1\n").unwrap();
        assert_eq!(reference.resolve().ok().unwrap().expose(), "sk-1");
        assert_eq!(
            parse("inline:x").ok().unwrap().to_string(),
            "inline:(hidden)"
        );
    }
}
