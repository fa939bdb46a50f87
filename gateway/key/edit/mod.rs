//! Edits of the key file that change only the keys they are about: comments and order stay.
//!
//! Each edit reads the file under a lock, changes it, reads the result back with the reader that the gateway uses,
//! writes it beside the file, syncs and renames. After a crash the file is the old one or the new one. Editors at the
//! same time wait for each other. An edit whose result the gateway would refuse changes nothing. The next editor removes
//! what a killed editor left beside the file.

mod add;
mod change;
mod error;
mod limits;
mod read_back;
mod rotate;
mod tables;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use add::{NewKey, add};
pub(crate) use change::{delete, set_disabled};
pub(crate) use error::EditError;
pub(crate) use limits::{Change, LimitChanges, set_limits};
pub(crate) use rotate::{Rotation, rotate};
