//! `passthrough`: the client's own token authorizes its request.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::authorization::Authorization;
use super::placement::TokenPlacement;
use crate::grammar::authorization::without_bearer;

/// The client's own token, from the provider's header or from `Authorization` where the provider takes tokens there.
/// Two such headers count as none: which one is meant would be a guess. A key of the gateway's own, which `is_ours`
/// recognizes by the value of its header, is never passed on.
pub(super) fn header_from_client(
    placement: &TokenPlacement,
    client: &HeaderMap,
    is_ours: impl Fn(&[u8]) -> bool,
) -> Option<Authorization> {
    let own = placement.header();
    let other = (*own != AUTHORIZATION && placement.takes_token_in(&AUTHORIZATION))
        .then_some(&AUTHORIZATION);
    let mut presented = std::iter::once(own)
        .chain(other)
        .flat_map(|name| client.get_all(name).iter().map(move |value| (name, value)));
    let (Some((name, value)), None) = (presented.next(), presented.next()) else {
        return None;
    };
    let bare = without_bearer(value.as_bytes());
    if bare.is_empty() || is_ours(value.as_bytes()) {
        return None;
    }
    if name != own || placement.is_bearer(bare) {
        return placement.header_for_bare(bare);
    }
    // In the provider's own header, the value is passed on as the client wrote it, whatever its scheme.
    let mut value = value.clone();
    value.set_sensitive(true);
    Some(Authorization {
        name: name.clone(),
        value,
        feature: None,
    })
}
