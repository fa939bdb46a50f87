//! The scheme of an absolute URL (RFC 3986, section 3.1), and the user information in one (section 3.2.1).
//!
//! Knows where they end, and neither which schemes there are nor which URLs may have a user.

use std::borrow::Cow;

/// The scheme of `url`, and what follows `://`; `None` for a text without them. A scheme is the same in any case.
#[inline]
pub(crate) fn split_scheme(url: &str) -> Option<(&str, &str)> {
    url.split_once("://")
}

/// `text` with `***` in the place of each user and password of a URL in it, such as `https://user:password@host`.
pub(crate) fn mask_user_info(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut rest = text;
    while let Some((before, after)) = split_scheme(rest) {
        let end = after.find(ends_authority).unwrap_or(after.len());
        let (authority, behind) = after.split_at(end);
        masked.push_str(before);
        masked.push_str("://");
        match authority.rsplit_once('@') {
            Some((_, host)) => masked.extend(["***@", host]),
            None => masked.push_str(authority),
        }
        rest = behind;
    }
    if masked.is_empty() {
        return Cow::Borrowed(text);
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

/// Whether a character ends the authority of a URL, or the URL in a text.
fn ends_authority(character: char) -> bool {
    matches!(character, '/' | '?' | '#' | '`' | '"' | '\'') || character.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_passwords_in_urls_are_masked_and_nothing_else_is() {
        for (text, masked) in [
            ("no URL: a@b, c://", "no URL: a@b, c://"),
            ("`https://h/p@1`, see docs", "`https://h/p@1`, see docs"),
            ("`https://u:pw@h/p` is wrong", "`https://***@h/p` is wrong"),
            ("redis://:p@w@h:6379?db=1", "redis://***@h:6379?db=1"),
            ("HTTPS://token@h#f", "HTTPS://***@h#f"),
            (
                "two: http://a:b@c, and \"http://d@e\"; x@y",
                "two: http://***@c, and \"http://***@e\"; x@y",
            ),
        ] {
            assert_eq!(mask_user_info(text), masked);
        }
    }
}
