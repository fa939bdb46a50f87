//! `[providers.*]`: where providers are, and how they are reached.

use std::collections::HashMap;

use super::super::file::ProviderFile;
use super::super::meant::Egress;
use super::checker::Checker;
use super::plain_http::Sending;
use crate::document::{Located, Location};
use crate::origin::{BaseUrl, HttpVersion};
use crate::provider::{Kind, is_segment};
use crate::route::NormalPath;

impl Checker<'_> {
    pub(super) fn default_endpoint(
        &self,
        given: Option<Located<String>>,
        provider: &str,
    ) -> Option<Located<String>> {
        given.filter(|given| {
            let is_plain = is_plain_target(&given.value);
            if !is_plain {
                let why = format!(
                    "providers.{provider}.default_endpoint is a path in its plain form, such as `/v1/chat/completions`"
                );
                self.fatal(&given.at, why);
            }
            is_plain
        })
    }

    /// The name that the provider's certificate must have: its host, unless the configuration says otherwise.
    pub(super) fn sni(
        &self,
        given: Option<Located<String>>,
        url: &BaseUrl,
        provider: &str,
    ) -> Option<String> {
        let Some(given) = given else {
            return Some(url.host.clone());
        };
        if given.value.trim().is_empty() {
            let why = "is empty, which would switch off the check of the certificate: leave it out";
            self.fatal(&given.at, format!("providers.{provider}.sni {why}"));
            return None;
        }
        Some(given.value)
    }

    /// The provider's own way, if it names one that can be used.
    pub(super) fn provider_egress(&self, file: &ProviderFile, url: &BaseUrl) -> Option<Egress> {
        let section = format!("providers.{}", file.name.value);
        let own = self.egress(&section, file.proxy.as_ref(), file.proxy_token.as_ref());
        let given = file.proxy.as_ref()?;
        if !url.tls && given.value != "none" {
            let why = format!(
                "{section}.proxy: {} is not encrypted, and a proxy gets nothing to read: use https://, or leave \
                 `proxy` out",
                url.origin()
            );
            self.fatal(&given.at, why);
            return None;
        }
        own
    }

    /// The values of the placeholders in the kind's addresses.
    pub(super) fn blanks(&self, file: &ProviderFile, kind: &Kind) -> HashMap<&'static str, String> {
        let provider = &file.name.value;
        let mut blanks = HashMap::new();
        for (name, given) in [
            ("deployment", &file.deployment),
            ("api_version", &file.api_version),
            ("model", &file.model),
        ] {
            let field = format!("providers.{provider}.{name}");
            match (kind.placeholder(name), given) {
                (None, None) => {}
                (None, Some(given)) => {
                    let why = format!("{field} means nothing here: `{}` has none", kind.name);
                    self.fatal(&given.at, why);
                }
                (Some(_), Some(given)) if !is_segment(&given.value) => {
                    let why = "has letters, digits, `.`, `_` and `-`";
                    self.fatal(&given.at, format!("{field} {why}"));
                }
                (Some(_), Some(given)) => {
                    blanks.insert(name, given.value.clone());
                }
                (Some(blank), None) => match blank.default {
                    Some(default) => {
                        blanks.insert(name, default.to_owned());
                    }
                    None if blank.needed && file.default_endpoint.is_none() => {
                        let why = format!(
                            "{field} is missing: it is where requests to `{}` go that do not name one themselves. \
                             To do without, say `default_endpoint`",
                            kind.name,
                        );
                        self.fatal(&file.name.at, why);
                    }
                    None => {}
                },
            }
        }
        blanks
    }

    pub(super) fn base_url(
        &self,
        file: &ProviderFile,
        kind: &'static Kind,
        blanks: &HashMap<&'static str, String>,
    ) -> Option<BaseUrl> {
        let field = |name: &str| format!("providers.{}.{name}", file.name.value);
        let (ours, other) = if kind.endpoint {
            (("endpoint", &file.endpoint), ("base_url", &file.base_url))
        } else {
            (("base_url", &file.base_url), ("endpoint", &file.endpoint))
        };
        if let (name, Some(given)) = other {
            let why = format!("{} is called `{}` here", field(name), ours.0);
            self.fatal(&given.at, why);
        }
        let filling = |name: &str| blanks.get(name).cloned();
        let Some(given) = ours.1 else {
            let own = kind.own_url(&filling);
            if own.is_none() {
                self.no_url(kind, &field(ours.0), &file.name.at);
            }
            return BaseUrl::parse(&own?).ok();
        };
        let parsed = BaseUrl::parse_exposed(&given.value);
        let mut url = parsed
            .map_err(|why| self.fatal(&given.at, format!("{} {why}", field(ours.0))))
            .ok()?;
        self.provider_plain_http(file, kind, &url, (ours.0, &given.at));
        if kind.endpoint && url.path.split('/').any(|segment| segment == "openai") {
            let why = "goes no further than the resource: leave out `/openai` and what follows";
            self.fatal(&given.at, format!("{} {why}", field(ours.0)));
        }
        if kind.endpoint {
            url.path
                .push_str(&kind.own_path(&filling).unwrap_or_default());
        }
        Some(url)
    }

    /// Refuses a provider without a URL whose kind has no address of its own.
    fn no_url(&self, kind: &Kind, field: &str, at: &Location) {
        let why = if kind.endpoint {
            "each customer has one, such as https://NAME.openai.azure.com".to_owned()
        } else {
            format!("a {} provider could be anywhere", kind.name)
        };
        self.fatal(at, format!("{field} is missing: {why}"));
    }

    fn provider_plain_http(
        &self,
        file: &ProviderFile,
        kind: &Kind,
        url: &BaseUrl,
        (setting, at): (&str, &Location),
    ) {
        let has_token = match &file.token {
            Some(token) => token.value != "none",
            None => !kind.tokenless,
        };
        let what = if has_token {
            "requests and the token"
        } else {
            "requests"
        };
        let sending = Sending {
            section: &format!("providers.{}", file.name.value),
            setting,
            what,
            at,
        };
        self.plain_http(url, file.plain_http.as_ref(), &sending);
    }

    pub(super) fn http_version(
        &self,
        given: Option<&Located<String>>,
        provider: &str,
        tls: bool,
    ) -> Option<HttpVersion> {
        let Some(given) = given else {
            return Some(HttpVersion::Http1);
        };
        let field = format!("providers.{provider}.http");
        match given.value.as_str() {
            "1.1" => Some(HttpVersion::Http1),
            "2" => Some(HttpVersion::Http2),
            "auto" if tls => Some(HttpVersion::Auto),
            "auto" => {
                let why =
                    format!("{field} = \"auto\" needs TLS to negotiate: say \"1.1\" or \"2\"");
                self.fatal(&given.at, why);
                None
            }
            _ => {
                self.fatal(&given.at, format!("{field} is \"1.1\", \"2\" or \"auto\""));
                None
            }
        }
    }
}

/// Whether `text` is a path in its normal form, perhaps with a query.
fn is_plain_target(text: &str) -> bool {
    let normal = NormalPath::parse(text.as_bytes());
    normal.is_ok_and(|normal| text.starts_with('/') && text.starts_with(&*normal.path))
}
