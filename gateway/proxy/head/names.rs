//! Part of phase 1: refuses a header whose name an application behind the gateway could read as that of a header which
//! is not accepted from clients.

use std::sync::Arc;

use pingora::http::RequestHeader;

use crate::provider::is_plain;
use crate::proxy::reject::{Reason, Rejection};
use crate::route::Route;

/// How much of a name the message quotes, in characters.
const QUOTED: usize = 64;

/// Refuses a request with a header that an application could take for one that is stripped, or that the gateway writes.
/// Other names with `_` go up unchanged.
pub(in crate::proxy) fn check(
    route: &Arc<Route>,
    request: &RequestHeader,
) -> Result<(), Rejection> {
    let names = request.headers.keys();
    for name in names.filter(|name| !is_plain(name.as_str())) {
        // The HTTP/2 library accepts a quote, which cannot be part of a name (RFC 9110, section 5.6.2).
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
    let start = |name: &str| name.chars().take(QUOTED).collect::<String>();
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
