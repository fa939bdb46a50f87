//! `keygate demo`: the gateway and a provider of its own on loopback, to be tried with curl.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use clap::Args;

use crate::config::{LogLevel, Purpose, Resolved};
use crate::error::Error;
use crate::key::edit::{NewKey, add};
use crate::key::{KeyDigest, format};
use crate::runtime::log;
use crate::sandbox::Sandbox;
use crate::server::{Gateway, SandboxServer, Signals, keep_memory_private};

/// The pause between two events of the sandbox's streams: slow enough to be seen.
const PACE: Duration = Duration::from_millis(60);

/// What the sandbox's tokens cost.
const PRICES: &str = r#"[[price]]
model  = "sandbox-1"
input  = "2.50"    # a million tokens
output = "10.00"
"#;

/// Try it: the gateway and a built-in provider on loopback, no configuration, no network.
#[derive(Args)]
#[command(after_help = "Example: keygate demo --listen 127.0.0.1:8090")]
pub(super) struct Demo {
    /// Where clients come; a free port if this one is taken
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where /metrics is; a free port if this one is taken
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
    let random = |name| {
        format::generate(name)
            .map_err(|error| Error::failed("read random numbers from the system", error))
    };
    let (token, key) = (random("sandbox")?, random("demo")?);
    let token = token.replacen("kg_sandbox_", "provider-token-", 1);
    let sandbox = SandboxServer::start(Sandbox::new(token.clone(), options.pace.unwrap_or(PACE)))?;

    let folder = tempfile::tempdir().map_err(|error| Error::failed("make a folder", error))?;
    let path = folder.path().join("gateway.toml");
    let listen = free(options.listen);
    let admin = free(options.admin);
    let text = configuration(listen, admin, sandbox.address());
    fs::write(&path, text)
        .and_then(|()| fs::write(folder.path().join("prices.toml"), PRICES))
        .and_then(|()| {
            let mut private = fs::OpenOptions::new();
            private.write(true).create_new(true).mode(0o600);
            let mut file = private.open(folder.path().join("provider-token"))?;
            file.write_all(token.as_bytes())
        })
        .map_err(|error| Error::failed("write the demo's configuration", error))?;
    let entry = NewKey {
        id: "demo".to_owned(),
        digest: KeyDigest::of(key.as_bytes()),
        labels: [("team".to_owned(), "demo".to_owned())].into(),
        metadata: [].into(),
        not_before: None,
        expires: None,
        disabled: false,
        created: jiff::Timestamp::now(),
        comment: Some("made by keygate demo".to_owned()),
    };
    add(&folder.path().join("keys.toml"), &[entry])
        .map_err(|error| Error::failed("write the demo's keys", error))?;

    let config = Resolved::load(&path, Purpose::Start)?;
    let gateway = Gateway::start(config, path.clone(), std::io::stderr())?;
    let at = gateway.listen().first().copied().unwrap_or(listen);
    super::say(&greeting(at, gateway.admin(), &key, &path))?;
    gateway.run_until_signal(signals)
}

/// The address, or a free port of the same host if somebody has it.
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

Ask. The answer says which credential reached the provider: not yours.
  curl -s http://{at}/openai -H "Authorization: Bearer $KEY" -d '{body}'

Ask for a stream:
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
