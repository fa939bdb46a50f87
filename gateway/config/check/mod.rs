//! From as written to as meant: every rule about a configuration that one look at it can tell.

mod cors;
mod egress;
mod overlap;
mod plain_http;
mod provider;
mod route;
mod server;
mod tls;
mod tracing;
mod trusted_proxies;

pub(super) use self::server::NO_KEY;
pub use self::tls::certificate_end;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use self::egress::Egress;
use super::file::{GatewayFile, KeysFile};
use super::{Config, ConfigErrors, KeysAlone, Locations, is_framing};
use crate::document::{
    Document, FileStamp, Located, Location, PrefixHash, Problem, Problems, Severity,
};
use crate::key::KeyEntry;
use crate::key::file::KeyFile;
use crate::provider::ProviderSpec;
use crate::runtime::background;
use crate::runtime::regular_file::{LARGEST_PEM, LARGEST_TOML, ReadError, read_bytes, read_text};
use crate::secret::{LARGEST_KEYS, Private};
use crate::usage::{PriceList, Prices};

/// Headers that say how a message is framed or where it goes: nobody sets them but the gateway.
pub(super) const FRAMING: [&str; 14] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "sec-websocket-protocol",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// After how many keys that are looked at others get their turn.
const ENTRIES_A_STEP: usize = 4096;
/// How many keys have series of their own in the metrics.
const METRIC_KEYS: usize = 1000;

