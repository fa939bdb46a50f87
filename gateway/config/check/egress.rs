//! `proxy` and `proxy_token`: the HTTP proxy that providers are reached through.

use super::super::meant::{Egress, Way};
use super::checker::Checker;
use crate::document::Located;
use crate::origin::EgressProxy;
use crate::secret::SecretRef;

impl Checker<'_> {
    /// The way that `section` names; `None` where it names none, or none that can be used.
    pub(super) fn egress(
        &self,
        section: &str,
        proxy: Option<&Located<String>>,
        token: Option<&Located<String>>,
    ) -> Option<Egress> {
        let Some(proxy) = proxy else {
            if let Some(token) = token {
                let why = format!(
                    "{section}.proxy_token is for a `proxy`, which {section} does not name"
                );
                self.fatal(&token.at, why);
            }
            return None;
        };
        let token = token.and_then(|given| self.proxy_token(section, given));
        let way = match proxy.value.as_str() {
            "none" => Way::Direct,
            "env" => Way::Environment(proxy.at.clone()),
            text => {
                let parsed = EgressProxy::parse(text)
                    .map_err(|why| self.fatal(&proxy.at, format!("{section}.proxy {why}")));
                Way::Proxy(parsed.ok()?, proxy.at.clone())
            }
        };
        Some(Egress {
            section: section.to_owned(),
            way,
            token,
        })
    }

    fn proxy_token(&self, section: &str, given: &Located<String>) -> Option<Located<SecretRef>> {
        let reference = SecretRef::parse(&given.value, self.folder)
            .map_err(|error| self.fatal(&given.at, format!("{section}.proxy_token: {error}")));
        Some(Located {
            value: reference.ok()?,
            at: given.at.clone(),
        })
    }
}
