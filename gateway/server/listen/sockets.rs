//! The sockets that a gateway listens on: bound by itself, or handed over by systemd or by the process that it
//! succeeds, as `sd_listen_fds(3)` has it
//! (<https://www.freedesktop.org/software/systemd/man/sd_listen_fds.html>).

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;

use listenfd::ListenFd;

use crate::config::{Listen, ServerConfig};
use crate::error::Error;
use crate::grammar::address::is_near;

/// How many connections wait to be accepted, at most: what the system allows (`net.core.somaxconn`) is less.
const BACKLOG: i32 = 65_535;
/// What a handed over socket for the admin listener is called; every other one is for clients.
pub(crate) const ADMIN: &str = "admin";
/// The socket to the process that is succeeded.
pub(crate) const PREDECESSOR: &str = "predecessor";

/// What a process says to those before it: that it serves, that yet another does, and that it was told to end.
pub(crate) const SERVING: &[u8] = b"serving";
pub(crate) const SUCCEEDED: &[u8] = b"succeeded";
pub(crate) const ENDING: &[u8] = b"ending";
/// What a process says to the one that it starts: that it will tell it when it has handed over, and that it has.
pub(crate) const STARTING: &[u8] = b"starting";
pub(crate) const HANDED_OVER: &[u8] = b"handed over";

/// Sockets that are bound and listen.
pub(crate) struct Sockets {
    /// For clients.
    pub(crate) listen: Vec<TcpListener>,
    /// For operators.
    pub(crate) admin: TcpListener,
}

impl Sockets {
    /// The same sockets, by descriptors of their own.
    pub(crate) fn copy(&self) -> std::io::Result<Self> {
        let listen = self.listen.iter().map(TcpListener::try_clone);
        Ok(Self {
            listen: listen.collect::<Result<_, _>>()?,
            admin: self.admin.try_clone()?,
        })
    }
}

/// Sockets that were there before this process. To be taken before any thread is started: it reads what the
/// environment says.
#[derive(Default)]
pub struct Inherited {
    named: Vec<(String, TcpListener)>,
    predecessors: Predecessors,
}

/// The processes before this one, which may drain still; the one that is succeeded comes last. As long as a process has
/// a socket to one of them, that one knows that somebody serves.
#[derive(Default)]
pub(crate) struct Predecessors(Vec<UnixDatagram>);

impl Predecessors {
    /// Tells the one that is succeeded what this process does; whether there is one.
    pub(crate) fn tell_last(&self, what: &[u8]) -> bool {
        let last = self.0.last();
        let said = last.map(|last| last.send(what));
        if let Some(Err(error)) = said {
            // It may have ended.
            tracing::debug!("the process before this one does not hear: {error}");
        }
        last.is_some()
    }

    /// Tells all of them. Those that have ended do not hear.
    pub(crate) fn tell_all(&self, what: &[u8]) {
        for predecessor in &self.0 {
            let _ = predecessor.send(what);
        }
    }

    /// Takes note that the one that is succeeded will say when it has handed over; whether it will. One of a version
    /// from before that says nothing.
    pub(crate) fn will_hand_over(&self) -> bool {
        self.heard(STARTING)
    }

    /// Whether the one that is succeeded says now that it has handed over.
    pub(crate) fn has_handed_over(&self) -> bool {
        self.heard(HANDED_OVER)
    }

    /// Whether the one that is succeeded has ended. What it has said and was not read is lost with that.
    pub(crate) fn has_lost_last(&self) -> bool {
        self.0.last().is_some_and(is_gone)
    }

    /// Whether the one that is succeeded has said `what`, among the words that were not read yet.
    fn heard(&self, what: &[u8]) -> bool {
        let mut word = [0; 16];
        self.0.last().is_some_and(|last| {
            std::iter::from_fn(|| {
                last.recv(&mut word)
                    .ok()
                    .map(|length| word.get(..length) == Some(what))
            })
            .any(|is_it| is_it)
        })
    }

    /// Sockets to those that have not ended, for the next process.
    pub(crate) fn copy(&self) -> std::io::Result<Vec<UnixDatagram>> {
        let there = self.0.iter().filter(|socket| !is_gone(socket));
        there.map(UnixDatagram::try_clone).collect()
    }
}

