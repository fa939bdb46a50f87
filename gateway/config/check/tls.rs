//! `[server.tls]`: the files of TLS for clients.

use super::super::file::TlsFile;
use super::super::meant::TlsConfig;
use super::super::server::TlsSpec;
use super::checker::Checker;
use crate::secret::SecretRef;

impl Checker<'_> {
    pub(super) fn tls(&self, file: Option<TlsFile>) -> Option<TlsConfig> {
        let file = file?;
        let (chain, key) = (file.certificate?, file.key?);
        let key = SecretRef::parse(&key.value, self.folder)
            .map_err(|error| self.fatal(&key.at, format!("server.tls.key: {error}")))
            .ok();
        Some(TlsConfig {
            certificate: self.path(chain),
            key,
            client_ca: file.client_ca.map(|given| self.path(given)),
        })
    }
}

impl TlsSpec {
    pub(super) fn of(config: &TlsConfig) -> Self {
        Self {
            certificate: config.certificate.value.clone(),
            client_ca: config.client_ca.as_ref().map(|given| given.value.clone()),
        }
    }
}
