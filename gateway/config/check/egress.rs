//! `proxy` and `proxy_token`: the HTTP proxy that providers are reached through.

use super::Checker;
use crate::document::{FileStamp, Located, Location, Severity};
use crate::origin::{BaseUrl, EgressProxy};
use crate::secret::{Secret, SecretRef};

/// The way out, as a section says it.
pub(super) enum Egress {
    /// `none`: straight to the provider.
    Direct,
    /// Through this one.
    Proxy(EgressProxy),
    /// `env`: as the environment says, with this token if there is one.
    Environment(Option<Secret>),
}

impl Checker<'_> {
    /// What `section` says of the way out; `None` where it says nothing, or nothing that can be used.
    pub(super) fn egress(
        &mut self,
        section: &str,
        proxy: Option<&Located<String>>,
        token: Option<&Located<String>>,
    ) -> Option<Egress> {
        let Some(proxy) = proxy else {
            if let Some(token) = token {
                let why = format!(
                    "{section}.proxy_token is for a `proxy`, which {section} does not name"
                );
                self.fatal(&token.at, why);
            }
            return None;
        };
        let token = token.and_then(|given| self.proxy_token(section, given));
        match proxy.value.as_str() {
            "none" => Some(Egress::Direct),
            "env" => Some(Egress::Environment(token)),
            text => {
                let parsed = EgressProxy::parse(text);
                let parsed =
                    parsed.map_err(|why| self.fatal(&proxy.at, format!("{section}.proxy {why}")));
                let proxy = self.with_token(parsed.ok()?, token.as_ref(), section, &proxy.at);
                Some(Egress::Proxy(proxy))
            }
        }
    }

    /// The proxy that a provider at `url` is reached through, of what is said at `at`.
    pub(super) fn proxy_for(
        &self,
        egress: &Egress,
        url: &BaseUrl,
        section: &str,
        at: &Location,
    ) -> Option<EgressProxy> {
        match egress {
            Egress::Direct => None,
            Egress::Proxy(proxy) => Some(proxy.clone()),
            Egress::Environment(token) => {
                let found = EgressProxy::of_environment(url, |name| std::env::var(name).ok());
                let found = found
                    .map_err(|why| self.fatal(at, format!("{section}: proxy = \"env\": {why}")));
                Some(self.with_token(found.ok()??, token.as_ref(), section, at))
            }
        }
    }

    /// `proxy` with its token; without, where that cannot be used: a reload that takes the rest over must not go around
    /// the proxy.
    fn with_token(
        &self,
        proxy: EgressProxy,
        token: Option<&Secret>,
        section: &str,
        at: &Location,
    ) -> EgressProxy {
        let Some(token) = token else {
            return proxy;
        };
        proxy.clone().with_token(token).unwrap_or_else(|why| {
            let why = format!("{section}.proxy_token {why}");
            self.problems.push(at, Severity::Strict, why);
            proxy
        })
    }

    /// A reload is not refused for it: there may be a key revoked in it.
    fn proxy_token(&mut self, section: &str, given: &Located<String>) -> Option<Secret> {
        let reference = SecretRef::parse(&given.value, self.folder);
        let reference = reference
            .map_err(|error| self.fatal(&given.at, format!("{section}.proxy_token: {error}")))
            .ok()?;
        self.files.extend(reference.file().map(FileStamp::take));
        let token = reference.resolve().map_err(|error| {
            let why = format!("{section}.proxy_token: {error}");
            self.problems
                .push_unread(&given.at, Severity::Strict, error.may_pass(), why);
        });
        let token = token.ok()?;
        if let Some(what) = token.oddity() {
            self.warn(
                &given.at,
                format!("{section}.proxy_token: {reference} {what}"),
            );
        }
        Some(token)
    }
}
