//! The shared state of the readers of objects, whose methods are in the files of their subjects.

use crate::import::gloo::backend::Secrets;
use crate::import::gloo::object::Object;
use crate::import::notes::Notes;
use crate::import::plan::Plan;

/// Reads objects that name destinations, and those that say who may use a route.
pub(super) struct Reader<'r> {
    pub(crate) plan: &'r mut Plan,
    pub(crate) notes: &'r Notes,
    /// All objects, for references by name.
    pub(crate) objects: &'r [Object],
    pub(crate) secrets: &'r Secrets<'r>,
}
