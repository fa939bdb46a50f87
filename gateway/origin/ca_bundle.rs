//! Certificates to trust instead of the system's, read from PEM.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pingora_core::protocols::tls::CaType;
use pingora_core::tls::RootCertStore;
use pingora_core::utils::tls::{WrappedX509, parse_x509};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};

/// Why a file of certificates cannot be used. The message begins with the path of the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificatesError {
    /// The file is not PEM.
    #[error("{} is not a PEM file: {source}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// The parser's error.
        source: pem::Error,
    },
    /// The file has no certificate in it.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// A certificate in the file cannot be trusted or parsed.
    #[error("{} holds an unusable certificate: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The error of rustls, or of Pingora's parser.
        source: Source,
    },
}

/// The error of a library whose type has no name here.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// Certificates to trust instead of the system's.
#[derive(Clone)]
pub(crate) struct CaBundle {
    certificates: Arc<CaType>,
    fingerprint: u64,
}

impl CaBundle {
    /// Reads one or more certificates from `pem`, the content of the file at `path`.
    pub(crate) fn parse(pem: &[u8], path: &Path) -> Result<Self, CertificatesError> {
        let path = || path.to_owned();
        let mut certificates = Vec::new();
        let mut hasher = DefaultHasher::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let der = certificate.map_err(|source| CertificatesError::NotPem {
                path: path(),
                source,
            })?;
            let parsed = parse_certificate(&der).map_err(|source| CertificatesError::Unusable {
                path: path(),
                source,
            });
            certificates.push(parsed?);
            der.as_ref().hash(&mut hasher);
        }
        if certificates.is_empty() {
            return Err(CertificatesError::Empty(path()));
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

fn parse_certificate(der: &CertificateDer<'_>) -> Result<WrappedX509, Source> {
    RootCertStore::empty().add(der.clone())?;
    // Pingora's parser panics on what it cannot parse. The panic becomes an error of the configuration.
    std::panic::catch_unwind(|| WrappedX509::new(der.to_vec(), parse_x509))
        .map_err(|_| "it cannot be parsed".into())
}
