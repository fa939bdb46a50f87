//! The reader of objects that name destinations, which `ai` and `upstream` implement.

use crate::import::gloo::backend::Secrets;
use crate::import::notes::Notes;
use crate::import::plan::Plan;

/// Reads objects that name destinations.
pub(super) struct Reader<'r> {
    pub plan: &'r mut Plan,
    pub notes: &'r Notes,
    pub secrets: &'r Secrets<'r>,
}
