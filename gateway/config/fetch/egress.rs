//! The way to providers, with the proxy's credentials and the environment's settings.

use super::super::meant::{Egress, Way};
use super::fetcher::Fetcher;
use crate::document::{Located, Location, Severity};
use crate::origin::{BaseUrl, EgressProxy};
use crate::secret::{Secret, SecretRef};

/// A way out whose credentials were fetched.
pub(super) enum WayOut {
    /// A direct connection.
    Direct,
    /// Through this proxy.
    Proxy(EgressProxy),
    /// As set in the environment, with these credentials if there are any.
    Environment(Option<Secret>),
}

impl Fetcher<'_> {
    pub(super) fn egress(&mut self, egress: &Egress) -> WayOut {
        let section = &egress.section;
        let token = egress
            .token
            .as_ref()
            .and_then(|given| self.proxy_token(section, given));
        match &egress.way {
            Way::Direct => WayOut::Direct,
            Way::Environment(_) => WayOut::Environment(token),
            Way::Proxy(proxy, at) => {
                WayOut::Proxy(self.with_token(proxy.clone(), token.as_ref(), section, at))
            }
        }
    }

    /// The proxy that a provider at `url` is reached through; problems are noted at `at`.
    pub(super) fn proxy_for(
        &self,
        way_out: &WayOut,
        url: &BaseUrl,
        section: &str,
        at: &Location,
    ) -> Option<EgressProxy> {
        match way_out {
            WayOut::Direct => None,
            WayOut::Proxy(proxy) => Some(proxy.clone()),
            WayOut::Environment(token) => {
                let found = EgressProxy::of_environment(url, |name| std::env::var(name).ok());
                let found = found
                    .map_err(|why| {
                        self.problems
                            .fatal(at, format!("{section}: proxy = \"env\": {why}"));
                    })
                    .ok()??;
                Some(self.with_token(found, token.as_ref(), section, at))
            }
        }
    }

    /// `proxy` with its credentials; without, where they cannot be used: a reload that takes the rest over must not
    /// bypass the proxy.
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

    /// The proxy's credentials. A reload is not refused for their sake: a key may be revoked with it.
    fn proxy_token(&mut self, section: &str, given: &Located<SecretRef>) -> Option<Secret> {
        let Located {
            value: reference,
            at,
        } = given;
        let token = self.fetch_secret(reference).map_err(|error| {
            let why = format!("{section}.proxy_token: {error}");
            self.problems
                .push_unread(at, Severity::Strict, error.may_pass(), why);
        });
        let token = token.ok()?;
        if let Some(what) = token.oddity() {
            self.warn(at, format!("{section}.proxy_token: {reference} {what}"));
        }
        Some(token)
    }
}
