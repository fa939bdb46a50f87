//! The sockets that a gateway listens on: bound by itself, or inherited from systemd or from the process before it, by
//! the protocol of `sd_listen_fds(3)`
//! (<https://www.freedesktop.org/software/systemd/man/sd_listen_fds.html>).

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

use crate::config::{Listen, ServerConfig};
use crate::error::Error;
use crate::grammar::address::is_loopback_or_private;
use crate::server::lifecycle::handover::Predecessors;

/// How many connections may wait to be accepted. The system lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;
/// The name of an inherited socket for the admin listener. Sockets with any other name are for clients.
pub(crate) const ADMIN: &str = "admin";
/// The name of an inherited socket to a process before this one.
pub(crate) const PREDECESSOR: &str = "predecessor";

/// Sockets that are bound and listen.
pub(crate) struct Sockets {
    /// For clients.
    pub(crate) listen: Vec<TcpListener>,
    /// For operators.
    pub(crate) admin: TcpListener,
}

impl Sockets {
    /// The same sockets, with descriptors of their own.
    pub(crate) fn copy(&self) -> std::io::Result<Self> {
        let listen = self.listen.iter().map(TcpListener::try_clone);
        Ok(Self {
            listen: listen.collect::<Result<_, _>>()?,
            admin: self.admin.try_clone()?,
        })
    }

    /// Sets every socket non-blocking, with the full backlog.
    fn prepare(&self) -> std::io::Result<()> {
        for socket in self.listen.iter().chain([&self.admin]) {
            socket.set_nonblocking(true)?;
            // listen(2) again: the socket's creator may have set a backlog of 128.
            rustix::net::listen(socket, BACKLOG)?;
        }
        Ok(())
    }
}

/// Sockets that were open before this process started. Take them before any thread starts: it reads and removes
/// environment variables.
#[derive(Default)]
pub(crate) struct Inherited {
    named: Vec<(String, TcpListener)>,
    predecessors: Predecessors,
}

impl Inherited {
    /// Takes all inherited sockets.
    ///
    /// # Errors
    /// If one of them is not of the expected kind.
    pub(crate) fn take() -> Result<Self, Error> {
        let list = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = list.split(':');
        let mut given = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..given.len() {
            let name = names.next().unwrap_or_default();
            let failed =
                |error| Error::failed(format_args!("take over the socket `{name}`"), error);
            if name == PREDECESSOR {
                if let Some(socket) = given.take_unix_datagram(index).map_err(failed)? {
                    socket.set_nonblocking(true).map_err(failed)?;
                    inherited.predecessors.push(socket);
                }
            } else if let Some(socket) = given.take_tcp_listener(index).map_err(failed)? {
                inherited.named.push((name.to_owned(), socket));
            }
        }
        Ok(inherited)
    }

    /// The processes before this one.
    pub(crate) fn predecessors(self) -> Predecessors {
        self.predecessors
    }

    /// The sockets that `config` names: inherited ones where they fit, and new ones. Closes the other inherited sockets.
    pub(crate) fn sockets(&mut self, config: &ServerConfig) -> Result<Sockets, Error> {
        let mut listen = Vec::new();
        if let Listen::Addresses(addresses) = &config.listener.listen {
            for address in addresses {
                listen.push(self.take_or_bind(*address, false)?);
            }
        }
        let admin = self.take_or_bind(config.listener.admin, true)?;
        if config.listener.listen == Listen::Systemd {
            listen = self.take_from_systemd(config)?;
        }
        let sockets = Sockets { listen, admin };
        sockets
            .prepare()
            .map_err(|error| Error::failed("use a socket", error))?;
        // Close inherited sockets that the configuration does not name: nobody would accept from them.
        self.named.clear();
        Ok(sockets)
    }

    /// Takes the sockets for clients that systemd has bound.
    fn take_from_systemd(&mut self, config: &ServerConfig) -> Result<Vec<TcpListener>, Error> {
        let listen: Vec<_> = self
            .named
            .drain(..)
            .filter(|(name, _)| name != ADMIN)
            .map(|(_, socket)| socket)
            .collect();
        let is_plain = config.listener.tls.is_none() && !config.listener.plain_http;
        let exposed = listen
            .iter()
            .filter_map(|socket| socket.local_addr().ok())
            .find(|address| is_plain && !is_loopback_or_private(address.ip()));
        if let Some(exposed) = exposed {
            return Err(Error::Failed(format!(
                "keys of clients would go unencrypted to {exposed}, which systemd has handed over: give \
                 [server.tls] a certificate, or say `plain_http = true`"
            )));
        }
        if listen.is_empty() {
            let why = "server.listen is \"systemd\", and systemd has handed no socket over: start it by \
                       keygate.socket, or name an address";
            return Err(Error::Failed(why.to_owned()));
        }
        Ok(listen)
    }

    /// The inherited socket for the address `wanted`, or a new one. Port 0 takes an inherited socket with any port.
    fn take_or_bind(&mut self, wanted: SocketAddr, admin: bool) -> Result<TcpListener, Error> {
        let fits = |(name, socket): &(String, TcpListener)| {
            let is_address = socket.local_addr().is_ok_and(|bound| {
                bound.ip() == wanted.ip() && [0, bound.port()].contains(&wanted.port())
            });
            is_address && (name == ADMIN) == admin
        };
        match self.named.iter().position(fits) {
            Some(index) => Ok(self.named.swap_remove(index).1),
            None => bind(wanted),
        }
    }
}

/// Binds a new socket, and listens on it.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .map_err(|error| Error::failed(format_args!("listen on {address}"), error))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::config::{Purpose, Resolved};

    #[test]
    fn a_thousand_connections_can_wait_to_be_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        let server = "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n";
        std::fs::write(&path, server).unwrap();
        let config = Resolved::load(&path, Purpose::Start).unwrap_or_else(|e| panic!("{e}"));
        let sockets = Inherited::default().sockets(&config.server).unwrap();
        let address = sockets.listen[0].local_addr().unwrap();
        let waiting: Vec<_> = (0..1000)
            .map(|_| TcpStream::connect_timeout(&address, Duration::from_secs(1)).unwrap())
            .collect();
        assert_eq!(waiting.len(), 1000);
    }
}
