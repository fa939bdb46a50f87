//! The provider: it responds as the prompt of a request says.

use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::alarm::{Alarm, now};
use crate::input_closed;

/// An event of OpenAI's, whose text is the time of sending: gateways that translate send other fields anew, but keep that.
const EVENT: [&str; 2] = [
    r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1727967462,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":"sent "#,
    "\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
];
/// The beginning and the end of a whole response.
const COMPLETION: [&str; 2] = [
    r#"{"id":"chatcmpl-1","object":"chat.completion","created":1727967462,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":""#,
    r#""},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":60,"completion_tokens":90,"total_tokens":150}}"#,
];

pub(crate) async fn provider() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    tokio::select! {
        () = input_closed() => std::process::exit(0),
        () = async { loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(serve(stream));
        }} => {}
    }
}

/// Serves the requests of one connection.
async fn serve(stream: TcpStream) -> Option<()> {
    let mut stream = BufReader::with_capacity(2 << 10, stream);
    loop {
        let body = read_request(&mut stream).await?;
        let request: serde_json::Value = serde_json::from_slice(&body).ok()?;
        drop(body);
        let prompt = request["messages"][0]["content"].as_str()?;
        let mut order = prompt.split(' ').map(str::parse);
        let mut next = || order.next()?.ok();
        let (events, pace, size): (u64, u64, u64) = (next()?, next()?, next()?);
        drop(request);
        if size > 0 {
            send_whole(&mut stream, size as usize).await?;
        } else {
            send_events(&mut stream, events, Duration::from_micros(pace)).await?;
        }
    }
}

/// The body of the next request.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        let read = stream.read_line(&mut line).await.ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if read == 0 {
            return None;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}

async fn send_events(stream: &mut BufReader<TcpStream>, events: u64, pace: Duration) -> Option<()> {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    let (mut next, mut alarm, [begin, end]) = (Instant::now(), Alarm::new(), EVENT);
    for _ in 0..events {
        let event = format!("{begin}{:020}{end}", now());
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        stream.write_all(chunk.as_bytes()).await.ok()?;
        next += pace;
        alarm.until(next).await;
    }
    let end = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    stream.write_all(end).await.ok()
}

/// Sends a response of `size` bytes, in chunks of 64 KiB: many connections that stall must not hold it whole.
async fn send_whole(stream: &mut BufReader<TcpStream>, size: usize) -> Option<()> {
    let [begin, end] = COMPLETION;
    let mut left = size.checked_sub(begin.len() + end.len())?;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n{begin}"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    while left > 0 {
        let part = FILLER.get(..left).unwrap_or(&FILLER);
        stream.write_all(part).await.ok()?;
        left -= part.len();
    }
    stream.write_all(end.as_bytes()).await.ok()
}

static FILLER: [u8; 64 << 10] = [b'y'; 64 << 10];
