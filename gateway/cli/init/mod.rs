//! `keygate init`: creates a first configuration with a first client key.

mod files;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use zeroize::Zeroizing;

use self::files::{New, put};
use super::ask::{ask, ask_secret, can_ask};
use super::client_url::base_url;
use super::output::{eprint, print};
use super::run::root_flag;
use crate::document::nearest;
use crate::error::Error;
use crate::key::edit::NewKey;
use crate::key::{KeyDigest, format, is_key_id};
use crate::limit::of_key::LimitSettings;
use crate::provider::{ErrorFormat, KINDS, Kind};

/// Create a first configuration: one provider, one route, one client key.
#[derive(Args)]
#[command(after_help = "Examples: keygate init\n          \
                        keygate init --provider openai --token env:OPENAI_API_KEY\n          \
                        keygate init --provider anthropic --out ~/keygate < token.txt\n\
                        Asks for options that are left out, and for the token without showing it; without a terminal, the \
                        token is the first line of standard input. Writes gateway.toml, keys.toml and, for a token that was \
                        typed, secrets/NAME; only this user can read them, and no file is overwritten. Prints the client \
                        key, this once.")]
pub(super) struct Init {
    /// The kind of the provider: openai, anthropic, gemini, ..., or custom with --base-url
    #[arg(long, value_name = "KIND")]
    provider: Option<String>,
    /// A reference to its token, such as `env:OPENAI_API_KEY`, `file:PATH` or `credential:NAME`, or `none`; if left out, you are asked for the token
    #[arg(long, value_name = "REFERENCE")]
    token: Option<String>,
    /// The URL of its API, for the kind custom
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// The URL of the resource, for the kind azure-openai
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Allow --base-url to be plain `http://` to a name, such as `http://gpu-box:8000/v1`, in a network that you trust
    #[arg(long)]
    plain_http: bool,
    /// The deployment, for the kind azure-openai
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// The id of the first client key
    #[arg(long, value_name = "ID", default_value = "me")]
    key_id: String,
    /// The address for clients
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The address of /metrics and /status
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
    /// The folder to write into
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

pub(super) fn run(options: &Init) -> Result<(), Error> {
    if !is_key_id(&options.key_id) {
        let why = "--key-id must have 1 to 64 letters, digits and `.`, `_`, `-`, `@`";
        return Err(Error::Usage(why.to_owned()));
    }
    // Before any question.
    files::refuse_what_is_there(&options.out)?;
    let kind = kind(options.provider.as_deref())?;
    let settings = options.settings(kind)?;
    let name = name_of(kind);
    if options.token.is_none() && !kind.tokenless {
        files::refuse_secret_that_is_there(&options.out, name)?;
    }
    let (reference, token) = options.token(kind, name)?;
    let key = format::generate(&options.key_id)
        .map_err(|error| Error::failed("read random numbers from the system", error))?;
    let new = New {
        configuration: options.configuration(kind, name, &settings, &reference),
        secret: token.map(|token| (name.to_owned(), token)),
        key: first_key(&options.key_id, &key),
    };
    for warning in put(&new, &options.out)? {
        eprint(&warning);
    }
    eprint(&options.next(kind, name, new.secret.is_some()));
    print(&key)
}

/// The name of the provider and its route.
fn name_of(kind: &Kind) -> &'static str {
    match kind.name {
        // The documentation uses this name.
        "azure-openai" => "azure",
        name => name,
    }
}

fn first_key(id: &str, key: &str) -> NewKey {
    NewKey {
        id: id.to_owned(),
        digest: KeyDigest::of(key.as_bytes()),
        labels: [].into(),
        metadata: [].into(),
        not_before: None,
        expires: None,
        disabled: false,
        limits: LimitSettings::default(),
        created: Timestamp::now(),
        comment: Some("made by keygate init".to_owned()),
    }
}

/// The provider kind with this name; asks for it if there is none.
fn kind(given: Option<&str>) -> Result<&'static Kind, Error> {
    let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    let all = names.join(", ");
    let name = match given {
        Some(given) => given.to_owned(),
        None if can_ask() => ask(&format!("Provider ({all})"), "openai")?,
        None => return Err(Error::Usage(format!("--provider is missing: one of {all}"))),
    };
    Kind::named(&name).ok_or_else(|| {
        let near = nearest(&name.to_lowercase(), names.into_iter())
            .map_or(String::new(), |near| format!(" (did you mean `{near}`?)"));
        Error::Usage(format!(
            "there is no kind of provider `{name}`{near}: there are {all}"
        ))
    })
}

