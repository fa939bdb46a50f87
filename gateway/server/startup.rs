//! Checks and process settings before a gateway serves.

use pingora_core::tls::{RootCertStore, load_native_certs};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::config::{Resolved, ServerConfig};
use crate::error::Error;
use crate::runtime::descriptors;

/// Keeps the process's memory private: no other process of this user can read it or the initial environment, and a crash
/// writes no core file. A failure is logged.
pub(crate) fn keep_memory_private() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let done = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = done.and_then(|()| setrlimit(Resource::Core, none)) {
        tracing::warn!("memory may be left in a core file: {error}");
    }
}

/// Checks what every start needs: readable root certificates where a provider or the collector is trusted by them, and
/// random numbers. Without the check, every TLS handshake would fail, or Pingora would panic over a certificate.
///
/// # Errors
/// If one of them is missing.
pub(crate) fn check_startup(config: &Resolved) -> Result<(), Error> {
    let what = "trust the system's root certificates";
    let certificates = load_native_certs().map_err(|error| Error::failed(what, error))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|error| Error::failed(what, error))?;
    }
    getrandom::u64()
        .map_err(|error| Error::failed("read random numbers from the system", error))?;
    match needs_roots(config) {
        Some(who) if roots.is_empty() => Err(Error::Failed(format!(
            "there are no root certificates, so {who} could not be trusted: install the \
             package ca-certificates, or name a `ca`",
        ))),
        _ => Ok(()),
    }
}

/// A server that is trusted by the system's root certificates, if the configuration names one.
fn needs_roots(config: &Resolved) -> Option<String> {
    let provider = config
        .providers
        .iter()
        .find(|spec| spec.base_url.tls && spec.ca.is_none())
        .map(|spec| format!("provider `{}`", spec.name));
    let collector = config.tracing.as_ref().filter(|spec| spec.collector.tls);
    provider.or(collector.map(|_| "the collector of [tracing]".to_owned()))
}

/// Raises the limit of open files, and logs whether the configured number of connections fits into it.
pub(super) fn raise_descriptor_limit(server: &ServerConfig) {
    if let Err(error) = descriptors::raise() {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
    match server.lack_of_descriptors() {
        // The number is the default, which nobody has chosen.
        Some(lack) if server.limits.configured_connections.is_none() => tracing::info!("{lack}"),
        Some(lack) => tracing::warn!("{lack}"),
        None => {}
    }
}