/// Whether nobody has the other end of a socket of a pair any more. If so, what came and was not read is lost: it is to
/// be read before.
pub(crate) fn is_gone(socket: &UnixDatagram) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, NotConnected};
    // The first time, the system takes the socket from its peer.
    let said = socket.send(&[]);
    said.is_err_and(|error| [ConnectionRefused, NotConnected].contains(&error.kind()))
}

impl Inherited {
    /// Takes them all.
    pub fn take() -> Result<Self, Error> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut given = ListenFd::from_env();
        let mut inherited = Self::default();
        for place in 0..given.len() {
            let name = names.next().unwrap_or_default();
            let failed =
                |error| Error::failed(format_args!("take over the socket `{name}`"), error);
            if name == PREDECESSOR {
                let socket = given.take_unix_datagram(place).map_err(failed)?;
                if let Some(socket) = &socket {
                    socket.set_nonblocking(true).map_err(failed)?;
                }
                inherited.predecessors.0.extend(socket);
            } else if let Some(socket) = given.take_tcp_listener(place).map_err(failed)? {
                inherited.named.push((name.to_owned(), socket));
            }
        }
        Ok(inherited)
    }

    /// The processes before this one.
    pub(crate) fn predecessors(self) -> Predecessors {
        self.predecessors
    }

    /// The sockets that `config` names: those that were there, and others anew.
    pub(crate) fn sockets(&mut self, config: &ServerConfig) -> Result<Sockets, Error> {
        let mut listen = Vec::new();
        if let Listen::Addresses(addresses) = &config.listener.listen {
            for address in addresses {
                listen.push(self.take_or_bind(*address, false)?);
            }
        }
        let admin = self.take_or_bind(config.listener.admin, true)?;
        if config.listener.listen == Listen::Systemd {
            let theirs = self.named.drain(..).filter(|(name, _)| name != ADMIN);
            listen.extend(theirs.map(|(_, socket)| socket));
            let plain = config.listener.tls.is_none() && !config.listener.plain_http;
            let addresses = listen.iter().filter_map(|socket| socket.local_addr().ok());
            if let Some(far) = addresses
                .filter(|address| !is_near(address.ip()))
                .find(|_| plain)
            {
                return Err(Error::Failed(format!(
                    "keys of clients would go unencrypted to {far}, which systemd has handed over: give \
                     [server.tls] a certificate, or say `plain_http = true`"
                )));
            }
            if listen.is_empty() {
                let why = "server.listen is \"systemd\", and systemd has handed no socket over: start it by \
                           keygate.socket, or name an address";
                return Err(Error::Failed(why.to_owned()));
            }
        }
        for socket in listen.iter().chain([&admin]) {
            let ready = socket.set_nonblocking(true);
            // Once more, for who has made it may have let no more than 128 wait.
            let ready = ready.and_then(|()| Ok(rustix::net::listen(socket, BACKLOG)?));
            ready.map_err(|error| Error::failed("use a socket", error))?;
        }
        // Of others, nobody would accept what comes.
        self.named.clear();
        Ok(Sockets { listen, admin })
    }

    /// The socket that was there for this address, or a new one. Where any port is meant, the one of before is.
    fn take_or_bind(&mut self, wanted: SocketAddr, admin: bool) -> Result<TcpListener, Error> {
        let is_it = |(name, socket): &(String, TcpListener)| {
            let address = socket.local_addr();
            let fits = address.is_ok_and(|there| {
                there.ip() == wanted.ip() && [0, there.port()].contains(&wanted.port())
            });
            fits && (name == ADMIN) == admin
        };
        match self.named.iter().position(is_it) {
            Some(place) => Ok(self.named.swap_remove(place).1),
            None => bind(wanted),
        }
    }
}

/// A socket of our own.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind(address).and_then(|socket| {
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    bound.map_err(|error| Error::failed(format_args!("listen on {address}"), error))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::config::{Purpose, Resolved};

    #[test]
    fn a_thousand_clients_can_wait_to_be_accepted() {
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
