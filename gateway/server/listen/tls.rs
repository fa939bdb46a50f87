//! The TLS settings for clients: the certificate of the current configuration, client certificates, and ALPN for HTTP/2.

use std::fmt;
use std::sync::Arc;

use pingora_core::listeners::tls::{Acceptor, TlsSettings};
use pingora_core::tls::sign::CertifiedKey;
use pingora_core::tls::{ClientHello, ResolvesServerCert, RootCertStore, WebPkiClientVerifier};

use crate::error::Error;
use crate::snapshot::Live;

/// Resolves the certificate when a connection starts, so that a reload changes it for new connections.
struct Certificates(Arc<Live>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.snapshot().rules.certificate.clone()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

/// The acceptor for TLS handshakes. With `client_roots`, clients must present a certificate that one of them signed.
pub(crate) fn acceptor(
    live: &Arc<Live>,
    client_roots: Option<&Arc<RootCertStore>>,
) -> Result<Acceptor, Error> {
    const STEP: &str = "serve TLS";
    let mut settings =
        TlsSettings::intermediate("", "").map_err(|error| Error::failed(STEP, error))?;
    settings.set_cert_resolver(Arc::new(Certificates(live.clone())));
    settings.enable_h2();
    if let Some(roots) = client_roots {
        let verifier = WebPkiClientVerifier::builder(roots.clone()).build();
        settings.set_client_cert_verifier(verifier.map_err(|error| Error::failed(STEP, error))?);
    }
    Ok(settings.build())
}
