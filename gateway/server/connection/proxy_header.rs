//! Reads the PROXY protocol header that starts a trusted proxy's connection, before TLS.
//!
//! Its length is bounded, and it must arrive within the time limit of the connection's first head (`client_head`). Its
//! syntax is in `trusted_proxies`.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::server::connection::count::ConnectionPermit;
use crate::trusted_proxies::proxy_protocol::{LONGEST, Progress, ProxyHeader, read as progress};

/// How much is read at a time, in bytes: most headers, and little of what follows them.
const READ: usize = 256;

/// Reads the header of the proxy `peer`. Returns the client's address and the bytes after the header. `None` closes the
/// connection: it has no valid header, or the client has too many connections.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    peer: SocketAddr,
    permit: &mut ConnectionPermit,
) -> Option<(SocketAddr, Vec<u8>)> {
    match read_header(stream).await {
        Ok((header, rest)) => {
            let Some(client) = header.client else {
                return Some((peer, rest));
            };
            permit
                .count_for_client(client.ip())
                .then_some((client, rest))
        }
        Err(Some(why)) => {
            permit.refuse_proxy_header(peer.ip(), why);
            None
        }
        // The peer closed without sending anything, as a port check does: not worth a log line.
        Err(None) => None,
    }
}

/// Reads the header and the bytes after it. The error says what is wrong; it is `None` if the peer sent nothing.
async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<(ProxyHeader, Vec<u8>), Option<&'static str>> {
    let mut received = Vec::with_capacity(READ);
    loop {
        let mut chunk = [0; READ];
        let length = stream.read(&mut chunk).await.unwrap_or(0);
        if length == 0 {
            let broke_off = (!received.is_empty()).then_some("it ended within its PROXY header");
            return Err(broke_off);
        }
        received.extend_from_slice(chunk.get(..length).unwrap_or_default());
        match progress(&received) {
            Progress::Whole(header) => {
                received.drain(..header.length);
                return Ok((header, received));
            }
            Progress::Refused(why) => return Err(Some(why)),
            // A longer header is refused before all of it was received.
            Progress::More => debug_assert!(received.len() < LONGEST),
        }
    }
}
