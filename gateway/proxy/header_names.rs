//! Part of phase 1: no header of a client has a name that can be read as one that is not taken from clients.

use std::sync::Arc;

use pingora::http::RequestHeader;

use super::reject::{Reason, Rejection};
use crate::provider::is_plain;
use crate::route::Route;

/// How much of a name is said to the client, in characters.
const SAID: usize = 64;

/// Refuses a request with a header that an application behind the gateway may take for another one, which does not go
/// up, or which the gateway writes. Other names with `_` pass as they came.
pub(super) fn check(route: &Arc<Route>, request: &RequestHeader) -> Result<(), Rejection> {
    let names = request.headers.keys();
    for name in names.filter(|name| !is_plain(name.as_str())) {
        // Over HTTP/2, a quote is let through, which is no part of a name (RFC 9110, section 5.6.2).
        if name.as_str().contains('"') {
            return Err(Rejection::on(route, Reason::BadFraming));
        }
        if let Some(read_as) = route.stripped.misread(name) {
            return Err(refuse(route, name.as_str(), &read_as));
        }
    }
    Ok(())
}

fn refuse(route: &Arc<Route>, name: &str, read_as: &str) -> Rejection {
    let start = |name: &str| name.chars().take(SAID).collect::<String>();
    let message = format!(
        "The header `{}` can be read as `{}`, which is not taken from clients in this spelling: leave it out, or give it \
         another name.",
        start(name),
        start(read_as),
    );
    Rejection {
        message: Some(message.into()),
        ..Rejection::on(route, Reason::AmbiguousHeader)
    }
}
