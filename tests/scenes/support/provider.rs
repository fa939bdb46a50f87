//! A provider that records every byte that it receives, and responds as the scene wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use super::PATIENCE;
use super::client::header;

/// A request as it was received.
#[derive(Debug, Clone)]
pub struct Received {
    /// The head, from the request line to the empty line.
    pub head: String,
    pub body: Vec<u8>,
}

impl Received {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The number of headers with this name.
    pub fn count(&self, name: &str) -> usize {
        let names = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        names
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .count()
    }
}

/// A connection to write a response to.
pub trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

type Respond = dyn Fn(&Received, &mut dyn Wire) + Send + Sync;

/// The provider. Its threads run until the process exits.
#[derive(Clone)]
pub struct Provider {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
}

/// A step before HTTP on each connection, such as TLS; `None` if it fails.
pub type Accept = dyn Fn(TcpStream) -> Option<Box<dyn Wire>> + Send + Sync;

impl Provider {
    /// A provider that responds to every request with 200 and `{"ok":true}`.
    pub fn start() -> Self {
        Self::responding(|_, wire| ok(wire, b"{\"ok\":true}"))
    }

    /// A provider whose responses `response` writes. The connection is kept when it returns.
    pub fn responding(response: impl Fn(&Received, &mut dyn Wire) + Send + Sync + 'static) -> Self {
        Self::accepting(|stream| Some(Box::new(stream) as Box<dyn Wire>), response)
    }

    pub fn accepting(
        accept: impl Fn(TcpStream) -> Option<Box<dyn Wire>> + Send + Sync + 'static,
        response: impl Fn(&Received, &mut dyn Wire) + Send + Sync + 'static,
    ) -> Self {
        Self::serving(usize::MAX, accept, response)
    }

