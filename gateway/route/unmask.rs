//! Separators that are escaped in a path: `%2F`, `%3B` and `%3F`, which stay so on their way to the provider.
//!
//! A server may undo them before it looks for separators. What it reads then must not lead to another route's part, nor
//! hold dot segments.

use std::sync::Arc;

use super::definition::Route;
use super::path::NormalPath;
use super::router::Router;
use crate::key::has_credential;
use crate::provider::Provider;

/// An escaped `/`, in the normal form of escapes.
const SLASH: &str = "%2F";
/// Likewise the `?` of a query.
const QUERY: &str = "%3F";
/// Escaped, what a server may cut a segment at: parameters (`;`) and the query.
const CUTS: [&str; 2] = ["%3B", QUERY];

impl Router {
    /// Whether `path`, a request's on `host` that takes `route`, or the `target` at the provider that it becomes, may be
    /// read as another route's by a server that undoes the escapes of separators.
    pub fn is_anothers_unmasked(
        &self,
        host: &str,
        route: &Arc<Route>,
        provider: &Provider,
        path: &NormalPath<'_>,
        target: &str,
    ) -> bool {
        let stays = |reading: &String| {
            let found = self.find(host, reading);
            found.is_some_and(|found| Arc::ptr_eq(found.route, route))
        };
        let is_anothers = |target: &String| self.is_anothers(host, route, provider, target);
        !path.other_readings().iter().all(stays) || path.readings_of(target).iter().any(is_anothers)
    }
}

/// Whether `path`, whose escapes are in their normal form, has an escaped separator.
pub(super) fn is_masked(path: &str) -> bool {
    let masked = |(at, _)| {
        let escape = path.get(at..).unwrap_or_default();
        escape.starts_with(SLASH) || CUTS.iter().any(|cut| escape.starts_with(cut))
    };
    path.match_indices('%').any(masked)
}

/// Whether what stands between separators, escaped or not, is a dot segment anywhere.
pub(super) fn has_dot_segment(path: &str) -> bool {
    let slashes = path.split('/').flat_map(|segment| segment.split(SLASH));
    let mut parts = slashes
        .flat_map(|part| part.split(CUTS[0]))
        .flat_map(|part| part.split(CUTS[1]));
    parts.any(|part| part == "." || part == "..")
}

/// Whether what stands behind an escaped `;` or `?` holds a credential, where a server that undoes the escape finds
/// parameters. Somebody has escaped a whole query: nothing of it is taken for a key, nor out of what goes up.
pub(super) fn hides_credential(path: &str) -> bool {
    let begin = CUTS
        .iter()
        .filter_map(|cut| Some(path.find(cut)? + cut.len()));
    let hidden = begin.min().and_then(|at| path.get(at..));
    hidden.is_some_and(has_credential)
}

/// What servers may read `target` as, up to its query: each segment up to where it may be cut, without empty segments,
/// with escaped slashes as slashes and as none. Whatever prefix of whole segments a server finds in the path, it is a
/// prefix of one of these, or of the path as it is: a server takes all escaped slashes for slashes, or none. The last
/// one ends where a query may begin.
pub(super) fn readings(target: &str) -> Vec<String> {
    let path = target.split('?').next().unwrap_or_default();
    let split = path.replace(SLASH, "/");
    let asked = split.split(QUERY).next().unwrap_or_default();
    vec![cut(&split), cut(path), cut(asked)]
}

fn cut(path: &str) -> String {
    let mut whole = String::with_capacity(path.len());
    for segment in path.split('/') {
        let ends = CUTS.iter().filter_map(|cut| segment.find(cut));
        let end = ends.min().unwrap_or(segment.len());
        let kept = segment.get(..end).unwrap_or_default();
        if !kept.is_empty() {
            whole.push('/');
            whole.push_str(kept);
        }
    }
    if whole.is_empty() {
        whole.push('/');
    }
    whole
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_is_read_with_its_separators_undone() {
        for (path, split, whole, asked) in [
            ("/a%2Fb/c", "/a/b/c", "/a%2Fb/c", "/a/b/c"),
            ("/a%3Bx%2Fy/c", "/a/y/c", "/a/c", "/a/y/c"),
            ("/a/%2F%2Fb%3F/%3Bx", "/a/b", "/a/%2F%2Fb", "/a/b"),
            ("/a%3Fb%2Fc/d", "/a/c/d", "/a/d", "/a"),
            ("/%3Fa", "/", "/", "/"),
            ("/a%2Fb?c=%2F", "/a/b", "/a%2Fb", "/a/b"),
        ] {
            assert_eq!(readings(path), [split, whole, asked], "{path}");
        }
    }

    /// What a server makes of a path: which escapes it undoes, and what it does about the separators then.
    fn served(path: &str, [slash, cut, query, merge]: [bool; 4]) -> Vec<String> {
        let mut text = path.to_owned();
        if slash {
            text = text.replace("%2F", "/");
        }
        if query {
            text = text.replace("%3F", "?");
            text.truncate(text.find('?').unwrap_or(text.len()));
        }
        if cut {
            text = text.replace("%3B", ";");
        }
        let segments = text.split('/').skip(1);
        let segments = segments.map(|it| it.split(';').next().unwrap().to_owned());
        segments.filter(|it| !merge || !it.is_empty()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whoever serves it finds the segments of a route's prefix only where a reading, or the path itself, has them.
        #[test]
        fn whatever_prefix_a_server_finds_is_one_of_a_reading(
            parts in prop::collection::vec(prop::sample::select(vec!["/", "/", "a", "b", "%2F", "%3B", "%3F"]), 1..12),
            prefix in prop::collection::vec(prop::sample::select(vec!["a", "b", "ab"]), 1..4),
            how in any::<[bool; 4]>(),
        ) {
            let path = format!("/{}", parts.concat());
            let found = served(&path, how);
            if found.len() >= prefix.len() && found.iter().zip(&prefix).all(|(one, other)| one == other) {
                let under = |reading: &String| {
                    let prefix = format!("/{}", prefix.join("/"));
                    *reading == prefix || reading.starts_with(&format!("{prefix}/"))
                };
                let mut all = readings(&path);
                all.push(path.clone());
                prop_assert!(all.iter().any(under), "{path}: {found:?}, {all:?}");
            }
        }
    }
}
