//! Whether who answers on the admin address is the gateway: whoever comes first may listen there while it is down, and
//! say that it is any process, and serves anything.
//!
//! What the kernel says is believed, and not what is answered:
//!
//! 1. The listening socket belongs to root, to this user, or to the owner of the configuration or of the key file
//!    (`/proc/self/net/tcp`). This holds for whoever runs the command.
//! 2. The process that is named runs as one of these users, holds that socket, and is a keygate, before it gets a
//!    signal. Of these, everything is seen by root. A gateway is not dumpable, so that its own user sees its user and
//!    its name alone, or nothing where systemd hides processes (`ProtectProc=`): then the kernel lets that user signal
//!    its own processes and no other.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, geteuid, kill_process, pidfd_open, pidfd_send_signal,
    test_kill_process,
};

use crate::config::Locations;
use crate::error::Error;

/// Who any user is that has no number here, in a sandbox for instance: many, and so nobody.
const NOBODY: u32 = 65_534;
/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTENS: &str = "0A";
/// What a gateway's program is called, whatever comes behind it.
const NAME: &str = env!("CARGO_PKG_NAME");

/// Who may listen on the admin address.
pub(super) struct Trusted {
    admin: SocketAddr,
    users: Vec<u32>,
}

/// A socket that listens.
#[derive(Debug, PartialEq, Eq)]
struct Listener {
    address: SocketAddr,
    user: u32,
    inode: u64,
}

/// A process that is a gateway.
pub(super) struct Gateway {
    process: Pid,
    /// What stays this process, though its number may become another's.
    handle: Option<OwnedFd>,
}

impl Trusted {
    /// The users who could change what the gateway of the configuration at `config` does anyway.
    pub(super) fn of(config: &Path, places: &Locations) -> Self {
        let folder = places.key_file.parent();
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
        let paths = [config, &places.key_file, folder.unwrap_or(Path::new("."))];
        let owners = paths
            .iter()
            .filter_map(|path| Some(fs::metadata(path).ok()?.uid()));
        let mut users: Vec<u32> = owners.filter(|user| *user != NOBODY).collect();
        users.extend([0, geteuid().as_raw()]);
        Self {
            admin: places.admin,
            users,
        }
    }

    /// Refuses to believe what is answered on the admin address unless one of these users listens there.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.listeners().map(drop)
    }

    /// The process `id`, which the response names, if it is the gateway.
    pub(super) fn gateway(&self, id: u32) -> Result<Gateway, Error> {
        let listeners = self.listeners()?;
        let refused = |why: String| {
            let admin = self.admin;
            Error::Failed(format!(
                "process {id}, which the listener on {admin} says it is, {why}: it gets no signal. `ss -ltnp` says who \
                 listens there"
            ))
        };
        let process = i32::try_from(id).ok().and_then(Pid::from_raw);
        let process = process.ok_or_else(|| refused("cannot be one".to_owned()))?;
        // Before it is looked at: what is looked at is what gets the signal.
        let handle = match pidfd_open(process, PidfdFlags::empty()) {
            Ok(handle) => Some(handle),
            // Of an older system, or one that forbids it.
            Err(Errno::NOSYS | Errno::PERM) => None,
            Err(error) => return Err(refused(format!("is not there ({error})"))),
        };
        let folder = PathBuf::from(format!("/proc/{id}"));
        if !folder.exists() && !geteuid().is_root() {
            return Ok(Gateway { process, handle });
        }
        let user = user_of(&folder).ok_or_else(|| refused("is not seen".to_owned()))?;
        if !self.users.contains(&user) {
            return Err(refused(format!("is one of user {user}")));
        }
        if let Some(name) = name_of(&folder).filter(|name| !is_ours(name)) {
            return Err(refused(format!("is no keygate, but `{name}`")));
        }
        if let Some(sockets) = sockets_of(&folder)
            && !listeners.iter().any(|it| sockets.contains(&it.inode))
        {
            return Err(refused("does not listen there".to_owned()));
        }
        Ok(Gateway { process, handle })
    }

    /// What listens on the admin address, all of it by users who may.
    fn listeners(&self) -> Result<Vec<Listener>, Error> {
        let admin = self.admin;
        let listeners = listeners_on(admin)
            .map_err(|error| Error::failed(format_args!("see who listens on {admin}"), error))?;
        if listeners.is_empty() {
            let why = format!(
                "nobody listens on {admin} in this system's own network: run the command where the gateway runs"
            );
            return Err(Error::Failed(why));
        }
        let mut users = listeners.iter().map(|it| it.user);
        match users.find(|user| !self.users.contains(user)) {
            Some(user) => Err(Error::Failed(format!(
                "user {user} listens on {admin}, who is neither root, nor you, nor the owner of the configuration or of \
                 the key file: what is answered there is not believed, and no process gets a signal. `ss -ltnp` says who it is"
            ))),
            None => Ok(listeners),
        }
    }
}

