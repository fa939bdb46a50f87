//! Which path at the provider a request's path becomes.
//!
//! SDKs differ in how much of a provider's path their base URL includes. So the base path is put in front where the client
//! left it out, and is not repeated where the client sent it.

use super::kind::Kind;
use super::placeholder::{Values, fill};
use crate::grammar::query::has_parameter;
use crate::origin::BaseUrl;

/// The paths of one provider.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The part of the base URL's path in front of the kind's own base path.
    root: String,
    /// The base path, for all paths but those in `mounts`; begins with `root`.
    base: String,
    /// `(prefix, base)`: paths under `prefix` are joined to `root` and this base instead.
    mounts: &'static [(&'static str, &'static str)],
    /// `(prefix, name, value)`: the parameter that paths under `root` and `prefix` get where the client left it out.
    query: Vec<(&'static str, &'static str, String)>,
    /// The target of a bare prefix, with its query; `None` if there is none.
    default: Option<String>,
    /// A target that responds only to a valid token.
    probe: Option<String>,
}

impl Paths {
    /// The paths of a provider of `kind` at `url`, which includes the base path. `default_endpoint` is the configured
    /// one, in place of the kind's.
    pub fn new(
        kind: &'static Kind,
        url: &BaseUrl,
        default_endpoint: Option<&str>,
        values: &Values<'_>,
    ) -> Self {
        let own_base = kind.own_path(values).unwrap_or_default();
        let query = kind.default_query.iter();
        let mut paths = Self {
            root: root(&url.path, &own_base).to_owned(),
            base: url.path.clone(),
            mounts: kind.mounts,
            query: query
                .filter_map(|(prefix, name, value)| Some((*prefix, *name, fill(value, values)?)))
                .collect(),
            default: None,
            probe: None,
        };
        paths.probe = kind
            .probe
            .and_then(|probe| fill(probe, values))
            .map(|probe| paths.place(&probe));
        paths.default = match default_endpoint {
            Some(given) => Some(paths.place(given)),
            None => fill(kind.default_endpoint, values).map(|own| paths.place(&own)),
        };
        paths
    }

    /// A target that is cheap to GET and responds only to a valid token.
    pub(crate) fn probe(&self) -> Option<&str> {
        self.probe.as_deref()
    }

    /// The target for `rest`, the path behind a route's prefix, and the client's query. `None` for a bare prefix without
    /// a default endpoint.
    pub fn target(&self, rest: &str, query: Option<&str>) -> Option<String> {
        let bare = rest.is_empty() || rest == "/";
        let mut target = if bare {
            self.default.clone()?
        } else {
            self.place(rest)
        };
        if let Some(query) = query {
            push(&mut target, query);
        }
        for (prefix, name, value) in &self.query {
            let query = target.split_once('?').map_or("", |(_, query)| query);
            if self.strip_root(&target).starts_with(prefix) && !has_parameter(query, name) {
                push(&mut target, &format!("{name}={value}"));
            }
        }
        Some(target)
    }

    /// A client's path as it is at the provider.
    fn place(&self, path: &str) -> String {
        let mount = self.mounts.iter().find(|(prefix, _)| {
            path.starts_with(prefix) && (prefix.ends_with('/') || is_under(path, prefix))
        });
        match mount {
            Some((_, base)) => format!("{}{base}{path}", self.root),
            None => join(&self.base, path),
        }
    }

    /// The base path of all paths that are not mounted elsewhere.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Every path behind a route's prefix that leads to `target` (a path with or without a query), in no order and
    /// without the bare prefix.
    pub(crate) fn spellings<'t>(&'t self, target: &'t str) -> impl Iterator<Item = &'t str> {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        // `join` accepts a path that lacks the base path, or the part of it in front of any of its slashes.
        let ends = self.base.match_indices('/').map(|(at, _)| at);
        let joined = ends
            .chain([self.base.len()])
            .filter_map(move |at| path.strip_prefix(self.base.get(..at)?));
        let mounted = self
            .mounts
            .iter()
            .filter_map(move |(_, base)| path.strip_prefix(self.root.as_str())?.strip_prefix(base));
        joined
            .chain(mounted)
            .filter(move |rest| rest.starts_with('/') && self.place(rest) == path)
    }

