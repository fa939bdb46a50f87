//! Counts the errors that a response reports in its body.

/// The errors reported so far.
#[derive(Default)]
pub(super) struct Errors {
    /// Whether the document or event being read has reported an error.
    in_document: bool,
    /// Whether the document being read has an error object that counts unless it turns out to be
    /// empty.
    open_object: bool,
    /// Whether errors are counted per document. Otherwise the caller ends each event.
    by_document: bool,
    /// The number of earlier documents that reported an error.
    earlier: u64,
}

impl Errors {
    /// Counts errors per document.
    pub(super) fn count_documents(&mut self) {
        self.by_document = true;
    }

    /// Records an error if `is_error`.
    pub(super) fn add(&mut self, is_error: bool) {
        self.in_document |= is_error;
    }

    /// An error object begins, which counts if it has members. Some servers write `{}` for no
    /// error, as others write `null`.
    pub(super) fn object_begins(&mut self) {
        self.in_document |= std::mem::replace(&mut self.open_object, true);
    }

    /// The object that began last has no members.
    pub(super) fn object_is_empty(&mut self) {
        self.open_object = false;
    }

    /// A document begins.
    pub(super) fn document_begins(&mut self) {
        if self.by_document {
            self.earlier = self.count();
            (self.in_document, self.open_object) = (false, false);
        }
    }

    /// Ends an event and returns whether it reported an error.
    pub(super) fn event_ended(&mut self) -> bool {
        std::mem::take(&mut self.in_document) | std::mem::take(&mut self.open_object)
    }

    /// The number of documents that reported an error, including the one being read. For events,
    /// only the event being read counts.
    pub(super) fn count(&self) -> u64 {
        self.earlier
            .saturating_add((self.in_document || self.open_object).into())
    }
}