impl Gateway {
    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        let Some(handle) = &self.handle else {
            return test_kill_process(self.process) == Err(Errno::SRCH);
        };
        let ended = &mut [PollFd::new(handle, PollFlags::IN)];
        poll(ended, Some(&Timespec::default())).is_ok_and(|ended| ended > 0)
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), Error> {
        let sent = match &self.handle {
            Some(handle) => pidfd_send_signal(handle, signal),
            None => kill_process(self.process, signal),
        };
        let process = self.process.as_raw_nonzero();
        sent.map_err(|error| Error::failed(format_args!("signal process {process}"), error))
    }
}

/// The sockets that take connections to `admin`: those of that address, or else those of every address.
fn listeners_on(admin: SocketAddr) -> io::Result<Vec<Listener>> {
    let mut found = parse(&fs::read_to_string("/proc/self/net/tcp")?);
    match fs::read_to_string("/proc/self/net/tcp6") {
        Ok(text) => found.extend(parse(&text)),
        // Without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    found.retain(|it| it.address.port() == admin.port());
    let exact = |it: &Listener| it.address.ip().to_canonical() == admin.ip().to_canonical();
    if found.iter().any(exact) {
        found.retain(exact);
    } else {
        found.retain(|it| it.address.ip().is_unspecified());
    }
    Ok(found)
}

/// The sockets that listen, of a table as in `/proc/net/tcp` or `/proc/net/tcp6`.
fn parse(table: &str) -> Vec<Listener> {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let address = address(fields.nth(1)?)?;
        let state = fields.nth(1)?;
        let user = fields.nth(3)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        (state == LISTENS).then_some(Listener {
            address,
            user,
            inode,
        })
    };
    table.lines().filter_map(line).collect()
}

/// `0100007F:2382`: words of an address as this machine holds them, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = ip.as_bytes().chunks(8).map(|word| {
        let word = std::str::from_utf8(word).ok()?;
        Some(u32::from_str_radix(word, 16).ok()?.to_ne_bytes())
    });
    let bytes = words.collect::<Option<Vec<_>>>()?.concat();
    let ip = match <[u8; 4]>::try_from(&*bytes) {
        Ok(bytes) => IpAddr::V4(Ipv4Addr::from(bytes)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&*bytes).ok()?)),
    };
    Some(SocketAddr::new(ip, port))
}

/// Which user a process runs as.
fn user_of(folder: &Path) -> Option<u32> {
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    // The real one, and the effective one.
    users.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What the program of a process is called, as far as it may be known.
fn name_of(folder: &Path) -> Option<String> {
    let Ok(path) = fs::read_link(folder.join("exe")) else {
        let name = fs::read_to_string(folder.join("comm")).ok()?;
        return Some(name.trim_end().to_owned());
    };
    let name = path.file_name()?.to_string_lossy().into_owned();
    // An upgrade begins with that.
    Some(name.trim_end_matches(" (deleted)").to_owned())
}

/// Whether a program of this name is a keygate, of whichever version.
fn is_ours(name: &str) -> bool {
    let ours = std::env::current_exe().ok();
    let ours = ours.as_deref().and_then(Path::file_name);
    name.starts_with(NAME) || ours.is_some_and(|ours| ours == name)
}

/// The sockets that a process holds, if they may be seen.
fn sockets_of(folder: &Path) -> Option<Vec<u64>> {
    let descriptors = fs::read_dir(folder.join("fd")).ok()?;
    let inode = |entry: io::Result<fs::DirEntry>| {
        let link = fs::read_link(entry.ok()?.path()).ok()?;
        let inode = link.to_str()?.strip_prefix("socket:[")?;
        inode.strip_suffix(']')?.parse().ok()
    };
    Some(descriptors.filter_map(inode).collect())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_table_of_the_kernel_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // One that is connected has the same address, and does not listen.
        let connected = TcpStream::connect(address).unwrap();
        let accepted = listener.accept().unwrap();
        let found = listeners_on(address).unwrap();
        let user = geteuid().as_raw();
        assert!(matches!(&found[..], [it] if it.address == address && it.user == user));
        let sockets = sockets_of(Path::new("/proc/self")).unwrap();
        assert!(sockets.contains(&found[0].inode));
        assert_eq!(user_of(Path::new("/proc/self")), Some(user));
        drop((listener, connected, accepted));
        assert_eq!(listeners_on(address).unwrap(), []);
    }

    #[test]
    fn a_socket_of_every_address_counts_where_there_is_none_of_the_address() {
        let line = |address: &str, user: u32| {
            format!(
                " 0: {address} 00000000:0000 0A 00000000:00000000 00:00000000 00000000 {user} 0 77 1 x\n"
            )
        };
        let six = "00000000000000000000000001000000:1F90";
        let text = line("0100007F:1F90", 5) + &line(six, 6) + "garbage\n 1: x:y z 0A\n";
        let found: Vec<_> = parse(&text)
            .into_iter()
            .map(|it| (it.address.to_string(), it.user, it.inode))
            .collect();
        let expected = [
            ("127.0.0.1:8080".to_owned(), 5, 77),
            ("[::1]:8080".to_owned(), 6, 77),
        ];
        assert_eq!(found, expected);
        let any = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = any.local_addr().unwrap().port();
        let found = listeners_on(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
        assert_eq!(found.len(), 1);
    }
}
