//! Which path at the provider a request's path becomes.
//!
//! SDKs differ in how much of a provider's path they take for their base URL. So what the base path says
//! is put in front where the client left it out, and is not said twice where it did not.

use super::kind::Kind;
use crate::grammar::query::has_parameter;
use crate::origin::BaseUrl;

/// The paths of one provider.
#[derive(Clone, Debug)]
pub struct Paths {
    /// What stands before everything.
    root: String,
    /// What stands before everything that does not stand elsewhere; begins with `root`.
    base: String,
    /// Beginnings of paths, and what these stand behind instead.
    elsewhere: &'static [(&'static str, &'static str)],
    /// Beginnings of paths behind `root`, and the parameter that they get where the client left it out.
    query: Vec<(&'static str, &'static str, String)>,
    /// Where a bare prefix goes, with its query; `None` is nowhere.
    default: Option<String>,
    /// What only a good token gets.
    probe: Option<String>,
}

/// What a blank of the kind's texts is filled with.
pub(super) type Values<'f> = dyn Fn(&str) -> Option<String> + 'f;

impl Paths {
    /// The paths of a provider of `kind` at `url`, which has its base path. `default_endpoint` is what the
    /// configuration says; left out, the kind's own.
    pub fn new(
        kind: &'static Kind,
        url: &BaseUrl,
        default_endpoint: Option<&str>,
        blanks: &Values<'_>,
    ) -> Self {
        let own_base = kind.own_path(blanks).unwrap_or_default();
        let query = kind.default_query.iter();
        let mut paths = Self {
            root: root(&url.path, &own_base).to_owned(),
            base: url.path.clone(),
            elsewhere: kind.elsewhere,
            query: query
                .filter_map(|(begin, name, value)| Some((*begin, *name, filled(value, blanks)?)))
                .collect(),
            default: None,
            probe: None,
        };
        paths.probe = kind
            .probe
            .and_then(|probe| filled(probe, blanks))
            .map(|probe| paths.place(&probe));
        paths.default = match default_endpoint {
            Some(given) => Some(paths.place(given)),
            None => filled(kind.default_endpoint, blanks).map(|own| paths.place(&own)),
        };
        paths
    }

    /// The target of a request that only a good token gets a response to.
    pub fn probe(&self) -> Option<&str> {
        self.probe.as_deref()
    }

    /// The target for what follows a route's prefix, and the client's query. `None` for a bare prefix
    /// that leads nowhere.
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
        for (begin, name, value) in &self.query {
            let query = target.split_once('?').map_or("", |(_, query)| query);
            if self.strip_root(&target).starts_with(begin) && !has_parameter(query, name) {
                push(&mut target, &format!("{name}={value}"));
            }
        }
        Some(target)
    }

    /// Where a path stands at the provider.
    fn place(&self, path: &str) -> String {
        let moved = self.elsewhere.iter().find(|(begin, _)| {
            path.starts_with(begin) && (begin.ends_with('/') || is_under(path, begin))
        });
        match moved {
            Some((_, front)) => format!("{}{front}{path}", self.root),
            None => join(&self.base, path),
        }
    }

    /// What stands before every path that does not stand elsewhere.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Every path behind a route's prefix that stands at `target` (a path with or without a query), in no order and
    /// without the bare prefix.
    pub fn spellings<'t>(&'t self, target: &'t str) -> impl Iterator<Item = &'t str> {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        // What `join` may leave out of the base path: any part of it from its beginning to a slash, or all of it.
        let ends = self.base.match_indices('/').map(|(at, _)| at);
        let bases = ends.chain([self.base.len()]);
        let bases = bases.filter_map(move |at| path.strip_prefix(self.base.get(..at)?));
        let elsewhere = self.elsewhere.iter().filter_map(move |(_, front)| {
            path.strip_prefix(self.root.as_str())?.strip_prefix(front)
        });
        bases
            .chain(elsewhere)
            .filter(move |rest| rest.starts_with('/') && self.place(rest) == path)
    }

    /// Every target (but that of a bare prefix) begins with one of these as whole segments. They are one or two, and
    /// differ.
    pub fn stems(&self) -> impl Iterator<Item = &str> {
        // A version in the request takes the place of the base path's.
        let base = match self.base.rsplit_once('/') {
            Some((front, last)) if is_version(last) => front,
            _ => self.base.as_str(),
        };
        let root = (!self.elsewhere.is_empty()).then_some(self.root.as_str());
        let root = root.filter(|root| *root != base);
        root.into_iter().chain([base])
    }

    /// What the client knows as a path behind its route's prefix, of a path at the provider.
    pub fn strip_root<'p>(&self, path: &'p str) -> &'p str {
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

