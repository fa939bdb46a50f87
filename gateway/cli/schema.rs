//! `keygate schema`: a JSON schema of `gateway.toml`, for editors that complete and check it.
//!
//! It is made of `conf/gateway.toml`, which shows every setting with a value and a comment, so that it knows each setting
//! as soon as that file does. It is coarser than `keygate check`: it knows names and types.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::provider::KINDS;
use crate::usage::Metering;

/// Every setting there is.
const EVERY_SETTING: &str = include_str!("../../conf/gateway.toml");

pub(super) fn run() -> Result<(), Error> {
    let text = serde_json::to_string_pretty(&schema());
    super::output::print(&text.map_err(|error| Error::failed("write JSON", error))?)
}

fn schema() -> Value {
    let mut root = Table::default();
    let mut section: Vec<String> = Vec::new();
    for line in EVERY_SETTING.lines() {
        let line = line.trim_start_matches(['#', ' ']);
        if let Some(name) = section_of(line) {
            section = name;
            root.at(&section);
        } else if let Some(setting) = Setting::of(line) {
            let mut path = section.clone();
            path.extend(setting.name.split('.').map(str::to_owned));
            let name = path.pop().unwrap_or_default();
            let table = root.at(&path);
            table.settings.insert(name, setting.schema());
        }
    }
    let mut schema = root.schema();
    schema.insert(
        "$schema".to_owned(),
        "http://json-schema.org/draft-07/schema#".into(),
    );
    schema.insert("title".to_owned(), "keygate's configuration".into());
    schema.into()
}

/// A table of the configuration.
#[derive(Default)]
struct Table {
    settings: Map<String, Value>,
    tables: BTreeMap<String, Table>,
    /// What a table is like whose name is the user's choice.
    named: Option<Box<Table>>,
    /// Whether there may be many, as of routes.
    is_list: bool,
    /// Whether it holds anything.
    is_free: bool,
}

impl Table {
    /// The table at `path` in it, made if it is not there.
    fn at(&mut self, path: &[String]) -> &mut Self {
        match path.split_first() {
            None => self,
            Some((name, rest)) if name == ANY => self.named.get_or_insert_default().at(rest),
            Some((name, rest)) => {
                let inner = self.tables.entry(name.clone()).or_default();
                inner.is_list = name == "routes";
                // Of a route's `transform`.
                inner.is_free = name == "extractors" || name == "headers";
                inner.at(rest)
            }
        }
    }

    fn schema(&self) -> Map<String, Value> {
        let mut properties = self.settings.clone();
        for (name, table) in &self.tables {
            let schema: Value = table.schema().into();
            let schema = if table.is_list {
                json!({"type": "array", "items": schema})
            } else {
                schema
            };
            properties.insert(name.clone(), schema);
        }
        let others = match &self.named {
            Some(named) => named.schema().into(),
            None => self.is_free.into(),
        };
        let words = [
            ("type", "object".into()),
            ("properties", properties.into()),
            ("additionalProperties", others),
        ];
        words
            .map(|(word, value)| (word.to_owned(), value))
            .into_iter()
            .collect()
    }
}

/// Stands for a name of the user's choice.
const ANY: &str = "*";

/// The names of a section: `[server.limits]`, or `[[routes]]`.
fn section_of(line: &str) -> Option<Vec<String>> {
    let name = line.strip_prefix('[')?.trim_start_matches('[');
    let (name, _) = name.split_once(']')?;
    let mut names: Vec<String> = name.split('.').map(str::to_owned).collect();
    if let [first, second, ..] = names.as_mut_slice()
        && first == "providers"
    {
        ANY.clone_into(second);
    }
    Some(names)
}

/// A setting as the file shows it.
struct Setting<'t> {
    name: &'t str,
    value: toml_edit::Value,
    comment: &'t str,
}

impl<'t> Setting<'t> {
    /// The setting of a line, if it is one: a sentence of a comment is not.
    fn of(line: &'t str) -> Option<Self> {
        let (name, rest) = line.split_once('=')?;
        let name = name.trim_end();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || !name.chars().all(is_name) {
            return None;
        }
        // The comment begins at the first `#` that is not within a text.
        let ends = rest.match_indices('#').map(|(at, _)| at);
        ends.chain([rest.len()]).find_map(|end| {
            let (value, comment) = rest.split_at(end);
            let value = value.trim().parse().ok()?;
            Some(Self {
                name,
                value,
                comment: comment.trim_start_matches(['#', ' ']),
            })
        })
    }

    fn schema(&self) -> Value {
        let is_list = self.comment.contains("list");
        let mut schema = match &self.value {
            toml_edit::Value::Boolean(_) => json!({"type": "boolean"}),
            toml_edit::Value::Integer(_) => json!({"type": "integer", "minimum": 0}),
            toml_edit::Value::String(_) if !is_list => json!({"type": "string"}),
            toml_edit::Value::String(_) | toml_edit::Value::Array(_) => {
                json!({"type": ["string", "array"], "items": {"type": "string"}})
            }
            _ => json!({"type": "object"}),
        };
        if let Some(schema) = schema.as_object_mut() {
            if let Some(names) = names_of(self.name) {
                schema.insert("enum".to_owned(), names.into());
            }
            if !self.comment.is_empty() {
                schema.insert("description".to_owned(), self.comment.into());
            }
        }
        schema
    }
}

