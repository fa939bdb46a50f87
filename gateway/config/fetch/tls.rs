//! The certificate that clients see, and the authorities whose certificates they must show.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use pingora_core::tls::sign::CertifiedKey;
use pingora_core::tls::{CryptoProvider, RootCertStore, install_default_crypto_provider};
use pingora_core::utils::tls::{WrappedX509, parse_x509};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::super::meant::TlsConfig;
use super::fetcher::Fetcher;
use crate::document::Severity;
use crate::origin::CertificatesError;
use crate::secret::SecretRef;

/// Why the certificate or the authorities cannot be used. Holds nothing of the private key.
#[derive(Debug, thiserror::Error)]
enum TlsError {
    /// No cryptographic provider is installed.
    #[error("there is no cryptography")]
    NoCryptography,
    /// A file of certificates cannot be used.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    /// The secret of this reference is no private key. The parser's error is not kept: it may quote the secret.
    #[error("{0} is not a private key in PEM")]
    NotAKey(String),
    /// The private key is not that of the certificate.
    #[error("{key} and {} do not go together: {source}", certificate.display())]
    Mismatch {
        key: String,
        certificate: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What was read for `[server.tls]`.
#[derive(Default)]
pub(super) struct Tls {
    pub(super) certificate: Option<Arc<CertifiedKey>>,
    pub(super) client_roots: Option<Arc<RootCertStore>>,
}

impl Fetcher<'_> {
    /// Reads the certificates and the private key. Problems are strict: a reload goes on with the previous certificate,
    /// because a key may be revoked with it.
    pub(super) fn tls(&mut self, config: Option<&TlsConfig>) -> Tls {
        let Some(config) = config else {
            return Tls::default();
        };
        Tls {
            certificate: self.certificate(config).map(Arc::new),
            client_roots: self.client_roots(config).map(Arc::new),
        }
    }

    fn certificate(&mut self, config: &TlsConfig) -> Option<CertifiedKey> {
        let at = &config.certificate.at;
        let key = config.key.as_ref();
        if let Some(key) = key {
            self.watch(key);
        }
        let pem = self.pem_file(&config.certificate, "server.tls", Severity::Strict);
        let text = key.and_then(|key| {
            self.secrets
                .read(key)
                .map_err(|error| {
                    let (passes, why) = (error.may_pass(), format!("server.tls: {error}"));
                    self.problems.push_unread(at, Severity::Strict, passes, why);
                })
                .ok()
        });
        certified(&config.certificate.value, &pem?, key?, &text?)
            .map_err(|why| {
                let why = format!("server.tls: {why}");
                self.problems.push(at, Severity::Strict, why);
            })
            .ok()
    }

    fn client_roots(&mut self, config: &TlsConfig) -> Option<RootCertStore> {
        let given = config.client_ca.as_ref()?;
        let pem = self.pem_file(given, "server.tls.client_ca", Severity::Strict)?;
        roots(&given.value, &pem)
            .map_err(|why| {
                let why = format!("server.tls.client_ca: {why}");
                self.problems.push(&given.at, Severity::Strict, why);
            })
            .ok()
    }
}

/// When a certificate expires; `None` for one that cannot be parsed.
pub(crate) fn certificate_end(der: &[u8]) -> Option<Timestamp> {
    // Pingora's parser panics on bad input.
    let parsed = std::panic::catch_unwind(|| WrappedX509::new(der.to_vec(), parse_x509)).ok()?;
    let end = parsed.borrow_cert().validity().not_after.timestamp();
    Timestamp::from_second(end).ok()
}

/// The certificate chain in `pem`, the content of `path`, with its private key: the `text` of `key`.
fn certified(
    path: &Path,
    pem: &[u8],
    key: &SecretRef,
    text: &str,
) -> Result<CertifiedKey, TlsError> {
    install_default_crypto_provider();
    let provider = CryptoProvider::get_default().ok_or(TlsError::NoCryptography)?;
    let chain = certificates(path, pem)?;
    let private = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| TlsError::NotAKey(key.to_string()))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| TlsError::Mismatch {
        key: key.to_string(),
        certificate: path.to_owned(),
        source: error.into(),
    })
}

fn certificates(
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CertificatesError> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| CertificatesError::not_pem(path.to_owned(), &error))?;
    if chain.is_empty() {
        return Err(CertificatesError::Empty(path.to_owned()));
    }
    Ok(chain)
}

fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, CertificatesError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots
            .add(certificate)
            .map_err(|error| CertificatesError::Unusable {
                path: path.to_owned(),
                source: error.into(),
            })?;
    }
    Ok(roots)
}
