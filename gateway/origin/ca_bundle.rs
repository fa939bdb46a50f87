//! Certificates to trust instead of the system's, read from PEM.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use pingora_core::protocols::tls::CaType;
use pingora_core::tls::RootCertStore;
use pingora_core::utils::tls::{WrappedX509, parse_x509};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Certificates to trust instead of the system's.
#[derive(Clone)]
pub(crate) struct CaBundle {
    certificates: Arc<CaType>,
    fingerprint: u64,
}

impl CaBundle {
    /// Reads one or more certificates from `pem`, the content of the file at `path`. Fails with a sentence that begins
    /// with the path.
    pub(crate) fn parse(pem: &[u8], path: &Path) -> Result<Self, String> {
        let mut certificates = Vec::new();
        let mut hasher = DefaultHasher::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let der = certificate
                .map_err(|error| format!("{} is not a PEM file: {error}", path.display()))?;
            certificates.push(parse_certificate(&der).map_err(|why| {
                format!("{} holds an unusable certificate: {why}", path.display())
            })?);
            der.as_ref().hash(&mut hasher);
        }
        if certificates.is_empty() {
            return Err(format!("{} holds no certificate", path.display()));
        }
        Ok(Self {
            certificates: certificates.into(),
            fingerprint: hasher.finish(),
        })
    }

    pub(crate) fn certificates(&self) -> Arc<CaType> {
        self.certificates.clone()
    }

    /// Differs between bundles of different certificates, so that they share no pooled connections.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

fn parse_certificate(der: &CertificateDer<'_>) -> Result<WrappedX509, String> {
    RootCertStore::empty()
        .add(der.clone())
        .map_err(|error| error.to_string())?;
    // Pingora's parser panics on what it cannot parse. The panic becomes an error of the configuration.
    std::panic::catch_unwind(|| WrappedX509::new(der.to_vec(), parse_x509))
        .map_err(|_| "it cannot be parsed".to_owned())
}
