//! Reads the files that are configuration themselves: `gateway.toml` and price files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::check;
use super::error::ConfigErrors;
use super::fetch::timezone::timezone_of;
use super::file::GatewayFile;
use crate::document::{Document, Location, Problems, Severity};
use crate::runtime::regular_file::{LARGEST_TOML, read_text};
use crate::usage::PriceList;

/// What commands need to know of a configuration that may have problems elsewhere.
pub(crate) struct Locations {
    /// The key file.
    pub(crate) key_file: PathBuf,
    /// The admin listener.
    pub(crate) admin: SocketAddr,
}

/// Where what was used is kept.
pub(crate) struct Records {
    /// The file of the ledger, if there is one.
    pub(crate) ledger: Option<PathBuf>,
    /// The time zone of days.
    pub(crate) timezone: TimeZone,
}

/// The text of the configuration at `path`.
pub(super) fn read_configuration(path: &Path, problems: &Problems) -> Option<String> {
    read_text(path, LARGEST_TOML)
        .map_err(|error| {
            let (fatal, passes) = (Severity::Fatal, error.may_pass());
            problems.push_unread(&Location::of_file(path), fatal, passes, error.to_string());
        })
        .ok()
}

/// The price file at `path`, which is named `at`.
pub(super) fn read_prices(path: &Path, at: &Location, problems: &Problems) -> Option<PriceList> {
    match read_text(path, LARGEST_TOML) {
        Ok(text) => Some(PriceList::read(&Document::new(path, text), problems)),
        Err(error) => {
            let why = format!("the price file {} {error}", path.display());
            problems.push_unread(at, Severity::Fatal, error.may_pass(), why);
            None
        }
    }
}

/// Reads the price file at `path`.
///
/// # Errors
/// Every problem of the file.
pub fn load_prices(path: &Path) -> Result<PriceList, ConfigErrors> {
    let problems = Problems::default();
    let list = read_prices(path, &Location::of_file(path), &problems);
    let problems = problems.into_sorted();
    list.filter(|_| problems.is_empty())
        .ok_or_else(|| ConfigErrors {
            problems,
            files: Vec::new(),
        })
}

/// The locations that the configuration at `path` names, whatever else is wrong with it: the first key can be made
/// before there is a token, and a gateway be reached that goes on serving an older configuration.
///
/// # Errors
/// When the file cannot be read, or its admin listener is wrong.
pub(crate) fn locations(path: &Path) -> Result<Locations, ConfigErrors> {
    let problems = Problems::default();
    let found = read_configuration(path, &problems).and_then(|text| {
        let document = Document::new(path, text);
        // Problems elsewhere in the file are dropped.
        let file = GatewayFile::parse(&document, &Problems::default());
        check::locations(file, path, &problems)
    });
    found
        .map(|(key_file, admin)| Locations { key_file, admin })
        .ok_or_else(|| ConfigErrors {
            problems: problems.into_sorted(),
            files: Vec::new(),
        })
}

/// Where the configuration at `path` keeps what was used, whatever else is wrong with it.
///
/// # Errors
/// When the file cannot be read, or has no such time zone.
pub(crate) fn records(path: &Path) -> Result<Records, ConfigErrors> {
    let problems = Problems::default();
    let found = read_configuration(path, &problems).map(|text| {
        let document = Document::new(path, text);
        // Problems elsewhere in the file are dropped.
        let file = GatewayFile::parse(&document, &Problems::default());
        let timezone = file.usage.timezone.clone();
        Records {
            ledger: check::ledger(file, path, &problems),
            timezone: timezone_of(timezone.as_ref(), &problems),
        }
    });
    let problems = problems.into_sorted();
    found
        .filter(|_| problems.is_empty())
        .ok_or_else(|| ConfigErrors {
            problems,
            files: Vec::new(),
        })
}
