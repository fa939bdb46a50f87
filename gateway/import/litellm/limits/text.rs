//! Amounts in `config.yaml`, as texts.

use crate::import::fields::{Fields, text_of};
use crate::import::litellm::common_settings::CommonSettings;
use crate::import::litellm::limits::amount;

/// The note about an amount that is not understood.
pub(super) const UNCLEAR: &str =
    "it is no number, or a variable that is not set here: nothing limits it here";

/// Takes a field of any type as text: what is no scalar is no amount.
pub(super) fn any_text(fields: &mut Fields<'_>, name: &str) -> Option<String> {
    let value = fields.value(&[name])?;
    Some(text_of(&value).unwrap_or_else(|| value.to_string()))
}

/// The value of a text that may name an environment variable.
pub(super) fn resolved(text: &str, common: &CommonSettings<'_>) -> Result<String, amount::Unclear> {
    common.resolve(text).map_err(|_| amount::Unclear)
}
