//! An HTTP/1.1 client that sends exactly the bytes that a test gives it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// One connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// A response.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The code of a refusal, in OpenAI's error format or in Hugging Face's.
    pub fn code(&self) -> String {
        let json = self.json();
        let code = json["error"]["code"].as_str();
        let code = code.or(json["error_type"].as_str());
        code.unwrap_or_default().to_owned()
    }
}

/// The first header of this name in a raw head.
pub fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Client {
    pub fn connect(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).unwrap())
    }

    /// Connects; `None` if the connection is refused.
    pub fn try_connect(to: SocketAddr) -> Option<Self> {
        TcpStream::connect(to).ok().map(Self::over)
    }

    /// Sends a request on a new connection, and reads the head of its response, whose status is 200.
    pub fn open_response(to: SocketAddr, request: impl AsRef<[u8]>) -> Self {
        let mut client = Self::connect(to);
        client.send(request);
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        client
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Like `send`, but the other side may have closed already.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// The same connection, to send from another thread.
    pub fn sender(&self) -> TcpStream {
        self.stream.get_ref().try_clone().unwrap()
    }

    /// Sends as much as there is room for.
    pub fn send_some(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let stream = self.stream.get_mut();
        stream.set_nonblocking(true).unwrap();
        let sent = stream.write(bytes);
        stream.set_nonblocking(false).unwrap();
        sent
    }

    /// Sends a request, with a Content-Length if it has a body, and reads the response.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.send(raw_request(method, path, headers, body));
        self.response(method == "HEAD")
    }

    pub fn read_head(&mut self) -> String {
        self.try_read_head()
            .expect("the connection closed before a response")
    }

    /// Reads a head; `None` if the connection is closed.
    pub fn try_read_head(&mut self) -> Option<String> {
        let mut head = String::new();
        loop {
            match self.stream.read_line(&mut head) {
                Ok(0) | Err(_) => return None,
                Ok(_) if head.ends_with("\r\n\r\n") => return Some(head),
                Ok(_) => {}
            }
        }
    }

    /// Reads a response; `to_head` is true if the request was HEAD.
    pub fn response(&mut self, to_head: bool) -> Response {
        self.try_response(to_head)
            .expect("the connection closed before a response")
    }

    pub fn try_response(&mut self, to_head: bool) -> Option<Response> {
        loop {
            let head = self.try_read_head()?;
            let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
            if status == 100 {
                continue;
            }
            let mut body = Vec::new();
            if to_head || status == 204 || status == 304 || status == 101 {
            } else if let Some(length) = header(&head, "content-length") {
                body.resize(length.parse().unwrap(), 0);
                self.stream.read_exact(&mut body).ok()?;
            } else if header(&head, "transfer-encoding").is_some() {
                while let Some(chunk) = self.try_chunk()? {
                    body.extend(chunk);
                }
            } else {
                self.stream.read_to_end(&mut body).ok()?;
            }
            return Some(Response { status, head, body });
        }
    }

    /// The next chunk of a chunked response; `Some(None)` at its end, `None` if the connection was cut.
    pub fn try_chunk(&mut self) -> Option<Option<Vec<u8>>> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = vec![0; length + 2];
        self.stream.read_exact(&mut chunk).ok()?;
        chunk.truncate(length);
        Some(if length == 0 { None } else { Some(chunk) })
    }

    pub fn chunk(&mut self) -> String {
        let chunk = self
            .try_chunk()
            .expect("the stream was cut")
            .expect("the stream ended");
        String::from_utf8(chunk).unwrap()
    }

    /// Whether unread bytes have arrived. Does not wait.
    pub fn has_response(&mut self) -> bool {
        if !self.stream.buffer().is_empty() {
            return true;
        }
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true).unwrap();
        let found = stream.peek(&mut [0]);
        stream.set_nonblocking(false).unwrap();
        !found.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    pub fn read_exact(&mut self, bytes: &mut [u8]) {
        self.stream.read_exact(bytes).unwrap();
    }

    /// Reads until the other side closes. Returns whether it sent nothing more before.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

pub fn raw_request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut raw = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        raw.extend(b"Host: gateway.test\r\n");
    }
    for (name, value) in headers {
        raw.extend(format!("{name}: {value}\r\n").as_bytes());
    }
    if !body.is_empty() {
        raw.extend(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    raw.extend(b"\r\n");
    raw.extend(body);
    raw
}