    /// One or two different paths, one of which every target (but that of a bare prefix) is under, by whole segments.
    pub(crate) fn stems(&self) -> impl Iterator<Item = &str> {
        // A version in the request replaces the base path's.
        let base = match self.base.rsplit_once('/') {
            Some((front, last)) if is_version(last) => front,
            _ => self.base.as_str(),
        };
        let root = (!self.mounts.is_empty()).then_some(self.root.as_str());
        root.filter(|root| *root != base).into_iter().chain([base])
    }

    /// The path behind a route's prefix by which a client knows `path`, a path at the provider.
    pub(crate) fn strip_root<'p>(&self, path: &'p str) -> &'p str {
        match path.strip_prefix(self.root.as_str()) {
            Some(rest) if is_under(path, &self.root) => rest,
            _ => path,
        }
    }
}

fn push(target: &mut String, parameters: &str) {
    target.push(if target.contains('?') { '&' } else { '?' });
    target.push_str(parameters);
}

/// The part in front of the kind's base path in `path`, the path of a provider's base URL. Where `own_base` is a version,
/// any other version matches it.
fn root<'p>(path: &'p str, own_base: &str) -> &'p str {
    if let Some(root) = path.strip_suffix(own_base) {
        return root;
    }
    match path.rsplit_once('/') {
        Some((root, last)) if is_version(last) && is_version(own_base.trim_start_matches('/')) => {
            root
        }
        _ => path,
    }
}

/// Whether `text` can be a segment of a path, or the value of a parameter, without escapes.
pub(crate) fn is_segment(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(plain)
}

/// `rest` behind `base`, without repeating an end of `base` that `rest` begins with: behind `/openai/v1`,
/// `/chat/completions`, `/v1/chat/completions` and `/openai/v1/chat/completions` are one path. A version in `rest`
/// replaces the one at the end of `base`.
fn join(base: &str, rest: &str) -> String {
    let replaced = repeated(base, rest)
        .or_else(|| replaced_version(base, rest))
        .unwrap_or(0);
    let kept = base.get(..base.len() - replaced).unwrap_or(base);
    [kept, rest].concat()
}

/// The length of the longest end of `base` that `rest` begins with.
fn repeated(base: &str, rest: &str) -> Option<usize> {
    // One segment may be equal by chance (a deployment called `chat`), unless it is a version or all of the base path.
    let is_distinctive = |tail: &&str| {
        let segments = tail.matches('/').count();
        segments > 1 || *tail == base || is_version(tail.trim_start_matches('/'))
    };
    base.match_indices('/')
        .filter_map(|(at, _)| base.get(at..))
        .filter(is_distinctive)
        .find(|tail| is_under(rest, tail))
        .map(str::len)
}

/// The length of the last segment of `base`, if that is a version and `rest` begins with one.
fn replaced_version(base: &str, rest: &str) -> Option<usize> {
    let last = base.get(base.rfind('/')?..)?;
    let both = is_version(last.trim_start_matches('/')) && is_version(first_segment(rest)?);
    both.then_some(last.len())
}

