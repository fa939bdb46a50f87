//! The reader of objects that name destinations, which `ai` and `upstream` implement.

use crate::import::gloo::backend::Secrets;
use crate::import::notes::Notes;
use crate::import::plan::Plan;

/// Reads objects that name destinations.
pub(super) struct Reader<'r> {
    pub(crate) plan: &'r mut Plan,
    pub(crate) notes: &'r Notes,
    pub(crate) secrets: &'r Secrets<'r>,
}
