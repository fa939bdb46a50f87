//! From as written to as meant: every rule that the file alone can break.
//!
//! Pure: it opens no file, and reads no variable and no clock. A test holds that.

mod checker;
mod cors;
mod egress;
mod keys;
mod limit;
mod limits;
mod plain_http;
mod provider;
mod provider_url;
mod route;
mod server;
mod tls;
mod tracing;
mod trusted_proxies;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use self::checker::Checker;
use self::limit::Known;
use super::file::GatewayFile;
use super::meant::{Config, Egress, Way};
use super::server::TlsSpec;
use crate::document::{Location, Problems};
use crate::runtime::folder::base_of;

/// Checks `file`, which was read from `path`.
pub(super) fn check(file: GatewayFile, path: &Path, problems: &Problems) -> Config {
    Checker {
        problems,
        folder: base_of(path),
    }
    .gateway(file, path)
}

/// The key file and the admin listener, whatever is wrong with the rest.
pub(super) fn locations(
    file: GatewayFile,
    path: &Path,
    problems: &Problems,
) -> Option<(PathBuf, SocketAddr)> {
    let checker = Checker {
        problems,
        folder: base_of(path),
    };
    let admin = checker.admin(file.server.admin)?;
    Some((checker.key_file(file.keys.file).value, admin))
}

/// The file of the ledger, if there is one.
pub(super) fn ledger(file: GatewayFile, path: &Path, problems: &Problems) -> Option<PathBuf> {
    let checker = Checker {
        problems,
        folder: base_of(path),
    };
    checker.ledger(file.ledger)
}

impl Checker<'_> {
    fn gateway(&self, file: GatewayFile, path: &Path) -> Config {
        let mut server = file.server;
        let tls = self.tls(server.tls.take());
        let egress = self
            .egress("server", server.proxy.as_ref(), server.proxy_token.as_ref())
            .unwrap_or_else(|| Egress {
                section: "server".to_owned(),
                way: Way::Direct,
                token: None,
            });
        let key_headers = self.key_headers(&file.keys);
        let trusted = self.trusted_proxies(&server, &key_headers);
        let server = self.server(server, tls.as_ref().map(TlsSpec::of), trusted);
        let providers = self.providers(file.providers);
        let are_keys_needed = file
            .routes
            .iter()
            .any(|route| route.auth.as_ref().is_none_or(|auth| auth.value != "none"));
        if file.routes.is_empty() {
            let why = "there are no [[routes]]: every request will be answered with 404";
            self.warn(&Location::of_file(path), why);
        }
        let names = file.routes.iter().filter_map(|route| route.name.as_ref());
        let names: Vec<String> = names.map(|name| name.value.clone()).collect();
        let routes = self.routes(file.routes, &providers, &key_headers);
        self.unused_providers(&providers, &routes);
        let known = Known {
            names: &names,
            routes: &routes,
            providers: &providers,
            has_prices: file.usage.prices.is_some(),
        };
        let limits = self.all_limits(file.limits, &file.usage, file.ledger, &known);
        Config {
            server,
            tls,
            egress,
            key_headers,
            cut_revoked: self.cut_revoked(&file.keys),
            keys: self.keys(file.keys, are_keys_needed),
            prices: file.usage.prices.map(|given| self.path(given)),
            limits,
            tracing: file.tracing.map(|file| self.tracing(file)),
            providers,
            routes,
        }
    }
}
