//! What an answer tells of its use, read beside the stream: nothing in here changes a body or holds it up.

mod meter;
mod readable;
mod scanner;
mod tokens;

pub use meter::Meter;
pub use readable::Readable;
pub use tokens::Usage;
