//! `keygate status`: what the admin listener of a running gateway says.

use std::fmt::Write as _;
use std::io::{IsTerminal, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;

use super::config_path::ConfigPath;
use crate::admin::status::{self, State};
use crate::config;
use crate::error::Error;
use crate::runtime::printable::count;

/// How often `--watch` shows it.
const EVERY: Duration = Duration::from_secs(2);
/// Longer than a probe takes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Show what a running gateway serves, and why not.
#[derive(Args)]
#[command(after_help = "Example: keygate status --admin 127.0.0.1:9090\n\
                        Exits with 1 when something is Rejected or the last reload was refused.")]
pub(super) struct Status {
    #[command(flatten)]
    config: ConfigPath,
    /// The admin listener; the configuration is not read then
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Ask each provider for something that only a good token gets, and say whether it does
    #[arg(long)]
    probe: bool,
    /// Show it anew every two seconds, until Ctrl-C
    #[arg(long, conflicts_with_all = ["json", "probe"])]
    watch: bool,
    /// Print the JSON of /status
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Status) -> Result<(), Error> {
    let admin = match options.admin {
        Some(admin) => admin,
        None => config::locations(&options.config.find()?)?.admin,
    };
    if options.watch {
        return watch(admin);
    }
    let (status, body) = ask_for(
        admin,
        if options.probe {
            "POST /probe"
        } else {
            "GET /status"
        },
    )?;
    if options.json {
        super::say(&String::from_utf8_lossy(&body))?;
    } else {
        super::say(&describe(&status))?;
    }
    let rejected = status
        .routes
        .iter()
        .any(|route| route.state == State::Rejected)
        || status
            .providers
            .iter()
            .any(|provider| provider.state == State::Rejected);
    match (rejected, status.last_reload.ok) {
        (false, true) => Ok(()),
        (true, _) => Err(Error::Failed("something is Rejected".to_owned())),
        (_, false) => Err(Error::Failed("the last reload was refused".to_owned())),
    }
}

/// Shows the status for as long as the terminal wants it. A gateway that does not answer may come back: it is said.
fn watch(admin: SocketAddr) -> Result<(), Error> {
    loop {
        let shown = match ask(admin) {
            Ok((status, _)) => describe(&status),
            Err(error) => error.to_string(),
        };
        if std::io::stdout().is_terminal() {
            // From the top, on an empty screen. `say` lets no such thing through.
            let cleared = std::io::stdout().write_all(b"\x1b[H\x1b[2J");
            cleared.map_err(|error| Error::failed("write to standard output", error))?;
        }
        let still_read = super::say_or_stop(&shown)?;
        if !still_read {
            return Ok(());
        }
        std::thread::sleep(EVERY);
    }
}

/// The status of the gateway with this admin listener, and the JSON of it.
pub(super) fn ask(admin: SocketAddr) -> Result<(status::Status, Vec<u8>), Error> {
    ask_for(admin, "GET /status")
}

fn ask_for(admin: SocketAddr, asked: &str) -> Result<(status::Status, Vec<u8>), Error> {
    let body = fetch(admin, asked)
        .map_err(|error| Error::failed(format_args!("read the status from {admin}"), error))?;
    let status = serde_json::from_slice(&body)
        .map_err(|error| Error::failed(format_args!("understand the status of {admin}"), error))?;
    Ok((status, body))
}

/// One request; the admin listener always sends a Content-Length and closes when asked to.
fn fetch(admin: SocketAddr, asked: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&admin, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "{asked} HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n");
    match split {
        Some(at) if answer.starts_with(b"HTTP/1.1 200 ") => Ok(answer.split_off(at + 4)),
        Some(_) if answer.starts_with(b"HTTP/1.1 429 ") => {
            Err(std::io::Error::other("it is being probed already"))
        }
        _ => Err(std::io::Error::other(
            "that is not keygate's admin listener",
        )),
    }
}

fn describe(status: &status::Status) -> String {
    let mut text = String::new();
    let reload = &status.last_reload;
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "keygate {}, {}, up {} s, configuration {} of {} {}, {}, {} in flight",
        status.version,
        if status.ready { "ready" } else { "draining" },
        status.uptime_seconds,
        status.generation,
        reload.at,
        if reload.ok {
            "serves"
        } else {
            "serves; a later one was REFUSED"
        },
        count(status.keys, "key"),
        count(status.requests_in_flight, "request"),
    );
    if let Some(reason) = &status.connections.reason {
        let _ = writeln!(text, "  {reason}");
    }
    for line in reload.error.iter().flat_map(|error| error.lines()) {
        let _ = writeln!(text, "  {line}");
    }
    for warning in &reload.warnings {
        let _ = writeln!(text, "  {warning}");
    }
    for route in &status.routes {
        let _ = writeln!(
            text,
            "route    {:<16} {:?}  {} {} -> {} ({}){}",
            route.name,
            route.state,
            route.hosts.join(","),
            route.path,
            route.provider,
            route.keys,
            because(route.reason.as_deref()),
        );
    }
    for provider in &status.providers {
        let _ = writeln!(
            text,
            "provider {:<16} {:?}  {} {}{}{}",
            provider.name,
            provider.state,
            provider.kind,
            provider.url,
            provider
                .proxy
                .as_ref()
                .map(|proxy| format!(" through {proxy}"))
                .unwrap_or_default(),
            because(provider.reason.as_deref()),
        );
        if let Some(probe) = &provider.probe {
            let found = match probe.works {
                Some(true) => "its token works",
                Some(false) => "its token does NOT work",
                None => "whether its token works is not known",
            };
            let _ = writeln!(text, "         {:<16} {found}: {}", "", probe.detail);
        }
    }
    text
}

fn because(reason: Option<&str>) -> String {
    reason.map(|why| format!(": {why}")).unwrap_or_default()
}
