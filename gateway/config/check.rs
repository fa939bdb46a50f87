//! From as written to as meant: every rule about a configuration that one look at it can tell.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::file::{
    ExtractorFile, GatewayFile, KeysFile, LimitsFile, Pairs, ProviderFile, ProviderTimeoutsFile,
    RouteFile, ServerFile, read_to_string,
};
use super::{Config, ConfigErrors, LogLevel, RouteSpec, ServerConfig};
use crate::document::{
    Document, FileStamp, Located, Location, Problem, Problems, Severity, enumerate, nearest,
};
use crate::key::file::KeyFile;
use crate::key::{KeyEntry, Selector};
use crate::provider::kind::KINDS;
use crate::provider::{BaseUrl, CaBundle, HttpVersion, Kind, ProviderSpec, Timeouts, TokenSource};
use crate::route::{Access, HostPattern, PathPrefix};
use crate::secret::{SecretError, SecretRef};
use crate::template::{Extractor, HeaderTemplate, Source};

/// Headers that say how a message is framed or where it goes: nobody sets them but the gateway.
const FRAMING: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Loads `path`; the configuration is missing only if there was too little to make one of. The files
/// are those that were looked at, in any case.
pub(super) fn load(path: &Path) -> (Option<Config>, Vec<Problem>, Vec<FileStamp>) {
    let problems = Problems::default();
    let files = vec![FileStamp::take(path)];
    let text = match read_to_string(path) {
        Ok(text) => text,
        Err(why) => {
            problems.fatal(&whole(path), why);
            return (None, problems.into_sorted(), files);
        }
    };
    let document = Document::new(path, text);
    let file = GatewayFile::read(&document, &problems);
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut checker = Checker {
        problems: &problems,
        folder,
        files,
    };
    let config = checker.gateway(file, &document);
    let files = checker.files;
    (config, problems.into_sorted(), files)
}

/// Only where the key file is.
pub(super) fn key_file(path: &Path) -> Result<PathBuf, ConfigErrors> {
    let problems = Problems::default();
    let found = read_to_string(path)
        .map_err(|why| problems.fatal(&whole(path), why))
        .map(|text| {
            let file = GatewayFile::read(&Document::new(path, text), &Problems::default());
            key_file_of(&file.keys, path.parent().unwrap_or(Path::new("")))
        });
    found.map_err(|()| ConfigErrors {
        problems: problems.into_sorted(),
        files: Vec::new(),
    })
}

fn key_file_of(file: &KeysFile, folder: &Path) -> PathBuf {
    folder.join(
        file.file
            .as_ref()
            .map_or("keys.toml", |given| given.value.as_str()),
    )
}

fn whole(path: &Path) -> Location {
    Location {
        file: path.into(),
        line: 0,
    }
}

struct Checker<'p> {
    problems: &'p Problems,
    folder: &'p Path,
    files: Vec<FileStamp>,
}

/// A provider that passed, or at least its name, so that a route to it isn't blamed as well.
struct Checked {
    at: Location,
    spec: Option<ProviderSpec>,
}

