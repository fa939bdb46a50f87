//! `keygate explain`: what would become of a request, decided by the code that decides when it is sent.

mod limits;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use http::HeaderMap;
use http::header::HOST;
use pingora::http::RequestHeader;

use super::advice;
use super::client_url::origin;
use super::config_path::ConfigPath;
use super::limits::Standing;
use super::suggestions::for_refusal;
use crate::config::{Purpose, Resolved};
use crate::error::Error;
use crate::key::{KeyFailure, PresentedKey};
use crate::proxy::admit::Admission;
use crate::proxy::attempt::Attempt;
use crate::proxy::head::check_head;
use crate::proxy::inject;
use crate::proxy::reject::{Reason, Rejection};
use crate::route::{Access, NormalPath, Route, request_path};
use crate::snapshot::Snapshot;

/// Say what would become of a request, without sending anything.
#[derive(Args)]
#[command(
    after_help = "Example: keygate explain POST http://127.0.0.1:8080/openai/v1/chat/completions -H 'authorization: Bearer kg_...'\n\
                        Exits with 1 where the request would be refused."
)]
pub(super) struct Explain {
    /// The method
    method: String,
    /// The path with its query, or a whole URL
    path: String,
    /// A header of the request, as curl has it; may be repeated
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The size of its body, in bytes
    #[arg(long, visible_alias = "bytes", value_name = "N")]
    body_size: Option<u64>,
    /// A file with its body, by which limits decide what they reserve
    #[arg(long, value_name = "FILE", conflicts_with = "body_size")]
    body: Option<PathBuf>,
    /// The model that its body names, for limits of models
    #[arg(long, value_name = "NAME", conflicts_with = "body")]
    model: Option<String>,
    #[command(flatten)]
    config: ConfigPath,
}

pub(super) fn run(options: &Explain) -> Result<(), Error> {
    let body = options.body.as_deref().map(|path| {
        let read = std::fs::read(path);
        read.map_err(|error| Error::failed(format_args!("read {}", path.display()), error))
    });
    let body = body.transpose()?;
    let size = body
        .as_ref()
        .map(|body| u64::try_from(body.len()).unwrap_or(u64::MAX));
    let request = request(options, size.or(options.body_size))?;
    let config_path = options.config.find()?;
    let config = Resolved::load(&config_path, Purpose::Explain)?;
    for problem in &config.not_fetched {
        super::output::eprint(&problem.to_string());
    }
    let (origin, are_keys_known) = (origin(&config.server), config.are_keys_known);
    let standing = Standing::of(&config_path, config)?;
    let snapshot = standing.live.snapshot();
    let mut said = String::new();
    let explained = Explained {
        standing: &standing,
        content: limits::Content {
            body: body.as_deref(),
            bytes: size.or(options.body_size).unwrap_or_default(),
            model: options.model.as_deref(),
        },
        snapshot: &snapshot,
        request: &request,
        origin: &origin,
    };
    let outcome = explained.explain(&mut Said(&mut said));
    if !are_keys_known && outcome == Err(Reason::InvalidKey(KeyFailure::Unknown)) {
        let why = "whether the key is valid is not known, because the key file could not be read";
        return Err(Error::Unconfigured(why.to_owned()));
    }
    super::output::print(&said)?;
    if outcome == Err(Reason::Preflight) {
        return Ok(());
    }
    outcome.map_err(|reason| {
        let (status, code) = (reason.status(), reason.code());
        Error::Failed(format!(
            "this request would be refused with {status} {code}"
        ))
    })
}

fn request(options: &Explain, size: Option<u64>) -> Result<RequestHeader, Error> {
    let usage = |why: String| Error::Usage(why);
    let (host, path) = split_url(&options.path);
    if http::Method::from_bytes(options.method.as_bytes()).is_err() {
        return Err(usage(format!(
            "`{}` is no method of HTTP: the method comes first, such as POST, and then the path",
            options.method
        )));
    }
    if !path.starts_with('/') && !path.contains("://") && path != "*" {
        return Err(usage(format!(
            "`{path}` is neither a path, which begins with `/`, nor a URL, which begins with http:// or https://"
        )));
    }
    let mut request = RequestHeader::build(options.method.as_str(), path.as_bytes(), None)
        .map_err(|_| {
            usage(format!(
                "`{path}` holds what cannot stand in a URL: a blank is %20"
            ))
        })?;
    for header in &options.header {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| usage("a header is written as `NAME: VALUE`".to_owned()))?;
        request
            .append_header(name.trim().to_owned(), value.trim())
            .map_err(|_| usage(format!("`{}` cannot stand in a request", name.trim())))?;
    }
    // Headers that every client sends, unless the command line has them.
    if !request.headers.contains_key(http::header::HOST) {
        let _ = request.insert_header(http::header::HOST, host.unwrap_or("localhost"));
    }
    if let Some(size) = size {
        let _ = request.insert_header(http::header::CONTENT_LENGTH, size.to_string());
    }
    Ok(request)
}

