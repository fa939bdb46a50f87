//! `[[routes]]`: which requests they take, where these go, and who may use them.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderName;
use http::header::SEC_WEBSOCKET_PROTOCOL;

use super::super::file::{ExtractorFile, Pairs, RouteFile};
use super::super::meant::{ProviderConfig, ProviderParts, RouteConfig, RouteSpec, TokenConfig};
use super::super::names::is_name;
use super::checker::Checker;
use crate::document::{Located, Location, OneOrMany, enumerate, nearest};
use crate::key::Selector;
use crate::provider::{ACCOUNT_CHOICES, ALWAYS_STRIPPED, is_of_a_front_proxy};
use crate::route::{Access, HostPattern, PathPrefix};
use crate::template::{Extractor, HeaderTemplate, Source};
use crate::usage::Metering;

/// The providers by their names.
type Providers<'p> = HashMap<&'p str, &'p ProviderConfig>;

impl Checker<'_> {
    pub(super) fn routes(
        &self,
        files: Vec<RouteFile>,
        providers: &[ProviderConfig],
        key_headers: &[HeaderName],
    ) -> Vec<RouteConfig> {
        let by_name = providers.iter().map(|provider| (&*provider.name, provider));
        let providers: Providers<'_> = by_name.collect();
        let routes: Vec<_> = files
            .into_iter()
            .filter_map(|file| self.route(file, &providers, key_headers))
            .collect();
        self.distinct(&routes);
        routes
    }

    /// No two routes have the same name, or the same host and path.
    fn distinct(&self, routes: &[RouteConfig]) {
        let mut names: HashMap<&str, usize> = HashMap::new();
        let mut places: HashMap<(&HostPattern, &PathPrefix), (&str, usize)> = HashMap::new();
        for RouteConfig { at, spec, .. } in routes {
            let Some(route) = spec else { continue };
            if let Some(line) = names.insert(&route.name, at.line) {
                let why = format!(
                    "the route `{}` is there already, in line {line}",
                    route.name
                );
                self.fatal(at, why);
            }
            for host in &route.hosts {
                let place = (host, &route.path);
                if let Some((other, line)) = places.insert(place, (&route.name, at.line)) {
                    self.fatal(at, format!(
                        "the route `{}` can never be reached: `{other}` in line {line} has the same \
                         host `{host}` and path `{}`",
                        route.name, route.path,
                    ));
                }
            }
        }
    }

    fn route(
        &self,
        file: RouteFile,
        providers: &Providers<'_>,
        key_headers: &[HeaderName],
    ) -> Option<RouteConfig> {
        let hosts = self.hosts(file.host.as_ref())?;
        let path = self.path_prefix(file.path.as_ref());
        let name = file.name?;
        self.check_route_name(&name);
        let wanted = file.provider?;
        let provider = self.provider_of(&wanted, providers)?;
        let access = self.access(file.auth, file.keys, &file.at, &name.value);
        self.key_header_beside_token(&wanted, provider, &access, key_headers);
        let parts = provider.parts.as_ref();
        let templates = self.templates(
            &file.transform.extractors,
            &file.transform.headers,
            provider,
            key_headers,
        );
        let cors = self.cors(file.cors, &access);
        let by_kind = || parts.is_some_and(|parts| parts.kind.websocket);
        let websocket = file.websocket.map_or_else(by_kind, |given| given.value);
        let allowed_headers = self.allowed_headers(file.allow_headers);
        let metering = self.metering(file.meter_streams, parts, &provider.name);
        let metric_models = self.metric_models(file.metric_models);
        let name: Arc<str> = Arc::from(name.value);
        let spec = path.map(|path| RouteSpec {
            name: name.clone(),
            hosts,
            path,
            provider: provider.name.clone(),
            access: access.clone(),
            websocket,
            allowed_headers,
            templates,
            cors,
            metering,
            metric_models,
        });
        Some(RouteConfig {
            at: file.at,
            name,
            provider: provider.name.clone(),
            access,
            spec,
        })
    }

    fn check_route_name(&self, name: &Located<String>) {
        if !is_name(&name.value) {
            let why = "a route's name has letters, digits, `.`, `_` and `-`";
            self.fatal(&name.at, why);
        }
    }

    fn path_prefix(&self, given: Option<&Located<String>>) -> Option<PathPrefix> {
        let given = given?;
        PathPrefix::parse(&given.value)
            .map_err(|why| self.fatal(&given.at, why))
            .ok()
    }

    fn hosts(&self, given: Option<&Located<OneOrMany>>) -> Option<Vec<HostPattern>> {
        let Some(given) = given else {
            return Some(vec![HostPattern::Any]);
        };
        if given.value.0.is_empty() {
            let why = "a route without a host could never be reached: leave it out for any";
            self.fatal(&given.at, why);
            return None;
        }
        let parsed = given.value.0.iter().filter_map(|text| {
            HostPattern::parse(text)
                .map_err(|why| self.fatal(&given.at, why))
                .ok()
        });
        Some(parsed.collect())
    }

    fn provider_of<'p>(
        &self,
        wanted: &Located<String>,
        providers: &Providers<'p>,
    ) -> Option<&'p ProviderConfig> {
        let found = providers.get(wanted.value.as_str()).copied();
        if found.is_none() {
            // Sorted, so that the hint is the same in each run if several names are equally near.
            let mut names: Vec<&str> = providers.keys().copied().collect();
            names.sort_unstable();
            let hint = match nearest(&wanted.value, names.into_iter()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add a [providers.{}]", wanted.value),
            };
            let why = format!("there is no provider `{}`: {hint}", wanted.value);
            self.fatal(&wanted.at, why);
        }
        found
    }

    /// Refuses a route on which the caller's own token passes and the client's key has no other header to stand in.
    fn key_header_beside_token(
        &self,
        wanted: &Located<String>,
        provider: &ProviderConfig,
        access: &Access,
        key_headers: &[HeaderName],
    ) {
        let (Some(parts), Some(TokenConfig::Passthrough)) = (&provider.parts, &provider.token)
        else {
            return;
        };
        let is_beside = key_headers
            .iter()
            .any(|header| !parts.takes_token_in(header));
        if *access != Access::Open && !is_beside {
            self.fatal(
                &wanted.at,
                format!(
                    "`{}` passes the caller's token on in `{}`, so the gateway's key needs another \
                 header in keys.headers",
                    wanted.value, parts.auth_header,
                ),
            );
        }
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
            let why = "metric_models: a model is a name, or a prefix of names with a `*` behind it";
            self.fatal(&given.at, why);
        }
        given.value.0
    }

    fn metering(
        &self,
        given: Option<Located<String>>,
        provider: Option<&ProviderParts>,
        name: &str,
    ) -> Metering {
        let Some(given) = given else {
            return Metering::default();
        };
        let mut known = Metering::NAMES.iter();
        let Some((_, metering)) = known.find(|(name, _)| *name == given.value) else {
            let names = enumerate(Metering::NAMES.iter().map(|(name, _)| *name));
            self.fatal(&given.at, format!("meter_streams is one of {names}"));
            return Metering::default();
        };
        if let (Metering::Exact, Some(provider)) = (metering, provider)
            && !provider.kind.takes_stream_options()
        {
            self.fatal(&given.at, format!(
                "meter_streams: streams of `{}` report usage without a request for it, and `{name}` may not \
                 know `stream_options`: leave it out",
                provider.kind.name,
            ));
        }
        *metering
    }

    fn allowed_headers(&self, given: Option<Located<OneOrMany>>) -> Vec<HeaderName> {
        let Some(given) = given else {
            return Vec::new();
        };
        let names = given.value.0.iter().filter_map(|text| {
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

    fn templates(
        &self,
        extractors: &[ExtractorFile],
        headers: &Pairs,
        provider: &ProviderConfig,
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
            let has_token = !matches!(provider.token, Some(TokenConfig::None));
            let parts = provider.parts.as_ref();
            let owned = has_token && parts.is_some_and(|parts| parts.takes_token_in(&header));
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
                // Clients in browsers put the key among the WebSocket's protocols.
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
