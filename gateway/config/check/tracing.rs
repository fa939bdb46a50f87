//! `[tracing]`: where spans go, and which.

use http::{HeaderName, HeaderValue};

use super::super::file::TracingFile;
use super::Checker;
use super::plain_http::Sending;
use crate::document::{FileStamp, Located, Severity};
use crate::origin::BaseUrl;
use crate::secret::{Secret, SecretRef};
use crate::telemetry::TelemetrySpec;

/// What the gateway is called where the configuration does not say.
const SERVICE: &str = "keygate";
/// One in one.
const MILLION: u32 = 1_000_000;

impl Checker<'_> {
    pub(super) fn tracing(&mut self, file: TracingFile) -> Option<TelemetrySpec> {
        let sample = file.sample.map_or(MILLION, |given| self.sample(&given));
        let headers = file
            .headers
            .iter()
            .filter_map(|(name, value)| {
                let header = self.header_name(&name.value, &name.at)?;
                Some((header, self.tracing_header(value)?))
            })
            .collect::<Vec<(HeaderName, HeaderValue)>>();
        // A place for the rest, which changes nothing until somebody says where.
        let endpoint = file.endpoint?;
        // Some name the whole path.
        let base = endpoint.value.trim_end_matches('/');
        let collector = BaseUrl::parse_exposed(base.strip_suffix("/v1/traces").unwrap_or(base));
        let collector = collector
            .map_err(|why| self.fatal(&endpoint.at, format!("tracing.endpoint {why}")))
            .ok()?;
        let sending = Sending {
            section: "tracing",
            setting: "endpoint",
            what: "spans",
            at: &endpoint.at,
        };
        self.plain_http(&collector, file.plain_http.as_ref(), &sending);
        Some(TelemetrySpec {
            collector,
            headers,
            sample,
            service: file
                .service
                .map_or_else(|| SERVICE.to_owned(), |given| given.value),
        })
    }

    /// Spans are not worth refusing a reload for, with a key that may be revoked in it.
    fn tracing_header(&mut self, given: &Located<String>) -> Option<HeaderValue> {
        let resolved = SecretRef::parse(&given.value, self.folder).and_then(|reference| {
            self.files.extend(reference.file().map(FileStamp::take));
            let secret = reference.resolve()?;
            // A header's value may have spaces and more; quotation marks around it are none of it.
            if secret.expose().starts_with(['"', '\'']) {
                let what = secret.oddity().unwrap_or_default();
                self.warn(&given.at, format!("tracing.headers: {reference} {what}"));
            }
            Ok(secret)
        });
        let secret = resolved.map_err(|error| {
            let why = format!("tracing.headers: {error}");
            self.problems
                .push_unread(&given.at, Severity::Strict, error.may_pass(), why);
        });
        secret
            .ok()
            .as_ref()
            .and_then(|secret: &Secret| secret.header(""))
    }

    /// `"12.5%"`, in a million.
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
