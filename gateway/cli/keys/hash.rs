//! `keygate keys hash`: prints the digest of a key, as it is written in the key file.

use std::io::Read;

use clap::Args;
use serde_json::json;

use crate::cli::output::print;
use crate::error::Error;
use crate::key::KeyDigest;

#[derive(Args)]
pub(in crate::cli) struct Hash {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Hash) -> Result<(), Error> {
    let mut key = zeroize::Zeroizing::new(String::new());
    std::io::stdin()
        .lock()
        .read_to_string(&mut key)
        .map_err(|error| Error::failed("read standard input", error))?;
    let digest = KeyDigest::of(key.trim_end_matches(['\r', '\n']).as_bytes()).to_string();
    print(&if options.json {
        json!({"hash": digest}).to_string()
    } else {
        digest
    })
}
