//! The requests that a match of a route object selects, as far as keygate can select them.

use crate::import::fields::Fields;
use crate::import::gloo::draft::{PathEnd, Scope};
use crate::import::gloo::path::{plain_prefix, prefix_of_regex};

/// The requests that a match selects: all or some below a path.
pub(super) struct Selection {
    pub(crate) path: String,
    pub(crate) scope: Scope,
    /// The text that all matching paths begin with.
    pub(crate) beginning: String,
    /// Where the path prefix may end.
    pub(crate) path_end: PathEnd,
}

impl Selection {
    /// All requests.
    pub(super) fn everything() -> Self {
        Self {
            path: "/".to_owned(),
            scope: Scope::Whole,
            beginning: String::new(),
            path_end: PathEnd::Segment,
        }
    }

    /// An unknown selection of requests.
    pub(super) fn anywhere() -> Self {
        Self {
            scope: Scope::Pattern,
            ..Self::everything()
        }
    }

    /// All requests below a path.
    pub(super) fn below(written: &str) -> Self {
        let path = plain_prefix(written);
        let scope = if path == written {
            Scope::Whole
        } else {
            Scope::Pattern
        };
        Self {
            path,
            scope,
            beginning: String::new(),
            path_end: PathEnd::Segment,
        }
    }

    /// The requests for exactly this path.
    pub(super) fn exactly(written: &str) -> Self {
        let below = Self::below(written);
        let scope = below.scope.max(Scope::Part);
        Self { scope, ..below }
    }

    /// All requests whose path begins with the text `written`, which may end within a segment.
    pub(super) fn beginning_with(written: &str) -> Self {
        let below = Self::below(written);
        let path_end = if below.path.ends_with('/') {
            PathEnd::Segment
        } else {
            PathEnd::Anywhere
        };
        Self { path_end, ..below }
    }

    /// The requests that a regular expression matches.
    pub(super) fn matching(regex: &str) -> Self {
        let (path, beginning) = prefix_of_regex(regex);
        Self {
            path,
            scope: Scope::Pattern,
            beginning,
            path_end: PathEnd::Segment,
        }
    }

    /// Restricts the selection if a match has one of these conditions, which keygate does not
    /// support, or another field that was not read.
    pub(super) fn restrict_by(&mut self, conditions: &[&str], matched: &mut Fields<'_>) {
        for condition in conditions {
            if matched.value(&[condition]).is_some() {
                matched.lost(condition, "keygate chooses by host and path only");
                self.scope = self.scope.max(Scope::Part);
            }
        }
        if matched.unread().next().is_some() {
            self.scope = self.scope.max(Scope::Part);
        }
    }

    /// Notes that the selection has another path than the one in `field`.
    pub(super) fn note_path(&self, written: &str, fields: &Fields<'_>, field: &str) {
        if self.path != written {
            fields.lost(
                field,
                format!(
                    "`{written}` is no path in its plain form: keygate has the path {}",
                    self.path
                ),
            );
        }
    }
}
