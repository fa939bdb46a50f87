//! The tokens of AI providers: inline, in a secret, or passed through.

use zeroize::Zeroizing;

use crate::import::error::ImportError;
use crate::import::fields::{Fields, text_of};
use crate::import::gloo::backend::find_unique;
use crate::import::gloo::object::Object;
use crate::import::gloo::reader::Reader;
use crate::import::gloo::secret::{self, Entry};

impl Reader<'_> {
    /// The reference to a provider's token; `None` if it was not understood.
    pub(super) fn token(
        &mut self,
        object: &Object,
        mut fields: Fields<'_>,
    ) -> Result<Option<String>, ImportError> {
        let kind = fields.text("kind").unwrap_or_default();
        let passed_on = fields.value(&["passthrough"]).is_some() || kind == "Passthrough";
        let inline = fields.value(&["inline", "key"]);
        let reference = fields.fields(&["secretRef"]);
        if fields.discard_unknown(&[]) {
            return Ok(None);
        }
        match (passed_on, inline, reference) {
            (true, None, None) => Ok(Some("passthrough".to_owned())),
            (false, Some(inline), None) => {
                let text = text_of(&inline).or_else(|| inline.get("token").and_then(text_of));
                let text = text.unwrap_or_default();
                let entry = Entry::Text(Zeroizing::new(without_bearer(&text).to_owned()));
                let name = format!("{}-token", object.name);
                Ok(Some(entry.add_to(self.plan, &name).unwrap_or_else(|why| {
                    fields.lost("inline", format!("it {why}"));
                    self.plan.missing_secret(&name)
                })))
            }
            (false, None, Some(reference)) => self.token_of_secret(object, &fields, reference),
            _ => {
                fields.lost("", "keygate cannot tell which token is meant");
                Ok(None)
            }
        }
    }

    /// The reference to the token in a secret.
    fn token_of_secret(
        &mut self,
        object: &Object,
        fields: &Fields<'_>,
        reference: Fields<'_>,
    ) -> Result<Option<String>, ImportError> {
        let Some((namespace, name)) = secret_named_by(reference, object) else {
            return Ok(None);
        };
        let Some(secret) = find_unique(self.secrets, &namespace, &name).copied() else {
            let (missing, cure) = self.missing_token(&name);
            let why = format!("the secret `{name}` is not in the files: {cure}");
            fields.lost("secretRef", why);
            return Ok(Some(missing));
        };
        let Some(entry) = secret::entry(secret, "Authorization")? else {
            let (missing, cure) = self.missing_token(&name);
            let why = format!("there is no `Authorization` in it: {cure}");
            self.notes.lost(&secret.title, "data", why);
            return Ok(Some(missing));
        };
        let entry = match entry {
            Entry::Text(text) => Entry::Text(Zeroizing::new(without_bearer(&text).to_owned())),
            variable @ Entry::Variable(_) => variable,
        };
        Ok(Some(entry.add_to(self.plan, &name).unwrap_or_else(|why| {
            self.notes
                .lost(&secret.title, "data.Authorization", format!("it {why}"));
            self.plan.missing_secret(&name)
        })))
    }

    /// The reference to a token that does not exist yet, and what to do.
    fn missing_token(&mut self, name: &str) -> (String, String) {
        let missing = self.plan.missing_secret(name);
        let file = missing.trim_start_matches("file:");
        let cure = format!("put the token into {file} (mode 0600)");
        (missing, cure)
    }
}

/// The namespace and name of the secret that a reference names; `None` if it is no secret, or was
/// not understood.
fn secret_named_by(mut reference: Fields<'_>, object: &Object) -> Option<(String, String)> {
    let name = reference.text("name").unwrap_or_default();
    let namespace = object.take_namespace(&mut reference);
    let group = reference.text("group").unwrap_or_default();
    let kind = reference.text("kind").unwrap_or_default();
    if !group.is_empty() || !["", "Secret"].contains(&kind.as_str()) {
        let why = format!("keygate reads tokens of a Secret, not of a {kind}");
        reference.lost("kind", why);
        return None;
    }
    let has_unknown = reference.discard_unknown(&[]);
    (!has_unknown).then_some((namespace, name))
}

/// The token without `Bearer `.
pub(super) fn without_bearer(token: &str) -> &str {
    let token = token.trim();
    match token.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer ") => rest.trim(),
        _ => token,
    }
}
