//! A provider's token, certificates and proxy.

use super::super::meant::{ProviderConfig, ProviderParts, TokenConfig, Way};
use super::egress::WayOut;
use super::fetcher::Fetcher;
use crate::document::{Located, Location, Severity};
use crate::grammar::authorization::without_bearer;
use crate::origin::{CaBundle, EgressProxy};
use crate::provider::{ProviderSpec, TokenSource};
use crate::secret::{Secret, SecretError, SecretRef};

impl Fetcher<'_> {
    /// The provider with what was fetched for it; `None` after a fatal problem. `inherited` is the way that `[server]`
    /// names.
    pub(super) fn provider(
        &mut self,
        config: &ProviderConfig,
        inherited: &WayOut,
    ) -> Option<ProviderSpec> {
        let proxy = self.provider_proxy(config, inherited);
        let token = config
            .token
            .as_ref()
            .map(|token| self.token(token, &config.name));
        let ca = self.ca(config);
        let ProviderParts {
            kind,
            base_url,
            sni,
            paths,
            auth_header,
            auth_prefix,
            bearer,
            headers,
            redirect_hosts,
            http,
            timeouts,
        } = config.parts.clone()?;
        Some(ProviderSpec {
            name: config.name.clone(),
            kind,
            base_url,
            sni,
            ca,
            paths,
            auth_header,
            auth_prefix,
            bearer,
            token: token?,
            headers,
            redirect_hosts,
            proxy,
            http,
            timeouts,
        })
    }

    /// The proxy that the provider is reached through: its own, or that of `[server]`.
    fn provider_proxy(
        &mut self,
        config: &ProviderConfig,
        inherited: &WayOut,
    ) -> Option<EgressProxy> {
        let own = config
            .egress
            .as_ref()
            .map(|egress| (self.egress(egress), egress));
        let url = &config.parts.as_ref()?.base_url;
        match own {
            Some((route, egress)) => {
                let at = match &egress.way {
                    Way::Proxy(_, at) | Way::Environment(at) => at,
                    Way::Direct => &config.at,
                };
                self.proxy_for(&route, url, &egress.section, at)
            }
            None if config.inherits_egress => {
                let section = format!("providers.{}", config.name);
                self.proxy_for(inherited, url, &section, &config.at)
            }
            None => None,
        }
    }

    fn ca(&mut self, config: &ProviderConfig) -> Option<CaBundle> {
        let given = config.ca.as_ref()?;
        let field = format!("providers.{}.ca", config.name);
        let pem = self.pem_file(given, &field, Severity::Fatal)?;
        CaBundle::parse(&pem, &given.value)
            .map_err(|why| self.problems.fatal(&given.at, format!("{field}: {why}")))
            .ok()
    }

    fn token(&mut self, config: &TokenConfig, provider: &str) -> TokenSource {
        match config {
            TokenConfig::Secret(reference) => {
                TokenSource::Fixed(self.fixed_token(reference, provider))
            }
            TokenConfig::Key(entry) => TokenSource::Key(entry.clone()),
            TokenConfig::Passthrough => TokenSource::Passthrough,
            TokenConfig::None => TokenSource::None,
        }
    }

    fn fixed_token(
        &mut self,
        given: &Located<SecretRef>,
        provider: &str,
    ) -> Result<Secret, SecretError> {
        let Located {
            value: reference,
            at,
        } = given;
        let token = self.fetch_secret(reference).and_then(|token| {
            if without_bearer(token.expose().as_bytes()).is_empty() {
                let why = format!("{reference} holds the word `Bearer` and no token");
                return Err(SecretError::Unusable(why));
            }
            Ok(token)
        });
        match &token {
            Ok(token) => {
                if let Some(what) = token.oddity() {
                    let why = format!("providers.{provider}.token: {reference} {what}");
                    self.warn(at, why);
                }
            }
            Err(error) => self.note_token_error(error, at, provider),
        }
        token
    }

    fn note_token_error(&self, error: &SecretError, at: &Location, provider: &str) {
        match error {
            SecretError::Missing(why) => self.warn(
                at,
                format!(
                    "providers.{provider} will respond with 503 until its token is there: {why}"
                ),
            ),
            // A start goes on without the token, and a reload with the previous one, until it is read.
            SecretError::Unread(why) => {
                let why = format!(
                    "providers.{provider} will respond with 503 until its token is read: {why}"
                );
                self.problems.push_unread(at, Severity::Warning, true, why);
            }
            // A token that was spoiled during its rotation must not keep a revoked key valid.
            SecretError::Unusable(why) => {
                let why = format!("providers.{provider}.token: {why}");
                self.problems.push(at, Severity::Strict, why);
            }
            SecretError::Malformed(why) => {
                self.problems
                    .fatal(at, format!("providers.{provider}.token: {why}"));
            }
        }
    }
}
