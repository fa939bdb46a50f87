//! `keygate demo`: the gateway and a sandbox provider on loopback, to try with curl.

use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use zeroize::Zeroizing;

use crate::config::{LogLevel, Purpose, Resolved};
use crate::error::Error;
use crate::key::edit::{NewKey, add};
use crate::key::{KeyDigest, format};
use crate::limit::of_key::LimitSettings;
use crate::runtime::log;
use crate::sandbox::Sandbox;
use crate::server::{Gateway, SandboxServer, Signals, keep_memory_private};

/// The pause between two events of the sandbox's streams: long enough to be visible.
const PACE: Duration = Duration::from_millis(60);

/// The price file for the sandbox's tokens.
const PRICES: &str = r#"[[price]]
model  = "sandbox-1"
input  = "2.50"    # a million tokens
output = "10.00"
"#;

/// Try keygate: the gateway and a built-in provider on loopback, without configuration or network.
#[derive(Args)]
#[command(after_help = "Example: keygate demo --listen 127.0.0.1:8090")]
pub(super) struct Demo {
    /// The address for clients; a free port if this one is in use
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The address of /metrics; a free port if this one is in use
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
    /// The pause between two events of a stream, such as 60ms
    #[arg(long, value_name = "DURATION", value_parser = crate::document::parse_duration)]
    pace: Option<Duration>,
}

pub(super) fn run(options: &Demo) -> Result<(), Error> {
    for address in [options.listen, options.admin] {
        if !address.ip().is_loopback() {
            let why =
                format!("{address} is not a loopback address: a demo is for this machine only");
            return Err(Error::Usage(why));
        }
    }
    log::start().map_err(|error| Error::failed("start the thread for events", error))?;
    log::log_from(LogLevel::Warn.into());
    keep_memory_private();
    let signals = Signals::catch()?;
    let key = random("demo")?;
    let token = random("sandbox")?.replacen("kg_sandbox_", "provider-token-", 1);
    let sandbox = SandboxServer::start(Sandbox::new(token.clone(), options.pace.unwrap_or(PACE)))?;

    let folder = tempfile::tempdir().map_err(|error| Error::failed("make a folder", error))?;
    let listen = free(options.listen);
    let text = configuration(listen, free(options.admin), sandbox.address());
    write(folder.path(), &text, &token)
        .map_err(|error| Error::failed("write the demo's configuration", error))?;
    add(&folder.path().join("keys.toml"), &[demo_key(&key)])
        .map_err(|error| Error::failed("write the demo's keys", error))?;

    let path = folder.path().join("gateway.toml");
    let config = Resolved::load(&path, Purpose::Start)?;
    let gateway = Gateway::start(config, path.clone(), std::io::stderr())?;
    let at = gateway.listen().first().copied().unwrap_or(listen);
    super::output::print(&greeting(at, gateway.admin(), &key, &path))?;
    gateway.run_until_signal(signals)
}

fn random(name: &str) -> Result<Zeroizing<String>, Error> {
    format::generate(name)
        .map_err(|error| Error::failed("read random numbers from the system", error))
}

/// Writes the configuration, the prices and the token of the sandbox.
fn write(folder: &Path, configuration: &str, token: &str) -> io::Result<()> {
    fs::write(folder.join("gateway.toml"), configuration)?;
    fs::write(folder.join("prices.toml"), PRICES)?;
    let mut private = fs::OpenOptions::new();
    private.write(true).create_new(true).mode(0o600);
    let mut file = private.open(folder.join("provider-token"))?;
    file.write_all(token.as_bytes())
}

fn demo_key(key: &str) -> NewKey {
    NewKey {
        id: "demo".to_owned(),
        digest: KeyDigest::of(key.as_bytes()),
        labels: [("team".to_owned(), "demo".to_owned())].into(),
        metadata: [].into(),
        not_before: None,
        expires: None,
        disabled: false,
        limits: LimitSettings::default(),
        created: jiff::Timestamp::now(),
        comment: Some("made by keygate demo".to_owned()),
    }
}

/// The address, or port 0 of the same host if the address is in use.
fn free(wanted: SocketAddr) -> SocketAddr {
    match TcpListener::bind(wanted) {
        Ok(_) => wanted,
        Err(_) => SocketAddr::new(wanted.ip(), 0),
    }
}

fn configuration(listen: SocketAddr, admin: SocketAddr, sandbox: SocketAddr) -> String {
    format!(
        "[server]\nlisten = \"{listen}\"\nadmin  = \"{admin}\"\n\n\
         [keys]\nfile = \"keys.toml\"\n\n[usage]\nprices = \"prices.toml\"\n\n\
         [providers.sandbox]\nkind     = \"openai\"\nbase_url = \"http://{sandbox}/v1\"\n\
         token    = \"file:provider-token\"\n\n\
         [[routes]]\nname     = \"openai\"\npath     = \"/openai\"\nprovider = \"sandbox\"\n\
         keys     = {{ team = \"demo\" }}\nmetric_models = [\"sandbox-1\"]\n"
    )
}

fn greeting(at: SocketAddr, admin: SocketAddr, key: &str, path: &Path) -> String {
    let path = path.display();
    let body = r#"{"model":"sandbox-1","messages":[{"role":"user","content":"Say hello"}]}"#;
    let stream =
        r#"{"model":"sandbox-1","stream":true,"messages":[{"role":"user","content":"Say hello"}]}"#;
    format!(
        r#"keygate is serving on http://{at}, in front of a sandbox provider with a token of its own.

A client key, made just now:
  export KEY={key}

Send a request. The response shows which credential reached the provider: not yours.
  curl -s http://{at}/openai -H "Authorization: Bearer $KEY" -d '{body}'

Request a stream:
  curl -sN http://{at}/openai/v1/chat/completions -H "api-key: $KEY" -d '{stream}'

Without a key, 401:
  curl -si http://{at}/openai -d '{body}'

With an SDK:
  OpenAI(base_url="http://{at}/openai/v1", api_key="{key}")

What it counted:  curl -s http://{admin}/metrics
What it serves:   curl -s http://{admin}/status
Its files, which you may edit while it runs:  {path}

Access lines follow, one per request. Ctrl-C ends it."#
    )
}
