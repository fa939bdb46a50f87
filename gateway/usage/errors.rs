//! Errors that a response says in its body.

/// As far as they were said.
#[derive(Default)]
pub(super) struct Errors {
    /// Whether one was said in the document or event that is being read.
    now: bool,
    /// Whether an object has begun there that is one unless it is empty.
    object: bool,
    /// Whether each document is taken for itself; else somebody else knows where one ends.
    by_document: bool,
    /// The documents before that said one.
    before: u64,
}

impl Errors {
    /// Takes each document for itself.
    pub(super) fn count_documents(&mut self) {
        self.by_document = true;
    }

    /// An error is said if `said`.
    pub(super) fn add(&mut self, said: bool) {
        self.now |= said;
    }

    /// An object begins that is an error if it has members. Some servers write `{}` for none, as others write `null`.
    pub(super) fn object_begins(&mut self) {
        self.now |= std::mem::replace(&mut self.object, true);
    }

    /// The object that began last has no members.
    pub(super) fn object_is_empty(&mut self) {
        self.object = false;
    }

    /// A document begins.
    pub(super) fn document_begins(&mut self) {
        if self.by_document {
            self.before = self.count();
            (self.now, self.object) = (false, false);
        }
    }

    /// An event has ended. Whether it said an error.
    pub(super) fn event_ended(&mut self) -> bool {
        std::mem::take(&mut self.now) | std::mem::take(&mut self.object)
    }

    /// The documents that said an error, with the one that is being read; of events, that one alone.
    pub(super) fn count(&self) -> u64 {
        self.before.saturating_add((self.now || self.object).into())
    }
}