    fn serving(
        per_connection: usize,
        accept: impl Fn(TcpStream) -> Option<Box<dyn Wire>> + Send + Sync + 'static,
        response: impl Fn(&Received, &mut dyn Wire) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let provider = Self {
            address: listener.local_addr().unwrap(),
            received: Arc::default(),
            connections: Arc::default(),
        };
        let (seen, accept, response): (_, Arc<Accept>, Arc<Respond>) =
            (provider.clone(), Arc::new(accept), Arc::new(response));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_nodelay(true).unwrap();
                seen.connections.fetch_add(1, Ordering::SeqCst);
                let (seen, accept, response) = (seen.clone(), accept.clone(), response.clone());
                std::thread::spawn(move || {
                    if let Some(wire) = accept(stream) {
                        seen.serve(wire, per_connection, &*response);
                    }
                });
            }
        });
        provider
    }

    /// A provider that responds to one request per connection, reads the start of the next one, and closes.
    pub fn closing(response: impl Fn(&Received, &mut dyn Wire) + Send + Sync + 'static) -> Self {
        Self::serving(
            1,
            |stream| Some(Box::new(stream) as Box<dyn Wire>),
            response,
        )
    }

    fn serve(&self, wire: Box<dyn Wire>, limit: usize, response: &Respond) {
        let mut wire = BufReader::new(wire);
        for _ in 0..limit {
            let Some(request) = read_request(&mut wire) else {
                return;
            };
            self.received.lock().unwrap().push(request.clone());
            response(&request, wire.get_mut());
        }
        let _ = wire.fill_buf();
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The only request so far.
    pub fn only(&self) -> Received {
        let all = self.received();
        assert_eq!(all.len(), 1, "{all:#?}");
        all[0].clone()
    }

    pub fn last(&self) -> Received {
        self.received().pop().expect("no request was received")
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A provider like `OpenAI`'s chat with respect to usage: it refuses what `OpenAI` would refuse.
pub fn chat() -> Provider {
    Provider::responding(|request, wire| {
        let requested: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let options = requested
            .get("stream_options")
            .filter(|options| !options.is_null());
        if requested["stream"] != true {
            if options.is_some() {
                return respond(wire, "400 Bad Request", &[], b"only with a stream");
            }
            let body = br#"{"model":"m-1","choices":[{}],"usage":{"prompt_tokens":5,"completion_tokens":7}}"#;
            return respond(
                wire,
                "200 OK",
                &[("content-type", "application/json")],
                body,
            );
        }
        let with_usage = options.is_some_and(|options| options["include_usage"] == true);
        let more = if with_usage { r#","usage":null"# } else { "" };
        begin_events(wire);
        for word in ["one", "two", "\\\"usage\\\":null"] {
            let event = format!(
                "data: {{\"model\":\"m-1\",\"choices\":[{{\"delta\":{{\"content\":\"{word}\"}}}}]{more}}}\n\n"
            );
            let (begin, end) = event.split_at(event.len() / 2);
            chunk(wire, begin.as_bytes());
            chunk(wire, end.as_bytes());
        }
        if with_usage {
            chunk(wire, b"data: {\"model\":\"m-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3}}\n\n");
        }
        chunk(wire, b"data: [DONE]\n\n");
        end_chunks(wire);
    })
}

/// A provider that responds with the request's body as JSON, or as an event stream if the path contains `/streamed`.
pub fn echo_json() -> Provider {
    Provider::responding(|request, wire| {
        if request.line().contains("/streamed") {
            let head = [("content-type", "text/event-stream")];
            let events = format!("data: {}\n\n", String::from_utf8_lossy(&request.body));
            respond(wire, "200 OK", &head, events.as_bytes());
        } else {
            let head = [("content-type", "application/json")];
            respond(wire, "200 OK", &head, &request.body);
        }
    })
}

/// A provider that streams the events that it receives by the sender; `end` ends the response.
pub fn event_stream() -> (Provider, Sender<&'static str>) {
    let (send, events) = channel::<&'static str>();
    let events = Mutex::new(events);
    let provider = Provider::responding(move |_, wire| {
        begin_events(wire);
        while let Ok(event) = events.lock().unwrap().recv_timeout(PATIENCE) {
            if event == "end" {
                return end_chunks(wire);
            }
            chunk(wire, event.as_bytes());
        }
    });
    (provider, send)
}

/// A provider that waits for a message of the sender before each response, which `response` writes.
pub fn gated(
    response: impl Fn(&Received, &mut dyn Wire) + Send + Sync + 'static,
) -> (Provider, Sender<()>) {
    let (release, released) = channel();
    let released = Mutex::new(released);
    let provider = Provider::responding(move |request, wire| {
        let _ = released.lock().unwrap().recv_timeout(PATIENCE);
        response(request, wire);
    });
    (provider, release)
}

/// Writes a complete response with a body.
pub fn ok(wire: &mut dyn Wire, body: &[u8]) {
    respond(
        wire,
        "200 OK",
        &[("content-type", "application/json")],
        body,
    );
}

/// Writes a response. Ignores a client that has closed the connection.
pub fn respond(wire: &mut dyn Wire, status: &str, headers: &[(&str, &str)], body: &[u8]) {
    let mut raw = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers {
        raw += &format!("{name}: {value}\r\n");
    }
    raw += &format!("content-length: {}\r\n\r\n", body.len());
    let _ = wire
        .write_all(raw.as_bytes())
        .and_then(|()| wire.write_all(body));
    let _ = wire.flush();
}

/// Writes the head of an event stream.
pub fn begin_events(wire: &mut dyn Wire) {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let _ = wire.write_all(head.as_bytes());
    let _ = wire.flush();
}

/// Writes a chunk; returns whether it could be written.
pub fn chunk(wire: &mut dyn Wire, data: &[u8]) -> bool {
    let mut raw = format!("{:x}\r\n", data.len()).into_bytes();
    raw.extend(data);
    raw.extend(b"\r\n");
    wire.write_all(&raw).and_then(|()| wire.flush()).is_ok()
}

pub fn end_chunks(wire: &mut dyn Wire) {
    let _ = wire.write_all(b"0\r\n\r\n").and_then(|()| wire.flush());
}

fn read_request(wire: &mut BufReader<Box<dyn Wire>>) -> Option<Received> {
    let mut head = String::new();
    loop {
        match wire.read_line(&mut head) {
            Ok(0) | Err(_) => return None,
            Ok(_) if head.ends_with("\r\n\r\n") => break,
            Ok(_) => {}
        }
    }
    let mut body = Vec::new();
    if header(&head, "expect").is_some() {
        wire.get_mut()
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .ok()?;
        wire.get_mut().flush().ok()?;
    }
    if let Some(length) = header(&head, "content-length") {
        body.resize(length.parse().ok()?, 0);
        wire.read_exact(&mut body).ok()?;
    } else if header(&head, "transfer-encoding").is_some() {
        loop {
            let mut line = String::new();
            wire.read_line(&mut line).ok().filter(|n| *n > 0)?;
            let length = usize::from_str_radix(line.trim(), 16).ok()?;
            let mut chunk = vec![0; length + 2];
            wire.read_exact(&mut chunk).ok()?;
            if length == 0 {
                break;
            }
            body.extend(&chunk[..length]);
        }
    }
    Some(Received { head, body })
}
