//! `[server.tls]`: the certificate that clients see, and whose certificates they must show.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use pingora_core::tls::sign::CertifiedKey;
use pingora_core::tls::{CryptoProvider, RootCertStore, install_default_crypto_provider};
use pingora_core::utils::tls::{WrappedX509, parse_x509};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::super::TlsSpec;
use super::super::file::TlsFile;
use super::Checker;
use crate::document::{FileStamp, Severity};
use crate::secret::SecretRef;

/// What was read for it.
#[derive(Default)]
pub(super) struct Tls {
    pub(super) spec: Option<TlsSpec>,
    pub(super) certificate: Option<Arc<CertifiedKey>>,
    pub(super) client_roots: Option<Arc<RootCertStore>>,
}

impl Checker<'_> {
    pub(super) fn tls(&mut self, file: Option<TlsFile>) -> Tls {
        let Some(file) = file else {
            return Tls::default();
        };
        let (Some(chain), Some(key)) = (&file.certificate, &file.key) else {
            return Tls::default();
        };
        let reference = SecretRef::parse(&key.value, self.folder);
        let reference = reference
            .map_err(|error| self.fatal(&key.at, format!("server.tls.key: {error}")))
            .ok();
        self.files.extend(
            reference
                .as_ref()
                .and_then(SecretRef::file)
                .map(FileStamp::take),
        );
        // A reload goes on with the one of before: a key may be revoked with it.
        let (path, pem) = self.pem_file(chain, "server.tls", Severity::Strict);
        let text = reference.as_ref().and_then(|reference| {
            reference
                .read()
                .map_err(|error| {
                    let (passes, why) = (error.may_pass(), format!("server.tls: {error}"));
                    self.problems
                        .push_unread(&chain.at, Severity::Strict, passes, why);
                })
                .ok()
        });
        let certificate = pem.zip(reference.zip(text)).and_then(|(pem, (key, text))| {
            certified(&path, &pem, &key, &text)
                .map_err(|why| {
                    let why = format!("server.tls: {why}");
                    self.problems.push(&chain.at, Severity::Strict, why);
                })
                .ok()
        });
        let client_ca = file.client_ca.as_ref().map(|given| {
            let (path, pem) = self.pem_file(given, "server.tls.client_ca", Severity::Strict);
            let roots = pem.and_then(|pem| {
                roots(&path, &pem)
                    .map_err(|why| {
                        let why = format!("server.tls.client_ca: {why}");
                        self.problems.push(&given.at, Severity::Strict, why);
                    })
                    .ok()
            });
            (path, roots)
        });
        let (client_ca, client_roots) = client_ca.unzip();
        let client_roots = client_roots.flatten();
        Tls {
            spec: Some(TlsSpec {
                certificate: path,
                client_ca,
            }),
            certificate: certificate.map(Arc::new),
            client_roots: client_roots.map(Arc::new),
        }
    }
}

/// When a certificate ends; `None` for one that cannot be read.
pub fn certificate_end(der: &[u8]) -> Option<Timestamp> {
    // Pingora's reader panics on what it cannot parse.
    let parsed = std::panic::catch_unwind(|| WrappedX509::new(der.to_vec(), parse_x509)).ok()?;
    let end = parsed.borrow_cert().validity().not_after.timestamp();
    Timestamp::from_second(end).ok()
}

/// The chain in `pem`, which was read from `path`, with the key that belongs to it: the `text` of `key`.
fn certified(path: &Path, pem: &[u8], key: &SecretRef, text: &str) -> Result<CertifiedKey, String> {
    install_default_crypto_provider();
    let provider = CryptoProvider::get_default().ok_or("there is no cryptography")?;
    let chain = certificates(path, pem)?;
    let private = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| format!("{key} is not a private key in PEM"))?;
    CertifiedKey::from_der(chain, private, provider)
        .map_err(|error| format!("{key} and {} do not go together: {error}", path.display()))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("{} is not a PEM file: {error}", path.display()))?;
    if chain.is_empty() {
        return Err(format!("{} holds no certificate", path.display()));
    }
    Ok(chain)
}

fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).map_err(|error| {
            format!("{} holds an unusable certificate: {error}", path.display())
        })?;
    }
    Ok(roots)
}
