//! Others' configurations into ours: Gloo's and kgateway's objects, `LiteLLM`'s file.
//!
//! An import makes a [`Plan`]: what would be written, and a [`Note`] for everything that could not be carried
//! over or that changed its meaning. What comes out of [`write()`] is always accepted by `keygate check`.

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

/// The label that a key needs to use a route that is closed; its value is the route's name.
const CLOSED_LABEL: &str = "imported";

/// Something that a person should know about an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether something of the original is gone.
    pub lost: bool,
    /// The object: its kind, its name, and where it stands.
    pub object: String,
    /// The field in it; empty for the object as a whole.
    pub field: String,
    /// What became of it, and what to do.
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

/// Where notes are put down.
#[derive(Default)]
pub struct Notes {
    all: RefCell<Vec<Note>>,
    /// The lines of an object's fields, by what people call it.
    lines: RefCell<HashMap<String, Lines>>,
}

impl Notes {
    fn push(&self, lost: bool, object: &str, field: &str, what: impl Into<String>) {
        let what: String = what.into();
        self.all.borrow_mut().push(Note {
            lost,
            object: self.place(object, field),
            field: field.to_owned(),
            // In one line, also where an error of a library has several.
            what: what.split_whitespace().collect::<Vec<_>>().join(" "),
        });
    }

    /// Something of the original is gone.
    pub fn lost(&self, object: &str, field: &str, what: impl Into<String>) {
        self.push(true, object, field, what);
    }

    /// Something is done in another way than it was.
    pub fn say(&self, object: &str, field: &str, what: impl Into<String>) {
        self.push(false, object, field, what);
    }

    /// Lets notes on an object say the line of the field that they are about.
    fn know(&self, object: &str, lines: Lines) {
        self.lines.borrow_mut().insert(object.to_owned(), lines);
    }

    /// Lets notes on what people call `title` say the lines of what stands below a field of an object.
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

    /// What people call an object, with the line of one of its fields if that is known.
    fn place(&self, object: &str, field: &str) -> String {
        let lines = self.lines.borrow();
        let line = lines.get(object).and_then(|lines| lines.of(field));
        line.map_or_else(|| object.to_owned(), |line| at_line(object, line))
    }

    /// All of them, in the order in which they came.
    pub fn into_vec(self) -> Vec<Note> {
        self.all.into_inner()
    }
}

/// What people call an object, `... (file:12)` or `file:12`, with another line.
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

/// What an import makes of its input.
#[derive(Default)]
pub struct Plan {
    /// Headers beyond the usual ones in which a client key may stand.
    pub key_headers: BTreeSet<String>,
    /// The providers.
    pub providers: Vec<PlannedProvider>,
    /// The routes.
    pub routes: Vec<PlannedRoute>,
    /// The client keys.
    pub keys: Vec<PlannedKey>,
    /// What responses cost; there is no price file without any.
    pub prices: Vec<PlannedPrice>,
    /// The models that have none.
    unpriced: Vec<Unpriced>,
    /// Files of the folder of secrets, by name.
    pub secrets: BTreeMap<String, Zeroizing<String>>,
    /// What a person should know.
    pub notes: Vec<Note>,
    secret_names: Names,
    provider_names: Names,
    route_names: Names,
    key_ids: Names,
    /// The labels that were made for the keys of one object, which no other object's get.
    marks: BTreeSet<(String, String)>,
    digests: HashMap<KeyDigest, String>,
}

/// Names that are taken.
#[derive(Default)]
struct Names {
    taken: HashSet<String>,
    /// How many names began alike.
    alike: HashMap<String, usize>,
}

impl Names {
    /// Takes a name like `wanted` that was free: letters, digits, `.`, `_` and `-`, and no dot in front.
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
    /// Its name, unique.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// `token = "..."`; left out where the kind needs none.
    pub token: String,
    /// Further settings, as name and text.
    pub settings: Vec<(&'static str, String)>,
}

impl PlannedProvider {
    /// The one of routes that only refuse. Nothing listens there, and it has no token.
    fn nowhere() -> Self {
        Self {
            name: "nowhere".to_owned(),
            kind: "custom",
            token: "none".to_owned(),
            settings: vec![("base_url", "http://127.0.0.1:9".to_owned())],
        }
    }

    /// The origin that its requests, and its token, go to.
    fn origin(&self) -> Option<String> {
        if self.has("base_url") || self.has("endpoint") {
            let url = self.own_url().filter(|url| self.may_expose(url));
            return url.map(|url| url.origin());
        }
        Some(Kind::named(self.kind)?.origin?.to_owned())
    }

    /// Whether it says the word by which requests go to `url`, if that takes one.
    fn may_expose(&self, url: &BaseUrl) -> bool {
        match url.exposure() {
            Exposure::None => true,
            Exposure::Unclear => self.has("plain_http"),
            Exposure::Public => false,
        }
    }

    /// Its URL, where it has one of its own.
    fn own_url(&self) -> Option<BaseUrl> {
        let mut settings = self.settings.iter();
        let (_, url) = settings.find(|(name, _)| ["base_url", "endpoint"].contains(name))?;
        BaseUrl::parse_exposed(url).ok()
    }

    /// Says the word by which its requests go unencrypted, as they did where it comes from, if its URL takes one.
    fn keep_plain(&mut self) {
        let takes_one = |url: BaseUrl| url.exposure() == Exposure::Unclear;
        if self.own_url().is_some_and(takes_one) {
            self.settings.push(("plain_http", "true".to_owned()));
        }
    }

