//! `keygate schema`: a JSON schema of `gateway.toml`, for editors that complete and check it.
//!
//! It is made of the table of settings. It is coarser than `keygate check`: it knows names, types and the settings that
//! cannot be left out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::config::{Effect, Fallback, Kind, SETTINGS, Setting};
use crate::error::Error;

pub(super) fn run() -> Result<(), Error> {
    let text = serde_json::to_string_pretty(&schema());
    super::output::print(&text.map_err(|error| Error::failed("write JSON", error))?)
}

fn schema() -> Value {
    let mut root = Table::default();
    for setting in SETTINGS {
        root.at(setting.section).add(setting);
    }
    let mut schema = root.schema();
    // The version that Taplo and Even Better TOML read.
    let version = "http://json-schema.org/draft-07/schema#";
    schema.insert("$schema".to_owned(), version.into());
    schema.insert("title".to_owned(), "keygate's configuration".into());
    schema.into()
}

/// A table of the configuration.
#[derive(Default)]
struct Table {
    settings: Map<String, Value>,
    /// The settings that cannot be left out.
    required: Vec<&'static str>,
    tables: BTreeMap<&'static str, Table>,
    /// The tables under names of the user's choice.
    named: Option<Box<Table>>,
    /// Whether it is an array of tables.
    is_list: bool,
}

impl Table {
    /// The table of a section such as `routes[].cors` or `providers.*`, made if it is not there.
    fn at(&mut self, section: &'static str) -> &mut Self {
        let (first, rest) = section.split_once('.').unwrap_or((section, ""));
        let inner = match first {
            "" => return self,
            "*" => &mut **self.named.get_or_insert_default(),
            name => {
                let (name, is_list) = match name.strip_suffix("[]") {
                    Some(name) => (name, true),
                    None => (name, false),
                };
                let inner = self.tables.entry(name).or_default();
                inner.is_list = is_list;
                inner
            }
        };
        inner.at(rest)
    }

    fn add(&mut self, setting: &Setting) {
        if matches!(setting.default, Fallback::Required(_)) {
            self.required.push(setting.name);
        }
        let name = setting.name.to_owned();
        self.settings.insert(name, schema_of(setting));
    }

    fn schema(&self) -> Map<String, Value> {
        let mut properties = self.settings.clone();
        for (name, table) in &self.tables {
            let schema = Value::from(table.schema());
            let schema = if table.is_list {
                json!({"type": "array", "items": schema})
            } else {
                schema
            };
            properties.insert((*name).to_owned(), schema);
        }
        let others = match &self.named {
            Some(named) => named.schema().into(),
            None => false.into(),
        };
        let mut schema = Map::new();
        schema.insert("type".to_owned(), "object".into());
        schema.insert("properties".to_owned(), properties.into());
        schema.insert("additionalProperties".to_owned(), others);
        if !self.required.is_empty() {
            schema.insert("required".to_owned(), self.required.clone().into());
        }
        schema
    }
}

fn schema_of(setting: &Setting) -> Value {
    let mut schema = match setting.kind {
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Count => json!({"type": "integer", "minimum": 0}),
        Kind::Text | Kind::Duration | Kind::Size => json!({"type": "string"}),
        Kind::List => json!({"type": ["string", "array"], "items": {"type": "string"}}),
        Kind::Table => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Kind::Scope => scope(),
    };
    if let Some(schema) = schema.as_object_mut() {
        if let Some(values) = setting.values() {
            schema.insert("enum".to_owned(), values.into());
        }
        schema.insert("description".to_owned(), description(setting).into());
    }
    schema
}

/// Whose use a limit counts together: a word, or a table that names a label.
fn scope() -> Value {
    json!({
        "type": ["string", "object"],
        "properties": {
            "label": {"type": "string"},
            "value": {"type": "string"},
            "each": {"type": "boolean"},
        },
        "required": ["label"],
        "additionalProperties": false,
    })
}

/// What an editor shows beside a setting.
fn description(setting: &Setting) -> String {
    let default = match setting.default {
        Fallback::Value(value) => format!(" (default: {value})"),
        Fallback::Example(_) | Fallback::Required(_) => String::new(),
    };
    let effect = match setting.effect {
        Effect::Reload => "",
        Effect::Restart => " A change takes effect at the next start.",
    };
    format!("{}{default}.{effect}", setting.text)
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
        let schema = schema();
        for setting in SETTINGS {
            let mut at = &schema;
            for part in setting.section.split('.').filter(|part| !part.is_empty()) {
                at = match part.strip_suffix("[]") {
                    Some(list) => &at["properties"][list]["items"],
                    None if part == "*" => &at["additionalProperties"],
                    None => &at["properties"][part],
                };
            }
            let known = &at["properties"][setting.name];
            assert!(known.is_object(), "{}.{}", setting.section, setting.name);
        }
    }

    #[test]
    fn the_schema_beside_the_examples_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/keygate.schema.json");
        let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        if std::env::var_os("KEYGATE_WRITE_REFERENCE").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap();
        assert!(
            written == text,
            "{path} is not what `keygate schema` prints: KEYGATE_WRITE_REFERENCE=1 cargo test writes it"
        );
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
            ("[[limits]]\nof = \"key\"\nbudget = [\"1 per day\"]", None),
            ("[[limits]]\nof = { label = \"team\", each = true }", None),
            (
                "[[limits]]\nof = { lable = \"team\" }",
                Some(".limits.of.lable"),
            ),
            ("[[limits]]\nof = 1", Some(".limits.of: integer")),
            ("[[limits]]\nmode = \"watch\"", Some(".limits.mode: watch")),
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
