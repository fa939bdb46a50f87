//! `env:NAME`: secrets in environment variables.

use std::env::VarError;

use super::reference::SecretError;

/// The value of the variable `name`.
pub(super) fn read(name: &str) -> Result<String, SecretError> {
    std::env::var(name).map_err(|error| match error {
        VarError::NotPresent => {
            SecretError::Missing(format!("environment variable {name} is not set"))
        }
        VarError::NotUnicode(_) => {
            SecretError::Unusable(format!("environment variable {name} is not text"))
        }
    })
}