    /// Whether it is on this machine or in its network, as far as its host says.
    fn is_near(&self) -> bool {
        let origin = self.origin();
        let url = origin.and_then(|origin| BaseUrl::parse_exposed(&origin).ok());
        url.is_some_and(|url| {
            // By plain http or not: the addresses that may do without TLS.
            let plain = BaseUrl { tls: false, ..url };
            plain.exposure() == Exposure::None || (!url.tls && stays_private(&plain))
        })
    }

    /// Whether it has a setting of this name.
    fn has(&self, name: &str) -> bool {
        self.settings.iter().any(|(set, _)| *set == name)
    }

    /// The setting that `check` would refuse, and why.
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

/// What to note of a place that is written with `plain_http = true`.
fn plain_note(url: &str) -> String {
    format!(
        "its requests go unencrypted, as they did: it is written as `{url}` with `plain_http = true`, by which it is \
         reached at private addresses alone"
    )
}

/// Whether requests by plain http to `url` stay in a private network, as far as its host says.
fn stays_private(url: &BaseUrl) -> bool {
    url.exposure() == Exposure::Unclear
        && (address::read(&url.host).is_some() || address::is_private_name(&url.host))
}

/// Whether a header of this name can be set.
fn is_settable(name: &str) -> bool {
    HeaderName::try_from(name).is_ok_and(|name| !is_framing(&name))
}

/// Whether a path is in the form in which it is sent.
fn is_plain(path: &str) -> bool {
    let normal = NormalPath::parse(path.as_bytes());
    normal.is_ok_and(|normal| path.starts_with('/') && path.starts_with(&*normal.path))
}

/// The address of a resource, of whatever somebody calls its endpoint: without Azure's own path.
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
    /// Its name, unique.
    pub name: String,
    /// Its hosts; none is any.
    pub hosts: Vec<String>,
    /// Its path.
    pub path: String,
    /// A note for people; it may be empty.
    pub comment: String,
    /// The name of its provider.
    pub provider: String,
    /// The labels that a key must have; `None` is a route that anyone may use.
    pub keys: Option<BTreeMap<String, String>>,
    /// Extractors, as name and inline table.
    pub extractors: BTreeMap<String, PlannedExtractor>,
    /// Header templates; an empty one removes the header.
    pub headers: BTreeMap<String, String>,
    /// Whether its streams are asked what they took.
    pub exact_streams: bool,
    /// The object that it comes from, as people call it.
    pub from: String,
}

/// An extractor to be written.
#[derive(Clone, PartialEq, Eq)]
pub enum PlannedExtractor {
    /// Of a header of the client's.
    Header {
        /// Its name.
        name: String,
        /// The regular expression that its value must match.
        regex: String,
        /// The group that is taken.
        group: u64,
    },
    /// Of the key's metadata.
    Metadata(String),
}

/// A client key to be written.
#[derive(Clone)]
pub struct PlannedKey {
    /// Its id, unique.
    pub id: String,
    /// The digest of the key.
    pub digest: KeyDigest,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// References to secrets of its own.
    pub metadata: BTreeMap<String, String>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Whether it opens nothing.
    pub disabled: bool,
    /// A note for people.
    pub comment: String,
}

impl Plan {
    /// Puts a secret into the folder; gives the reference to it.
    fn keep_secret(&mut self, name: &str, secret: Zeroizing<String>) -> String {
        let name = self.secret_names.like(name);
        let reference = format!("file:secrets/{name}");
        self.secrets.insert(name, secret);
        reference
    }

    /// The reference to a secret that is not there yet, in a file that is nothing else's.
    fn missing_secret(&mut self, name: &str) -> String {
        format!("file:secrets/{}", self.secret_names.like(name))
    }

    /// Adds a provider, or gives the name of an equal one.
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

    /// Adds a key, unless another one has its digest: then, whose.
    fn add_key(&mut self, mut key: PlannedKey) -> Result<(), String> {
        if let Some(other) = self.digests.get(&key.digest) {
            return Err(other.clone());
        }
        key.id = self.key_ids.like(&key.id);
        self.digests.insert(key.digest, key.id.clone());
        self.keys.push(key);
        Ok(())
    }

    /// Has streams asked what they took, on the routes of providers that know such a question.
    fn ask_streams(&mut self) {
        for route in &mut self.routes {
            let mut providers = self.providers.iter();
            let provider = providers.find(|provider| provider.name == route.provider);
            let kind = provider.and_then(|provider| Kind::named(provider.kind));
            route.exact_streams = kind.is_some_and(Kind::takes_stream_options);
        }
    }

    /// The labels of a key that is there already.
    fn labels_of(&self, key: &str) -> Option<&BTreeMap<String, String>> {
        let digest = KeyDigest::of(key.as_bytes());
        let known = self.keys.iter().find(|known| known.digest == digest)?;
        Some(&known.labels)
    }

    /// Gives a key that is there already one more label. Whether it is there.
    fn label_key(&mut self, key: &str, name: &str, value: &str) -> bool {
        let digest = KeyDigest::of(key.as_bytes());
        let known = self.keys.iter_mut().find(|known| known.digest == digest);
        let is_there = known.is_some();
        if let Some(known) = known {
            known.labels.insert(name.to_owned(), value.to_owned());
        }
        is_there
    }

    /// What must hold for `check` to accept it: a selector that no key satisfies would be refused, so a key
    /// that opens nothing stands in until there is one.
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
                // Of one that leads nowhere, it is said already that it is closed.
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
            // Of a random text that nobody has seen.
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

/// Says that a route has no key, and how to make one.
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
