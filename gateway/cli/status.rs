//! `keygate status`: the status of a running gateway, as a person reads it.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use super::admin_client::{probe, read_status};
use super::config_path::ConfigPath;
use crate::admin::status::{
    LedgerStatus, ProviderStatus, RouteStatus, State, Status as GatewayStatus,
};
use crate::config;
use crate::error::Error;
use crate::runtime::printable::count;

/// How often `--watch` shows the status.
const INTERVAL: Duration = Duration::from_secs(2);

/// Show what a running gateway serves, and why something is not served.
#[derive(Args)]
#[command(after_help = "Example: keygate status --admin 127.0.0.1:9090\n\
                        Exits with 1 when something is Rejected, the last reload was refused, or the ledger cannot be written.")]
pub(super) struct Status {
    #[command(flatten)]
    config: ConfigPath,
    /// The admin listener; if given, the configuration is not read
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Send each provider an inexpensive request that succeeds only with a valid token, and show the result
    #[arg(long)]
    probe: bool,
    /// Show the status again every two seconds, until Ctrl-C
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
    let (status, json) = if options.probe {
        probe(admin)?
    } else {
        read_status(admin)?
    };
    if options.json {
        super::output::print(&String::from_utf8_lossy(&json))?;
    } else {
        super::output::print(&describe(&status))?;
    }
    verdict(&status)
}

/// Fails when something does not serve.
fn verdict(status: &GatewayStatus) -> Result<(), Error> {
    let routes = status.routes.iter().map(|route| route.state);
    let providers = status.providers.iter().map(|provider| provider.state);
    if routes.chain(providers).any(|it| it == State::Rejected) {
        return Err(Error::Failed("something is Rejected".to_owned()));
    }
    if status
        .ledger
        .as_ref()
        .is_some_and(|it| it.last_error.is_some())
    {
        return Err(Error::Failed("the ledger cannot be written".to_owned()));
    }
    if !status.last_reload.ok {
        return Err(Error::Failed("the last reload was refused".to_owned()));
    }
    Ok(())
}

/// Shows the status again and again, until the output is closed. Where the gateway cannot be reached, the reason is shown
/// in its place: it may come back.
fn watch(admin: SocketAddr) -> Result<(), Error> {
    loop {
        let text = match read_status(admin) {
            Ok((status, _)) => describe(&status),
            Err(error) => error.to_string(),
        };
        if std::io::stdout().is_terminal() {
            // Clears the screen. Written directly, because `print` escapes such sequences.
            std::io::stdout()
                .write_all(b"\x1b[H\x1b[2J")
                .map_err(|error| Error::failed("write to standard output", error))?;
        }
        let still_read = super::output::print_unless_closed(&text)?;
        if !still_read {
            return Ok(());
        }
        std::thread::sleep(INTERVAL);
    }
}

fn describe(status: &GatewayStatus) -> String {
    let mut lines = vec![summary(status)];
    let reload = &status.last_reload;
    let notes = status
        .connections
        .reason
        .iter()
        .map(String::as_str)
        .chain(reload.error.iter().flat_map(|error| error.lines()))
        .chain(reload.warnings.iter().map(String::as_str));
    lines.extend(notes.map(|note| format!("  {note}")));
    lines.extend(status.routes.iter().map(describe_route));
    lines.extend(status.providers.iter().map(describe_provider));
    lines.extend(status.ledger.iter().map(describe_ledger));
    lines.join("\n") + "\n"
}

fn summary(status: &GatewayStatus) -> String {
    let reload = &status.last_reload;
    format!(
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
    )
}

fn describe_route(route: &RouteStatus) -> String {
    format!(
        "route    {:<16} {:?}  {} {} -> {} ({}){}",
        route.name,
        route.state,
        route.hosts.join(","),
        route.path,
        route.provider,
        route.keys,
        because(route.reason.as_deref()),
    )
}

fn describe_provider(provider: &ProviderStatus) -> String {
    let proxy = provider.proxy.as_ref();
    let mut text = format!(
        "provider {:<16} {:?}  {} {}{}{}",
        provider.name,
        provider.state,
        provider.kind,
        provider.url,
        proxy
            .map(|proxy| format!(" through {proxy}"))
            .unwrap_or_default(),
        because(provider.reason.as_deref()),
    );
    if let Some(probe) = &provider.probe {
        let outcome = match probe.works {
            Some(true) => "its token works",
            Some(false) => "its token does NOT work",
            None => "whether its token works is not known",
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "\n         {:<16} {outcome}: {}", "", probe.detail);
    }
    text
}

fn describe_ledger(ledger: &LedgerStatus) -> String {
    let mut text = format!(
        "ledger   {}  {}, {}",
        ledger.file,
        count(ledger.accounts, "budget"),
        count(ledger.holders, "holder"),
    );
    // Writing to a String cannot fail.
    if ledger.dropped > 0 {
        let _ = write!(
            text,
            ", {} not in its history",
            count(ledger.dropped, "request")
        );
    }
    if let Some(error) = &ledger.last_error {
        let _ = write!(
            text,
            ", CANNOT BE WRITTEN for {:.0} s: {error}",
            ledger.behind_seconds
        );
    }
    text
}

fn because(reason: Option<&str>) -> String {
    reason.map(|why| format!(": {why}")).unwrap_or_default()
}
