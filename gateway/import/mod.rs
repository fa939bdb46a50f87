//! Imports of other gateways' configurations: objects of Gloo, kgateway and agentgateway, and
//! `LiteLLM`'s file and tables.
//!
//! An import makes a [`Plan`] of the files to write, with a [`Note`] for everything that could not
//! be carried over or that changes its meaning. `keygate check` accepts whatever [`write()`]
//! writes. This module reads files that its caller has opened; it fetches nothing and does not
//! serve requests.

mod fields;
pub mod gloo;
pub mod litellm;
mod prices;
mod write;
mod yaml;

pub use prices::{PlannedPrice, PlannedRates, prices};
pub use write::{gateway, keys, write};
pub use yaml::{YamlError, documents};

use prices::Unpriced;
use yaml::Lines;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::config::is_framing;
use crate::grammar::address;
use crate::key::KeyDigest;
use crate::provider::{Kind, is_segment};

use crate::origin::{BaseUrl, Exposure};
use crate::route::NormalPath;

/// The label that a key needs on a route that is closed until somebody decides. Its value is the
/// route's name.
const CLOSED_LABEL: &str = "imported";

/// Something that the operator should know about an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether a part of the original is lost.
    pub lost: bool,
    /// The object: its kind, its name, and its file and line.
    pub object: String,
    /// The field of the object; empty for the object as a whole.
    pub field: String,
    /// What happened to it, and what to do.
    pub what: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.lost {
            "not carried over"
        } else {
            "note"
        };
        write!(f, "{kind}: {}", self.object)?;
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Collects notes.
#[derive(Default)]
pub struct Notes {
    all: RefCell<Vec<Note>>,
    /// The lines of each object's fields, by the object's title.
    lines: RefCell<HashMap<String, Lines>>,
}

impl Notes {
    fn push(&self, lost: bool, object: &str, field: &str, what: impl Into<String>) {
        let what: String = what.into();
        self.all.borrow_mut().push(Note {
            lost,
            object: self.place(object, field),
            field: field.to_owned(),
            // On one line, even if an error of a library has several.
            what: what.split_whitespace().collect::<Vec<_>>().join(" "),
        });
    }

    /// Notes that a part of the original is lost.
    pub fn lost(&self, object: &str, field: &str, what: impl Into<String>) {
        self.push(true, object, field, what);
    }

    /// Notes that something works differently than in the original.
    pub fn say(&self, object: &str, field: &str, what: impl Into<String>) {
        self.push(false, object, field, what);
    }

    /// Registers the lines of an object's fields, so that notes name the line of the field.
    fn know(&self, object: &str, lines: Lines) {
        self.lines.borrow_mut().insert(object.to_owned(), lines);
    }

    /// Registers the fields below `field` of `object` as those of an object called `title`.
    fn know_below(&self, title: &str, object: &str, field: &str) {
        let lines = self
            .lines
            .borrow()
            .get(object)
            .map(|lines| lines.below(field));
        if let Some(lines) = lines {
            self.know(title, lines);
        }
    }

    /// The title of an object, with the line of one of its fields if it is known.
    fn place(&self, object: &str, field: &str) -> String {
        let lines = self.lines.borrow();
        let line = lines.get(object).and_then(|lines| lines.of(field));
        line.map_or_else(|| object.to_owned(), |line| at_line(object, line))
    }

    /// All notes in the order in which they were made.
    pub fn into_vec(self) -> Vec<Note> {
        self.all.into_inner()
    }
}

/// Replaces the line in the title of an object, `... (file:12)` or `file:12`.
fn at_line(object: &str, line: usize) -> String {
    let (name, end) = match object.strip_suffix(')') {
        Some(name) => (name, ")"),
        None => (object, ""),
    };
    match name.rsplit_once(':') {
        Some((place, _)) => format!("{place}:{line}{end}"),
        None => object.to_owned(),
    }
}

/// The result of an import.
#[derive(Default)]
pub struct Plan {
    /// Headers besides the default ones that may hold a client key.
    pub key_headers: BTreeSet<String>,
    /// The providers.
    pub providers: Vec<PlannedProvider>,
    /// The routes.
    pub routes: Vec<PlannedRoute>,
    /// The client keys.
    pub keys: Vec<PlannedKey>,
    /// The prices. Without any, no price file is written.
    pub prices: Vec<PlannedPrice>,
    /// The models without a known price.
    unpriced: Vec<Unpriced>,
    /// The files of the secrets folder, by name.
    pub secrets: BTreeMap<String, Zeroizing<String>>,
    /// What the operator should know.
    pub notes: Vec<Note>,
    secret_names: Names,
    provider_names: Names,
    route_names: Names,
    key_ids: Names,
    /// Labels that belong to the keys of one object only.
    marks: BTreeSet<(String, String)>,
    digests: HashMap<KeyDigest, String>,
}

