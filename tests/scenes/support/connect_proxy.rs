//! An HTTP proxy that opens tunnels by CONNECT, records what it is asked, and looks names up in a table of its own.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::PATIENCE;
use super::client::header;

/// The proxy. Its threads end with the process.
#[derive(Clone)]
pub struct ConnectProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    passed: Arc<Mutex<Vec<u8>>>,
    /// Where the authorities lead that it may be asked for.
    places: Arc<HashMap<String, SocketAddr>>,
    /// What it wants in `Proxy-Authorization`.
    wants: Option<String>,
    /// What it answers to everything, where it opens no tunnels.
    response: Option<String>,
}

impl ConnectProxy {
    /// Leads each authority to its place; others are 502.
    pub fn start(places: &[(&str, SocketAddr)]) -> Self {
        Self::serving(places, None, None)
    }

    /// Likewise, for who brings these credentials: others are 407.
    pub fn wanting(authorization: &str, places: &[(&str, SocketAddr)]) -> Self {
        Self::serving(places, Some(authorization.to_owned()), None)
    }

    /// Answers everything with `answer` and closes; says nothing and waits, if that is empty.
    pub fn answering(response: &str) -> Self {
        Self::serving(&[], None, Some(response.to_owned()))
    }

    fn serving(
        places: &[(&str, SocketAddr)],
        wants: Option<String>,
        response: Option<String>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let places = places.iter();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            passed: Arc::default(),
            places: Arc::new(places.map(|(name, at)| ((*name).to_owned(), *at)).collect()),
            wants,
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
        self.asked.lock().unwrap().push(head.clone());
        match self.response.as_deref() {
            Some("") => {
                // Until the client has had enough.
                let _ = client.read(&mut [0]);
                return None;
            }
            Some(response) => return client.write_all(response.as_bytes()).ok(),
            None => {}
        }
        if header(&head, "proxy-authorization") != self.wants.as_deref() {
            let response = "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"corp\"\r\n\r\n";
            return client.write_all(response.as_bytes()).ok();
        }
        let line = head.lines().next().unwrap();
        let target = line.strip_prefix("CONNECT ").unwrap();
        let place = self.places.get(target.strip_suffix(" HTTP/1.1").unwrap());
        let Some(mut provider) = place.and_then(|place| TcpStream::connect(place).ok()) else {
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
            self.passed.lock().unwrap().extend(&chunk[..read]);
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

    /// The heads of what it was asked.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// What clients sent through its tunnels.
    pub fn passed(&self) -> Vec<u8> {
        self.passed.lock().unwrap().clone()
    }
}