fn is_under(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

fn first_segment(path: &str) -> Option<&str> {
    path.trim_start_matches('/').split(['/', '?']).next()
}

/// Whether a segment is a version: `v1`, `v2`, `v1beta`.
fn is_version(segment: &str) -> bool {
    let digits = segment.strip_prefix('v').unwrap_or_default();
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::provider::kinds::KINDS;

    const SEGMENTS: &[&str] = &[
        "v1",
        "v1beta",
        "v2",
        "v2beta",
        "openai",
        "a",
        "root",
        "fine_tuning",
        "jobs",
        "models",
        "deployments",
        "deployment",
        "upload",
        "hf-inference",
        "api",
        "beta",
    ];

    #[test]
    fn a_base_path_is_not_repeated() {
        for (base, rest, joined) in [
            ("/v1", "/chat/completions", "/v1/chat/completions"),
            ("/v1", "/v1/chat/completions", "/v1/chat/completions"),
            ("/v1", "/v1", "/v1"),
            ("/v1", "/v10", "/v10"),
            ("/v1", "/v1beta/models", "/v1beta/models"),
            ("/v1", "/vector_stores", "/v1/vector_stores"),
            ("/openai/v1", "/v1/models", "/openai/v1/models"),
            ("/openai/v1", "/v2/models", "/openai/v2/models"),
            ("/openai/v1", "/openai/v1/models", "/openai/v1/models"),
            ("", "/v1/models", "/v1/models"),
            ("/base", "/v1/models", "/base/v1/models"),
            ("/base", "/base/models", "/base/models"),
            (
                "/openai/deployments/chat",
                "/chat/completions",
                "/openai/deployments/chat/chat/completions",
            ),
        ] {
            assert_eq!(join(base, rest), joined, "{base} {rest}");
        }
    }

    fn paths(kind: &str, url: Option<&str>, settings: &[(&str, &str)]) -> Paths {
        let kind = Kind::named(kind).unwrap();
        let fill = |name: &str| {
            let given = settings.iter().find(|(setting, _)| *setting == name);
            let default = kind.placeholder(name).and_then(|it| it.default);
            given
                .map(|(_, value)| *value)
                .or(default)
                .map(str::to_owned)
        };
        let url = url.map_or_else(|| kind.own_url(&fill).unwrap(), str::to_owned);
        Paths::new(kind, &BaseUrl::parse(&url).unwrap(), None, &fill)
    }

    fn targets(paths: &Paths, wanted: &[(&str, &str)]) {
        for (path, target) in wanted {
            let (rest, query) = match path.split_once('?') {
                Some((rest, query)) => (rest, Some(query)),
                None => (*path, None),
            };
            assert_eq!(
                paths.target(rest, query).as_deref(),
                Some(*target),
                "{path}"
            );
        }
    }

    #[test]
    fn an_azure_client_may_name_its_deployment_or_leave_it_to_the_gateway() {
        let azure = paths(
            "azure-openai",
            Some("https://r.openai.azure.com/openai/deployments/D"),
            &[("deployment", "D")],
        );
        targets(
            &azure,
            &[
                (
                    "",
                    "/openai/deployments/D/chat/completions?api-version=2024-10-21",
                ),
                (
                    "?api-version=X",
                    "/openai/deployments/D/chat/completions?api-version=X",
                ),
                (
                    "/embeddings",
                    "/openai/deployments/D/embeddings?api-version=2024-10-21",
                ),
                (
                    "/openai/deployments/E/embeddings?api-version=X",
                    "/openai/deployments/E/embeddings?api-version=X",
                ),
                (
                    "/deployments/E/embeddings?api-version=X",
                    "/openai/deployments/E/embeddings?api-version=X",
                ),
                ("/openai/v1/responses", "/openai/v1/responses"),
                (
                    "/openai/models?api-version=X",
                    "/openai/models?api-version=X",
                ),
            ],
        );
    }

    #[test]
    fn gemini_has_paths_with_and_without_a_version() {
        let gemini = paths("gemini", None, &[("model", "gemini-2.5-flash")]);
        targets(
            &gemini,
            &[
                ("", "/v1beta/models/gemini-2.5-flash:generateContent"),
                (
                    "/v1/models/m:generateContent",
                    "/v1/models/m:generateContent",
                ),
                (
                    "/v1beta/models/m:streamGenerateContent?alt=sse",
                    "/v1beta/models/m:streamGenerateContent?alt=sse",
                ),
                (
                    "/models/m:generateContent",
                    "/v1beta/models/m:generateContent",
                ),
                ("/upload/v1beta/files", "/upload/v1beta/files"),
                ("/ws/google.x", "/ws/google.x"),
            ],
        );
        assert_eq!(paths("gemini", None, &[]).target("/", None), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// A spelling that is missing would be a way around a route that only some keys may use.
        #[test]
        fn every_path_is_among_the_spellings_of_its_target(
            which in 0..KINDS.len(),
            base in prop::sample::select(vec!["", "/v1", "/openai/v1", "/a/v2beta", "/v1/fine_tuning"]),
            segments in prop::collection::vec(prop::sample::select(SEGMENTS), 1..7),
        ) {
            let kind = &KINDS[which];
            let fill = |name: &str| Some(name.to_owned());
            let own = kind.own_path(&fill).unwrap_or_default();
            for url in [format!("http://127.0.0.1{base}"), format!("http://127.0.0.1/root{own}")] {
                let paths = Paths::new(kind, &BaseUrl::parse(&url).unwrap(), None, &fill);
                let rest: String = segments.iter().flat_map(|segment| ["/", segment]).collect();
                let target = paths.target(&rest, Some("a=b")).unwrap();
                let found: Vec<&str> = paths.spellings(&target).collect();
                prop_assert!(found.contains(&rest.as_str()), "{} {}: {:?}", url, target, found);
                prop_assert!(paths.stems().any(|stem| is_under(&target, stem)), "{} {}", url, target);
                for rest in found {
                    prop_assert_eq!(paths.target(rest, Some("a=b")).unwrap(), target.clone());
                }
            }
        }
    }

    #[test]
    fn every_kind_takes_what_its_sdk_sends() {
        for (kind, wanted) in [
            (
                "openai",
                &[
                    ("", "/v1/chat/completions"),
                    ("/v1/responses", "/v1/responses"),
                    ("/files?a=b", "/v1/files?a=b"),
                ][..],
            ),
            (
                "anthropic",
                &[
                    ("/", "/v1/messages"),
                    ("/v1/messages/count_tokens", "/v1/messages/count_tokens"),
                ],
            ),
            (
                "mistral",
                &[
                    ("/v1/fim/completions", "/v1/fim/completions"),
                    ("/chat/completions", "/v1/chat/completions"),
                ],
            ),
            (
                "huggingface",
                &[
                    ("", "/v1/chat/completions"),
                    ("/models/gpt2", "/hf-inference/models/gpt2"),
                    ("/models", "/v1/models"),
                    ("/hf-inference/models/a/b", "/hf-inference/models/a/b"),
                ],
            ),
            (
                "groq",
                &[
                    ("", "/openai/v1/chat/completions"),
                    ("/openai/v1/models", "/openai/v1/models"),
                    ("/v1/models", "/openai/v1/models"),
                ],
            ),
            (
                "cohere",
                &[
                    ("", "/v2/chat"),
                    ("/v2/embed", "/v2/embed"),
                    ("/v1/tokenize", "/v1/tokenize"),
                    (
                        "/compatibility/v1/chat/completions",
                        "/compatibility/v1/chat/completions",
                    ),
                ],
            ),
            (
                "deepseek",
                &[
                    ("/chat/completions", "/v1/chat/completions"),
                    ("/beta/completions", "/beta/completions"),
                ],
            ),
            (
                "openrouter",
                &[
                    ("", "/api/v1/chat/completions"),
                    ("/api/v1/models", "/api/v1/models"),
                    ("/v1/models", "/api/v1/models"),
                ],
            ),
            (
                "ollama",
                &[("", "/v1/chat/completions"), ("/api/chat", "/api/chat")],
            ),
        ] {
            targets(&paths(kind, None, &[]), wanted);
        }
        // Behind somebody's own prefix, the same.
        let behind = paths("huggingface", Some("https://proxy.test/hf/v1"), &[]);
        targets(
            &behind,
            &[
                ("/models/gpt2", "/hf/hf-inference/models/gpt2"),
                ("/v1/models", "/hf/v1/models"),
            ],
        );
        assert_eq!(behind.probe(), None);
        assert_eq!(paths("gemini", None, &[]).probe(), Some("/v1beta/models"));
        assert_eq!(paths("openrouter", None, &[]).probe(), Some("/api/v1/key"));
        assert_eq!(behind.strip_root("/hf/v1/models"), "/v1/models");
    }
}
