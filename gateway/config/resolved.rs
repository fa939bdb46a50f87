//! The configuration with everything fetched that it refers to, ready to be put to use.

use std::path::Path;
use std::sync::Arc;

use http::HeaderName;
use pingora_core::tls::RootCertStore;
use pingora_core::tls::sign::CertifiedKey;

use super::error::ConfigErrors;
use super::fetch::{Fetched, fetch};
use super::file::GatewayFile;
use super::limits::LimitRules;
use super::meant::{Config, RouteSpec};
use super::read::read_configuration;
use super::server::ServerConfig;
use super::{check, consistency};
use crate::document::{Document, FileStamp, Problem, Problems, Severity};
use crate::key::{KeySet, KeySource, KeyStore};
use crate::provider::ProviderSpec;
use crate::secret::{LocalSecrets, SecretSource};
use crate::telemetry::TelemetrySpec;
use crate::usage::Prices;

/// A gateway's configuration with its secrets, keys, certificates and prices.
pub struct Resolved {
    /// Where and how to listen.
    pub server: ServerConfig,
    /// The certificate that clients see, with its private key; `None` without TLS, or where it could not be read.
    pub(crate) certificate: Option<Arc<CertifiedKey>>,
    /// The authorities whose certificates clients have to show.
    pub(crate) client_roots: Option<Arc<RootCertStore>>,
    /// The headers in which a client key may stand, the first being the usual one.
    pub key_headers: Vec<HeaderName>,
    /// Where the keys come from.
    pub(crate) key_source: Arc<dyn KeySource>,
    /// The keys, and their version.
    pub(crate) keys: KeySet,
    /// Whether the keys could be read. Always true unless the purpose is [`Purpose::Explain`].
    pub(crate) are_keys_known: bool,
    /// Whether an exchange that goes on is aborted when its key is revoked.
    pub(crate) cut_revoked: bool,
    /// What tokens cost.
    pub prices: Prices,
    /// The limits of use.
    pub(crate) limits: LimitRules,
    /// Where spans go, if anywhere. Changes take effect at the next start.
    pub(crate) tracing: Option<Arc<TelemetrySpec>>,
    /// The providers.
    pub providers: Vec<ProviderSpec>,
    /// The routes.
    pub routes: Vec<RouteSpec>,
    /// Every file it was made from: a change of one is a reason to load again.
    pub(crate) files: Vec<FileStamp>,
    /// Problems that stop nothing.
    pub warnings: Vec<Problem>,
    /// Those of the warnings that a start refuses: files and secrets that could not be fetched. Empty unless the
    /// purpose is [`Purpose::Explain`].
    pub(crate) not_fetched: Vec<Problem>,
    /// Whether one of its files could not be read, and may be readable a moment later: it is worth another try.
    pub(crate) may_pass: bool,
}

/// What a configuration is loaded for, which decides what refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To start with it, or to check it: everything but a warning refuses it.
    Start,
    /// To replace the one that serves. A problem that would only leave a route without keys is a warning: refusing the
    /// configuration would keep a revoked key valid. A read that failed for a reason that may pass refuses it: what
    /// serves already has what would have been read, a provider's token for instance.
    Reload,
    /// To say what it would do, by somebody who may not be allowed to read its secrets: files and secrets that could
    /// not be fetched refuse nothing. A key file that was read and is wrong refuses it, as it refuses a start.
    Explain,
}

impl Purpose {
    fn is_refused_by(self, problem: &Problem) -> bool {
        match problem.severity {
            Severity::Fatal => true,
            Severity::Strict => self != Self::Reload || problem.may_pass,
            Severity::Warning => self == Self::Reload && problem.may_pass,
        }
    }
}

/// What a configuration is resolved with.
struct Given<'g> {
    /// The version of its file.
    stamp: FileStamp,
    secrets: &'g dyn SecretSource,
    /// The keys that serve, if any do.
    serving: Option<&'g KeyStore>,
}

impl Resolved {
    /// Reads and checks the configuration at `path`, and fetches everything it refers to.
    ///
    /// # Errors
    /// Every problem of it, if one of them refuses it for this purpose.
    pub fn load(path: &Path, purpose: Purpose) -> Result<Self, ConfigErrors> {
        Self::load_beside(path, purpose, None)
    }

