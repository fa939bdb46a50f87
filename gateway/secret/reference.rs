//! `env:NAME`, `file:PATH`, `credential:NAME`, `inline:VALUE`: how a file names a secret without holding it.
//!
//! A bare string is refused, so that a pasted token never stays in a file by accident. Does no IO: a
//! [`SecretSource`](super::SecretSource) fetches what a reference names.

use std::fmt;
use std::path::{Path, PathBuf};

/// A reference to a secret, as written.
///
/// No `Debug`: an `inline:` reference holds the value.
#[derive(Clone)]
pub(crate) enum SecretRef {
    /// `env:NAME`: an environment variable.
    Env(String),
    /// `file:PATH`: a file's content; a relative path counts from the configuration's folder.
    File(PathBuf),
    /// `credential:NAME`: a file in the folder that systemd names in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// `inline:VALUE`: the value itself.
    Inline(String),
}

/// Why a secret could not be fetched. Names the reference, never the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The text is not a reference.
    #[error("{0}")]
    Malformed(String),
    /// The source has no such secret, perhaps not yet: the rest of the gateway can serve without it.
    #[error("{0}")]
    Missing(String),
    /// The source could not be read, for a reason that may pass by itself.
    #[error("{0}")]
    Unread(String),
    /// The source holds a text that cannot be a secret.
    #[error("{0}")]
    Unusable(String),
}

impl SecretError {
    /// Whether another try may succeed a moment later although nobody changes the source.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Unread(_))
    }
}

impl SecretRef {
    /// Parses a reference; relative file paths count from `folder`.
    pub(crate) fn parse(text: &str, folder: &Path) -> Result<Self, SecretError> {
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
            // A name cannot leave the folder of credentials, and a pasted token is hardly ever made of these characters.
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
}

/// Names the reference and hides an inline value.
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
        for (text, expected) in [
            ("file:t/openai", "/etc/keygate/t/openai"),
            ("file:/run/t", "/run/t"),
        ] {
            let found = parse(text).ok().unwrap();
            assert!(matches!(found, SecretRef::File(path) if path == Path::new(expected)));
        }
    }

    #[test]
    fn an_inline_value_is_hidden() {
        let inline = parse("inline:x").ok().unwrap();
        assert_eq!(inline.to_string(), "inline:(hidden)");
    }
}