/// Loads `path`; the configuration is missing only if there was too little to make one of. The files
/// are those that were looked at, in any case.
pub(super) fn load(path: &Path) -> (Option<Config>, Vec<Problem>, Vec<FileStamp>) {
    let problems = Problems::default();
    let files = vec![FileStamp::take(path)];
    let Some(text) = read_configuration(path, &problems) else {
        return (None, problems.into_sorted(), files);
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

/// The text of the configuration at `path`.
fn read_configuration(path: &Path, problems: &Problems) -> Option<String> {
    read_text(path, LARGEST_TOML)
        .map_err(|error| {
            let (fatal, passes) = (Severity::Fatal, error.may_pass());
            problems.push_unread(&whole(path), fatal, passes, error.to_string());
        })
        .ok()
}

/// The price file at `path`, which is named `at`.
pub(super) fn read_prices(path: &Path, at: &Location, problems: &Problems) -> Option<PriceList> {
    match read_text(path, LARGEST_TOML) {
        Ok(text) => Some(PriceList::read(&Document::new(path, text), problems)),
        Err(error) => {
            let why = format!("the price file {} {error}", path.display());
            problems.push_unread(at, Severity::Fatal, error.may_pass(), why);
            None
        }
    }
}

/// Only the places.
pub(super) fn places(path: &Path) -> Result<Locations, ConfigErrors> {
    let problems = Problems::default();
    let folder = path.parent().unwrap_or(Path::new(""));
    let found = read_configuration(path, &problems).and_then(|text| {
        // Whatever is wrong elsewhere.
        let file = GatewayFile::read(&Document::new(path, text), &Problems::default());
        let checker = Checker {
            problems: &problems,
            folder,
            files: Vec::new(),
        };
        checker.admin(file.server.admin).map(|admin| Locations {
            key_file: key_file_of(&file.keys, folder),
            admin,
        })
    });
    found.ok_or_else(|| ConfigErrors {
        problems: problems.into_sorted(),
        files: Vec::new(),
    })
}

/// Only the keys.
pub(super) fn keys_alone(path: &Path) -> Result<KeysAlone, ConfigErrors> {
    let problems = Problems::default();
    let file = FileStamp::take(path);
    let read = Private::read(path, LARGEST_KEYS).map_err(|error| {
        let (fatal, passes) = (Severity::Fatal, error.may_pass());
        problems.push_unread(&whole(path), fatal, passes, error.to_string());
    });
    let found = read.ok().map(|Private { text, .. }| {
        let outline = PrefixHash::of(&text);
        let document = Document::new(path, text);
        let folder = path.parent().unwrap_or(Path::new(""));
        (outline, KeyFile::read(&document, folder, &problems))
    });
    let problems = problems.into_sorted();
    let fatal = |problem: &Problem| problem.severity == Severity::Fatal;
    match found {
        Some((outline, keys)) if !problems.iter().any(fatal) => Ok(KeysAlone {
            file,
            outline,
            entries: keys.entries,
        }),
        _ => Err(ConfigErrors {
            problems,
            files: vec![file],
        }),
    }
}

fn key_file_of(file: &KeysFile, folder: &Path) -> PathBuf {
    folder.join(
        file.file
            .as_ref()
            .map_or("keys.toml", |given| given.value.as_str()),
    )
}

pub(super) fn whole(path: &Path) -> Location {
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
        let mut server = file.server;
        let tls = self.tls(server.tls.take());
        let egress = self.egress("server", server.proxy.as_ref(), server.proxy_token.as_ref());
        let egress = egress.unwrap_or(Egress::Direct);
        let key_headers = self.key_headers(&file.keys);
        let trusted = self.trusted_proxies(&server, &key_headers);
        let server = self.server(server, tls.spec).map(|mut server| {
            server.trust(trusted);
            server
        });
        let providers = self.providers(file.providers, &egress);
        let wants_keys = file
            .routes
            .iter()
            .any(|route| route.auth.as_ref().is_none_or(|a| a.value != "none"));
        let (key_file, key_outline, keys) = self.keys(&file.keys, wants_keys);
        let cut_revoked = self.cut_revoked(&file.keys);
        let prices = self.prices(file.usage.prices);
        if let Prices::Listed(list) = &prices {
            self.for_nobody(list, |name| providers.contains_key(name));
        }
        let tracing = file
            .tracing
            .and_then(|file| self.tracing(file))
            .map(Arc::new);
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
        names.sort_by_key(|a| a.1.at.line);
        Some(Config {
            server: server?,
            certificate: tls.certificate,
            client_roots: tls.client_roots,
            key_headers,
            key_file,
            key_outline,
            cut_revoked,
            prices,
            tracing,
            keys: keys.unwrap_or_default(),
            providers: names
                .into_iter()
                .filter_map(|(_, checked)| checked.spec)
                .collect(),
            routes,
            files: Vec::new(),
            warnings: Vec::new(),
            may_pass: false,
        })
    }

    /// Whatever is wrong with them keeps no reload from being taken over: there may be a key revoked in it.
    fn prices(&mut self, given: Option<Located<String>>) -> Prices {
        let Some(given) = given else {
            return Prices::Absent;
        };
        let path = self.folder.join(&given.value);
        self.files.push(FileStamp::take(&path));
        let problems = Problems::default();
        let list = read_prices(&path, &given.at, &problems);
        let problems = problems.into_sorted();
        let list = list.filter(|_| problems.is_empty());
        for problem in problems {
            let strict = Severity::Strict;
            self.problems
                .push_unread(&problem.at, strict, problem.may_pass, problem.message);
        }
        list.map_or(Prices::Unreadable, Prices::Listed)
    }

    /// Warns of prices for a provider that is not there: what they are meant for may get those of all.
    fn for_nobody(&self, list: &PriceList, is_there: impl Fn(&str) -> bool) {
        for (name, at) in list.providers().filter(|(name, _)| !is_there(name)) {
            self.warn(
                at,
                format!("there is no provider `{name}`: this price is for nothing"),
            );
        }
    }

    /// The PEM file at `given`, a name in the folder of the configuration, and the path that it has. What keeps it from
    /// being read weighs as `severity` says, and is told of `field`.
    fn pem_file(
        &mut self,
        given: &Located<String>,
        field: &str,
        severity: Severity,
    ) -> (PathBuf, Option<Vec<u8>>) {
        let path = self.folder.join(&given.value);
        self.files.push(FileStamp::take(&path));
        let read = read_bytes(&path, LARGEST_PEM).map_err(|error| {
            let why = format!("{field}: {} {error}", path.display());
            self.problems
                .push_unread(&given.at, severity, error.may_pass(), why);
        });
        (path, read.ok())
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

    fn header_name(&self, text: &str, at: &Location) -> Option<HeaderName> {
        let name = HeaderName::try_from(text).ok();
        match name {
            None => self.fatal(at, "that is not the name of a header"),
            Some(ref name) if is_framing(name) => {
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

    /// The key file's keys; missing if it could not be read.
    fn keys(
        &mut self,
        file: &KeysFile,
        wanted: bool,
    ) -> (FileStamp, PrefixHash, Option<Vec<KeyEntry>>) {
        let path = key_file_of(file, self.folder);
        let at = file
            .file
            .as_ref()
            .map_or_else(|| whole(&path), |l| l.at.clone());
        let stamp = FileStamp::take(&path);
        self.files.push(stamp.clone());
        match Private::read(&path, LARGEST_KEYS) {
            Ok(Private { text, exposed }) => {
                let holds_secrets = text.contains("inline:");
                let outline = PrefixHash::of(&text);
                let keys = KeyFile::read(
                    &Document::new(&path, text),
                    path.parent().unwrap_or(Path::new("")),
                    self.problems,
                );
                self.files.extend(keys.secret_files);
                if let Some(why) = exposed {
                    // An example that comes with keygate can be read by everybody, and nothing is lost by that.
                    let opens = keys.entries.iter().any(|entry| !entry.key.disabled);
                    // A reload takes it over all the same: there may be a key revoked in it.
                    let severity = if opens || holds_secrets {
                        Severity::Strict
                    } else {
                        Severity::Warning
                    };
                    self.problems.push(&whole(&path), severity, why);
                }
                if wanted && keys.entries.is_empty() {
                    self.warn(&whole(&path), "there is no key in it: nobody can come in");
                }
                let mut entries = keys.entries;
                let counted = file.metric_keys.as_ref().map_or(METRIC_KEYS, |l| l.value);
                for (place, entry) in entries.iter_mut().enumerate().skip(counted) {
                    entry.key.counted = false;
                    if place.is_multiple_of(ENTRIES_A_STEP) {
                        background::yield_to_others();
                    }
                }
                (stamp, outline, Some(entries))
            }
            Err(ReadError::Absent) if !wanted => (stamp, PrefixHash::default(), Some(Vec::new())),
            Err(why) => {
                let cure = match why {
                    ReadError::Absent => {
                        ": make the first key with `keygate keys create --id NAME`"
                    }
                    _ => "",
                };
                let passes = why.may_pass();
                let why = format!("the key file {} {why}{cure}", path.display());
                self.problems.push_unread(&at, Severity::Fatal, passes, why);
                (stamp, PrefixHash::default(), None)
            }
        }
    }
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}
