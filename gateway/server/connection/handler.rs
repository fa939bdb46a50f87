//! The contract between the accept loop and the code that serves a connection.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

/// A connection that was accepted and admitted.
pub(crate) struct Accepted<P> {
    pub(crate) socket: TcpStream,
    pub(crate) peer: SocketAddr,
    /// When it was accepted. The time limit of the first request head counts from here.
    pub(crate) at: Instant,
    /// Counts the connection as open until it is dropped.
    pub(crate) permit: P,
}

/// Serves connections, each to its end.
pub(crate) trait ConnectionHandler: Send + Sync + 'static {
    /// Counts a connection as open until it is dropped.
    type Permit: Send + 'static;

    /// Admits the connection `socket` from `peer`. `None` closes it at once.
    fn admit(&self, socket: &TcpStream, peer: SocketAddr) -> Option<Self::Permit>;

    /// Serves a connection until it closes.
    fn serve(self: Arc<Self>, arrival: Accepted<Self::Permit>) -> impl Future<Output = ()> + Send;
}
