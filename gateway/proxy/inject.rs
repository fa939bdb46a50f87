//! Phase 3: the client's credentials out, the provider's headers in.
//!
//! Runs once per attempt, each time on a fresh copy of the client's head, after Pingora has taken
//! out what belongs to the connection: nothing a client nominates in `Connection` can remove what
//! is put in here.

use http::HeaderMap;
use http::header::HOST;
use pingora::http::RequestHeader;
use pingora_core::Error;

use super::admit::Admission;
use crate::provider::Credential;
use crate::secret::Secret;
use crate::snapshot::Rules;

/// Makes the client's head into the provider's. `client` are the headers as the client sent them.
pub(super) fn rewrite(
    rules: &Rules,
    admission: &Admission,
    client: &HeaderMap,
    upstream: &mut RequestHeader,
) -> Result<(), Box<Error>> {
    let route = admission.route();
    let provider = &route.provider;
    for name in &rules.stripped {
        upstream.remove_header(name);
    }
    let metadata = |name: &str| {
        admission
            .key()
            .and_then(|key| key.metadata(name))
            .map(Secret::expose)
    };
    for template in &route.templates {
        match template.render(client, &metadata) {
            Some(value) => upstream.insert_header(template.name().clone(), value)?,
            None => {
                upstream.remove_header(template.name());
            }
        }
    }
    for (name, value) in &provider.headers {
        upstream.insert_header(name.clone(), value.clone())?;
    }
    if let Credential::Header(value) = admission.credential() {
        upstream.insert_header(provider.auth_header.clone(), value.clone())?;
    }
    upstream.insert_header(HOST, provider.host.clone())?;
    upstream.set_raw_path(admission.target().as_bytes())
}
