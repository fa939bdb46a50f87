//! An HTTP proxy that opens tunnels by CONNECT, records its requests, and resolves names by a table of its own.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::PATIENCE;
use super::client::header;

/// The proxy. Its threads run until the process exits.
#[derive(Clone)]
pub struct ConnectProxy {
    address: SocketAddr,
    requested: Arc<Mutex<Vec<String>>>,
    tunneled: Arc<Mutex<Vec<u8>>>,
    /// The address for each authority of a CONNECT request.
    addresses: Arc<HashMap<String, SocketAddr>>,
    /// The required value of `Proxy-Authorization`.
    required: Option<String>,
    /// The response to every request, if the proxy opens no tunnels.
    response: Option<String>,
}

impl ConnectProxy {
    /// A proxy that connects each authority to its address, and responds with 502 to others.
    pub fn start(addresses: &[(&str, SocketAddr)]) -> Self {
        Self::serving(addresses, None, None)
    }

    /// A proxy that also requires these credentials, and responds with 407 to others.
    pub fn requiring(authorization: &str, addresses: &[(&str, SocketAddr)]) -> Self {
        Self::serving(addresses, Some(authorization.to_owned()), None)
    }

    /// A proxy that sends `response` to every request and closes; if it is empty, the proxy waits and sends nothing.
    pub fn responding(response: &str) -> Self {
        Self::serving(&[], None, Some(response.to_owned()))
    }

    fn serving(
        addresses: &[(&str, SocketAddr)],
        required: Option<String>,
        response: Option<String>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            requested: Arc::default(),
            tunneled: Arc::default(),
            addresses: Arc::new(
                addresses
                    .iter()
                    .map(|(name, at)| ((*name).to_owned(), *at))
                    .collect(),
            ),
            required,
            response,
        };
        let seen = proxy.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let seen = seen.clone();
                std::thread::spawn(move || seen.serve(client));
            }
        });
        proxy
    }

    fn serve(&self, mut client: TcpStream) -> Option<()> {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_nodelay(true).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        self.requested.lock().unwrap().push(head.clone());
        match self.response.as_deref() {
            Some("") => {
                // Until the client closes the connection.
                let _ = client.read(&mut [0]);
                return None;
            }
            Some(response) => return client.write_all(response.as_bytes()).ok(),
            None => {}
        }
        if header(&head, "proxy-authorization") != self.required.as_deref() {
            let response = "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"corp\"\r\n\r\n";
            return client.write_all(response.as_bytes()).ok();
        }
        let line = head.lines().next().unwrap();
        let target = line.strip_prefix("CONNECT ").unwrap();
        let address = self
            .addresses
            .get(target.strip_suffix(" HTTP/1.1").unwrap());
        let Some(mut provider) = address.and_then(|address| TcpStream::connect(address).ok())
        else {
            return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").ok();
        };
        provider.set_nodelay(true).unwrap();
        client
            .write_all(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n")
            .ok()?;
        let (mut down, mut up) = (client.try_clone().unwrap(), provider.try_clone().unwrap());
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut up, &mut down);
            let _ = down.shutdown(Shutdown::Both);
        });
        let mut chunk = [0; 16 << 10];
        while let Ok(read @ 1..) = client.read(&mut chunk) {
            self.tunneled.lock().unwrap().extend(&chunk[..read]);
            provider.write_all(&chunk[..read]).ok()?;
        }
        provider.shutdown(Shutdown::Both).ok()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of all requests so far.
    pub fn requested(&self) -> Vec<String> {
        self.requested.lock().unwrap().clone()
    }

    /// The bytes that clients sent through the tunnels.
    pub fn tunneled(&self) -> Vec<u8> {
        self.tunneled.lock().unwrap().clone()
    }
}