    /// Loads the configuration as [`load`](Self::load) does, to replace one that serves, whose keys are `serving`. Keys
    /// that have not changed are taken over from there.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub(crate) fn reload(path: &Path, serving: &KeyStore) -> Result<Self, ConfigErrors> {
        Self::load_beside(path, Purpose::Reload, Some(serving))
    }

    fn load_beside(
        path: &Path,
        purpose: Purpose,
        serving: Option<&KeyStore>,
    ) -> Result<Self, ConfigErrors> {
        // Before the file is read: a change in between is seen as one.
        let stamp = FileStamp::take(path);
        let problems = Problems::default();
        let Some(text) = read_configuration(path, &problems) else {
            return Err(ConfigErrors {
                problems: problems.into_sorted(),
                files: vec![stamp],
            });
        };
        let document = Document::new(path, text);
        let given = Given {
            stamp,
            secrets: &LocalSecrets,
            serving,
        };
        Self::resolve(&document, path, given, problems, purpose)
    }

    fn resolve(
        document: &Document,
        path: &Path,
        given: Given<'_>,
        problems: Problems,
        purpose: Purpose,
    ) -> Result<Self, ConfigErrors> {
        let file = GatewayFile::parse(document, &problems);
        let config = check::check(file, path, &problems);
        let unfetched = Problems::default();
        let mut fetched = fetch(&config, given.secrets, &unfetched, given.serving);
        fetched.files.insert(0, given.stamp);
        let compared = Problems::default();
        consistency::compare(&config, &fetched, &compared);

        let refuses = |problem: &Problem| purpose.is_refused_by(problem);
        let ignores_unfetched = purpose == Purpose::Explain && !fetched.are_keys_broken;
        let is_refused = problems.any(refuses)
            || compared.any(refuses)
            || !ignores_unfetched && unfetched.any(refuses);
        let not_fetched = if ignores_unfetched {
            unfetched.matching(refuses)
        } else {
            Vec::new()
        };
        // In the order in which they were found: of several problems of a line, the first one often explains the others.
        problems.extend(unfetched);
        problems.extend(compared);
        let problems = problems.into_sorted();
        if is_refused {
            let files = fetched.files;
            return Err(ConfigErrors { problems, files });
        }
        Self::assemble(config, fetched, problems, not_fetched)
    }

    /// Puts the parts together. Without a fatal problem, `[server]` is there.
    fn assemble(
        config: Config,
        fetched: Fetched,
        problems: Vec<Problem>,
        not_fetched: Vec<Problem>,
    ) -> Result<Self, ConfigErrors> {
        let Some(mut server) = config.server else {
            let files = fetched.files;
            return Err(ConfigErrors { problems, files });
        };
        let threads = &mut server.listener.threads;
        *threads = fetched.threads(*threads);
        let may_pass = problems.iter().any(|problem| problem.may_pass);
        let routes = config.routes.into_iter();
        let as_warning = |problem: Problem| Problem {
            severity: Severity::Warning,
            ..problem
        };
        Ok(Self {
            server,
            certificate: fetched.certificate,
            client_roots: fetched.client_roots,
            key_headers: config.key_headers,
            are_keys_known: fetched.keys.is_some(),
            keys: fetched
                .keys
                .unwrap_or_else(|| KeySet::empty(fetched.key_source.current())),
            key_source: fetched.key_source,
            cut_revoked: config.cut_revoked,
            prices: fetched.prices,
            limits: LimitRules::new(config.limits, fetched.timezone),
            tracing: fetched.tracing.map(Arc::new),
            providers: fetched.providers,
            routes: routes.filter_map(|route| route.spec).collect(),
            files: fetched.files,
            warnings: problems.into_iter().map(as_warning).collect(),
            not_fetched: not_fetched.into_iter().map(as_warning).collect(),
            may_pass,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use zeroize::Zeroizing;

    use super::*;
    use crate::secret::{SecretError, SecretRef};

    /// A source that refuses every secret.
    struct Closed;

    impl SecretSource for Closed {
        fn file(&self, _: &SecretRef) -> Option<PathBuf> {
            None
        }

        fn read(&self, reference: &SecretRef) -> Result<Zeroizing<String>, SecretError> {
            Err(SecretError::Unusable(format!("{reference} is closed")))
        }
    }

    fn load(text: &str, purpose: Purpose) -> Result<Resolved, ConfigErrors> {
        let path = Path::new("/nowhere/gateway.toml");
        let document = Document::new(path, text.to_owned());
        let (stamp, problems) = (FileStamp::take(path), Problems::default());
        let given = Given {
            stamp,
            secrets: &Closed,
            serving: None,
        };
        Resolved::resolve(&document, path, given, problems, purpose)
    }

    const CLOSED: &str = "[providers.p]\nkind = \"openai\"\ntoken = \"env:T\"\n\
                          [[routes]]\nname = \"r\"\npath = \"/\"\nprovider = \"p\"\nauth = \"none\"\n";

    #[test]
    fn secrets_are_fetched_from_the_source_and_stop_a_start_alone() {
        let refused = load(CLOSED, Purpose::Start).err().unwrap();
        let said = refused.to_string();
        assert!(
            said.contains("gateway.toml:3: providers.p.token: env:T is closed"),
            "{said}"
        );
        assert!(load(CLOSED, Purpose::Reload).is_ok());
        let explained = load(CLOSED, Purpose::Explain).ok().unwrap();
        assert_eq!(explained.not_fetched.len(), 1);
        assert_eq!(explained.providers.len(), 1);
    }

    #[test]
    fn what_is_wrong_with_the_file_comes_with_what_cannot_be_fetched() {
        let text = CLOSED.replace("path = \"/\"", "path = \"x\"");
        for purpose in [Purpose::Start, Purpose::Reload, Purpose::Explain] {
            let said = load(&text, purpose).err().unwrap().to_string();
            assert!(said.contains("gateway.toml:6: "), "{said}");
            assert!(said.contains("env:T is closed"), "{said}");
        }
    }

    #[test]
    fn problems_of_a_line_come_in_the_order_of_the_steps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        let routes = "[[routes]]\nname = \"r\"\npath = \"/\"\nprovider = \"p\"\n";
        let providers = "[providers.p]\nkind = \"openai\"\ntoken = \"none\"\n";
        std::fs::write(&path, format!("{providers}{routes}")).unwrap();
        let keys = folder.path().join("keys.toml");
        std::fs::write(&keys, "# inline:").unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&keys, open).unwrap();
        let refused = Resolved::load(&path, Purpose::Start).err().unwrap();
        let said = refused.to_string();
        let (exposed, empty) = (
            said.find("can be read by others"),
            said.find("no key in it"),
        );
        assert!(exposed.is_some() && exposed < empty, "{said}");
    }
}