/// The host and the path of a pasted URL. A text without a scheme is a path.
fn split_url(text: &str) -> (Option<&str>, &str) {
    let rest = ["http://", "https://", "ws://", "wss://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let Some(rest) = rest else {
        return (None, text);
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    (Some(host), if path.is_empty() { "/" } else { path })
}

/// The output, line by line.
pub(super) struct Said<'s>(&'s mut String);

impl Said<'_> {
    pub(super) fn line(&mut self, name: &str, text: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{name:<10} {text}");
    }

    pub(super) fn refused(&mut self, reason: Reason) -> Reason {
        self.refused_as(reason, reason.message())
    }

    /// Adds a refusal with the message that this request gets.
    fn refused_as(&mut self, reason: Reason, message: &str) -> Reason {
        let (status, code, detail) = (reason.status(), reason.code(), reason.detail());
        let detail = if detail == code {
            String::new()
        } else {
            format!(" ({detail})")
        };
        let what = match reason {
            Reason::Preflight => "answered",
            _ => "refused",
        };
        self.line(what, format_args!("{status} {code}{detail}: {message}"));
        reason
    }
}

/// Checks the framing, which is refused before anything is decided, as if the head came over HTTP/1.1.
fn check_framing(snapshot: &Snapshot, request: &RequestHeader) -> Result<(), Reason> {
    check_head(&snapshot.rules, request, &head_of(request))?;
    // Pingora refuses both kinds itself.
    let has_one_host = request.headers.get_all(HOST).iter().count() < 2;
    if has_one_host && advice::has_numeric_length_or_none(&request.headers) {
        Ok(())
    } else {
        Err(Reason::BadFraming)
    }
}

fn head_of(request: &RequestHeader) -> Vec<u8> {
    let line = [request.method.as_str().as_bytes(), request.raw_path()];
    let mut head = [line.join(&b' ').as_slice(), b" HTTP/1.1\r\n"].concat();
    for (name, value) in &request.headers {
        head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head
}

/// A request, and what decides about it.
struct Explained<'e> {
    standing: &'e Standing,
    /// What is known of its body.
    content: limits::Content<'e>,
    snapshot: &'e Snapshot,
    request: &'e RequestHeader,
    /// The origin of the gateway, for suggestions.
    origin: &'e str,
}

impl<'e> Explained<'e> {
    /// Explains each decision, up to the end or to the refusal.
    fn explain(&self, said: &mut Said<'_>) -> Result<(), Reason> {
        check_framing(self.snapshot, self.request).inspect_err(|reason| {
            said.refused(*reason);
            self.suggest(*reason, "", said);
        })?;
        let path = self.path(said)?;
        said.line("path", &path.path);
        let decided = self.decide(&path);
        let key = key(self.snapshot, self.request, &path, &decided);
        match &decided {
            Ok((admission, _)) => route(admission.route(), &key, None, said),
            Err(Rejection {
                route: Some(found),
                reason,
                ..
            }) => route(found, &key, Some(*reason), said),
            Err(_) => {}
        }
        let (admission, attempt) = decided.map_err(|rejection| {
            let message = rejection.message.as_deref();
            let message = message.unwrap_or_else(|| rejection.reason.message());
            let reason = said.refused_as(rejection.reason, message);
            self.suggest(reason, &path.path, said);
            reason
        })?;
        let limits = limits::Limits {
            standing: self.standing,
            snapshot: self.snapshot,
            request: self.request,
            content: &self.content,
        };
        limits
            .explain(&admission, &attempt, said)
            .inspect_err(|reason| {
                self.suggest(*reason, &path.path, said);
            })?;
        self.upstream_request(&admission, &attempt, said)
    }

