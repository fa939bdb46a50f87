//! Why an edit of the key file failed.

use std::io;

use thiserror::Error;

use super::read_back::Refusal;

/// An id of more bytes may be a pasted key. It is longer than most ids, and shorter than any key that keygate makes.
const LONGEST_PRINTED_ID: usize = 32;

/// Why an edit failed. Unless it is [`Unconfirmed`](Self::Unconfirmed), the file is unchanged.
#[derive(Debug, Error)]
pub(crate) enum EditError {
    /// The file could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The path does not name a file that can be read as a key file: why, with the file as the subject.
    #[error("it {0}; nothing was changed")]
    Unfit(String),
    /// The file is not TOML.
    #[error("line {line} is not valid TOML: {}; nothing was changed", source.message())]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The parser's error.
        source: Box<toml_edit::TomlError>,
    },
    /// The file, or the key in it, is not written in a way that can be edited: what is wrong.
    #[error("{0}; nothing was changed")]
    Invalid(String),
    /// The gateway would refuse the file.
    #[error("{0}; nothing was changed")]
    Refused(Refusal),
    /// The file has no key with this id. Never prints a long id, which may be a pasted key: someone who looks for a
    /// leaked key may enter the key itself.
    #[error("{}", no_such_key(.0))]
    NoSuchKey(String),
    /// The file has a key with this id already.
    #[error("there is a key `{0}` already")]
    Taken(String),
    /// The file was changed, and the disk did not confirm it.
    #[error(
        "the file is changed, but the disk did not confirm it ({0}): after a crash it may be the old one again"
    )]
    Unconfirmed(#[source] io::Error),
}

fn no_such_key(id: &str) -> String {
    if id.len() > LONGEST_PRINTED_ID {
        "there is no key of this id: `keygate keys list` shows them".to_owned()
    } else {
        format!("there is no key `{id}`")
    }
}
