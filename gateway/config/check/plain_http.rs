//! `plain_http`: permits unencrypted requests where the URL does not show that the network is private.

use super::checker::Checker;
use crate::document::{Located, Location};
use crate::origin::{BaseUrl, Exposure};

/// A URL that something is sent to.
pub(super) struct Sending<'s> {
    /// The section of the configuration, such as `providers.openai`.
    pub(crate) section: &'s str,
    /// The name of the setting in it that holds the URL.
    pub(crate) setting: &'s str,
    /// What is sent, such as "requests and the token".
    pub(crate) what: &'s str,
    /// The line of the URL.
    pub(crate) at: &'s Location,
}

impl Checker<'_> {
    /// Refuses a URL that would expose what is sent there, unless the section permits it (`word`) and the URL may lead
    /// through a private network.
    pub(super) fn plain_http(&self, url: &BaseUrl, word: Option<&Located<bool>>, of: &Sending<'_>) {
        let Sending {
            section,
            setting,
            what,
            at,
        } = of;
        let word = word.filter(|given| given.value);
        let host = &url.host;
        match (url.exposure(), word) {
            (Exposure::None, None) => {}
            (Exposure::None, Some(word)) => self.warn(
                &word.at,
                format!("{section}.plain_http has no effect: nothing of it goes unencrypted to a name or beyond"),
            ),
            (Exposure::Unclear, Some(_)) => self.warn(
                at,
                format!("{section}: {what} go unencrypted to {host}, as plain_http allows"),
            ),
            (Exposure::Unclear, None) => self.fatal(
                at,
                format!(
                    "{section}.{setting} would send {what} unencrypted to {host}: use https://, or say \
                     `plain_http = true` in [{section}] if it is in a private network that you trust"
                ),
            ),
            (Exposure::Public, _) => self.fatal(
                at,
                format!(
                    "{section}.{setting} would send {what} unencrypted to {host}, which is a public address: use https://"
                ),
            ),
        }
    }
}
