//! TLS for clients: the certificate of the configuration that serves now, and HTTP/2 where they offer it.

use std::fmt;
use std::sync::Arc;

use pingora_core::listeners::tls::{Acceptor, TlsSettings};
use pingora_core::tls::sign::CertifiedKey;
use pingora_core::tls::{ClientHello, ResolvesServerCert, RootCertStore, WebPkiClientVerifier};

use crate::error::Error;
use crate::snapshot::Live;

/// Gives each connection the certificate that serves when it begins.
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

/// What shakes hands; clients have to show a certificate of `client_roots`, if there are some.
pub(crate) fn acceptor(
    live: &Arc<Live>,
    client_roots: Option<&Arc<RootCertStore>>,
) -> Result<Acceptor, Error> {
    let failed = |error: &dyn fmt::Display| Error::failed("serve TLS", error);
    let mut settings = TlsSettings::intermediate("", "").map_err(|error| failed(&error))?;
    settings.set_cert_resolver(Arc::new(Certificates(live.clone())));
    settings.enable_h2();
    if let Some(roots) = client_roots {
        let verifier = WebPkiClientVerifier::builder(roots.clone()).build();
        settings.set_client_cert_verifier(verifier.map_err(|error| failed(&error))?);
    }
    Ok(settings.build())
}
