//! Secrets: the type that cannot be printed, the references by which a file names one, and the sources they are
//! fetched from.
//!
//! Knows where secrets come from; knows nothing of who uses them.

mod credential;
mod env;
mod file;
mod form;
mod links;
mod private;
mod reference;
mod source;
mod value;

pub(crate) use private::{LARGEST_KEYS, Private, PrivateFile};
pub(crate) use reference::{SecretError, SecretRef};
pub(crate) use source::{LocalSecrets, SecretSource};
pub(crate) use value::Secret;
