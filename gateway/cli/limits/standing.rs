//! The limits of a configuration as they stand: in the gateway that serves it, or else in the ledger.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use crate::admin::limits::{LimitsReport, Wanted};
use crate::cli::admin_client::{read_limits, read_status};
use crate::cli::control::trusted;
use crate::cli::listener::Trusted;
use crate::cli::same_gateway;
use crate::config::Resolved;
use crate::error::Error;
use crate::ledger::{LedgerError, Memory, RateRow, Remembered, accounts, read_rates};
use crate::limit::book::Book;
use crate::limit::moment::Moment;
use crate::metrics::Metrics;
use crate::snapshot::Live;

/// The limits of a configuration.
pub(in crate::cli) struct Standing {
    /// The configuration, with what the ledger has of its limits. Nothing is taken of it.
    pub(in crate::cli) live: Live,
    /// The ledger that it names.
    pub(super) ledger: Option<PathBuf>,
    /// Why the ledger could not be read, if so.
    unread: Option<String>,
    remembered: Vec<Remembered>,
    address: SocketAddr,
    trusted: Trusted,
    key_file: PathBuf,
    admin: OnceCell<Option<SocketAddr>>,
}

impl Standing {
    /// The limits of `config`, which was loaded from `path`.
    pub(in crate::cli) fn of(path: &Path, config: Resolved) -> Result<Self, Error> {
        let ledger = config.limits.ledger.clone();
        let (address, trusted) = (config.server.listener.admin, trusted(path, &config));
        let key_file = config.key_source.place().to_owned();
        let read = ledger.as_deref().filter(|it| it.exists()).map(read);
        let (found, unread) = match read.transpose() {
            Ok(found) => (found, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let (remembered, rates) = found.unwrap_or_default();
        let memory = Memory::new(&remembered);
        let states = rates.into_iter().filter_map(RateRow::state);
        let book = Book::new(Arc::new(memory)).with_rates(states);
        let metrics = Metrics::new().map_err(|error| Error::failed("make metrics", error))?;
        let live = Live::start_with(config, Arc::new(metrics), book)
            .map_err(|error| Error::Failed(error.to_string()))?;
        Ok(Self {
            live,
            ledger,
            unread,
            remembered,
            address,
            trusted,
            key_file,
            admin: OnceCell::new(),
        })
    }

    /// The admin listener of the gateway that serves this configuration, if one responds that can be believed.
    pub(super) fn admin(&self) -> Option<SocketAddr> {
        *self.admin.get_or_init(|| {
            let (status, _) = read_status(self.address).ok()?;
            self.trusted.check().ok()?;
            same_gateway::reads_key_file(&status, &self.key_file).then_some(self.address)
        })
    }

    /// What the limits have left: by the gateway that serves, or else by the ledger.
    pub(in crate::cli) fn report(&self, wanted: &Wanted) -> Result<LimitsReport, Error> {
        match self.admin() {
            Some(admin) => read_limits(admin, wanted).map(|(report, _)| report),
            None => Ok(LimitsReport::of(&self.live, &self.remembered, wanted)),
        }
    }

    /// Where the report comes from, if not from a gateway.
    pub(in crate::cli) fn source(&self) -> Option<String> {
        let none = "No gateway serves this configuration";
        match (self.admin(), &self.unread, &self.ledger) {
            (Some(_), ..) => None,
            (None, Some(why), _) => Some(format!("{none}, and what was used is not known: {why}")),
            (None, None, Some(path)) => Some(format!(
                "{none}: this is what the ledger {} has.",
                path.display()
            )),
            (None, None, None) => Some(format!(
                "{none}, and it names no ledger: what was used is not known."
            )),
        }
    }

    /// Now, by both clocks.
    pub(in crate::cli) fn moment(&self) -> Moment {
        let live = &self.live;
        live.book.moment(Instant::now(), live.clock.now())
    }
}

fn read(path: &Path) -> Result<(Vec<Remembered>, Vec<RateRow>), LedgerError> {
    let now = Timestamp::now();
    Ok((accounts(path, now, false)?, read_rates(path, now)?))
}
