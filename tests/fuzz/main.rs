//! Fuzz targets for every parser of untrusted input, with the properties that must hold for any input. `tests/fuzz/run` runs
//! them.
//!
//! All targets are in one program; the environment variable `TARGET` selects one.
#![no_main]

mod config;
mod head;
mod key;
mod meter;
mod path;
mod proxies;
mod template;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

fn target() -> fn(&[u8]) {
    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();
    *TARGET.get_or_init(|| match std::env::var("TARGET").as_deref() {
        Ok("key") => key::read,
        Ok("path") => path::read,
        Ok("head") => head::read,
        Ok("template") => template::read,
        Ok("config") => config::read_gateway,
        Ok("keys") => config::read_keys,
        Ok("prices") => config::read_prices,
        Ok("response") => meter::read_response,
        Ok("stream") => meter::read_stream,
        Ok("exact") => meter::read_exact,
        Ok("request") => meter::read_request,
        Ok("socket") => meter::read_socket,
        Ok("proxies") => proxies::read,
        _ => panic!(
            "TARGET is key, path, head, template, config, keys, prices, response, stream, exact, request, \
             socket or proxies"
        ),
    })
}

fuzz_target!(|bytes: &[u8]| target()(bytes));

/// The longest prefix that is UTF-8.
fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}
