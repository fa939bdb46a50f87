//! A TOML file that knows where everything stands in it, so that every problem of it has a file, a line and a cure, and
//! all problems come at once.
//!
//! Knows TOML and units ("45s", "10MiB"); knows nothing of what the keys of a file mean. Reading a value takes it out of
//! its [`Section`]; what is left when the section is [finished](Section::finish) is an unknown key.

mod nearest;
mod prefix_hash;
mod problem;
mod section;
mod stamp;
mod text;
mod value;

pub(crate) use nearest::nearest;
pub(crate) use prefix_hash::PrefixHash;
pub(crate) use problem::{Located, Location, Problem, Problems, Severity};
pub(crate) use section::Section;
pub use stamp::FileStamp;
pub(crate) use text::{Document, TABLES_A_CHUNK, is_header};
pub(crate) use value::{
    ByteSize, OneOrMany, Value, ValueError, enumerate, last_moment, parse_duration, parse_moment,
};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn problems_of(text: &str, read: impl FnOnce(&mut Section<'_>)) -> Vec<String> {
        let document = Document::new(Path::new("t.toml"), text.to_owned());
        let problems = Problems::default();
        let mut root = document.root(&problems);
        read(&mut root);
        root.finish();
        problems
            .into_sorted()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// What stands in a file of keys, and what is wrong with it, read as a whole or in chunks.
    fn read_keys(text: &str, in_chunks: bool) -> (Vec<(String, usize)>, Vec<String>) {
        let document = Document::new(Path::new("t.toml"), text.to_owned());
        let problems = Problems::default();
        let roots: Vec<_> = if in_chunks {
            document.roots("key", &problems).collect()
        } else {
            vec![document.root(&problems)]
        };
        let mut found = Vec::new();
        for mut root in roots {
            for mut section in root.list("key") {
                let id = section.require::<String>("id");
                found.extend(id.map(|id| (id.value, id.at.line)));
                section.strings("labels");
                section.finish();
            }
            root.finish();
        }
        let problems = problems.into_sorted();
        (found, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_file_in_chunks_is_the_same_file() {
        let table = |i: usize| match i % 7 {
            0 => {
                format!("# [[key]]\n  [[ key ]] # here\nid = \"k{i}\"\n[key.labels]\na = \"b\"\n\n")
            }
            1 => format!("[[key]]\nid = \"k{i}\"\nextra = {i}\n"),
            2 => "[[key]]\nid = [\n1,\n]\n[[key.more]]\n".to_owned(),
            3 => format!("[[key]]\nlabels = {{ a = {i} }}\n"),
            4 => format!("[[keys]]\nid = \"other{i}\"\n"),
            _ => format!("[[key]]\r\nid = \"k{i}\"\r\n"),
        };
        let text: String = (0..500).map(table).collect();
        let (keys, problems) = read_keys(&text, true);
        assert!(keys.len() > 200 && problems.len() > 200);
        let whole = read_keys(&text, false);
        assert_eq!(keys, whole.0);
        // `[[keys]]` is unknown, and is reported once per chunk that has it.
        let without_unknown = |problems: Vec<String>| -> Vec<String> {
            let is_known = |problem: &String| !problem.contains("unknown key `keys`");
            problems.into_iter().filter(is_known).collect()
        };
        assert_eq!(without_unknown(problems), without_unknown(whole.1));
        // Where a header could stand in a text, the file is not cut.
        let tricky = format!("[[key]]\nid = \"\"\"\n{}\"\"\"\n", "[[key]]\n".repeat(200));
        let (keys, problems) = read_keys(&tricky, true);
        assert_eq!((keys.len(), problems.len()), (1, 0));
    }

    #[test]
    fn a_mistake_in_one_chunk_is_reported_with_its_line() {
        let mut text = "[[key]]\nid = \"k\"\n".repeat(200);
        text += "[[key]]\nid = \"k\n";
        let (_, problems) = read_keys(&text, true);
        assert!(
            problems[0].starts_with("t.toml:402: not valid TOML"),
            "{problems:?}"
        );
    }

    #[test]
    fn every_problem_is_reported_with_its_line() {
        let found = problems_of("a = 1\nlisten = 2\nlitsen = 3\n", |root| {
            assert_eq!(root.take::<usize>("a").unwrap().value, 1);
            assert!(root.take::<String>("listen").is_none());
            assert!(root.require::<String>("b").is_none());
        });
        assert_eq!(
            found,
            [
                "t.toml: b is missing",
                "t.toml:2: listen: expected a string, found a whole number",
                "t.toml:3: unknown key `litsen`: did you mean `listen`?",
            ]
        );
    }

    #[test]
    fn broken_toml_names_its_line_and_accuses_no_innocent_key() {
        let found = problems_of("a = 1\nb = = 2\n", |root| {
            root.take::<usize>("a");
            root.require::<usize>("c");
        });
        assert!(
            found
                .iter()
                .all(|line| line.starts_with("t.toml:2: not valid TOML")),
            "{found:?}"
        );
        assert!(!found.is_empty());
    }

    #[test]
    fn a_typing_error_is_recognised_and_another_word_is_not() {
        let names = ["listen", "admin", "threads"];
        assert_eq!(nearest("litsen", names.into_iter()), Some("listen"));
        assert_eq!(nearest("thread", names.into_iter()), Some("threads"));
        assert_eq!(nearest("password", names.into_iter()), None);
        for names in [["up-3", "up-4"], ["up-4", "up-3"]] {
            assert_eq!(nearest("up-2", names.into_iter()), Some("up-3"));
        }
    }
}
