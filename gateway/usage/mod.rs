//! What an answer tells of its use, read beside the stream: nothing in here changes a body or holds it up.

mod readable;

pub use readable::Readable;
