//! The PROXY protocol header at the beginning of a trusted proxy's connection, before TLS.
//!
//! It comes within the time of a request's first head (`client_head`), and is bounded.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::server::connection::connections::Connection;
use crate::trusted_proxies::proxy_protocol::{LONGEST, Progress, ProxyHeader, read as progress};

/// How much is read at once, in bytes: most headers, and little of what follows.
const READ: usize = 256;

/// The client's address, and what came behind the header. `None` where the connection is to be closed: there is no
/// header, or the client has too many connections.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    peer: SocketAddr,
    place: &mut Connection,
) -> Option<(SocketAddr, Vec<u8>)> {
    match read_header(stream).await {
        Ok((header, rest)) => {
            let Some(client) = header.client else {
                return Some((peer, rest));
            };
            place.is_for(client.ip()).then_some((client, rest))
        }
        Err(Some(why)) => {
            place.has_no_proxy_header(peer.ip(), why);
            None
        }
        // Whoever only looks whether the port is open is no news.
        Err(None) => None,
    }
}

/// The header, and what came behind it; or why there is none, if anything came.
async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<(ProxyHeader, Vec<u8>), Option<&'static str>> {
    let mut begun = Vec::with_capacity(READ);
    loop {
        let mut chunk = [0; READ];
        let length = stream.read(&mut chunk).await.unwrap_or(0);
        if length == 0 {
            let broke_off = (!begun.is_empty()).then_some("it ended within its PROXY header");
            return Err(broke_off);
        }
        begun.extend_from_slice(chunk.get(..length).unwrap_or_default());
        match progress(&begun) {
            Progress::Whole(header) => {
                begun.drain(..header.length);
                return Ok((header, begun));
            }
            Progress::Refused(why) => return Err(Some(why)),
            // The reader refuses what is longer before it has come.
            Progress::More => debug_assert!(begun.len() < LONGEST),
        }
    }
}