impl Init {
    /// The settings that a kind needs besides its token, by name. Asks for those that are missing.
    fn settings(&self, kind: &Kind) -> Result<Vec<(&'static str, String)>, Error> {
        let needs_deployment = kind
            .placeholder("deployment")
            .is_some_and(|blank| blank.needed);
        let needs_url = kind.origin.is_none() && !kind.endpoint;
        let all = [
            ("base_url", "URL of its API", &self.base_url, needs_url),
            (
                "endpoint",
                "URL of the resource, https://NAME.openai.azure.com",
                &self.endpoint,
                kind.endpoint,
            ),
            (
                "deployment",
                "Deployment",
                &self.deployment,
                needs_deployment,
            ),
        ];
        let mut settings = Vec::new();
        for (name, question, given, needed) in all {
            let option = name.replace('_', "-");
            let value = match given {
                Some(given) => given.clone(),
                None if !needed => continue,
                None if can_ask() => ask(question, "")?,
                None => String::new(),
            };
            if value.is_empty() {
                let why = format!("--{option} is missing, which the kind {} needs", kind.name);
                return Err(Error::Usage(why));
            }
            settings.push((name, value));
        }
        Ok(settings)
    }

    /// The reference to the token, and the token itself if it was typed.
    fn token(&self, kind: &Kind, name: &str) -> Result<(String, Option<Zeroizing<String>>), Error> {
        if let Some(reference) = &self.token {
            return Ok((reference.clone(), None));
        }
        let none = || Ok(("none".to_owned(), None));
        if kind.tokenless && !can_ask() {
            return none();
        }
        let token = ask_secret(&format!("Token of {}", kind.name))?;
        if token.is_empty() && kind.tokenless {
            return none();
        }
        if token.is_empty() {
            let why = "there is no token: type it, pipe it in, or say where it is with --token env:NAME; \
                 --token none if the provider wants none";
            return Err(Error::Usage(why.to_owned()));
        }
        Ok((format!("file:secrets/{name}"), Some(token)))
    }

    fn configuration(
        &self,
        kind: &Kind,
        name: &str,
        settings: &[(&str, String)],
        token: &str,
    ) -> String {
        let quoted = |text: &str| toml_edit::Value::from(text).to_string();
        let mut lines = vec![
            "# Made by `keygate init`. `keygate check` lists every problem at once. Every setting with its default:".to_owned(),
            "# docs/settings.md, and as a file conf/gateway.toml, of the sources; docs/settings.md and examples/gateway.toml".to_owned(),
            "# of /usr/share/doc/keygate. `keygate schema` prints a schema of them for editors.".to_owned(),
            String::new(),
            "[server]".to_owned(),
            format!("listen = \"{}\"", self.listen),
            format!("admin  = \"{}\"", self.admin),
            String::new(),
            format!("[providers.{name}]"),
            format!("kind  = {}", quoted(kind.name)),
            format!("token = {}", quoted(token)),
        ];
        lines.extend(
            settings
                .iter()
                .map(|(name, value)| format!("{name} = {}", quoted(value))),
        );
        if self.plain_http {
            lines.push("plain_http = true".to_owned());
        }
        lines.extend([
            String::new(),
            "[[routes]]".to_owned(),
            format!("name     = \"{name}\""),
            format!("path     = \"/{name}\""),
            format!("provider = \"{name}\""),
            "# Any valid key is accepted; `keys = { team = \"search\" }` accepts only those with this label.".to_owned(),
            String::new(),
        ]);
        lines.join("\n")
    }

    /// The next steps for the user.
    fn next(&self, kind: &Kind, name: &str, has_secret: bool) -> String {
        let folder = &self.out;
        let is_here = folder == Path::new(".");
        let config = folder.join("gateway.toml");
        let run = if is_here {
            "keygate run".to_owned()
        } else {
            format!(
                "keygate run --config {}",
                shell_word(&config.display().to_string())
            )
        };
        let secret = if has_secret {
            format!(", secrets/{name}")
        } else {
            String::new()
        };
        let origin = format!("http://{}", self.listen);
        let root = root_flag();
        format!(
            "In {}: gateway.toml, keys.toml{secret}.\n\n\
             Run it:             {run}{root}\n\
             Ask:                export KEY=(the key below)\n                    {}\n\
             An SDK's base URL:  {}\n\n\
             The client key `{}`. This is the only time it is shown:",
            folder.display(),
            curl(kind, &format!("{origin}/{name}")),
            base_url(&origin, &format!("/{name}"), kind.name),
            self.key_id,
        )
    }
}

/// Quotes a text as one word of a shell.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@:,".contains(c);
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A curl command for a first request to this URL of a route.
fn curl(kind: &Kind, url: &str) -> String {
    let body = match kind.error_format {
        ErrorFormat::Google => r#"{"contents":[{"parts":[{"text":"Hi"}]}]}"#,
        ErrorFormat::Anthropic => {
            r#"{"model":"claude-sonnet-4-5","max_tokens":99,"messages":[{"role":"user","content":"Hi"}]}"#
        }
        _ if kind.name == "openai" => {
            r#"{"model":"gpt-5","messages":[{"role":"user","content":"Hi"}]}"#
        }
        _ => r#"{"model":"MODEL","messages":[{"role":"user","content":"Hi"}]}"#,
    };
    let path = match kind.error_format {
        ErrorFormat::Google => "/v1beta/models/gemini-2.5-flash:generateContent",
        _ => "",
    };
    format!("curl {url}{path} -H \"api-key: $KEY\" -H 'content-type: application/json' -d '{body}'")
}