    /// The path as the gateway reads it, or the refusal of an ambiguous one.
    fn path(&self, said: &mut Said<'_>) -> Result<NormalPath<'e>, Reason> {
        request_path(self.request.raw_path()).map_err(|bad| {
            let (what, cure) = advice::for_path(bad);
            said.line("path", what);
            let reason = said.refused(Reason::BadPath);
            said.line("hint", cure);
            reason
        })
    }

    /// Decides as the gateway does, up to the first attempt.
    fn decide(&self, path: &NormalPath<'_>) -> Result<(Admission, Attempt), Rejection> {
        let now = self.standing.live.clock.now();
        let (admission, parts) = Admission::decide(self.snapshot, self.request, path, now)?;
        let attempt = Attempt::begin(&admission, &parts, &self.snapshot.rules.router)?;
        Ok((admission, attempt))
    }

    /// Explains the request that the provider would get.
    fn upstream_request(
        &self,
        admission: &Admission,
        attempt: &Attempt,
        said: &mut Said<'_>,
    ) -> Result<(), Reason> {
        let (method, origin) = (&self.request.method, attempt.provider().origin());
        said.line(
            "endpoint",
            format_args!("{method} {origin}{}", attempt.path()),
        );
        let client = &self.request.headers;
        let mut upstream = self.request.clone();
        inject::rewrite(admission, attempt, client, &mut upstream)
            .map_err(|_| said.refused(Reason::Internal))?;
        headers(client, &upstream.headers, said);
        Ok(())
    }

    /// Adds what to do about a refusal.
    fn suggest(&self, reason: Reason, path: &str, said: &mut Said<'_>) {
        for hint in for_refusal(reason, self.request, path, self.snapshot, self.origin) {
            said.line("hint", hint);
        }
    }
}

fn route(route: &Route, key: &str, refused: Option<Reason>, said: &mut Said<'_>) {
    let hosts = route
        .hosts
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" or ");
    said.line(
        "route",
        format_args!("{} (host {hosts}, path {})", route.name, route.path),
    );
    said.line("key", key);
    if let Access::Keys(selector) = &route.access {
        let verdict = match refused {
            Some(Reason::KeyNotAllowed) => "does not take it",
            Some(
                Reason::InvalidKey(_)
                | Reason::AmbiguousCredentials
                | Reason::AmbiguousHeader
                | Reason::Preflight,
            ) => "is not evaluated",
            _ => "takes it",
        };
        said.line("selector", format_args!("{selector}: {verdict}"));
    }
    let provider = &route.targets.primary().provider;
    let (name, kind, mut url) = (&provider.name, provider.kind.name, provider.url());
    if let Some(proxy) = provider.proxy() {
        let _ = write!(url, " through the proxy {proxy}");
    }
    match provider.rejected() {
        None => said.line("provider", format_args!("{name} ({kind}, {url})")),
        Some(why) => said.line(
            "provider",
            format_args!("{name} ({kind}, {url}), Rejected: {why}"),
        ),
    }
}

/// The headers that the provider would get. Values that the client sent are shown; all others may be secret.
fn headers(client: &HeaderMap, upstream: &HeaderMap, said: &mut Said<'_>) {
    for (name, value) in upstream {
        let own = client.get_all(name).iter().any(|sent| sent == value);
        if own || *name == http::header::HOST {
            said.line(
                "header",
                format_args!("{name}: {}", String::from_utf8_lossy(value.as_bytes())),
            );
        } else {
            said.line("header", format_args!("{name}: (hidden)"));
        }
    }
    let gone: Vec<&str> = names(client)
        .filter(|name| !upstream.contains_key(*name))
        .collect();
    if !gone.is_empty() {
        said.line("taken out", gone.join(", "));
    }
}

fn names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.keys().map(http::HeaderName::as_str)
}

/// The key's id and state, never its value.
fn key(
    snapshot: &Snapshot,
    request: &RequestHeader,
    path: &NormalPath<'_>,
    decided: &Result<(Admission, Attempt), Rejection>,
) -> String {
    let verified = match decided {
        Ok((admission, _)) => admission.key(),
        Err(rejection) => rejection.key(),
    };
    if let Some(key) = verified {
        return format!("{}: valid", key.id);
    }
    match decided {
        Ok(_) => "none is needed".to_owned(),
        Err(Rejection {
            reason: Reason::InvalidKey(failure),
            ..
        }) => {
            // The id may be shown here: whoever reads the configuration knows its keys.
            let names = snapshot.rules.key_headers.iter();
            let presented = PresentedKey::find(&request.headers, path.query, names)
                .ok()
                .flatten();
            let known = presented.and_then(|key| snapshot.keys.key_id(&key).cloned());
            let state = advice::key_state(*failure);
            known.map_or_else(|| state.to_owned(), |id| format!("{id}: {state}"))
        }
        Err(Rejection {
            reason: Reason::AmbiguousCredentials,
            ..
        }) => "two different ones".to_owned(),
        Err(_) => "is not looked for".to_owned(),
    }
}
