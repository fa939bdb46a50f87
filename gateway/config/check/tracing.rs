//! `[tracing]`: where spans go, and which.

use http::HeaderName;

use super::super::file::{Pairs, TracingFile};
use super::super::meant::TracingConfig;
use super::checker::Checker;
use super::plain_http::Sending;
use crate::document::{Located, Severity};
use crate::origin::BaseUrl;
use crate::secret::SecretRef;

/// The name of the gateway in its spans, unless the configuration says otherwise.
const SERVICE: &str = "keygate";
/// A sample of everything.
const MILLION: u32 = 1_000_000;

impl Checker<'_> {
    /// Without an endpoint, the section is a place for the rest and changes nothing.
    pub(super) fn tracing(&self, file: TracingFile) -> TracingConfig {
        TracingConfig {
            sample: file.sample.map_or(MILLION, |given| self.sample(&given)),
            headers: self.tracing_headers(&file.headers),
            collector: file
                .endpoint
                .and_then(|given| self.collector(&given, file.plain_http.as_ref())),
            service: file
                .service
                .map_or_else(|| SERVICE.to_owned(), |given| given.value),
        }
    }

    fn collector(
        &self,
        given: &Located<String>,
        plain_http: Option<&Located<bool>>,
    ) -> Option<BaseUrl> {
        // Other programs' configurations name the whole path.
        let base = given.value.trim_end_matches('/');
        let collector = BaseUrl::parse_exposed(base.strip_suffix("/v1/traces").unwrap_or(base))
            .map_err(|why| self.fatal(&given.at, format!("tracing.endpoint {why}")))
            .ok()?;
        let sending = Sending {
            section: "tracing",
            setting: "endpoint",
            what: "spans",
            at: &given.at,
        };
        self.plain_http(&collector, plain_http, &sending);
        Some(collector)
    }

    fn tracing_headers(&self, pairs: &Pairs) -> Vec<(HeaderName, Located<SecretRef>)> {
        let header = |(name, value): &(Located<String>, Located<String>)| {
            let name = self.header_name(&name.value, &name.at)?;
            let reference = self.tracing_secret(value)?;
            let at = value.at.clone();
            Some((
                name,
                Located {
                    value: reference,
                    at,
                },
            ))
        };
        pairs.iter().filter_map(header).collect()
    }

    /// Spans are not worth refusing a reload for: a key may be revoked with it.
    fn tracing_secret(&self, given: &Located<String>) -> Option<SecretRef> {
        SecretRef::parse(&given.value, self.folder)
            .map_err(|error| {
                let why = format!("tracing.headers: {error}");
                self.problems.push(&given.at, Severity::Strict, why);
            })
            .ok()
    }

    /// Parses `"12.5%"` into millionths.
    fn sample(&self, given: &Located<String>) -> u32 {
        let percent = given.value.strip_suffix('%').and_then(|text| {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
            let is_number =
                |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let is_sound =
                is_number(whole) && is_number(fraction) && whole.len() <= 3 && fraction.len() <= 4;
            is_sound.then(|| format!("{whole}{fraction:0<4}").parse::<u32>().ok())?
        });
        match percent {
            Some(share) if share <= MILLION => share,
            _ => {
                let why = "tracing.sample is a share such as \"10%\", with up to four decimals";
                self.fatal(&given.at, why);
                MILLION
            }
        }
    }
}
