//! The JSON fields in which each API reports usage: one table, each row with its source.
//!
//! No API uses another's field name for something else, so one table serves all of them, and a
//! gateway in front of several providers may mix them. [`mod@tree`] is the same table in the form in
//! which the scanner walks it.

mod meaning;
mod media;
mod sources;
mod tables;
mod tree;

pub(super) use self::meaning::{COUNTS, Count, Field};
pub(super) use self::tables::MARKERS;
pub(super) use self::tree::{Branch, Tree, tree};

#[cfg(test)]
mod tests {
    use super::tables::{LONGEST, USAGE_OBJECTS};
    use super::*;
    use crate::wire::json::scanner::Node;

    fn find(path: &str) -> Option<&'static Branch> {
        let mut node = Node(0);
        for name in path.split('.').filter(|name| !name.is_empty()) {
            node = tree().at(node)?.child(name.as_bytes())?;
        }
        tree().at(node)
    }

    fn rows() -> impl Iterator<Item = (String, Field, bool)> {
        USAGE_OBJECTS
            .iter()
            .flat_map(|(holder, rows, fallback, _)| {
                rows.iter()
                    .map(move |(path, field, _)| (format!("{holder}.{path}"), *field, *fallback))
            })
    }

    #[test]
    fn every_row_of_the_table_is_found_by_its_path() {
        let mut seen = 0;
        for (path, field, fallback) in rows() {
            let branch = find(&path).unwrap();
            assert_eq!(
                (branch.field, branch.fallback),
                (Some(field), fallback),
                "{path}"
            );
            assert!(path.split('.').all(|name| name.len() <= LONGEST), "{path}");
            seen += 1;
        }
        let branches = tree().branches.len();
        assert!(seen > 300 && branches < 255, "{seen} {branches}");
        assert!(find("choices").unwrap().is_list && find("usage.prompt").is_none());
    }

    #[test]
    fn every_source_is_a_url() {
        let of_rows = USAGE_OBJECTS.iter().flat_map(|(_, rows, _, _)| rows.iter());
        let sources = of_rows.map(|(_, _, source)| *source);
        for source in sources.chain(USAGE_OBJECTS.iter().map(|(.., source)| *source)) {
            assert!(source.starts_with("https://"), "{source}");
        }
    }

    #[test]
    fn every_count_and_error_comes_with_a_marker() {
        use Field::{ByModality, EntryTokens, Medium};
        let must_have_marker = |field| {
            matches!(
                field,
                Field::Count(_) | Field::Error | Medium(..) | ByModality(_) | EntryTokens
            )
        };
        let marked = rows().filter(|(_, field, _)| must_have_marker(*field));
        let exempt = ["input_length", "web_search_requests", "num_search_queries"];
        for (path, _, _) in
            marked.filter(|(path, ..)| !exempt.iter().any(|end| path.ends_with(end)))
        {
            let path = path.replace('.', "\"");
            assert!(MARKERS.iter().any(|marker| path.contains(marker)), "{path}");
        }
    }
}