/// Unique names.
#[derive(Default)]
struct Names {
    taken: HashSet<String>,
    /// The number of names that share each base.
    alike: HashMap<String, usize>,
}

impl Names {
    /// Takes a free name similar to `wanted`: letters, digits, `.`, `_` and `-`, without a leading
    /// dot.
    fn like(&mut self, wanted: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let wanted = wanted.trim_start_matches('.').chars();
        let mut base: String = wanted
            .map(|c| if plain(c) { c } else { '-' })
            .take(48)
            .collect();
        if base.is_empty() {
            "unnamed".clone_into(&mut base);
        }
        let number = self.alike.entry(base.clone()).or_default();
        loop {
            *number += 1;
            let name = if *number == 1 {
                base.clone()
            } else {
                format!("{base}-{number}")
            };
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// A provider to be written.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PlannedProvider {
    /// The unique name.
    pub name: String,
    /// The kind.
    pub kind: &'static str,
    /// The setting `token`; empty if the kind needs none.
    pub token: String,
    /// Further settings, as names and values.
    pub settings: Vec<(&'static str, String)>,
}

impl PlannedProvider {
    /// The provider of routes that reject every request. Nothing listens at its address, and it has
    /// no token.
    fn nowhere() -> Self {
        Self {
            name: "nowhere".to_owned(),
            kind: "custom",
            token: "none".to_owned(),
            settings: vec![("base_url", "http://127.0.0.1:9".to_owned())],
        }
    }

    /// The origin to which the provider's requests and token go.
    fn origin(&self) -> Option<String> {
        if self.has("base_url") || self.has("endpoint") {
            let url = self.own_url().filter(|url| self.may_expose(url));
            return url.map(|url| url.origin());
        }
        Some(Kind::named(self.kind)?.origin?.to_owned())
    }

    /// Returns whether the settings allow requests to `url`, which may need `plain_http`.
    fn may_expose(&self, url: &BaseUrl) -> bool {
        match url.exposure() {
            Exposure::None => true,
            Exposure::Unclear => self.has("plain_http"),
            Exposure::Public => false,
        }
    }

    /// The provider's URL, if it is configured.
    fn own_url(&self) -> Option<BaseUrl> {
        let mut settings = self.settings.iter();
        let (_, url) = settings.find(|(name, _)| ["base_url", "endpoint"].contains(name))?;
        BaseUrl::parse_exposed(url).ok()
    }

    /// Allows unencrypted requests, as the original did, if the URL needs that.
    fn keep_plain(&mut self) {
        let takes_one = |url: BaseUrl| url.exposure() == Exposure::Unclear;
        if self.own_url().is_some_and(takes_one) {
            self.settings.push(("plain_http", "true".to_owned()));
        }
    }

    /// Returns whether the provider is on this machine or in its network, judging by the host.
    fn is_near(&self) -> bool {
        let origin = self.origin();
        let url = origin.and_then(|origin| BaseUrl::parse_exposed(&origin).ok());
        url.is_some_and(|url| {
            // Over plain HTTP or not: the addresses that may be used without TLS.
            let plain = BaseUrl { tls: false, ..url };
            plain.exposure() == Exposure::None || (!url.tls && stays_private(&plain))
        })
    }

    /// Returns whether a setting of this name is present.
    fn has(&self, name: &str) -> bool {
        self.settings.iter().any(|(set, _)| *set == name)
    }

    /// The setting that `check` would reject, and the reason.
    fn fault(&self) -> Option<(&'static str, String)> {
        let faults = self.settings.iter().filter_map(|(name, value)| {
            let why = match *name {
                "base_url" | "endpoint" => match BaseUrl::parse_exposed(value) {
                    Ok(url) if self.may_expose(&url) => return None,
                    _ => BaseUrl::parse(value).err()?,
                },
                "deployment" | "api_version" | "model" if !is_segment(value) => {
                    "has characters that cannot stand in a path".to_owned()
                }
                "auth_header" if !is_settable(value) => {
                    "is not the name of a header to be set".to_owned()
                }
                "sni" if value.trim().is_empty() => "is empty".to_owned(),
                "auth_prefix" if HeaderValue::from_str(value).is_err() => {
                    "cannot stand in a header".to_owned()
                }
                "default_endpoint" if !is_plain(value) => {
                    "is not a path in its plain form".to_owned()
                }
                _ => return None,
            };
            Some((*name, why))
        });
        let clash = self.settings.iter().any(|(name, value)| {
            let auth = self
                .settings
                .iter()
                .find(|(name, _)| *name == "auth_header");
            *name == "headers" && auth.is_some_and(|(_, auth)| value.contains(auth.as_str()))
        });
        if clash {
            return Some(("auth_header", "is set by another setting, too".to_owned()));
        }
        let missing = match self.kind {
            "azure-openai" if !self.has("deployment") && !self.has("default_endpoint") => {
                Some("deployment")
            }
            "custom" if !self.has("base_url") => Some("base_url"),
            _ => None,
        };
        let missing = missing.map(|name| (name, "is missing".to_owned()));
        faults.chain(missing).next()
    }
}

/// The note about a URL that is written with `plain_http = true`.
fn plain_note(url: &str) -> String {
    format!(
        "its requests go unencrypted, as they did: it is written as `{url}` with `plain_http = true`, by which it is \
         reached at private addresses alone"
    )
}

/// Returns whether plain HTTP requests to `url` stay in a private network, judging by the host.
fn stays_private(url: &BaseUrl) -> bool {
    url.exposure() == Exposure::Unclear
        && (address::read(&url.host).is_some() || address::is_private_name(&url.host))
}

/// Returns whether the gateway may set a header of this name.
fn is_settable(name: &str) -> bool {
    HeaderName::try_from(name).is_ok_and(|name| !is_framing(&name))
}

/// Returns whether `path` is in normal form.
fn is_plain(path: &str) -> bool {
    let normal = NormalPath::parse(path.as_bytes());
    normal.is_ok_and(|normal| path.starts_with('/') && path.starts_with(&*normal.path))
}

/// The base address of an Azure resource: the endpoint without Azure's own path.
fn resource(endpoint: &str) -> String {
    let whole = match endpoint.split_once("://") {
        Some(_) => endpoint.to_owned(),
        None => format!("https://{endpoint}"),
    };
    let Ok(url) = BaseUrl::parse_exposed(&whole) else {
        return whole;
    };
    let path = url.path.split("/openai").next().unwrap_or_default();
    format!("{}{path}", url.origin())
}

/// A route to be written.
#[derive(Clone, Default)]
pub struct PlannedRoute {
    /// The unique name.
    pub name: String,
    /// The hosts; empty for any.
    pub hosts: Vec<String>,
    /// The path prefix.
    pub path: String,
    /// A comment in the file; may be empty.
    pub comment: String,
    /// The name of the provider.
    pub provider: String,
    /// The labels that a key must have. `None` makes the route open to anyone.
    pub keys: Option<BTreeMap<String, String>>,
    /// The extractors, by name.
    pub extractors: BTreeMap<String, PlannedExtractor>,
    /// The header templates by header; an empty template removes the header.
    pub headers: BTreeMap<String, String>,
    /// Whether the gateway asks providers to report the usage of streams on this route.
    pub exact_streams: bool,
    /// The title of the object that the route comes from.
    pub from: String,
}

/// An extractor to be written.
#[derive(Clone, PartialEq, Eq)]
pub enum PlannedExtractor {
    /// Takes a value from a header of the client's request.
    Header {
        /// The name of the header.
        name: String,
        /// The regular expression that the value must match.
        regex: String,
        /// The capture group to take.
        group: u64,
    },
    /// Takes a value from the key's metadata.
    Metadata(String),
}

/// A client key to be written.
#[derive(Clone)]
pub struct PlannedKey {
    /// The unique id.
    pub id: String,
    /// The digest of the key.
    pub digest: KeyDigest,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// References to secrets that belong to the key.
    pub metadata: BTreeMap<String, String>,
    /// The expiry time.
    pub expires: Option<Timestamp>,
    /// Whether the key is disabled.
    pub disabled: bool,
    /// A comment in the file.
    pub comment: String,
}

impl Plan {
    /// Adds a file to the secrets folder and returns the reference to it.
    fn keep_secret(&mut self, name: &str, secret: Zeroizing<String>) -> String {
        let name = self.secret_names.like(name);
        let reference = format!("file:secrets/{name}");
        self.secrets.insert(name, secret);
        reference
    }

    /// Returns a reference to a secret that does not exist yet, in a file of its own.
    fn missing_secret(&mut self, name: &str) -> String {
        format!("file:secrets/{}", self.secret_names.like(name))
    }

    /// Adds a provider, or returns the name of an equal one.
    fn add_provider(&mut self, mut provider: PlannedProvider) -> String {
        let same = self.providers.iter().find(|known| {
            (known.kind, &known.token, &known.settings)
                == (provider.kind, &provider.token, &provider.settings)
        });
        if let Some(known) = same {
            return known.name.clone();
        }
        provider.name = self.provider_names.like(&provider.name);
        let name = provider.name.clone();
        self.providers.push(provider);
        name
    }

    /// Adds a key. If another key has the same digest, returns its id as the error.
    fn add_key(&mut self, mut key: PlannedKey) -> Result<(), String> {
        if let Some(other) = self.digests.get(&key.digest) {
            return Err(other.clone());
        }
        key.id = self.key_ids.like(&key.id);
        self.digests.insert(key.digest, key.id.clone());
        self.keys.push(key);
        Ok(())
    }

    /// Makes the gateway ask for the usage of streams, on routes whose providers support that.
    fn ask_streams(&mut self) {
        for route in &mut self.routes {
            let mut providers = self.providers.iter();
            let provider = providers.find(|provider| provider.name == route.provider);
            let kind = provider.and_then(|provider| Kind::named(provider.kind));
            route.exact_streams = kind.is_some_and(Kind::takes_stream_options);
        }
    }

    /// The labels of `key`, if it was added before.
    fn labels_of(&self, key: &str) -> Option<&BTreeMap<String, String>> {
        let digest = KeyDigest::of(key.as_bytes());
        let known = self.keys.iter().find(|known| known.digest == digest)?;
        Some(&known.labels)
    }

    /// Adds a label to `key`. Returns whether the key was added before.
    fn label_key(&mut self, key: &str, name: &str, value: &str) -> bool {
        let digest = KeyDigest::of(key.as_bytes());
        let known = self.keys.iter_mut().find(|known| known.digest == digest);
        let is_there = known.is_some();
        if let Some(known) = known {
            known.labels.insert(name.to_owned(), value.to_owned());
        }
        is_there
    }

    /// Adds what `check` requires: it rejects a selector that no key satisfies, so a disabled key
    /// stands in until there is one.
    fn close(&mut self, notes: &Notes) {
        let mut wanting: Vec<(&PlannedRoute, bool, BTreeMap<String, String>)> = Vec::new();
        for route in &self.routes {
            let Some(labels) = route.keys.as_ref().filter(|labels| !labels.is_empty()) else {
                continue;
            };
            let satisfied = self.keys.iter().any(|key| {
                labels
                    .iter()
                    .all(|(name, value)| key.labels.get(name) == Some(value))
            });
            if !satisfied && !wanting.iter().any(|(.., known)| known == labels) {
                // A comment on the route already says that it is closed.
                let is_said = !route.comment.is_empty();
                wanting.push((route, is_said, labels.clone()));
            }
        }
        let wanting: Vec<_> = wanting
            .into_iter()
            .map(|(route, is_said, labels)| {
                if !is_said {
                    say_wanting(route, &labels, notes);
                }
                (route.name.clone(), labels)
            })
            .collect();
        for (route, labels) in wanting {
            // A random key that nobody knows.
            let nobody = crate::key::format::generate("nobody").unwrap_or_default();
            let _ = self.add_key(PlannedKey {
                id: format!("nobody-{route}"),
                digest: KeyDigest::of(nobody.as_bytes()),
                labels,
                metadata: BTreeMap::new(),
                expires: None,
                disabled: true,
                comment: "stands in until there is a key with these labels".to_owned(),
            });
        }
    }
}

/// Notes that a route has no key, and how to create one.
fn say_wanting(route: &PlannedRoute, labels: &BTreeMap<String, String>, notes: &Notes) {
    let flags: Vec<String> = labels
        .iter()
        .map(|(k, v)| format!("--label {k}={v}"))
        .collect();
    let cure = format!("keygate keys create --id NAME {}", flags.join(" "));
    let name = &route.name;
    notes.lost(
        &route.from,
        "",
        format!(
            "no key in the files has the labels of the route `{name}`: nobody can use it yet; make one with `{cure}`"
        ),
    );
}
