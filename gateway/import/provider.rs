//! A provider to be written, and what `keygate check` requires of it.

use http::{HeaderName, HeaderValue};

use crate::config::is_framing;
use crate::grammar::address;
use crate::origin::{BaseUrl, Exposure};
use crate::provider::{Kind, is_segment};
use crate::route::NormalPath;

/// A provider to be written.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PlannedProvider {
    /// The unique name.
    pub(crate) name: String,
    /// The kind.
    pub(crate) kind: &'static str,
    /// The setting `token`; empty if the kind needs none.
    pub(crate) token: String,
    /// Further settings, as names and values.
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl PlannedProvider {
    /// The provider of routes that reject every request. Nothing listens at its address, and it has
    /// no token.
    pub(super) fn nowhere() -> Self {
        Self {
            name: "nowhere".to_owned(),
            kind: "custom",
            token: "none".to_owned(),
            settings: vec![("base_url", "http://127.0.0.1:9".to_owned())],
        }
    }

    /// The origin to which the provider's requests and token go.
    pub(super) fn origin(&self) -> Option<String> {
        if self.has("base_url") || self.has("endpoint") {
            let url = self.own_url().filter(|url| self.allows(url));
            return url.map(|url| url.origin());
        }
        Some(Kind::named(self.kind)?.origin?.to_owned())
    }

    /// Returns whether the settings allow requests to `url`, which may need `plain_http`.
    fn allows(&self, url: &BaseUrl) -> bool {
        match url.exposure() {
            Exposure::None => true,
            Exposure::Unclear => self.has("plain_http"),
            Exposure::Public => false,
        }
    }

    /// The provider's URL, if it is configured.
    pub(super) fn own_url(&self) -> Option<BaseUrl> {
        let mut settings = self.settings.iter();
        let (_, url) = settings.find(|(name, _)| ["base_url", "endpoint"].contains(name))?;
        BaseUrl::parse_exposed(url).ok()
    }

    /// Allows unencrypted requests, as the original did, if the URL needs that.
    pub(super) fn allow_plain_http(&mut self) {
        let takes_one = |url: BaseUrl| url.exposure() == Exposure::Unclear;
        if self.own_url().is_some_and(takes_one) {
            self.settings.push(("plain_http", "true".to_owned()));
        }
    }

    /// Returns whether the provider is on this machine or in its network, judging by the host.
    pub(super) fn is_in_private_network(&self) -> bool {
        let origin = self.origin();
        let url = origin.and_then(|origin| BaseUrl::parse_exposed(&origin).ok());
        url.is_some_and(|url| {
            // Over plain HTTP or not: the addresses that may be used without TLS.
            let plain = BaseUrl { tls: false, ..url };
            plain.exposure() == Exposure::None || (!url.tls && stays_private(&plain))
        })
    }

    /// Returns whether a setting of this name is present.
    pub(super) fn has(&self, name: &str) -> bool {
        self.settings.iter().any(|(set, _)| *set == name)
    }

    /// The setting that `check` would reject, and the reason.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        let faults = self.settings.iter().filter_map(|(name, value)| {
            let why = match *name {
                "base_url" | "endpoint" => match BaseUrl::parse_exposed(value) {
                    Ok(url) if self.allows(&url) => return None,
                    _ => BaseUrl::parse(value).err()?.to_string(),
                },
                "deployment" | "api_version" | "model" if !is_segment(value) => {
                    "has characters that cannot stand in a path".to_owned()
                }
                "auth_header" if !is_settable(value) => {
                    "is not the name of a header to be set".to_owned()
                }
                "sni" if value.trim().is_empty() => "is empty".to_owned(),
                "auth_prefix" if HeaderValue::from_str(value).is_err() => {
                    "cannot stand in a header".to_owned()
                }
                "default_endpoint" if !is_plain(value) => {
                    "is not a path in its plain form".to_owned()
                }
                _ => return None,
            };
            Some((*name, why))
        });
        let clash = self.settings.iter().any(|(name, value)| {
            let auth = self
                .settings
                .iter()
                .find(|(name, _)| *name == "auth_header");
            *name == "headers" && auth.is_some_and(|(_, auth)| value.contains(auth.as_str()))
        });
        if clash {
            return Some(("auth_header", "is set by another setting, too".to_owned()));
        }
        let missing = match self.kind {
            "azure-openai" if !self.has("deployment") && !self.has("default_endpoint") => {
                Some("deployment")
            }
            "custom" if !self.has("base_url") => Some("base_url"),
            _ => None,
        };
        let missing = missing.map(|name| (name, "is missing".to_owned()));
        faults.chain(missing).next()
    }
}

/// The note about a URL that is written with `plain_http = true`.
pub(super) fn plain_note(url: &str) -> String {
    format!(
        "its requests stay unencrypted: it is written as `{url}` with `plain_http = true`, which allows private addresses \
         only"
    )
}

/// Returns whether plain HTTP requests to `url` stay in a private network, judging by the host.
pub(super) fn stays_private(url: &BaseUrl) -> bool {
    url.exposure() == Exposure::Unclear
        && (address::read(&url.host).is_some() || address::is_private_name(&url.host))
}

/// Returns whether the gateway may set a header of this name.
fn is_settable(name: &str) -> bool {
    HeaderName::try_from(name).is_ok_and(|name| !is_framing(&name))
}

/// Returns whether `path` is in normal form.
pub(super) fn is_plain(path: &str) -> bool {
    let normal = NormalPath::parse(path.as_bytes());
    normal.is_ok_and(|normal| path.starts_with('/') && path.starts_with(&*normal.path))
}

/// The base address of an Azure resource: the endpoint without Azure's own path.
pub(super) fn resource(endpoint: &str) -> String {
    let whole = match endpoint.split_once("://") {
        Some(_) => endpoint.to_owned(),
        None => format!("https://{endpoint}"),
    };
    let Ok(url) = BaseUrl::parse_exposed(&whole) else {
        return whole;
    };
    let path = url.path.split("/openai").next().unwrap_or_default();
    format!("{}{path}", url.origin())
}
