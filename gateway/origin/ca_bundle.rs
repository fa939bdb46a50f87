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
    /// The file is not PEM. The parser's error is not kept: it quotes a line of the file, which may be a private key.
    #[error("{} is not a PEM file: {why}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What the parser found.
        why: &'static str,
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

impl CertificatesError {
    /// The error for the file at `path`, which the parser of PEM refused.
    pub(crate) fn not_pem(path: PathBuf, error: &pem::Error) -> Self {
        let why = match error {
            pem::Error::MissingSectionEnd { .. } => "a section has no end line",
            pem::Error::IllegalSectionStart { .. } => "the first line of a section is not complete",
            pem::Error::Base64Decode(_) => "a section is not base64",
            _ => "it cannot be parsed",
        };
        Self::NotPem { path, why }
    }
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
            let der = certificate.map_err(|error| CertificatesError::not_pem(path(), &error))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_quotes_nothing_of_a_private_key_in_the_file() {
        for pem in [
            "-----BEGIN PRIVATE KEY----- c2VjcmV0 -----END PRIVATE KEY-----\n",
            "-----BEGIN PRIVATE KEY---- c2VjcmV0\n",
        ] {
            let parsed = CaBundle::parse(pem.as_bytes(), Path::new("a.pem"));
            let error = parsed.err().unwrap();
            let shown = error.to_string();
            assert!(shown.starts_with("a.pem is not a PEM file: "), "{shown}");
            // The parser's error has the line as a list of numbers.
            for text in [shown, format!("{error:?}")] {
                assert!(!text.contains('[') && !text.contains("c2VjcmV0"), "{text}");
            }
        }
    }
}
