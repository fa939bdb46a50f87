//! Makes a store of a key file that has the form in which `keygate keys` writes it, straight from the file. Of chunks
//! that the store that serves has already, it takes the pages over, and reads only their bytes.
//!
//! Gives up wherever a full load could find a problem or another meaning: then the file is loaded as a whole. So a store
//! that is made here equals the one of a full load.

mod assemble;
mod parts;
mod reader;
mod run;
#[cfg(test)]
mod tests;

use self::reader::Reader;
use super::store::KeyStore;
use super::window::Window;
use crate::document::PrefixHash;
use crate::runtime::background;

/// Makes a store of the file in `window`, and returns it with the hash of the file; `None` if the file has to be loaded
/// as a whole, or cannot be read. `before` is the store that serves.
pub(super) fn load(window: Window, before: Option<&KeyStore>) -> Option<(KeyStore, PrefixHash)> {
    let before = before.and_then(|store| Some((store, store.outline()?)));
    if before.is_none() {
        background::lower_priority();
    }
    let mut reader = Reader::new(window, before.map(|(_, outline)| outline));
    reader.read()?;
    let (parts, hash) = reader.finish();
    let store = assemble::assemble(parts, before.map(|(store, _)| store))?;
    Some((store, hash))
}
