//! Reads the fields of an object by name. Fields that are left over at the end were not understood,
//! and are noted.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::import::notes::Notes;

/// The text of a scalar.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        _ => None,
    }
}

/// The scalars of a map, as texts.
pub(crate) fn texts(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries
        .filter_map(|(name, value)| Some((name.clone(), text_of(value)?)))
        .collect()
}

/// A map of an object, from which fields are taken by name.
pub(crate) struct Fields<'n> {
    object: String,
    path: String,
    map: Map<String, Value>,
    notes: &'n Notes,
}

impl<'n> Fields<'n> {
    /// The fields of the object called `object`.
    pub(crate) fn new(object: &str, map: Map<String, Value>, notes: &'n Notes) -> Self {
        Self {
            object: object.to_owned(),
            path: String::new(),
            map,
            notes,
        }
    }

    /// The same fields, as those of an object called `title`.
    pub(crate) fn with_title(mut self, title: &str) -> Self {
        self.notes
            .register_lines_below(title, &self.object, &self.path);
        title.clone_into(&mut self.object);
        self.path.clear();
        self
    }

    /// The title of the object.
    pub(crate) fn title(&self) -> &str {
        &self.object
    }

    /// The file of a field, with its line if it is known.
    pub(crate) fn place(&self, field: &str) -> String {
        self.notes.place(&self.object, &self.join(field))
    }

    fn join(&self, field: &str) -> String {
        match (self.path.as_str(), field) {
            ("", field) => field.to_owned(),
            (path, "") => path.to_owned(),
            (path, field) => format!("{path}.{field}"),
        }
    }

    /// Returns whether a field is present and not `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// The text of a scalar field, without taking it.
    pub(crate) fn peek(&self, name: &str) -> Option<String> {
        self.map.get(name).and_then(text_of)
    }

    /// Puts fields back that were taken.
    pub(crate) fn put(&mut self, name: &str, fields: Self) {
        self.map.insert(name.to_owned(), Value::Object(fields.map));
    }

    /// The fields that were not taken yet.
    pub(crate) fn unread(&self) -> impl Iterator<Item = &String> {
        self.map.keys().filter(|name| self.has(name))
    }

    /// Takes a field of any type: the first of these spellings that is present.
    pub(crate) fn value(&mut self, spellings: &[&str]) -> Option<Value> {
        spellings
            .iter()
            .find_map(|name| self.map.remove(*name))
            .filter(|value| !value.is_null())
    }

    /// Takes a field if `read` succeeds. Otherwise the field stays, as one that was not understood.
    fn read<T>(&mut self, name: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let found = read(self.map.get(name)?)?;
        self.map.remove(name);
        Some(found)
    }

