//! Keeps the last file descriptors of the process free of outgoing connections.

use pingora_core::{Error, ErrorType, Result};
use tokio::net::TcpSocket;

use crate::runtime::descriptors;

/// Refuses `socket` if it has one of the last file descriptors, which are reserved for files, operators and lookups.
pub(crate) fn refuse_reserved(socket: &TcpSocket) -> Result<()> {
    if descriptors::is_reserved(socket) {
        let why = "the last file descriptors are not for connections";
        return Err(Error::explain(ErrorType::SocketError, why));
    }
    Ok(())
}