/// What stands before the base path of a kind where a provider's base URL has `path`. A version stands for
/// any other.
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

/// Whether `text` can be a part of a path, or the value of a parameter, as it is.
pub fn is_segment(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(plain)
}

/// `text` with its blanks filled in; `None` if one of them is not to be filled.
pub(super) fn filled(text: &str, blanks: &Values<'_>) -> Option<String> {
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}')?;
        whole.push_str(before);
        whole.push_str(&blanks(name)?);
        rest = behind;
    }
    whole.push_str(rest);
    Some(whole)
}

/// `rest` behind `base`. What `base` ends with and `rest` begins with is not said twice: with the base
/// `/openai/v1`, `/chat/completions`, `/v1/chat/completions` and `/openai/v1/chat/completions` are one.
/// A version in `rest` takes the place of the one in `base`.
fn join(base: &str, rest: &str) -> String {
    let tails = base.match_indices('/').filter_map(|(at, _)| base.get(at..));
    // A single name may be anything's: that of a deployment is not the endpoint's that is called alike.
    let telling = |tail: &&str| {
        let segments = tail.matches('/').count();
        segments > 1 || *tail == base || is_version(tail.trim_start_matches('/'))
    };
    let mut tails = tails.filter(telling).filter(|tail| is_under(rest, tail));
    let overlap = tails.next().map_or_else(
        || match (base.rfind('/'), first_segment(rest)) {
            (Some(at), Some(version)) if is_version(version) => {
                let last = base.get(at..).unwrap_or_default();
                let versioned = is_version(last.trim_start_matches('/'));
                if versioned { last.len() } else { 0 }
            }
            _ => 0,
        },
        str::len,
    );
    let kept = base.get(..base.len() - overlap).unwrap_or(base);
    format!("{kept}{rest}")
}

fn is_under(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

fn first_segment(path: &str) -> Option<&str> {
    path.trim_start_matches('/').split(['/', '?']).next()
}

/// `v1`, `v2`, `v1beta`.
fn is_version(segment: &str) -> bool {
    let digits = segment.strip_prefix('v').unwrap_or_default();
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::provider::kind::KINDS;

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
    fn what_the_base_path_says_is_not_said_twice() {
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

    fn paths(kind: &str, url: Option<&str>, blanks: &[(&str, &str)]) -> Paths {
        let kind = Kind::named(kind).unwrap();
        let fill = |name: &str| {
            let given = blanks.iter().find(|(blank, _)| *blank == name);
            let default = kind.blank(name).and_then(|blank| blank.default);
            given
                .map(|(_, value)| *value)
                .or(default)
                .map(str::to_owned)
        };
        let url = url.map_or_else(|| kind.own_url(&fill).unwrap(), str::to_owned);
        Paths::new(kind, &BaseUrl::parse(&url).unwrap(), None, &fill)
    }

    fn targets(paths: &Paths, wanted: &[(&str, &str)]) {
        for (asked, target) in wanted {
            let (rest, query) = match asked.split_once('?') {
                Some((rest, query)) => (rest, Some(query)),
                None => (*asked, None),
            };
            assert_eq!(
                paths.target(rest, query).as_deref(),
                Some(*target),
                "{asked}"
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
    fn gemini_has_versions_and_places_without() {
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

        /// A spelling that is not among them would be a way around a route that is for some keys alone.
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
