//! The scheme of an absolute URL (RFC 3986, section 3.1).
//!
//! Knows where a scheme ends, and neither which schemes there are nor what follows one.

/// The scheme of `url`, and what follows `://`; `None` for a text without them. A scheme is the same in any case.
#[inline]
pub(crate) fn split_scheme(url: &str) -> Option<(&str, &str)> {
    url.split_once("://")
}
