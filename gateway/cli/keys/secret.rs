//! What the making and the rotation of a key have in common: a new secret, and when it ends.

use jiff::Timestamp;

use crate::error::Error;
use crate::key::format;

/// A new secret for the key `id`.
pub(super) fn new_secret(id: &str) -> Result<zeroize::Zeroizing<String>, Error> {
    format::generate(id)
        .map_err(|error| Error::failed("read random numbers from the system", error))
}

/// Refuses an end that is over.
pub(super) fn in_time(expires: Option<Timestamp>) -> Result<(), Error> {
    match expires {
        Some(end) if end <= Timestamp::now() => Err(Error::Usage(format!(
            "--expires is in the past ({}): the key would open nothing",
            in_file(end)
        ))),
        _ => Ok(()),
    }
}

/// Refuses a key that ends before it begins.
pub(super) fn in_order(
    not_before: Option<Timestamp>,
    expires: Option<Timestamp>,
) -> Result<(), Error> {
    match not_before.zip(expires) {
        Some((begin, end)) if in_file(end) <= in_file(begin) => Err(Error::Usage(format!(
            "--not-before ({}) is not before --expires ({}): the key would open nothing",
            in_file(begin),
            in_file(end)
        ))),
        _ => Ok(()),
    }
}

/// A time as the key file has it: in whole seconds.
pub(super) fn in_file(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
