//! Whether the process that listens on the admin address is the gateway. While the gateway is down, any local user may
//! listen there and respond as any process that serves any configuration.
//!
//! So the response is not believed, but checked against what the kernel reports:
//!
//! 1. The listening socket belongs to root, to this user, or to the owner of the configuration or of the key file
//!    (`/proc/self/net/tcp`). Every user can read this.
//! 2. Before a process gets a signal, it runs as one of these users, holds that socket, and is a keygate. Root can read
//!    all of this. A gateway is not dumpable, so its own user can read only the process's user and name, or nothing where
//!    systemd hides processes (`ProtectProc=`). In that case the kernel's rule remains: a user can signal its own
//!    processes only.

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
use crate::runtime::folder::folder_of;

/// The number of every user that is not mapped into this namespace. It may be anybody, and is never trusted.
const NOBODY: u32 = 65_534;
/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTENS: &str = "0A";
/// What the name of a gateway's program begins with.
const NAME: &str = env!("CARGO_PKG_NAME");

/// The users who may listen on the admin address.
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
    /// Refers to this process even after its number has been given to another.
    handle: Option<OwnedFd>,
}

impl Trusted {
    /// The users who can change the configuration at `config` or its key file, and so what the gateway does.
    pub(super) fn of(config: &Path, places: &Locations) -> Self {
        let paths = [config, &places.key_file, folder_of(&places.key_file)];
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

    /// Fails unless a trusted user listens on the admin address.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.listeners().map(drop)
    }

    /// The process `id`, which a response names, if it is the gateway.
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
        // The handle is opened before the checks, so that the process that is checked is the one that gets the signal.
        let handle = match pidfd_open(process, PidfdFlags::empty()) {
            Ok(handle) => Some(handle),
            // An older kernel, or a filter that forbids the call.
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

    /// The sockets that listen on the admin address. Fails if there is none, or one of an untrusted user.
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
                 the key file: responses from there are not believed, and no process gets a signal. `ss -ltnp` says who it is"
            ))),
            None => Ok(listeners),
        }
    }
}

impl Gateway {
    /// Whether the process has ended.
    pub(super) fn has_ended(&self) -> bool {
        let Some(handle) = &self.handle else {
            return test_kill_process(self.process) == Err(Errno::SRCH);
        };
        let ended = &mut [PollFd::new(handle, PollFlags::IN)];
        poll(ended, Some(&Timespec::default())).is_ok_and(|ended| ended > 0)
    }

    /// Sends a signal to the process.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), Error> {
        let sent = match &self.handle {
            Some(handle) => pidfd_send_signal(handle, signal),
            None => kill_process(self.process, signal),
        };
        let process = self.process.as_raw_nonzero();
        sent.map_err(|error| Error::failed(format_args!("signal process {process}"), error))
    }
}

/// The sockets that accept connections to `admin`: those bound to that address, or else those bound to all addresses.
fn listeners_on(admin: SocketAddr) -> io::Result<Vec<Listener>> {
    let mut found = parse(&fs::read_to_string("/proc/self/net/tcp")?);
    match fs::read_to_string("/proc/self/net/tcp6") {
        Ok(text) => found.extend(parse(&text)),
        // The machine has no IPv6.
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

/// The listening sockets in a table in the format of `/proc/net/tcp` and `/proc/net/tcp6`.
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

/// Reads `0100007F:2382`: the words of an address in this machine's byte order, and a port.
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

/// The effective user of the process with this folder in `/proc`.
fn user_of(folder: &Path) -> Option<u32> {
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    // The first is the real user, the second the effective one.
    users.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The name of a process's program, if this user can read it.
fn name_of(folder: &Path) -> Option<String> {
    let Ok(path) = fs::read_link(folder.join("exe")) else {
        let name = fs::read_to_string(folder.join("comm")).ok()?;
        return Some(name.trim_end().to_owned());
    };
    let name = path.file_name()?.to_string_lossy().into_owned();
    // An upgrade replaces the binary of the running process, which then has this mark.
    Some(name.trim_end_matches(" (deleted)").to_owned())
}

/// Whether a program of this name is a keygate, of whichever version.
fn is_ours(name: &str) -> bool {
    let is_this_program =
        || std::env::current_exe().is_ok_and(|it| it.file_name() == Some(name.as_ref()));
    name.starts_with(NAME) || is_this_program()
}

/// The inodes of the sockets that a process holds, if this user can read them.
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
        // A connected socket has the same address, and does not listen.
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
