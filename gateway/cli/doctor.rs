//! `keygate doctor`: checks the machine that a configuration is to run on, and reports what to mend.

mod ledger;

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use pingora_core::tls::load_native_certs;
use serde::Serialize;

use super::admin_client::read_status;
use super::config_path::ConfigPath;
use super::same_gateway;
use crate::admin::status::{State, Status};
use crate::config::{self, Listen, Purpose, Resolved, ServerConfig};
use crate::error::Error;
use crate::origin::Tunnel;
use crate::provider::{ProviderSpec, TokenSource};
use crate::runtime::folder::folder_of;
use crate::runtime::printable::count;

/// How long a provider may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// A certificate that expires sooner gets a warning.
const SOON: Duration = Duration::from_secs(14 * 86_400);
/// The widest column for the names of findings, in characters.
const WIDEST: usize = 40;
/// The file that systemd-timesyncd creates once the clock is synchronised.
const CLOCK: &str = "/run/systemd/timesync/synchronized";

/// Look at the machine: limits, clock, names, certificates, credentials, ports; and say what to mend.
#[derive(Args)]
#[command(after_help = "Example: sudo -u keygate keygate doctor\n\
                        Connects to each provider and sends it nothing. Prints ok, warn or FAIL for each thing, and what to do. Exits with 1 after a FAIL.")]
pub(super) struct Doctor {
    #[command(flatten)]
    config: ConfigPath,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// The result of one check.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    verdict: Verdict,
    found: String,
    /// What to do about it, if it is not fine.
    cure: Option<String>,
}

fn ok(what: impl Into<String>, found: impl Into<String>) -> Finding {
    Finding {
        what: what.into(),
        verdict: Verdict::Ok,
        found: found.into(),
        cure: None,
    }
}

impl Finding {
    fn but(self, verdict: Verdict, cure: impl Into<String>) -> Self {
        Self {
            verdict,
            cure: Some(cure.into()),
            ..self
        }
    }
}

pub(super) fn run(options: &Doctor) -> Result<(), Error> {
    let config = Resolved::load(&options.config.find()?, Purpose::Start)?;
    // A gateway that serves knows limits and tokens that this shell cannot see.
    let found = read_status(config.server.listener.admin)
        .ok()
        .map(|(status, _)| status);
    let is_ours = |status: &Status| same_gateway::reads_key_file(status, config.key_source.place());
    let (running, foreign) = match found {
        Some(status) if !is_ours(&status) => (None, Some(status)),
        found => (found, None),
    };
    let mut findings = vec![
        user(),
        open_files(&config.server, running.as_ref()),
        clock(),
    ];
    findings.extend(config.warnings.iter().map(|warning| {
        ok("configuration", warning.message.clone())
            .but(Verdict::Warn, format!("see {}", warning.at))
    }));
    findings.push(key_file(config.key_source.place()));
    findings.extend(config.limits.ledger.as_deref().map(ledger::ledger));
    findings.extend(ports(&config, running.as_ref(), foreign.as_ref()));
    findings.extend(
        config
            .certificate
            .as_ref()
            .and_then(|key| certificate("server.tls", key.cert.first()?)),
    );
    findings.push(roots());
    let providers = config.providers.iter();
    findings.extend(providers.flat_map(|spec| provider(spec, running.as_ref())));
    if options.json {
        let text = serde_json::to_string_pretty(&findings);
        super::output::print(&text.map_err(|error| Error::failed("write JSON", error))?)?;
    } else {
        super::output::print(&describe(&findings))?;
    }
    let bad = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Fail)
        .count();
    match bad {
        0 => Ok(()),
        _ => Err(Error::Failed(format!(
            "{bad} of {} failed: see FAIL above",
            count(findings.len(), "check")
        ))),
    }
}

fn describe(findings: &[Finding]) -> String {
    let mut text = String::new();
    let names = findings.iter().map(|finding| finding.what.chars().count());
    let width = names.max().unwrap_or_default().min(WIDEST);
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{verdict:<5} {:<width$}  {}",
            finding.what, finding.found
        );
        if let Some(cure) = &finding.cure {
            let _ = writeln!(text, "{:<6}{:<width$}  -> {cure}", "", "");
        }
    }
    text
}

fn user() -> Finding {
    let user = rustix::process::geteuid();
    let found = ok("user", format!("runs as user {}", user.as_raw()));
    if user.is_root() {
        return found.but(
            Verdict::Warn,
            "run it as the user that keygate runs as: root may read what that one may not",
        );
    }
    found
}

/// The limit of this shell, or of the gateway that serves.
fn open_files(config: &ServerConfig, running: Option<&Status>) -> Finding {
    let what = "open files";
    let lack = match running {
        Some(status) => status.connections.reason.clone(),
        None => config.lack_of_descriptors(),
    };
    match lack {
        Some(lack) => ok(what, lack).but(
            Verdict::Warn,
            "raise the limit, or lower server.limits.connections to what there is room for",
        ),
        None => ok(
            what,
            format!(
                "enough for {} connections of clients",
                config.limits.max_connections
            ),
        ),
    }
}

fn clock() -> Finding {
    let now = Timestamp::now();
    let found = ok("clock", format!("{now:.0}"));
    if Path::new(CLOCK).exists() {
        return found;
    }
    found.but(
        Verdict::Warn,
        "not known to be synchronised, and keys begin and end by it: systemd-timesyncd or chrony",
    )
}

