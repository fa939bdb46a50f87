//! The web pages that may read a route's responses (CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! A page sends its key in a header that it sets itself. No page may use the credentials that a browser adds
//! (`Access-Control-Allow-Credentials`), because cookies and client certificates authorize nothing here.

use http::{HeaderMap, HeaderValue, header::ORIGIN};

use crate::grammar::url::split_scheme;

/// The origins whose pages may read responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cors {
    /// Pages of every origin, configured as `*`.
    Any,
    /// Pages of these origins, which are spelled as browsers spell them.
    Origins(Vec<HeaderValue>),
}

impl Cors {
    /// The value of `Access-Control-Allow-Origin` for a request with `headers`; `None` if its page may not read the
    /// response.
    pub(crate) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Origins(origins) => {
                let mut sent = headers.get_all(ORIGIN).iter();
                let origin = sent.next().filter(|_| sent.next().is_none())?;
                origins.iter().find(|known| *known == origin).cloned()
            }
        }
    }

    /// Whether responses depend on the page that sends the request.
    pub(crate) fn varies(&self) -> bool {
        matches!(self, Self::Origins(_))
    }
}

/// Why a text is no origin that may be allowed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OriginError {
    /// It is the origin of pages that have none.
    #[error("`null` is the origin of every sandboxed page and of every file: name another")]
    Null,
    /// It is a pattern.
    #[error("`{0}` is no origin: write each origin out, or `*` for all")]
    Pattern(String),
    /// It is an origin in a spelling that no browser uses.
    #[error("`{written}` is not what a browser sends: it sends `{sent}`")]
    Spelling {
        /// The origin as it is written.
        written: String,
        /// The origin as browsers send it.
        sent: String,
    },
    /// It is no origin.
    #[error("`{0}` is no origin, such as `https://app.example.com`")]
    Form(String),
}

/// Reads an origin as browsers write it: `https://app.example.com`, with a port unless that is the scheme's own.
pub(crate) fn parse_origin(text: &str) -> Result<HeaderValue, OriginError> {
    if text == "null" {
        return Err(OriginError::Null);
    }
    let (scheme, rest) = split_scheme(text).unwrap_or(("https", text));
    let scheme = scheme.to_ascii_lowercase();
    let host = rest.trim_end_matches('/').to_ascii_lowercase();
    let host = match scheme.as_str() {
        "https" => host.strip_suffix(":443"),
        "http" => host.strip_suffix(":80"),
        _ => None,
    }
    .map_or_else(|| host.clone(), str::to_owned);
    if host.contains('*') {
        return Err(OriginError::Pattern(text.to_owned()));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte);
    let good = !host.is_empty() && host.bytes().all(plain) && scheme.bytes().all(is_scheme);
    let value = HeaderValue::try_from(format!("{scheme}://{host}"));
    match value {
        Ok(value) if good && value == text => Ok(value),
        Ok(value) if good => Err(OriginError::Spelling {
            written: text.to_owned(),
            sent: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        }),
        _ => Err(OriginError::Form(text.to_owned())),
    }
}
