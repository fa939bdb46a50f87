//! Placeholders in a kind's paths, such as `{deployment}`, which the configuration fills in.

/// A part of an address that the configuration fills in: `deployment`, `api_version` or `model`.
#[derive(Clone, Copy, Debug)]
pub struct Placeholder {
    /// The setting's name, which stands between braces in the kind's texts.
    pub(crate) name: &'static str,
    /// The value where the configuration leaves the setting out.
    pub default: Option<&'static str>,
    /// Whether the configuration must set it.
    pub(crate) needed: bool,
}

/// The value of a placeholder, by its name; `None` if it has none.
pub(crate) type Values<'v> = dyn Fn(&str) -> Option<String> + 'v;

/// `text` with its placeholders replaced by their values; `None` if one has no value.
pub(super) fn fill(text: &str, values: &Values<'_>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}')?;
        filled.push_str(before);
        filled.push_str(&values(name)?);
        rest = behind;
    }
    filled.push_str(rest);
    Some(filled)
}
