//! JSON, read as its bytes come in, without a copy of the document.
//!
//! There are two walkers, because they are for two things. `scanner` finds a few values anywhere in a document and
//! keeps nothing of its bytes: the meter reads with it. `members` finds where the members of the outermost object begin
//! and end, byte by byte: bodies that are rewritten on their way keep all other bytes. Both search whole strings at
//! once.

pub(crate) mod escape;
pub(crate) mod members;
pub(crate) mod number;
pub(crate) mod scanner;
