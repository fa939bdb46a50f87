//! The value of `of` in `[[limits]]` as written: a text, or a table that names a label.

use toml::de::{DeTable, DeValue};

use crate::document::{Value, ValueError, nearest};

/// Whose use a limit counts together, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ScopeFile {
    /// `"key"`, `"route"`, ...
    Word(String),
    /// `{ label = "team", value = "search" }`, or `{ label = "team", each = true }`.
    Label {
        /// The label's name.
        label: String,
        /// The one value.
        value: Option<String>,
        /// Whether each value is counted for itself.
        each: Option<bool>,
    },
}

/// The form, for an error.
const FORM: &str = "\"key\", \"route\", \"provider\", \"gateway\", { label = \"team\", value = \"search\" } or \
                    { label = \"team\", each = true }";

impl Value for ScopeFile {
    fn read(value: &DeValue<'_>) -> Result<Self, ValueError> {
        match value {
            DeValue::String(text) => Ok(Self::Word(text.clone().into_owned())),
            DeValue::Table(table) => Self::of_table(table),
            _ => Err(ValueError::Form(FORM)),
        }
    }
}

impl ScopeFile {
    fn of_table(table: &DeTable<'_>) -> Result<Self, ValueError> {
        let (mut label, mut value, mut each) = (None, None, None);
        for (name, given) in table {
            let given = given.get_ref();
            let read = match &**name.get_ref() {
                "label" => String::read(given).map(|text| label = Some(text)),
                "value" => String::read(given).map(|text| value = Some(text)),
                "each" => bool::read(given).map(|flag| each = Some(flag)),
                other => return Err(unknown(other)),
            };
            read.map_err(|why| ValueError::Unusable(format!("{}: {why}", name.get_ref()).into()))?;
        }
        let label = label.ok_or(ValueError::Form(FORM))?;
        Ok(Self::Label { label, value, each })
    }
}

fn unknown(name: &str) -> ValueError {
    let known = ["label", "value", "each"];
    let hint = nearest(name, known.into_iter())
        .map(|near| format!(": did you mean `{near}`?"))
        .unwrap_or_default();
    ValueError::Unusable(format!("unknown key `{name}`{hint}").into())
}
