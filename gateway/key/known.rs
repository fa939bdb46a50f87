//! What keys of a file share: labels and limits.

use super::labels::KnownLabels;
use super::limits::KnownLimits;

/// The labels and limits of the keys that were read so far.
#[derive(Default)]
pub(super) struct Known {
    pub(super) labels: KnownLabels,
    pub(super) limits: KnownLimits,
}