impl Checker<'_> {
    fn fatal(&self, at: &Location, why: impl Into<String>) {
        self.problems.fatal(at, why);
    }

    fn warn(&self, at: &Location, why: impl Into<String>) {
        self.problems.push(at, Severity::Warning, why);
    }

    fn gateway(&mut self, file: GatewayFile, document: &Document) -> Option<Config> {
        let server = self.server(file.server);
        let providers = self.providers(file.providers);
        let key_headers = self.key_headers(&file.keys);
        let wants_keys = file
            .routes
            .iter()
            .any(|route| route.auth.as_ref().is_none_or(|a| a.value != "none"));
        let (key_file, keys) = self.keys(&file.keys, wants_keys);
        if file.routes.is_empty() {
            self.warn(
                &document.whole(),
                "there are no [[routes]]: every request will be answered with 404",
            );
        }
        let routes = self.routes(file.routes, &providers, keys.as_deref(), &key_headers);
        for (name, provider) in &providers {
            if !routes.iter().any(|route| *route.provider == **name) {
                self.warn(
                    &provider.at,
                    format!("no route leads to the provider `{name}`"),
                );
            }
        }
        let mut names: Vec<_> = providers.into_iter().collect();
        names.sort_by(|a, b| a.1.at.line.cmp(&b.1.at.line));
        Some(Config {
            server: server?,
            key_headers,
            key_file,
            keys: keys.unwrap_or_default(),
            providers: names
                .into_iter()
                .filter_map(|(_, checked)| checked.spec)
                .collect(),
            routes,
            files: Vec::new(),
            warnings: Vec::new(),
        })
    }

    fn server(&self, file: ServerFile) -> Option<ServerConfig> {
        let listen = self.listen(file.listen);
        let admin = self.admin(file.admin);
        let LimitsFile {
            request_body,
            header_bytes,
            header_count,
            requests_per_connection,
            idle_connections,
        } = file.limits;
        let size = |at: Option<Located<crate::document::ByteSize>>, default| {
            at.map_or(default, |l| l.value.0)
        };
        let count =
            |at: Option<Located<usize>>, default| at.map_or(default, |l: Located<usize>| l.value);
        let seconds = |given: Option<Located<Duration>>, default| {
            self.positive(given, Duration::from_secs(default))
        };
        let log_level = match file.log_level.as_ref().map(|l| l.value.as_str()) {
            None | Some("info") => LogLevel::Info,
            Some("warn") => LogLevel::Warn,
            Some("error") => LogLevel::Error,
            Some(_) => {
                let at = file.log_level.map(|l| l.at)?;
                self.fatal(&at, "server.log_level is `error`, `warn` or `info`");
                LogLevel::Info
            }
        };
        let threads = match count(file.threads, 0) {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            some => some,
        };
        Some(ServerConfig {
            listen: listen?,
            admin: admin?,
            threads,
            h2c: file.h2c.is_some_and(|l| l.value),
            access_log: file.access_log.is_none_or(|l| l.value),
            log_level,
            dns_refresh: seconds(file.dns_refresh, 30),
            max_request_body: size(request_body, 32 << 20),
            max_header_bytes: size(header_bytes, 16 << 10),
            max_header_count: count(header_count, 100),
            requests_per_connection: u32::try_from(count(requests_per_connection, 100_000))
                .unwrap_or(u32::MAX),
            idle_connections: count(idle_connections, 1024),
            keepalive: seconds(file.timeouts.keepalive, 60),
            client_read: seconds(file.timeouts.client_read, 60),
            client_write: seconds(file.timeouts.client_write, 60),
            shutdown_delay: file
                .timeouts
                .shutdown_delay
                .map_or(Duration::ZERO, |l| l.value),
            drain: seconds(file.timeouts.drain, 60),
        })
    }

    fn positive(&self, given: Option<Located<Duration>>, default: Duration) -> Duration {
        match given {
            Some(Located {
                value: Duration::ZERO,
                at,
            }) => {
                self.fatal(
                    &at,
                    "a timeout of nothing would fail every request: give a time",
                );
                default
            }
            Some(given) => given.value,
            None => default,
        }
    }

    fn listen(
        &self,
        given: Option<Located<crate::document::OneOrMany>>,
    ) -> Option<Vec<SocketAddr>> {
        let Some(given) = given else {
            return Some(vec![SocketAddr::from(([127, 0, 0, 1], 8080))]);
        };
        if given.value.0.is_empty() {
            self.fatal(
                &given.at,
                "server.listen is empty: clients would find no way in",
            );
        }
        let parsed: Vec<_> = given
            .value
            .0
            .iter()
            .map(|text| {
                let address = text.parse::<SocketAddr>();
                if address.is_err() {
                    self.fatal(&given.at, "server.listen is an address with port, such as 127.0.0.1:8080 or [::]:8080");
                }
                address.ok()
            })
            .collect();
        parsed.into_iter().collect()
    }

    fn admin(&self, given: Option<Located<String>>) -> Option<SocketAddr> {
        let Some(given) = given else {
            return Some(SocketAddr::from(([127, 0, 0, 1], 9090)));
        };
        let Ok(address) = given.value.parse::<SocketAddr>() else {
            self.fatal(
                &given.at,
                "server.admin is an address with port, such as 127.0.0.1:9090",
            );
            return None;
        };
        let near = match address.ip() {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
        };
        if !near {
            self.fatal(
                &given.at,
                "server.admin answers without a key, so it must be a loopback or private address",
            );
        }
        Some(address)
    }

    fn key_headers(&self, file: &KeysFile) -> Vec<HeaderName> {
        let Some(given) = &file.headers else {
            return ["authorization", "api-key", "x-api-key", "x-goog-api-key"]
                .map(HeaderName::from_static)
                .to_vec();
        };
        if given.value.0.is_empty() {
            self.fatal(
                &given.at,
                "keys.headers is empty: a client could not show its key",
            );
        }
        given
            .value
            .0
            .iter()
            .filter_map(|name| self.header_name(name, &given.at))
            .collect()
    }

    fn header_name(&self, text: &str, at: &Location) -> Option<HeaderName> {
        let name = HeaderName::try_from(text).ok();
        match name {
            None => self.fatal(at, format!("`{text}` is not the name of a header")),
            Some(ref name) if FRAMING.contains(&name.as_str()) => {
                self.fatal(
                    at,
                    format!("`{name}` belongs to the gateway and cannot be used here"),
                );
                return None;
            }
            Some(_) => {}
        }
        name
    }

    fn keys(&mut self, file: &KeysFile, wanted: bool) -> (PathBuf, Option<Vec<KeyEntry>>) {
        let path = key_file_of(file, self.folder);
        let at = file
            .file
            .as_ref()
            .map_or_else(|| whole(&path), |l| l.at.clone());
        self.files.push(FileStamp::take(&path));
        match read_to_string(&path) {
            Ok(text) => {
                let keys = KeyFile::read(
                    &Document::new(&path, text),
                    self.folder_of(&path),
                    self.problems,
                );
                self.files.extend(keys.secret_files);
                if wanted && keys.entries.is_empty() {
                    self.warn(&whole(&path), "there is no key in it: nobody can come in");
                }
                (path, Some(keys.entries))
            }
            Err(why) if wanted => {
                let cure = "make the first key with `keygate keys create --id NAME`";
                self.fatal(
                    &at,
                    format!("the key file {} {why}: {cure}", path.display()),
                );
                (path, None)
            }
            Err(_) => (path, Some(Vec::new())),
        }
    }

    fn folder_of<'a>(&self, path: &'a Path) -> &'a Path {
        path.parent().unwrap_or(Path::new(""))
    }

    fn providers(&mut self, files: Vec<ProviderFile>) -> HashMap<String, Checked> {
        let mut providers = HashMap::new();
        for file in files {
            let (name, at) = (file.name.value.clone(), file.name.at.clone());
            if !is_name(&name) {
                self.fatal(
                    &at,
                    "a provider's name has letters, digits, `.`, `_` and `-`",
                );
            }
            let spec = self.provider(file);
            providers.insert(name, Checked { at, spec });
        }
        providers
    }

    fn provider(&mut self, file: ProviderFile) -> Option<ProviderSpec> {
        let name = file.name.value.clone();
        let field = |key: &str| format!("providers.{name}.{key}");
        let kind = self.kind(file.kind, &name);
        let base_url = match &file.base_url {
            Some(given) => BaseUrl::parse(&given.value)
                .map_err(|why| self.fatal(&given.at, format!("{} {why}", field("base_url"))))
                .ok(),
            None => match kind.map(|kind| (kind, kind.base_url)) {
                Some((kind, None)) => {
                    let why = format!(
                        "{} is missing: a {} provider could be anywhere",
                        field("base_url"),
                        kind.name
                    );
                    self.fatal(&file.name.at, why);
                    None
                }
                Some((_, Some(url))) => BaseUrl::parse(url).ok(),
                None => None,
            },
        };
        let token = self.token(file.token, &file.name.at, &name);
        let default_endpoint = match file.default_endpoint {
            Some(given) if !given.value.starts_with('/') => {
                self.fatal(
                    &given.at,
                    format!("{} must begin with `/`", field("default_endpoint")),
                );
                None
            }
            Some(given) => Some(given.value),
            None => kind.map(|kind| kind.default_endpoint.to_owned()),
        };
        let auth_header = match &file.auth_header {
            Some(given) => self.header_name(&given.value, &given.at),
            None => kind.map(|kind| HeaderName::from_static(kind.auth_header)),
        };
        let auth_prefix = match file.auth_prefix {
            Some(given) if HeaderValue::from_str(&given.value).is_err() => {
                self.fatal(
                    &given.at,
                    format!("{} cannot stand in a header", field("auth_prefix")),
                );
                None
            }
            Some(given) => Some(given.value),
            None => kind.map(|kind| kind.auth_prefix.to_owned()),
        };
        let ca = file.ca.and_then(|given| {
            let path = self.folder.join(&given.value);
            self.files.push(FileStamp::take(&path));
            let loaded = CaBundle::load(&path);
            loaded
                .map_err(|why| self.fatal(&given.at, format!("{}: {why}", field("ca"))))
                .ok()
        });
        let headers = self.provider_headers(&file.headers, auth_header.as_ref());
        let timeouts = self.timeouts(file.timeouts);
        let base_url = base_url?;
        let sni = match file.sni {
            Some(given) if given.value.trim().is_empty() => {
                let why =
                    "is empty, which would switch off the check of the certificate: leave it out";
                self.fatal(&given.at, format!("{} {why}", field("sni")));
                return None;
            }
            Some(given) => given.value,
            None => base_url.host.clone(),
        };
        let http = match file
            .http
            .as_ref()
            .map(|given| (given.value.as_str(), &given.at))
        {
            None | Some(("1.1", _)) => HttpVersion::Http1,
            Some(("2", _)) => HttpVersion::Http2,
            Some(("auto", _)) if base_url.tls => HttpVersion::Auto,
            Some(("auto", at)) => {
                self.fatal(
                    at,
                    format!(
                        "{} = \"auto\" needs TLS to negotiate: say \"1.1\" or \"2\"",
                        field("http")
                    ),
                );
                return None;
            }
            Some((_, at)) => {
                self.fatal(
                    at,
                    format!("{} is \"1.1\", \"2\" or \"auto\"", field("http")),
                );
                return None;
            }
        };
        Some(ProviderSpec {
            name: Arc::from(name.as_str()),
            kind: kind?,
            base_url,
            sni,
            ca,
            default_endpoint: default_endpoint?,
            auth_header: auth_header?,
            auth_prefix: auth_prefix?,
            token: token?,
            headers,
            http,
            timeouts,
        })
    }

    fn kind(&self, given: Option<Located<String>>, provider: &str) -> Option<&'static Kind> {
        let given = given?;
        let kind = Kind::named(&given.value);
        if kind.is_none() {
            let names = || KINDS.iter().map(|kind| kind.name);
            let hint = match nearest(&given.value, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "there is {}; `custom` is anything that speaks OpenAI's API",
                    enumerate(names())
                ),
            };
            self.fatal(
                &given.at,
                format!(
                    "providers.{provider}.kind `{}` does not exist: {hint}",
                    given.value
                ),
            );
        }
        kind
    }

    fn token(
        &mut self,
        given: Option<Located<String>>,
        at: &Location,
        name: &str,
    ) -> Option<TokenSource> {
        let Some(given) = given else {
            let cure = "say where it is (`env:NAME`, `file:PATH`, `credential:NAME`, `key:METADATA`), \
                        `passthrough`, or `none` if the provider wants none";
            self.fatal(at, format!("providers.{name}.token is missing: {cure}"));
            return None;
        };
        match given.value.as_str() {
            "passthrough" => return Some(TokenSource::Passthrough),
            "none" => return Some(TokenSource::None),
            text => {
                if let Some(entry) = text.strip_prefix("key:") {
                    if entry.is_empty() {
                        self.fatal(
                            &given.at,
                            format!(
                                "providers.{name}.token: `key:` needs the name of a metadata entry"
                            ),
                        );
                        return None;
                    }
                    return Some(TokenSource::Key(entry.to_owned()));
                }
            }
        }
        let resolved = SecretRef::parse(&given.value, self.folder).and_then(|reference| {
            self.files.extend(reference.file().map(FileStamp::take));
            reference.resolve()
        });
        match &resolved {
            Ok(_) => {}
            Err(SecretError::Missing(why)) => {
                self.warn(
                    &given.at,
                    format!("providers.{name} will answer 503 until its token is there: {why}"),
                );
            }
            Err(error) => self.fatal(&given.at, format!("providers.{name}.token: {error}")),
        }
        Some(TokenSource::Fixed(resolved))
    }

    fn provider_headers(
        &self,
        pairs: &Pairs,
        auth: Option<&HeaderName>,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        for (name, value) in pairs {
            let Some(name) = self.header_name(&name.value, &name.at) else {
                continue;
            };
            if Some(&name) == auth {
                self.fatal(
                    &value.at,
                    format!("`{name}` is where the token goes: use `token`"),
                );
                continue;
            }
            match HeaderValue::from_str(&value.value) {
                Ok(value) => headers.push((name, value)),
                Err(_) => self.fatal(
                    &value.at,
                    format!("the value of `{name}` cannot stand in a header"),
                ),
            }
        }
        headers
    }

    fn timeouts(&self, file: ProviderTimeoutsFile) -> Timeouts {
        let defaults = Timeouts::default();
        let first_byte_given = file.first_byte.is_some();
        let idle_at = file.idle.as_ref().map(|l| l.at.clone());
        let first_byte_at = file.first_byte.as_ref().map(|l| l.at.clone());
        let first_byte = self.positive(file.first_byte, defaults.first_byte);
        let mut idle = self.positive(file.idle, defaults.idle);
        if idle > first_byte {
            match (idle_at, first_byte_at) {
                (Some(at), _) => self.fatal(
                    &at,
                    "`idle` is longer than `first_byte`: a pause within an answer cannot be allowed \
                     to take longer than its beginning; raise `first_byte`",
                ),
                // Only `first_byte` was set: the default of the other gives way.
                (None, _) if first_byte_given => idle = first_byte,
                (None, _) => {}
            }
        }
        Timeouts {
            connect: self.positive(file.connect, defaults.connect),
            first_byte,
            idle,
            total: match file.total {
                Some(given) => Some(given.value).filter(|total| !total.is_zero()),
                None => defaults.total,
            },
            write: self.positive(file.write, defaults.write),
            pool_idle: self.positive(file.pool_idle, defaults.pool_idle),
        }
    }

    fn routes(
        &self,
        files: Vec<RouteFile>,
        providers: &HashMap<String, Checked>,
        keys: Option<&[KeyEntry]>,
        key_headers: &[HeaderName],
    ) -> Vec<RouteSpec> {
        let mut names: HashMap<String, usize> = HashMap::new();
        let mut places: HashMap<(HostPattern, PathPrefix), (String, usize)> = HashMap::new();
        let mut routes = Vec::new();
        for file in files {
            let at = file.at.clone();
            let Some(route) = self.route(file, providers, keys, key_headers) else {
                continue;
            };
            if let Some(line) = names.insert(route.name.to_string(), at.line) {
                self.fatal(
                    &at,
                    format!(
                        "the route `{}` is there already, in line {line}",
                        route.name
                    ),
                );
            }
            for host in &route.hosts {
                let place = (host.clone(), route.path.clone());
                let here = (route.name.to_string(), at.line);
                if let Some((other, line)) = places.insert(place, here) {
                    self.fatal(&at, format!(
                        "the route `{}` can never be reached: `{other}` in line {line} has the same \
                         host `{host}` and path `{}`",
                        route.name, route.path,
                    ));
                }
            }
            routes.push(route);
        }
        routes
    }

    fn route(
        &self,
        file: RouteFile,
        providers: &HashMap<String, Checked>,
        keys: Option<&[KeyEntry]>,
        key_headers: &[HeaderName],
    ) -> Option<RouteSpec> {
        let hosts = match &file.host {
            None => vec![HostPattern::Any],
            Some(given) => given
                .value
                .0
                .iter()
                .filter_map(|text| {
                    HostPattern::parse(text)
                        .map_err(|why| self.fatal(&given.at, why))
                        .ok()
                })
                .collect(),
        };
        let path = file.path.and_then(|given| {
            PathPrefix::parse(&given.value)
                .map_err(|why| self.fatal(&given.at, why))
                .ok()
        });
        let name = file.name?;
        if !is_name(&name.value) {
            self.fatal(
                &name.at,
                "a route's name has letters, digits, `.`, `_` and `-`",
            );
        }
        let wanted = file.provider?;
        let Some(provider) = providers.get(&wanted.value) else {
            let hint = match nearest(&wanted.value, providers.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add a [providers.{}]", wanted.value),
            };
            self.fatal(
                &wanted.at,
                format!("there is no provider `{}`: {hint}", wanted.value),
            );
            return None;
        };
        let access = self.access(file.auth, file.keys, &file.at, &name.value);
        let spec = provider.spec.as_ref();
        if let (Access::Keys(selector), Some(keys)) = (&access, keys) {
            self.selector(selector, keys, spec, &name.value, &file.at);
        }
        if let Some(spec) = spec {
            let elsewhere = key_headers.iter().any(|header| *header != spec.auth_header);
            if matches!(spec.token, TokenSource::Passthrough)
                && access != Access::Open
                && !elsewhere
            {
                self.fatal(&wanted.at, format!(
                    "`{}` passes the caller's token on in `{}`, so the gateway's key needs another \
                     header in keys.headers",
                    wanted.value, spec.auth_header,
                ));
            }
        }
        let templates = self.templates(&file.extractors, &file.headers, spec);
        Some(RouteSpec {
            name: Arc::from(name.value),
            hosts,
            path: path?,
            provider: Arc::from(wanted.value),
            access,
            websocket: file.websocket.is_some_and(|l| l.value),
            templates,
        })
    }

    fn access(
        &self,
        auth: Option<Located<String>>,
        keys: Option<Pairs>,
        at: &Location,
        name: &str,
    ) -> Access {
        let selector =
            keys.map(|pairs| pairs.into_iter().map(|(k, v)| (k.value, v.value)).collect());
        match auth.as_ref().map(|given| given.value.as_str()) {
            Some("none") => {
                if selector.is_some() {
                    self.fatal(
                        at,
                        format!(
                            "the route `{name}` has `auth = \"none\"` and `keys`: which is meant?"
                        ),
                    );
                }
                self.warn(
                    at,
                    format!("the route `{name}` is open to anyone who can reach it"),
                );
                Access::Open
            }
            None | Some("key") => Access::Keys(Selector(selector.unwrap_or_default())),
            Some(_) => {
                let at = auth.map_or_else(|| at.clone(), |given| given.at);
                self.fatal(&at, "auth is \"key\" (as when left out) or \"none\"");
                Access::Keys(Selector::default())
            }
        }
    }

    fn selector(
        &self,
        selector: &Selector,
        keys: &[KeyEntry],
        provider: Option<&ProviderSpec>,
        route: &str,
        at: &Location,
    ) {
        let mut taken = keys
            .iter()
            .filter(|entry| selector.takes(&entry.key))
            .peekable();
        if taken.peek().is_none() && !selector.0.is_empty() {
            let labels: Vec<String> = selector
                .0
                .iter()
                .map(|(k, v)| format!("--label {k}={v}"))
                .collect();
            self.problems.push(at, Severity::Strict, format!(
                "no key satisfies the selector of the route `{route}` ({selector}): nobody could use \
                 it; make one with `keygate keys create --id NAME {}`",
                labels.join(" "),
            ));
        }
        if let Some(TokenSource::Key(entry)) = provider.map(|spec| &spec.token) {
            let lacking: Vec<&str> = taken
                .filter(|key| !key.key.metadata.contains_key(entry))
                .map(|key| &*key.key.id)
                .take(5)
                .collect();
            if !lacking.is_empty() {
                self.warn(at, format!(
                    "the route `{route}` sends each key's own `{entry}`, which {} has not: 503 for it",
                    enumerate(lacking),
                ));
            }
        }
    }

    fn templates(
        &self,
        extractors: &[ExtractorFile],
        headers: &Pairs,
        provider: Option<&ProviderSpec>,
    ) -> Vec<HeaderTemplate> {
        let extractors: Vec<Extractor> = extractors
            .iter()
            .filter_map(|file| self.extractor(file))
            .collect();
        let mut templates = Vec::new();
        for (name, text) in headers {
            let Some(header) = self.header_name(&name.value, &name.at) else {
                continue;
            };
            let owned = provider.is_some_and(|spec| {
                spec.auth_header == header && !matches!(spec.token, TokenSource::None)
            });
            if owned {
                self.fatal(&text.at, format!(
                    "the provider's token goes into `{header}`: a template there needs `token = \"none\"`"
                ));
                continue;
            }
            match HeaderTemplate::parse(header, &text.value, &extractors) {
                Ok(template) => templates.push(template),
                Err(why) => self.fatal(&text.at, format!("the template of `{}` {why}", name.value)),
            }
        }
        templates
    }

    fn extractor(&self, file: &ExtractorFile) -> Option<Extractor> {
        let name = file.name.value.clone();
        let source = match (&file.header, &file.metadata) {
            (Some(header), None) => {
                let regex = file
                    .regex
                    .as_ref()
                    .map_or(".*", |given| given.value.as_str());
                let group = file.group.as_ref().map_or(0, |given| given.value);
                let at = file.regex.as_ref().map_or(&header.at, |given| &given.at);
                let header = HeaderName::try_from(header.value.as_str())
                    .map_err(|_| self.fatal(&header.at, "that is not the name of a header"))
                    .ok()?;
                Source::header(header, regex, group)
                    .map_err(|why| self.fatal(at, format!("the extractor `{name}`: {why}")))
                    .ok()?
            }
            (None, Some(entry)) => Source::Metadata(entry.value.clone()),
            _ => {
                let why = "needs either `header` or `metadata`";
                self.fatal(&file.name.at, format!("the extractor `{name}` {why}"));
                return None;
            }
        };
        Some(Extractor { name, source })
    }
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}