    /// Takes a scalar as text.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.read(name, text_of)
    }

    /// Takes a number.
    pub(crate) fn number(&mut self, name: &str) -> Option<u64> {
        self.read(name, |value| {
            value.as_u64().or_else(|| value.as_str()?.parse().ok())
        })
    }

    /// Takes a map of texts. Other entries stay.
    pub(crate) fn texts(&mut self, name: &str) -> BTreeMap<String, String> {
        let Some(Value::Object(map)) = self.map.get_mut(name) else {
            return BTreeMap::new();
        };
        let (read, others): (Map<_, _>, Map<_, _>) = std::mem::take(map)
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .partition(|(_, value)| text_of(value).is_some());
        self.put_back(name, Value::Object(others));
        texts(&Value::Object(read))
    }

    /// Takes a list of texts. Other items stay.
    pub(crate) fn list_of_texts(&mut self, name: &str) -> Vec<String> {
        let (texts, others) = self.items(name, text_of);
        self.put_back(name, Value::Array(others));
        texts
    }

    /// The items of a list that `read` succeeds on, and the others.
    fn items<T>(&self, name: &str, read: impl Fn(&Value) -> Option<T>) -> (Vec<T>, Vec<Value>) {
        let (mut found, mut others) = (Vec::new(), Vec::new());
        let items = self.map.get(name).and_then(Value::as_array);
        for item in items.into_iter().flatten() {
            match read(item) {
                Some(item) => found.push(item),
                None if item.is_null() => {}
                None => others.push(item.clone()),
            }
        }
        (found, others)
    }

    /// Replaces a list or map by the entries that were not read, or removes the field if there are
    /// none. A field of another type stays.
    fn put_back(&mut self, name: &str, others: Value) {
        let Some(held) = self.map.get_mut(name) else {
            return;
        };
        let is_empty = match (&*held, &others) {
            (Value::Array(_), Value::Array(others)) => others.is_empty(),
            (Value::Object(_), Value::Object(others)) => others.is_empty(),
            _ => return,
        };
        if is_empty {
            self.map.remove(name);
        } else {
            *held = others;
        }
    }

    /// Takes a map as fields of its own.
    pub(crate) fn fields(&mut self, spellings: &[&str]) -> Option<Fields<'n>> {
        let name = *spellings
            .iter()
            .find(|name| self.map.contains_key(**name))?;
        let path = self.join(name);
        match self.map.remove(name)? {
            Value::Object(map) => Some(self.at(path, map)),
            Value::Null => Some(self.at(path, Map::new())),
            other => {
                self.map.insert(name.to_owned(), other);
                None
            }
        }
    }

    /// Takes a list of maps. Other items stay.
    pub(crate) fn list(&mut self, name: &str) -> Vec<Fields<'n>> {
        let path = self.join(name);
        let items = self.map.get(name).and_then(Value::as_array);
        let items = items.into_iter().flatten().enumerate();
        let maps = items.filter_map(|(place, item)| {
            let map = item.as_object()?.clone();
            Some(self.at(format!("{path}[{place}]"), map))
        });
        let maps = maps.collect();
        let (_, others) = self.items(name, |item| item.is_object().then_some(()));
        self.put_back(name, Value::Array(others));
        maps
    }

    /// Takes every map, with its name.
    pub(crate) fn all(&mut self) -> Vec<(String, Fields<'n>)> {
        let map = std::mem::take(&mut self.map);
        let mut found = Vec::new();
        for (name, value) in map {
            match value {
                Value::Object(inner) => {
                    let fields = self.at(self.join(&name), inner);
                    found.push((name, fields));
                }
                Value::Null => {}
                other => {
                    self.map.insert(name, other);
                }
            }
        }
        found
    }

    fn at(&self, path: String, map: Map<String, Value>) -> Fields<'n> {
        Fields {
            object: self.object.clone(),
            path,
            map,
            notes: self.notes,
        }
    }

    /// Takes a field, and notes that it is not carried over and what to do.
    pub(crate) fn discard(&mut self, name: &str, what: &str) {
        if self.value(&[name]).is_some() {
            self.lost(name, what);
        }
    }

    /// Notes that a field is not carried over.
    pub(crate) fn lost(&self, field: &str, what: impl Into<String>) {
        self.notes.lost(&self.object, &self.join(field), what);
    }

    /// Adds a note about a field.
    pub(crate) fn note(&self, field: &str, what: impl Into<String>) {
        self.notes.note(&self.object, &self.join(field), what);
    }

    /// Takes and notes all remaining fields of an object that determines where requests go. Returns
    /// whether any of them is not in `harmless`.
    pub(crate) fn discard_unknown(&mut self, harmless: &[&str]) -> bool {
        let map = std::mem::take(&mut self.map);
        let mut unclear = false;
        for (name, value) in map {
            if value.is_null() {
                continue;
            }
            if harmless.contains(&name.as_str()) {
                self.lost(&name, "keygate does not know this field");
            } else {
                unclear = true;
                self.lost(
                    &name,
                    "keygate does not know this field, which may change where requests go: the part that contains it is left out",
                );
            }
        }
        unclear
    }

    /// Notes the fields that are left over so far, and continues.
    pub(crate) fn finish_known(&mut self) {
        let map = std::mem::take(&mut self.map);
        self.at(self.path.clone(), map).finish();
    }

    /// Notes the fields that are left over.
    pub(crate) fn finish(self) {
        for (name, value) in &self.map {
            if !value.is_null() {
                self.lost(name, "keygate does not know this field");
            }
        }
    }
}