/// The names that a setting takes, where it takes no others.
fn names_of(setting: &str) -> Option<Vec<&'static str>> {
    match setting {
        "kind" => Some(KINDS.iter().map(|kind| kind.name).collect()),
        "meter_streams" => Some(Metering::NAMES.iter().map(|(name, _)| *name).collect()),
        "log_level" => Some(vec!["error", "warn", "info"]),
        "http" => Some(vec!["1.1", "2", "auto"]),
        "auth" => Some(vec!["key", "none"]),
        "revoked_streams" => Some(vec!["finish", "cut"]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_value(value: &toml_edit::Value) -> Value {
        match value {
            toml_edit::Value::String(text) => text.value().as_str().into(),
            toml_edit::Value::Integer(number) => (*number.value()).into(),
            toml_edit::Value::Boolean(is) => (*is.value()).into(),
            toml_edit::Value::Array(all) => all.iter().map(of_value).collect(),
            toml_edit::Value::InlineTable(table) => of_table(table),
            _ => Value::Null,
        }
    }

    fn of_table(table: &dyn toml_edit::TableLike) -> Value {
        let pairs = table.iter().map(|(name, item)| {
            let value = match item {
                toml_edit::Item::Value(value) => of_value(value),
                toml_edit::Item::Table(table) => of_table(table),
                toml_edit::Item::ArrayOfTables(all) => all.iter().map(|it| of_table(it)).collect(),
                toml_edit::Item::None => Value::Null,
            };
            (name.to_owned(), value)
        });
        Value::Object(pairs.collect())
    }

    fn example(text: &str) -> Value {
        let document: toml_edit::DocumentMut = text.parse().unwrap();
        of_table(document.as_table())
    }

    /// What is wrong with a value, by the words of the schema that are used here.
    fn wrong(schema: &Value, value: &Value, path: &str) -> Option<String> {
        let kind = match value {
            Value::String(_) => "string",
            Value::Number(_) => "integer",
            Value::Bool(_) => "boolean",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
            Value::Null => "other",
        };
        let types = match &schema["type"] {
            Value::Array(types) => types.clone(),
            one => vec![one.clone()],
        };
        if !types.iter().any(|it| it == kind) {
            return Some(format!("{path}: {kind}"));
        }
        if let (Some(names), Value::String(text)) = (schema["enum"].as_array(), value)
            && !names.iter().any(|name| name == text)
        {
            return Some(format!("{path}: {text}"));
        }
        match value {
            Value::Array(all) => all.iter().find_map(|it| wrong(&schema["items"], it, path)),
            Value::Object(table) => table.iter().find_map(|(name, value)| {
                let path = format!("{path}.{name}");
                match (&schema["properties"][name], &schema["additionalProperties"]) {
                    (known @ Value::Object(_), _) => wrong(known, value, &path),
                    (_, any @ Value::Object(_)) => wrong(any, value, &path),
                    (_, Value::Bool(false)) => Some(path),
                    _ => None,
                }
            }),
            _ => None,
        }
    }

    #[test]
    fn every_example_is_as_the_schema_says() {
        let schema = schema();
        let mut examples = 0;
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/conf")).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            if path.extension().is_some_and(|it| it == "toml") && text.contains("[[routes]]") {
                assert_eq!(
                    wrong(&schema, &example(&text), ""),
                    None,
                    "{}",
                    path.display()
                );
                examples += 1;
            }
        }
        assert!(examples >= 4);
    }

    #[test]
    fn every_setting_that_the_reader_knows_is_in_it() {
        let schema = serde_json::to_string(&schema()).unwrap();
        for (at, _) in include_str!("../config/file.rs").match_indices("(\"") {
            let name = include_str!("../config/file.rs")[at + 2..]
                .split('"')
                .next()
                .unwrap();
            // What stands below `transform` has names of the user's choice.
            let is_below = ["header", "regex", "group", "metadata"].contains(&name);
            assert!(
                is_below || schema.contains(&format!("\"{name}\":")),
                "{name}"
            );
        }
    }

    #[test]
    fn a_mistake_is_found_and_what_is_right_is_taken() {
        let schema = schema();
        for (text, expected) in [
            ("server.listn = \"a\"", Some(".server.listn")),
            ("server.listen = 8080", Some(".server.listen: integer")),
            ("server.listen = [\"a\", \"b\"]", None),
            (
                "server.limits.connections = \"many\"",
                Some(".server.limits.connections: string"),
            ),
            ("server.tls = { certificate = \"c\", key = \"k\" }", None),
            (
                "providers.x = { kind = \"opnai\" }",
                Some(".providers.x.kind: opnai"),
            ),
            (
                "providers.x.timeouts.conect = \"5s\"",
                Some(".providers.x.timeouts.conect"),
            ),
            ("providers.x.headers = { A = \"b\" }", None),
            (
                "providers.x = { proxy = \"none\", proxy_token = \"env:A\" }",
                None,
            ),
            (
                "[[routes]]\nname = \"r\"\nhost = [\"a\"]\nkeys = { team = \"x\" }",
                None,
            ),
            (
                "[[routes]]\ntransform.headers.X-Any = \"a\"\ntransform.extractors.a = { metadata = \"m\" }",
                None,
            ),
            ("[[routes]]\npaht = \"/\"", Some(".routes.paht")),
            ("unknown = 1", Some(".unknown")),
        ] {
            assert_eq!(
                wrong(&schema, &example(text), "").as_deref(),
                expected,
                "{text}"
            );
        }
    }
}
