//! `[providers.*]`: how requests to providers look. Where these are is in `provider_url`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

use super::super::file::{Pairs, ProviderFile, ProviderTimeoutsFile};
use super::super::meant::{ProviderConfig, ProviderParts, RouteConfig, TokenConfig};
use super::super::names::is_name;
use super::checker::Checker;
use crate::document::{Located, Location, OneOrMany, enumerate, nearest};
use crate::origin::{BaseUrl, Timeouts};
use crate::provider::KINDS;
use crate::provider::{Bearer, Kind, Paths, RedirectHost};
use crate::secret::SecretRef;

impl Checker<'_> {
    pub(super) fn providers(&self, files: Vec<ProviderFile>) -> Vec<ProviderConfig> {
        let checked = files.into_iter().map(|file| {
            if !is_name(&file.name.value) {
                let why = "a provider's name has letters, digits, `.`, `_` and `-`";
                self.fatal(&file.name.at, why);
            }
            self.provider(file)
        });
        checked.collect()
    }

    /// Warns of each provider that no route leads to.
    pub(super) fn unused_providers(&self, providers: &[ProviderConfig], routes: &[RouteConfig]) {
        let made = routes.iter().filter(|route| route.spec.is_some());
        let used: HashSet<_> = made.map(|route| &route.provider).collect();
        for provider in providers {
            if !used.contains(&provider.name) {
                let why = format!("no route leads to the provider `{}`", provider.name);
                self.warn(&provider.at, why);
            }
        }
    }

    fn provider(&self, mut file: ProviderFile) -> ProviderConfig {
        let name = file.name.value.clone();
        let kind = self.kind(file.kind.as_ref(), &name);
        let blanks = kind.map(|kind| self.blanks(&file, kind));
        let base_url = kind
            .zip(blanks.as_ref())
            .and_then(|(kind, blanks)| self.base_url(&file, kind, blanks));
        let egress = base_url
            .as_ref()
            .and_then(|url| self.provider_egress(&file, url));
        let inherits_egress = file.proxy.is_none() && base_url.as_ref().is_some_and(|url| url.tls);
        let token = self.token(file.token.take(), kind, &file.name.at, &name);
        let ca = file.ca.take().map(|given| self.path(given));
        let at = file.name.at.clone();
        let parts = self.parts(file, kind, base_url, blanks);
        ProviderConfig {
            name: Arc::from(name),
            at,
            token,
            ca,
            egress,
            inherits_egress,
            parts,
        }
    }

    fn parts(
        &self,
        file: ProviderFile,
        kind: Option<&'static Kind>,
        base_url: Option<BaseUrl>,
        blanks: Option<HashMap<&'static str, String>>,
    ) -> Option<ProviderParts> {
        let name = &file.name.value;
        let default_endpoint = self.default_endpoint(file.default_endpoint, name);
        // An explicit `auth_header` holds for all tokens: none of them goes as `Bearer` instead.
        let bearer = kind
            .and_then(|kind| kind.bearer)
            .filter(|_| file.auth_header.is_none());
        let auth_header = match &file.auth_header {
            Some(given) => self.header_name(&given.value, &given.at),
            None => kind.map(|kind| HeaderName::from_static(kind.auth_header)),
        };
        let auth_prefix = self.auth_prefix(file.auth_prefix, kind, name);
        let headers = self.provider_headers(&file.headers, auth_header.as_ref(), bearer);
        let redirect_hosts = self.redirect_hosts(file.redirect_hosts, name);
        let timeouts = self.timeouts(file.timeouts);
        let (kind, base_url, blanks) = (kind?, base_url?, blanks?);
        let sni = self.sni(file.sni, &base_url, name);
        let http = self.http_version(file.http.as_ref(), name, base_url.tls);
        Some(ProviderParts {
            kind,
            paths: Paths::new(
                kind,
                &base_url,
                default_endpoint.as_ref().map(|given| given.value.as_str()),
                &|name| blanks.get(name).cloned(),
            ),
            base_url,
            sni: sni?,
            auth_header: auth_header?,
            auth_prefix: auth_prefix?,
            bearer,
            headers,
            redirect_hosts,
            http: http?,
            timeouts,
        })
    }

    fn auth_prefix(
        &self,
        given: Option<Located<String>>,
        kind: Option<&Kind>,
        provider: &str,
    ) -> Option<String> {
        let Some(given) = given else {
            return kind.map(|kind| kind.auth_prefix.to_owned());
        };
        if HeaderValue::from_str(&given.value).is_err() {
            let why = format!("providers.{provider}.auth_prefix cannot stand in a header");
            self.fatal(&given.at, why);
            return None;
        }
        Some(given.value)
    }

    fn kind(&self, given: Option<&Located<String>>, provider: &str) -> Option<&'static Kind> {
        let given = given?;
        let kind = Kind::named(&given.value);
        if kind.is_none() {
            let names = || KINDS.iter().map(|kind| kind.name);
            let hint = match nearest(&given.value, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "there is {}; `custom` is anything that speaks OpenAI's API",
                    enumerate(names())
                ),
            };
            self.fatal(
                &given.at,
                format!(
                    "providers.{provider}.kind `{}` does not exist: {hint}",
                    given.value
                ),
            );
        }
        kind
    }

    fn token(
        &self,
        given: Option<Located<String>>,
        kind: Option<&Kind>,
        at: &Location,
        provider: &str,
    ) -> Option<TokenConfig> {
        let Some(given) = given else {
            if kind.is_some_and(|kind| kind.tokenless) {
                return Some(TokenConfig::None);
            }
            let cure = "say where it is (`env:NAME`, `file:PATH`, `credential:NAME`, `key:METADATA`), \
                        `passthrough`, or `none` if the provider wants none";
            self.fatal(at, format!("providers.{provider}.token is missing: {cure}"));
            return None;
        };
        let refuse = |why: String| {
            self.fatal(&given.at, format!("providers.{provider}.token: {why}"));
        };
        match given.value.as_str() {
            "passthrough" => Some(TokenConfig::Passthrough),
            "none" => Some(TokenConfig::None),
            text => match text.strip_prefix("key:") {
                Some(entry) if is_name(entry) => Some(TokenConfig::Key(entry.to_owned())),
                Some(_) => {
                    refuse("`key:` needs the name of a metadata entry".to_owned());
                    None
                }
                None => {
                    let reference = SecretRef::parse(text, self.folder)
                        .map_err(|error| refuse(error.to_string()))
                        .ok()?;
                    Some(TokenConfig::Secret(Located {
                        value: reference,
                        at: given.at.clone(),
                    }))
                }
            },
        }
    }

    fn provider_headers(
        &self,
        pairs: &Pairs,
        auth_header: Option<&HeaderName>,
        bearer: Option<Bearer>,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let takes_token = |name: &HeaderName| {
            Some(name) == auth_header || (bearer.is_some() && *name == AUTHORIZATION)
        };
        let mut headers = Vec::new();
        for (name, value) in pairs {
            let Some(name) = self.header_name(&name.value, &name.at) else {
                continue;
            };
            if takes_token(&name) {
                self.fatal(
                    &value.at,
                    format!("`{name}` is where the token goes: use `token`"),
                );
                continue;
            }
            match HeaderValue::from_str(&value.value) {
                Ok(value) => headers.push((name, value)),
                Err(_) => self.fatal(
                    &value.at,
                    format!("the value of `{name}` cannot stand in a header"),
                ),
            }
        }
        headers
    }

    fn redirect_hosts(
        &self,
        given: Option<Located<OneOrMany>>,
        provider: &str,
    ) -> Vec<RedirectHost> {
        let Some(given) = given else {
            return Vec::new();
        };
        let read = |text: &String| {
            let refused = |why| {
                let why = format!("providers.{provider}.redirect_hosts: `{text}`: each {why}");
                self.fatal(&given.at, why);
            };
            RedirectHost::parse(text).map_err(refused).ok()
        };
        given.value.0.iter().filter_map(read).collect()
    }

    fn timeouts(&self, file: ProviderTimeoutsFile) -> Timeouts {
        let defaults = Timeouts::default();
        let first_byte_given = file.first_byte.is_some();
        let idle_at = file.idle.as_ref().map(|l| l.at.clone());
        let first_byte_at = file.first_byte.as_ref().map(|l| l.at.clone());
        let first_byte = self.positive(file.first_byte, defaults.first_byte);
        let mut idle = self.positive(file.idle, defaults.idle);
        if idle > first_byte {
            match (idle_at, first_byte_at) {
                (Some(at), _) => self.fatal(
                    &at,
                    "`idle` is longer than `first_byte`: a pause within a response cannot be allowed \
                     to take longer than its beginning; raise `first_byte`",
                ),
                // Only `first_byte` is given: the default of `idle` is lowered to it.
                (None, _) if first_byte_given => idle = first_byte,
                (None, _) => {}
            }
        }
        Timeouts {
            connect: self.positive(file.connect, defaults.connect),
            first_byte,
            idle,
            total: match file.total {
                Some(given) => Some(given.value).filter(|total| !total.is_zero()),
                None => defaults.total,
            },
            write: self.positive(file.write, defaults.write),
            pool_idle: self.positive(file.pool_idle, defaults.pool_idle),
        }
    }
}
