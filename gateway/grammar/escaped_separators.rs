//! Separators that are escaped in a path: `%2F`, `%3B` and `%3F`, which stay so on their way to the provider.
//!
//! A server may decode them before it looks for separators, or not. The paths that it may read so are its readings. All
//! paths here have their escapes in normal form: upper case, and none for an unreserved character.

/// An escaped `/`.
const SLASH: &str = "%2F";
/// An escaped `?`, where a query begins.
const QUERY: &str = "%3F";
/// The escapes at which a server may cut a segment: `;` begins parameters, `?` the query.
const CUTS: [&str; 2] = ["%3B", QUERY];

/// Whether `path` has an escaped separator.
pub(super) fn are_in(path: &str) -> bool {
    let is_separator = |(at, _)| {
        let escape = path.get(at..).unwrap_or_default();
        escape.starts_with(SLASH) || CUTS.iter().any(|cut| escape.starts_with(cut))
    };
    path.match_indices('%').any(is_separator)
}

/// Whether `path` has a dot segment between separators, escaped or not.
pub(super) fn has_dot_segment(path: &str) -> bool {
    let slashes = path.split('/').flat_map(|segment| segment.split(SLASH));
    let mut parts = slashes
        .flat_map(|part| part.split(CUTS[0]))
        .flat_map(|part| part.split(CUTS[1]));
    parts.any(|part| part == "." || part == "..")
}

/// The text behind the first escaped `;` or `?`, where a server that decodes the escape finds parameters.
pub(super) fn hidden_query(path: &str) -> Option<&str> {
    let begins = CUTS
        .iter()
        .filter_map(|cut| Some(path.find(cut)? + cut.len()));
    path.get(begins.min()?..)
}

/// The paths that servers may read in `target`, up to its query. Each has its segments cut where a server may cut them,
/// and no empty segments; the first and the last take escaped slashes for slashes, the last also ends where a query may
/// begin.
///
/// A server takes all escaped slashes for slashes, or none. So any prefix of whole segments that it finds in the path is a
/// prefix of one of these, or of the path as it is.
pub(super) fn readings(target: &str) -> Vec<String> {
    let path = target.split('?').next().unwrap_or_default();
    let split = path.replace(SLASH, "/");
    let before_query = split.split(QUERY).next().unwrap_or_default();
    vec![cut(&split), cut(path), cut(before_query)]
}

/// `path` without empty segments, each of the others up to its first cut.
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
    fn a_path_is_read_with_its_separators_decoded() {
        for (path, split, whole, before_query) in [
            ("/a%2Fb/c", "/a/b/c", "/a%2Fb/c", "/a/b/c"),
            ("/a%3Bx%2Fy/c", "/a/y/c", "/a/c", "/a/y/c"),
            ("/a/%2F%2Fb%3F/%3Bx", "/a/b", "/a/%2F%2Fb", "/a/b"),
            ("/a%3Fb%2Fc/d", "/a/c/d", "/a/d", "/a"),
            ("/%3Fa", "/", "/", "/"),
            ("/a%2Fb?c=%2F", "/a/b", "/a%2Fb", "/a/b"),
        ] {
            assert_eq!(readings(path), [split, whole, before_query], "{path}");
        }
    }

    /// The segments that a server reads in a path, by which escapes it decodes and whether it merges slashes.
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

        /// A server finds the segments of a route's prefix only where a reading, or the path itself, has them.
        #[test]
        fn any_prefix_that_a_server_finds_is_a_prefix_of_a_reading(
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
