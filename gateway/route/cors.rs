//! Which pages in browsers may read a route's responses (CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! A page's key is in a header that the page itself sets. No page ever gets the right to use what a browser adds by
//! itself (`Access-Control-Allow-Credentials`): cookies and client certificates authorize nothing here.

use http::{HeaderMap, HeaderValue, header::ORIGIN};

/// The origins whose pages may read responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// Every page, by `*`.
    Any,
    /// Those of these origins, spelled as browsers do.
    Origins(Vec<HeaderValue>),
}

impl Cors {
    /// What a response to a request with `headers` says in `Access-Control-Allow-Origin`; nothing where its page may not
    /// read it.
    pub fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Origins(origins) => {
                let mut sent = headers.get_all(ORIGIN).iter();
                let origin = sent.next().filter(|_| sent.next().is_none())?;
                origins.iter().find(|known| *known == origin).cloned()
            }
        }
    }

    /// Whether responses differ by the page that asks.
    pub fn varies(&self) -> bool {
        matches!(self, Self::Origins(_))
    }
}

/// Reads an origin as browsers write it: `https://app.example.com`, with a port where that is not the usual one.
pub fn parse_origin(text: &str) -> Result<HeaderValue, String> {
    if text == "null" {
        return Err(
            "`null` is the origin of every sandboxed page and of every file: name another".into(),
        );
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let scheme = scheme.to_ascii_lowercase();
    let host = rest.trim_end_matches('/').to_ascii_lowercase();
    let host = match scheme.as_str() {
        "https" => host.strip_suffix(":443"),
        "http" => host.strip_suffix(":80"),
        _ => None,
    }
    .map_or_else(|| host.clone(), str::to_owned);
    if host.contains('*') {
        return Err(format!(
            "`{text}` is no origin: write each origin out, or `*` for all"
        ));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte);
    let good = !host.is_empty() && host.bytes().all(plain) && scheme.bytes().all(is_scheme);
    let value = HeaderValue::try_from(format!("{scheme}://{host}"));
    match value {
        Ok(value) if good && value == text => Ok(value),
        Ok(value) if good => Err(format!(
            "`{text}` is not what a browser sends: it sends `{}`",
            String::from_utf8_lossy(value.as_bytes())
        )),
        _ => Err(format!(
            "`{text}` is no origin, such as `https://app.example.com`"
        )),
    }
}
