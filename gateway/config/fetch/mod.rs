//! Fetches everything that a configuration refers to: secrets, keys, certificates and prices.
//!
//! The only step of loading a configuration that does IO after its file was read. What could not be fetched becomes a
//! problem at the line that names it, and the rest is fetched all the same.

mod egress;
mod fetcher;
mod provider;
pub(super) mod timezone;
mod tls;

pub(crate) use self::tls::certificate_end;

use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderValue;
use jiff::tz::TimeZone;
use pingora_core::tls::RootCertStore;
use pingora_core::tls::sign::CertifiedKey;

use self::fetcher::Fetcher;
use self::tls::Tls;
use super::meant::{Config, KeysConfig, TracingConfig};
use super::read::read_prices;
use crate::document::{FileStamp, Located, Problems, Severity};
use crate::key::{KeyFileSource, KeySet, KeySource, KeyStore, LoadedKeys};
use crate::provider::ProviderSpec;
use crate::secret::{SecretRef, SecretSource};
use crate::telemetry::TelemetrySpec;
use crate::usage::Prices;

/// The fewest threads, where the configuration gives no number. With one thread per core, a client whose connection
/// falls to the thread that is busy with a thousand handshakes would wait for all of them.
const MIN_THREADS: usize = 4;

/// What was fetched.
pub(super) struct Fetched {
    pub(super) certificate: Option<Arc<CertifiedKey>>,
    pub(super) client_roots: Option<Arc<RootCertStore>>,
    pub(super) key_source: Arc<dyn KeySource>,
    /// `None` if the source could not be read.
    pub(super) keys: Option<KeySet>,
    /// Whether the source could be read, and a part of it is fatally wrong.
    pub(super) are_keys_broken: bool,
    pub(super) prices: Prices,
    /// The time zone in which the periods of budgets begin.
    pub(super) timezone: TimeZone,
    pub(super) tracing: Option<TelemetrySpec>,
    /// Those providers that nothing is fatally wrong with.
    pub(super) providers: Vec<ProviderSpec>,
    /// Every file that was read or looked for.
    pub(super) files: Vec<FileStamp>,
    cores: usize,
}

impl Fetched {
    /// The serving threads, where the configuration says `configured`; 0 leaves it to the machine.
    pub(super) fn threads(&self, configured: usize) -> usize {
        match configured {
            0 => self.cores.max(MIN_THREADS),
            number => number,
        }
    }
}

/// Fetches what `config` refers to, its secrets from `secrets`; what goes wrong is noted in `problems`. `serving` are the
/// keys that serve, if any do.
pub(super) fn fetch(
    config: &Config,
    secrets: &dyn SecretSource,
    problems: &Problems,
    serving: Option<&KeyStore>,
) -> Fetched {
    let mut fetcher = Fetcher::new(secrets, problems);
    let Tls {
        certificate,
        client_roots,
    } = fetcher.tls(config.tls.as_ref());
    let egress = fetcher.egress(&config.egress);
    let providers = config
        .providers
        .iter()
        .filter_map(|provider| fetcher.provider(provider, &egress))
        .collect();
    let key_source: Arc<dyn KeySource> =
        Arc::new(KeyFileSource::new(config.keys.file.value.clone()));
    let of_keys = Problems::default();
    let keys = fetcher.keys(&config.keys, &*key_source, serving, &of_keys);
    let are_keys_broken = of_keys.any(|problem| problem.severity == Severity::Fatal);
    problems.extend(of_keys);
    let prices = fetcher.prices(config.prices.as_ref());
    let timezone = fetcher.timezone(config.limits.timezone.as_ref());
    let tracing = config
        .tracing
        .as_ref()
        .and_then(|tracing| fetcher.tracing(tracing));
    Fetched {
        certificate,
        client_roots,
        key_source,
        keys,
        are_keys_broken,
        prices,
        timezone,
        tracing,
        providers,
        files: fetcher.files,
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    }
}

impl Fetcher<'_> {
    /// The keys of `source`; `None` if it could not be read. What is wrong with its content goes to `content`.
    fn keys(
        &mut self,
        config: &KeysConfig,
        source: &dyn KeySource,
        serving: Option<&KeyStore>,
        content: &Problems,
    ) -> Option<KeySet> {
        self.files.extend(source.file().map(FileStamp::take));
        let loaded = match source.load_store(serving) {
            Some(keys) => Ok(keys.map(|store| LoadedKeys::Store(Box::new(store)))),
            None => source
                .load(self.secrets, content)
                .map(|keys| keys.map(LoadedKeys::Entries)),
        };
        let mut keys = match loaded {
            Ok(keys) => keys,
            Err(error) if error.is_absent && !config.are_needed => {
                return Some(KeySet::empty(source.current()));
            }
            Err(error) => {
                let cure = if error.is_absent {
                    ": make the first key with `keygate keys create --id NAME`"
                } else {
                    ""
                };
                let place = source.place().display();
                let why = format!("the key file {place} {error}{cure}");
                let (at, passes) = (&config.file.at, error.may_pass);
                self.problems.push_unread(at, Severity::Fatal, passes, why);
                return None;
            }
        };
        self.files.append(&mut keys.secret_files);
        keys.keys.count_first(config.metric_keys);
        Some(keys)
    }

    /// The price list. No problem of it keeps a reload from being taken over: a key may be revoked with it.
    fn prices(&mut self, path: Option<&Located<PathBuf>>) -> Prices {
        let Some(Located { value: path, at }) = path else {
            return Prices::Absent;
        };
        self.files.push(FileStamp::take(path));
        let problems = Problems::default();
        let list = read_prices(path, at, &problems);
        let problems = problems.into_sorted();
        let list = list.filter(|_| problems.is_empty());
        for problem in problems {
            let strict = Severity::Strict;
            self.problems
                .push_unread(&problem.at, strict, problem.may_pass, problem.message);
        }
        list.map_or(Prices::Unreadable, Prices::Listed)
    }

    /// Where spans go, with the collector's tokens.
    fn tracing(&mut self, config: &TracingConfig) -> Option<TelemetrySpec> {
        let mut headers = Vec::new();
        for (name, reference) in &config.headers {
            if let Some(value) = self.tracing_header(reference) {
                headers.push((name.clone(), value));
            }
        }
        Some(TelemetrySpec {
            collector: config.collector.clone()?,
            headers,
            sample: config.sample,
            service: config.service.clone(),
        })
    }

    /// A header for the collector. A reload is not refused for its sake: a key may be revoked with it.
    fn tracing_header(&mut self, given: &Located<SecretRef>) -> Option<HeaderValue> {
        let Located {
            value: reference,
            at,
        } = given;
        let secret = self.fetch_secret(reference).map_err(|error| {
            let why = format!("tracing.headers: {error}");
            self.problems
                .push_unread(at, Severity::Strict, error.may_pass(), why);
        });
        let secret = secret.ok()?;
        // The value of a header may contain spaces and more, but quotation marks around it are a mistake.
        if secret.expose().starts_with(['"', '\'']) {
            let what = secret.oddity().unwrap_or_default();
            self.warn(at, format!("tracing.headers: {reference} {what}"));
        }
        secret.header("")
    }
}
