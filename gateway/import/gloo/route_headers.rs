//! The headers and extractors of a route that keygate supports.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderName;

use crate::config::is_framing;
use crate::import::gloo::draft::{RouteDraft, auth_header};
use crate::import::notes::Notes;
use crate::import::plan::{DEFAULT_KEY_HEADERS, Plan};
use crate::import::planned::PlannedExtractor;
use crate::provider::ALWAYS_STRIPPED;
use crate::template::{Extractor, HeaderTemplate, Source};

/// Keeps the headers that keygate can set.
pub(super) fn headers(draft: &mut RouteDraft, plan: &Plan, notes: &Notes) {
    let title = draft.title.clone();
    take_metadata_directly(draft);
    add_metadata_headers(draft, notes);
    let usable = extractors(draft, plan, notes);
    let has_token = !["none", ""].contains(&draft.provider.token.as_str());
    let auth = auth_header(draft).to_owned();
    let is_key = |name: &str| DEFAULT_KEY_HEADERS.contains(&name);
    draft.route.headers.retain(|name, text| {
        let parsed = HeaderName::try_from(name.as_str());
        let why = match parsed {
            Err(_) => Some("it is not the name of a header".to_owned()),
            Ok(header) if is_framing(&header) => Some("it belongs to the gateway".to_owned()),
            Ok(header)
                if has_token && (header.as_str() == auth || header == ALWAYS_STRIPPED[0]) =>
            {
                Some("the provider's own token goes there".to_owned())
            }
            Ok(header) => HeaderTemplate::parse(header, text, &usable)
                .err()
                .map(|error| error.to_string()),
        };
        // keygate removes the clients' credentials in any case.
        let is_done = text.is_empty() && is_key(&name.to_ascii_lowercase());
        if let Some(why) = why.as_ref().filter(|_| !is_done) {
            notes.lost(&title, &format!("headers.{name}"), why.as_str());
        }
        why.is_none()
    });
    remove_unused_extractors(draft);
}

/// Takes a value directly from the metadata if its header is made of that.
fn take_metadata_directly(draft: &mut RouteDraft) {
    for extractor in draft.route.extractors.values_mut() {
        if let PlannedExtractor::Header {
            name,
            regex,
            group: 0,
        } = extractor
            && regex == ".*"
            && let Some(entry) = draft.from_metadata.get(&name.to_ascii_lowercase())
        {
            *extractor = PlannedExtractor::Metadata(entry.clone());
        }
    }
}

/// Adds the headers that are made of the key's metadata.
fn add_metadata_headers(draft: &mut RouteDraft, notes: &Notes) {
    for (header, entry) in std::mem::take(&mut draft.from_metadata) {
        if header == auth_header(draft) {
            notes.lost(
                &draft.title,
                &header,
                "the provider's token goes there: say `token = \"key:NAME\"`",
            );
            continue;
        }
        let extractor = PlannedExtractor::Metadata(entry.clone());
        draft
            .route
            .extractors
            .entry(entry.clone())
            .or_insert(extractor);
        draft
            .route
            .headers
            .entry(header)
            .or_insert_with(|| format!("{{{{ {entry} }}}}"));
    }
}

fn remove_unused_extractors(draft: &mut RouteDraft) {
    let used: BTreeMap<_, _> = std::mem::take(&mut draft.route.extractors);
    draft.route.extractors = used
        .into_iter()
        .filter(|(name, _)| {
            draft
                .route
                .headers
                .values()
                .any(|text| text.contains(&format!("{{{{ {name} }}}}")))
        })
        .collect();
}

/// The extractors that can be used. Removes the others.
fn extractors(draft: &mut RouteDraft, plan: &Plan, notes: &Notes) -> Vec<Extractor> {
    let title = draft.title.clone();
    let is_key =
        |name: &str| DEFAULT_KEY_HEADERS.contains(&name) || plan.key_headers.contains(name);
    let mut usable = Vec::new();
    let mut unusable = BTreeSet::new();
    for (name, extractor) in &draft.route.extractors {
        let source = match extractor {
            PlannedExtractor::Metadata(entry) => Ok(Source::Metadata(entry.clone())),
            PlannedExtractor::Header { name: header, .. }
                if is_key(&header.to_ascii_lowercase()) =>
            {
                Err(format!(
                    "`{header}` may hold the client's key: what a client writes there must not become a credential"
                ))
            }
            PlannedExtractor::Header {
                name: header,
                regex,
                group,
            } => match HeaderName::try_from(header.as_str()) {
                Ok(header) => {
                    let group = usize::try_from(*group).unwrap_or(usize::MAX);
                    Source::header(header, regex, group).map_err(|error| error.to_string())
                }
                Err(_) => Err(format!("`{header}` is not the name of a header")),
            },
        };
        match source {
            Ok(source) => usable.push(Extractor {
                name: name.clone(),
                source,
            }),
            Err(why) => {
                notes.lost(&title, &format!("extractors.{name}"), why);
                unusable.insert(name.clone());
            }
        }
    }
    draft
        .route
        .extractors
        .retain(|name, _| !unusable.contains(name));
    usable
}
