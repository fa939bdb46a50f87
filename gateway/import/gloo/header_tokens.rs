//! Provider tokens that a route writes into a header: the provider writes them instead.

use crate::import::gloo::draft::{RouteDraft, auth_header};
use crate::import::gloo::secret;
use crate::import::notes::Notes;
use crate::import::plan::Plan;
use crate::import::planned::PlannedExtractor;

/// A template that writes the provider's token into a header becomes a setting of the provider: the
/// token then goes directly from the key's metadata into the header.
pub(super) fn move_token(draft: &mut RouteDraft, plan: &mut Plan, notes: &Notes) {
    let header = auth_header(draft).to_owned();
    let named = |name: &&String| name.eq_ignore_ascii_case(&header);
    let Some(name) = draft.route.headers.keys().find(named).cloned() else {
        return;
    };
    let text = draft.route.headers.get(&name).cloned().unwrap_or_default();
    if text.is_empty() {
        // keygate removes the client's value in any case.
        draft.route.headers.remove(&name);
        return;
    }
    let bare = text
        .trim()
        .strip_prefix("Bearer ")
        .unwrap_or(text.trim())
        .trim();
    if !bare.is_empty() && !bare.contains("{{") {
        move_literal_token(draft, &name, text.trim(), plan, notes);
    } else if let Some(source) = MetadataSource::of(bare, draft) {
        move_metadata_token(draft, &name, &source, notes);
    } else if !["none", ""].contains(&draft.provider.token.as_str()) {
        draft.route.headers.remove(&name);
        notes.lost(&draft.title, &name, "the provider's own token goes there");
    }
}

/// A token in the key's metadata that goes into a header on its way to the provider.
struct MetadataSource {
    /// The extractor that takes it from a header of the request.
    extractor: String,
    /// The header, in lower case.
    header: String,
    /// The entry of the metadata that is in the header.
    entry: String,
}

impl MetadataSource {
    /// The source of a template; `None` if it is made of something else.
    fn of(template: &str, draft: &RouteDraft) -> Option<Self> {
        let extractor = template.strip_prefix("{{")?.strip_suffix("}}")?.trim();
        let PlannedExtractor::Header {
            name,
            regex,
            group: 0,
        } = draft.route.extractors.get(extractor)?
        else {
            return None;
        };
        let header = name.to_ascii_lowercase();
        let entry = draft.from_metadata.get(&header)?.clone();
        (regex == ".*").then(|| Self {
            extractor: extractor.to_owned(),
            header,
            entry,
        })
    }
}

/// Makes the provider take its token from the key's metadata, instead of the header `name`.
fn move_metadata_token(draft: &mut RouteDraft, name: &str, source: &MetadataSource, notes: &Notes) {
    let (entry, from) = (&source.entry, &source.header);
    notes.note(&draft.title, name, format!(
        "there, each key's `{entry}` is copied into `{from}` and from there into `{name}`, and the provider gets \
         the client's key and the token twice; here the provider has `token = \"key:{entry}\"`, gets the token \
         once and nothing of the client's, and a key without the entry is answered with 503"
    ));
    draft.provider.token = format!("key:{entry}");
    draft.route.headers.remove(name);
    draft.from_metadata.remove(from);
    let reference = format!("{{{{ {} }}}}", source.extractor);
    let mut templates = draft.route.headers.values();
    if !templates.any(|text| text.contains(&reference)) {
        draft.route.extractors.remove(&source.extractor);
    }
}

/// Moves a token that is written into a header to the secrets folder, and makes the provider write
/// it.
pub(super) fn move_literal_token(
    draft: &mut RouteDraft,
    header: &str,
    text: &str,
    plan: &mut Plan,
    notes: &Notes,
) {
    draft.route.headers.remove(header);
    if !["none", ""].contains(&draft.provider.token.as_str()) {
        return notes.lost(&draft.title, header, "the provider has a token of its own");
    }
    let entry = secret::Entry::Text(text.to_owned().into());
    match entry.add_to(plan, &format!("{}-token", draft.route.name)) {
        Ok(reference) => {
            draft.provider.token = reference;
            draft
                .provider
                .settings
                .retain(|(name, _)| !name.starts_with("auth_"));
            // The token is written with the scheme that it has in the original.
            draft
                .provider
                .settings
                .push(("auth_header", header.to_ascii_lowercase()));
            draft.provider.settings.push(("auth_prefix", String::new()));
            notes.note(
                &draft.title,
                header,
                "its token was moved to the secrets folder",
            );
        }
        Err(why) => notes.lost(&draft.title, header, format!("it {why}")),
    }
}

/// Returns whether a header of this name may hold a secret.
pub(super) fn may_be_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let telling = [
        "auth",
        "key",
        "token",
        "secret",
        "password",
        "credential",
        "cookie",
    ];
    telling.iter().any(|part| name.contains(part))
}
