//! `[[routes]]`: where they lead, and who may use them.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderName;
use http::header::SEC_WEBSOCKET_PROTOCOL;

use super::super::RouteSpec;
use super::super::file::{ExtractorFile, Pairs, RouteFile};
use super::{Checked, Checker, is_name};
use crate::document::{Located, Location, OneOrMany, Severity, enumerate, nearest};
use crate::key::{KeyEntry, Selector};
use crate::provider::{
    ACCOUNT_CHOICES, ALWAYS_STRIPPED, ProviderSpec, TokenSource, is_of_a_front_proxy,
};
use crate::route::{Access, HostPattern, PathPrefix};
use crate::template::{Extractor, HeaderTemplate, Source};
use crate::usage::Metering;

/// How many keys a warning names.
const MOST_NAMED: usize = 5;

impl Checker<'_> {
    pub(super) fn routes(
        &self,
        files: Vec<RouteFile>,
        providers: &HashMap<String, Checked>,
        keys: Option<&[KeyEntry]>,
        key_headers: &[HeaderName],
    ) -> Vec<RouteSpec> {
        let mut names: HashMap<String, usize> = HashMap::new();
        let mut places: HashMap<(HostPattern, PathPrefix), (String, usize)> = HashMap::new();
        let (mut routes, mut lines) = (Vec::new(), Vec::new());
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
            lines.push(at);
        }
        self.overlaps(&routes, &lines, providers);
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
            Some(given) if given.value.0.is_empty() => {
                self.fatal(
                    &given.at,
                    "a route without a host could never be reached: leave it out for any",
                );
                return None;
            }
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
            let elsewhere = key_headers
                .iter()
                .any(|header| !spec.takes_token_in(header));
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
        let templates = self.templates(&file.extractors, &file.headers, spec, key_headers);
        let cors = self.cors(file.cors, &access);
        Some(RouteSpec {
            name: Arc::from(name.value),
            hosts,
            path: path?,
            provider: Arc::from(wanted.value),
            access,
            websocket: file.websocket.map_or_else(
                || spec.is_some_and(|spec| spec.kind.websocket),
                |given| given.value,
            ),
            allowed_headers: self.allowed_headers(file.allow_headers),
            templates,
            cors,
            metering: self.metering(file.meter_streams, spec),
            metric_models: self.metric_models(file.metric_models),
        })
    }

    fn metric_models(&self, given: Option<Located<OneOrMany>>) -> Vec<String> {
        let Some(given) = given else {
            return Vec::new();
        };
        let is_name = |name: &String| {
            let name = name.strip_suffix('*').unwrap_or(name);
            !name.is_empty() && !name.contains('*')
        };
        if !given.value.0.iter().all(is_name) {
            let why =
                "metric_models: a model is a name, or the beginning of names with a `*` behind it";
            self.fatal(&given.at, why);
        }
        given.value.0
    }

    fn metering(&self, given: Option<Located<String>>, spec: Option<&ProviderSpec>) -> Metering {
        let Some(given) = given else {
            return Metering::default();
        };
        let mut known = Metering::NAMES.iter();
        let Some((_, metering)) = known.find(|(name, _)| *name == given.value) else {
            let names = enumerate(Metering::NAMES.iter().map(|(name, _)| *name));
            self.fatal(&given.at, format!("meter_streams is one of {names}"));
            return Metering::default();
        };
        if let (Metering::Exact, Some(spec)) = (metering, spec)
            && !spec.kind.takes_stream_options()
        {
            self.fatal(&given.at, format!(
                "meter_streams: streams of `{}` say what they took without being asked, and `{}` may not \
                 know `stream_options`: leave it out",
                spec.kind.name, spec.name,
            ));
        }
        *metering
    }

    fn allowed_headers(&self, given: Option<Located<OneOrMany>>) -> Vec<HeaderName> {
        let Some(given) = given else {
            return Vec::new();
        };
        let names = given.value.0.iter();
        let names = names.filter_map(|text| {
            let name = self.header_name(text, &given.at)?;
            if ACCOUNT_CHOICES.contains(&name) {
                return Some(name);
            }
            let why = if ALWAYS_STRIPPED.contains(&name) || is_of_a_front_proxy(name.as_str()) {
                format!("`{name}` is the client's own and never goes to a provider")
            } else {
                let choices = enumerate(ACCOUNT_CHOICES.iter().map(HeaderName::as_str));
                format!("`{name}` needs no permission: only what chooses the account that pays does ({choices})")
            };
            self.fatal(&given.at, format!("allow_headers: {why}"));
            None
        });
        names.collect()
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
            self.odd_tokens(entry, taken.clone(), route, at);
            let lacking: Vec<&str> = taken
                .filter(|key| !key.key.metadata.contains_key(entry))
                .map(|key| &*key.key.id)
                .take(MOST_NAMED)
                .collect();
            if !lacking.is_empty() {
                self.warn(at, format!(
                    "the route `{route}` sends each key's own `{entry}`, which {} has not: 503 for it",
                    enumerate(lacking),
                ));
            }
        }
    }

    /// Warns of keys whose own tokens, in the metadata `entry`, look as if more had been pasted than the token.
    fn odd_tokens<'k>(
        &self,
        entry: &str,
        keys: impl Iterator<Item = &'k KeyEntry>,
        route: &str,
        at: &Location,
    ) {
        let odd = keys.filter_map(|key| {
            let what = key.key.metadata(entry)?.oddity()?;
            Some((&*key.key.id, what))
        });
        for (id, what) in odd.take(MOST_NAMED) {
            let why = format!(
                "the route `{route}` sends the metadata `{entry}` of key `{id}`, which {what}"
            );
            self.warn(at, why);
        }
    }

    fn templates(
        &self,
        extractors: &[ExtractorFile],
        headers: &Pairs,
        provider: Option<&ProviderSpec>,
        key_headers: &[HeaderName],
    ) -> Vec<HeaderTemplate> {
        let extractors: Vec<Extractor> = extractors
            .iter()
            .filter_map(|file| self.extractor(file, key_headers))
            .collect();
        let mut templates = Vec::new();
        for (name, text) in headers {
            let Some(header) = self.header_name(&name.value, &name.at) else {
                continue;
            };
            let owned = provider.is_some_and(|spec| {
                spec.takes_token_in(&header) && !matches!(spec.token, TokenSource::None)
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

    fn extractor(&self, file: &ExtractorFile, key_headers: &[HeaderName]) -> Option<Extractor> {
        let name = file.name.value.clone();
        let source = match (&file.header, &file.metadata) {
            (Some(header), None) => {
                let regex = file
                    .regex
                    .as_ref()
                    .map_or(".*", |given| given.value.as_str());
                let group = file.group.as_ref().map_or(0, |given| given.value);
                let at = file.regex.as_ref().map_or(&header.at, |given| &given.at);
                let name_of = HeaderName::try_from(header.value.as_str());
                let Ok(name_of) = name_of else {
                    self.fatal(&header.at, "that is not the name of a header");
                    return None;
                };
                // Browsers' clients put it among the protocols.
                if key_headers.contains(&name_of) || name_of == SEC_WEBSOCKET_PROTOCOL {
                    let why = format!(
                        "`{name_of}` may hold the gateway's own key, which no provider gets: use the \
                         key's `metadata`, `token = \"passthrough\"`, or take it out of keys.headers"
                    );
                    self.fatal(&header.at, why);
                    return None;
                }
                Source::header(name_of, regex, group)
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