/// The key file was read already; `keygate keys` writes a new one beside it.
fn key_file(path: &Path) -> Finding {
    let folder = folder_of(path);
    let found = ok("key file", path.display().to_string());
    if tempfile::tempfile_in(folder).is_ok() {
        return found;
    }
    found.but(
        Verdict::Warn,
        format!(
            "`keygate keys` cannot write in {} as this user, which serving has no need of",
            folder.display()
        ),
    )
}

fn ports(config: &Resolved, running: Option<&Status>, foreign: Option<&Status>) -> Vec<Finding> {
    let admin = config.server.listener.admin;
    if let Some(status) = running {
        let found = format!(
            "keygate {} serves already, as process {}",
            status.version, status.pid
        );
        return vec![ok("ports", found)];
    }
    let mut findings = Vec::new();
    let mut addresses = Vec::new();
    match foreign {
        Some(status) => findings.push(occupied(admin, status)),
        None => addresses.push(("admin", admin)),
    }
    match &config.server.listener.listen {
        Listen::Addresses(listen) => {
            addresses.extend(listen.iter().map(|address| ("listen", *address)));
        }
        Listen::Systemd => {}
    }
    let ports = addresses.into_iter();
    findings.extend(ports.map(|(name, address)| port(name, address)));
    findings
}

/// The admin address is taken by the gateway of another configuration.
fn occupied(admin: SocketAddr, status: &Status) -> Finding {
    let found = format!(
        "keygate {} is at {admin} with another configuration: process {} reads {}",
        status.version, status.pid, status.key_file.path
    );
    ok("server.admin", found).but(
        Verdict::Fail,
        "end that one, or give this configuration another `server.admin`",
    )
}

fn port(name: &str, address: SocketAddr) -> Finding {
    let what = format!("server.{name}");
    match TcpListener::bind(address) {
        Ok(_) => ok(what, format!("{address} is free")),
        Err(error) => ok(what, format!("{address}: {error}")).but(
            Verdict::Fail,
            match error.kind() {
                std::io::ErrorKind::AddrInUse => "something else listens there: ss -ltnp",
                std::io::ErrorKind::PermissionDenied => {
                    "ports below 1024 are for root: AmbientCapabilities=CAP_NET_BIND_SERVICE, or keygate.socket"
                }
                _ => "is it an address of this machine? ip address",
            },
        ),
    }
}

fn certificate(what: &str, der: &[u8]) -> Option<Finding> {
    let end = config::certificate_end(der)?;
    let found = ok(what, format!("the certificate ends {end}"));
    let now = Timestamp::now();
    Some(if end <= now {
        found.but(Verdict::Fail, "it is over: renew it")
    } else if end <= now + SOON {
        found.but(
            Verdict::Warn,
            "renew it: keygate takes the new one over by itself",
        )
    } else {
        found
    })
}

fn roots() -> Finding {
    match load_native_certs() {
        Ok(found) if !found.is_empty() => {
            ok("root certificates", format!("{} are trusted", found.len()))
        }
        _ => ok("root certificates", "there are none").but(
            Verdict::Warn,
            "no provider can be trusted but by a `ca` of its own: install ca-certificates",
        ),
    }
}

fn provider(spec: &ProviderSpec, running: Option<&Status>) -> Vec<Finding> {
    let what = format!("provider {}", spec.name);
    let mut findings = Vec::new();
    if let TokenSource::Fixed(Err(why)) = &spec.token {
        let mut theirs = running.iter().flat_map(|status| &status.providers);
        let serves = theirs.any(|it| *it.name == *spec.name && it.state == State::Accepted);
        findings.push(if serves {
            ok(what.clone(), "the gateway that serves has its token")
        } else {
            ok(what.clone(), why.to_string()).but(
                Verdict::Fail,
                "it would respond with 503: bring the token to where the configuration says",
            )
        });
    }
    let url = &spec.base_url;
    let (host, port) = match &spec.proxy {
        Some(proxy) => (proxy.host(), proxy.port()),
        None => (url.host.as_str(), url.port),
    };
    let addresses: Vec<SocketAddr> = match (host, port).to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(error) => {
            let found = ok(what, format!("{host} cannot be resolved: {error}"));
            findings.push(found.but(Verdict::Fail, "look at /etc/resolv.conf: resolvectl query"));
            return findings;
        }
    };
    let mut failed = "no address".to_owned();
    let reached = addresses.iter().find_map(|address| {
        let connection = TcpStream::connect_timeout(address, PATIENCE)
            .inspect_err(|error| failed = error.to_string());
        Some((address, connection.ok()?))
    });
    if let (Some(proxy), Some((_, connection))) = (&spec.proxy, &reached) {
        findings.push(tunnel(what, &Tunnel::new(proxy, url, PATIENCE), connection));
        return findings;
    }
    findings.push(match reached {
        Some((address, _)) => ok(what, format!("{host} is reached at {address}")),
        None => ok(what, format!("{host}:{port} is not reached: {failed}")).but(
            Verdict::Fail,
            "a firewall, or a route that is missing: curl -v says more",
        ),
    });
    findings
}

/// Requests a tunnel to a provider from a proxy, over a connection to the proxy. Nothing is sent through the tunnel.
fn tunnel(what: String, tunnel: &Tunnel, connection: &TcpStream) -> Finding {
    let mut connection = connection;
    let bounded = connection.set_read_timeout(Some(PATIENCE));
    match tunnel.open(&mut connection) {
        Ok(()) if bounded.is_ok() => ok(what, format!("there is a {tunnel:?}")),
        Ok(()) => ok(what, "the connection to its proxy takes no time limit"),
        Err(why) => ok(what, why.to_string()).but(
            Verdict::Fail,
            "ask those who run the proxy which hosts it takes, or look at `proxy` and `proxy_token`",
        ),
    }
}
