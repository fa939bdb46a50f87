//! A WebSocket frame by frame, for both sides of a scene.

use std::time::Duration;

use super::provider::Wire;
use super::{Client, Gateway, Provider};

/// A message of a client, masked.
pub const MESSAGE: [u8; 8] = [0x81, 0x82, 1, 2, 3, 4, b'{' ^ 1, b'}' ^ 2];

/// A message in one frame, unmasked, as providers send them.
pub fn text(message: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 126];
    frame.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message.as_bytes());
    frame
}

/// The head of a request to upgrade to a WebSocket.
pub fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer secret\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// Responds with 101 and further headers.
pub fn switch(wire: &mut dyn Wire, more: &str) {
    // Waits as long as a remote provider would. If the 101 arrives before Pingora 0.9.1 has read the end of the request's
    // (empty) body, it takes that end for the end of the connection.
    std::thread::sleep(Duration::from_millis(50));
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{more}\r\n"
    );
    wire.write_all(head.as_bytes()).unwrap();
    wire.flush().unwrap();
}

/// A provider that switches protocols, responds to each [`MESSAGE`] with the next of `turns`, and then waits for the end.
pub fn taking_turns(more: &'static str, turns: Vec<Vec<u8>>) -> Provider {
    Provider::responding(move |_, wire| {
        switch(wire, more);
        let mut message = [0; MESSAGE.len()];
        for turn in &turns {
            if wire.read_exact(&mut message).is_err() {
                return;
            }
            assert_eq!(message, MESSAGE);
            wire.write_all(turn).unwrap();
            wire.flush().unwrap();
        }
        while let Ok(1..) = wire.read(&mut message) {}
    })
}

/// A client with an open WebSocket.
pub fn connect(gateway: &Gateway, path: &str, more: &str) -> Client {
    let mut client = gateway.client();
    client.send(handshake(path, more));
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

/// Sends [`MESSAGE`] and checks that the next turn arrives byte for byte.
pub fn take_turn(client: &mut Client, turn: &[u8]) {
    client.send(MESSAGE);
    let mut received = vec![0; turn.len()];
    client.read_exact(&mut received);
    assert_eq!(received, turn);
}
