//! Certificates, and both sides of TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::task::JoinHandle;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto,
};

use super::provider::{Provider, Received, Wire};
use super::{PATIENCE, Scene};

/// A certificate authority that no client trusts by default.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate for `name`, and its key, in PEM.
    pub fn certificate(&self, name: &str) -> (String, String) {
        self.certificate_until(name, 4000)
    }

    /// A certificate that expires at the start of this year.
    pub fn certificate_until(&self, name: &str, year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// The TLS configuration of a server for `name`.
    pub fn server(&self, name: &str, protocols: &[&str]) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// A provider with TLS that speaks HTTP/1.1 only.
pub fn provider(
    config: Arc<ServerConfig>,
    response: impl Fn(&Received, &mut dyn Wire) + Send + Sync + 'static,
) -> Provider {
    let accept = move |stream: TcpStream| {
        let session = ServerConnection::new(config.clone()).ok()?;
        Some(Box::new(StreamOwned::new(session, stream)) as Box<dyn Wire>)
    };
    Provider::accepting(accept, response)
}

const TLS: &str = "server.tls = { certificate = \"cert.pem\", key = \"file:key.pem\" }";

/// Writes a certificate for `name`, and its key, into the files of [`scene`].
pub fn write_certificate(scene: &Scene, authority: &Authority, name: &str) {
    let (certificate, key) = authority.certificate(name);
    scene.write("cert.pem", &certificate);
    scene.write("key.pem", &key);
}

/// A scene whose clients use TLS, with a certificate for `gateway.test`; `more` are further lines of its `[server]`.
pub fn scene(provider: &Provider, authority: &Authority, more: &str) -> Scene {
    let server = format!("{TLS}\n{more}");
    let scene = Scene::before(provider, &server);
    write_certificate(&scene, authority, "gateway.test");
    scene
}

/// The configuration of a client that trusts the authority, and presents a certificate if it has one.
pub fn client_config(
    authority: &Authority,
    own: Option<&Authority>,
    protocols: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let (certificate, key) = own.certificate("client.test");
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Arc::new(config)
}

/// Sends one request over TLS to a server of this name. Returns the response, or the error.
pub fn post(to: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Result<String, String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let session = ClientConnection::new(config.clone(), name).unwrap();
    let mut stream = StreamOwned::new(session, TcpStream::connect(to).unwrap());
    let request = "POST /p HTTP/1.1\r\nhost: h\r\napi-key: secret\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    stream
        .write_all(request.as_bytes())
        .map_err(|error| error.to_string())?;
    let mut response = Vec::new();
    let read = stream.read_to_end(&mut response);
    match read {
        Err(error) if response.is_empty() => Err(error.to_string()),
        _ => Ok(String::from_utf8(response).unwrap()),
    }
}

/// A connection with a read timeout.
pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A TLS connection to `gateway.test` after its handshake.
pub fn handshake(
    to: SocketAddr,
    config: &Arc<ClientConfig>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("gateway.test").unwrap();
    let mut session = ClientConnection::new(config.clone(), name).unwrap();
    let mut stream = connect(to);
    while session.is_handshaking() {
        session.complete_io(&mut stream).unwrap();
    }
    StreamOwned::new(session, stream)
}

/// An HTTP/2 client over TLS on a connection to `gateway.test`, and the task that runs it.
pub async fn http2(
    stream: tokio::net::TcpStream,
    config: Arc<ClientConfig>,
) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let name = ServerName::try_from("gateway.test").unwrap();
    let connector = tokio_rustls::TlsConnector::from(config);
    let stream = connector.connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    (client, tokio::spawn(connection))
}
