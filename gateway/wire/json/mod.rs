//! JSON, read as its bytes come in, without a copy of the document.

pub mod escape;
pub mod members;
pub mod number;
pub mod scanner;
