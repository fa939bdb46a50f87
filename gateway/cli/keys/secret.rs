//! What `create` and `rotate` share: a new secret, and checks of the key's validity.

use jiff::Timestamp;

use crate::error::Error;
use crate::key::format;

/// Generates a secret for the key `id`.
pub(super) fn new_secret(id: &str) -> Result<zeroize::Zeroizing<String>, Error> {
    format::generate(id)
        .map_err(|error| Error::failed("read random numbers from the system", error))
}

/// Refuses an end in the past.
pub(super) fn check_not_past(expires: Option<Timestamp>) -> Result<(), Error> {
    match expires {
        Some(end) if end <= Timestamp::now() => Err(Error::Usage(format!(
            "--expires is in the past ({}): the key would never be valid",
            whole_seconds(end)
        ))),
        _ => Ok(()),
    }
}

/// Refuses an end that is not after the start.
pub(super) fn check_order(
    not_before: Option<Timestamp>,
    expires: Option<Timestamp>,
) -> Result<(), Error> {
    match not_before.zip(expires) {
        Some((begin, end)) if whole_seconds(end) <= whole_seconds(begin) => {
            Err(Error::Usage(format!(
                "--not-before ({}) is not before --expires ({}): the key would never be valid",
                whole_seconds(begin),
                whole_seconds(end)
            )))
        }
        _ => Ok(()),
    }
}

/// A time in whole seconds, as the key file has it.
pub(super) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
