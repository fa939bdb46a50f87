//! Errors that a response says in its body.

/// As far as they were said.
#[derive(Default)]
pub(super) struct Errors {
    /// Whether one was said in the document or event that is being read.
    now: bool,
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

    /// A document begins.
    pub(super) fn document_begins(&mut self) {
        if self.by_document {
            self.before = self.count();
            self.now = false;
        }
    }

    /// An event has ended. Whether it said an error.
    pub(super) fn event_ended(&mut self) -> bool {
        std::mem::take(&mut self.now)
    }

    /// The documents that said an error, with the one that is being read; of events, that one alone.
    pub(super) fn count(&self) -> u64 {
        self.before.saturating_add(self.now.into())
    }
}
