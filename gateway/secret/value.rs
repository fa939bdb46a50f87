//! The type of a secret, which cannot be printed.

use http::HeaderValue;
use zeroize::Zeroizing;

use super::form;
use crate::grammar::authorization::has_prefix;

/// A secret: a provider's token, a key.
///
/// It has no `Debug` and no `Display`, so it cannot reach a log, an error or a metric by accident;
/// its memory is zeroed when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over `value` without the spaces around it.
    ///
    /// # Errors
    /// When it could not stand in a header: when it is empty, or holds a line break or another control character. The
    /// error reads on behind the name of the secret.
    pub fn new(value: String) -> Result<Self, &'static str> {
        let value = Zeroizing::new(value);
        if value.starts_with('\u{feff}') {
            return Err("begins with a byte order mark: save it as UTF-8 without one");
        }
        let trimmed = value.trim();
        if trimmed.is_empty() {
            return Err("is empty");
        }
        if trimmed.contains(['\n', '\r']) {
            return Err("contains a line break");
        }
        if !trimmed.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err("contains a character that cannot stand in a header");
        }
        Ok(Self(Zeroizing::new(trimmed.to_owned())))
    }

    /// What is odd about it, if it looks like a token with text around it, such as quotation marks. The finding reads on
    /// behind the name of the secret, and holds no part of it.
    pub(crate) fn oddity(&self) -> Option<&'static str> {
        form::oddity(&self.0)
    }

    /// The value itself. Review every call.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The value behind `prefix`, as a header that Pingora and h2 keep out of logs and compression tables.
    ///
    /// A secret that already begins with the prefix ("Bearer sk-...") does not get it twice.
    pub fn header(&self, prefix: &str) -> Option<HeaderValue> {
        let bare = self.expose();
        let text = if has_prefix(bare, prefix) {
            Zeroizing::new(bare.to_owned())
        } else {
            Zeroizing::new(format!("{prefix}{bare}"))
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_stand_in_a_header_is_no_secret() {
        for (bad, why) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("a\nb", "contains a line break"),
            (
                "\u{feff}a",
                "begins with a byte order mark: save it as UTF-8 without one",
            ),
        ] {
            assert_eq!(Secret::new(bad.to_owned()).err(), Some(why));
        }
        assert!(Secret::new("a\u{e9}".to_owned()).is_err());
        assert_eq!(
            Secret::new(" sk-1\n".to_owned()).ok().unwrap().expose(),
            "sk-1"
        );
    }

    #[test]
    fn a_prefix_is_given_once_and_the_header_is_sensitive() {
        let header = |text: &str| {
            Secret::new(text.to_owned())
                .ok()
                .unwrap()
                .header("Bearer ")
                .unwrap()
        };
        assert_eq!(header("sk-1"), "Bearer sk-1");
        assert_eq!(header("bearer sk-1"), "bearer sk-1");
        assert!(header("sk-1").is_sensitive());
    }
}
