//! Reading logs: every request is counted once, and what could not be read is reported.

use jiff::Timestamp;

use super::access_line::AccessLine;
use super::counted::CountedRequests;
use super::log_line::{self, LogLine};
use super::source::Source;
use super::sum::{GroupBy, Sums};
use crate::cli::output::eprint;
use crate::error::Error;
use crate::runtime::printable::count;
use crate::usage::PriceList;

/// The logs that are read, and the sums so far.
pub(super) struct Reading<'r> {
    by: &'r [GroupBy],
    prices: Option<&'r PriceList>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    unique: CountedRequests,
    /// The sums of the counted requests.
    pub(super) sums: Sums,
    counted: u64,
    repeated: u64,
    /// The number of keygate's lines that do not count: events, and requests outside the time range.
    ignored: u64,
    /// The number of lines that are not keygate's.
    skipped: u64,
    /// The number of logs.
    sources: u64,
    /// The errors of the logs that were not read to their end.
    unread: Vec<Error>,
}

impl<'r> Reading<'r> {
    pub(super) fn new(
        by: &'r [GroupBy],
        (since, until): (Option<Timestamp>, Option<Timestamp>),
        prices: Option<&'r PriceList>,
    ) -> Self {
        Self {
            by,
            prices,
            since,
            until,
            unique: CountedRequests::default(),
            sums: Sums::new(),
            counted: 0,
            repeated: 0,
            ignored: 0,
            skipped: 0,
            sources: 0,
            unread: Vec::new(),
        }
    }

    /// Reads a log as far as possible. If it cannot be read, the other logs still count.
    pub(super) fn take(&mut self, source: Result<Source, Error>) {
        self.sources += 1;
        if let Err(error) = source.and_then(|source| self.read(source)) {
            self.unread.push(error);
        }
    }

    fn read(&mut self, mut source: Source) -> Result<(), Error> {
        let before = self.skipped;
        let mut lines = 0;
        let mut bytes = Vec::new();
        let ended = loop {
            match source.read(&mut bytes) {
                Ok(true) => {
                    lines += 1;
                    self.line(&bytes);
                }
                Ok(false) => break Ok(()),
                Err(error) => break Err(source.read_error(&error, lines)),
            }
        };
        Self::report_skipped(&source.name, self.skipped - before);
        ended.and_then(|()| source.finish())
    }

    fn line(&mut self, bytes: &[u8]) {
        if bytes.trim_ascii().is_empty() {
            return;
        }
        match log_line::parse(bytes) {
            LogLine::Access(line) => self.count(&line),
            LogLine::Event => self.ignored += 1,
            LogLine::Other => self.skipped += 1,
        }
    }

    fn report_skipped(name: &str, skipped: u64) {
        if skipped > 0 {
            let verb = if skipped == 1 {
                "is no access line"
            } else {
                "are no access lines"
            };
            let lines = count(skipped, "line");
            eprint(&format!("{name}: skipped: {lines} {verb}"));
        }
    }

    fn count(&mut self, line: &AccessLine) {
        if !self.is_in_range(line) {
            self.ignored += 1;
        } else if self.unique.insert(&line.request_id, &line.time) {
            self.counted += 1;
            let group = self.by.iter().map(|by| by.of(line)).collect();
            self.sums.entry(group).or_default().add(line, self.prices);
        } else {
            self.repeated += 1;
        }
    }

    fn is_in_range(&self, line: &AccessLine) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let time = line.time.parse::<Timestamp>();
        time.is_ok_and(|time| {
            self.since.is_none_or(|since| since <= time)
                && self.until.is_none_or(|until| time <= until)
        })
    }

    /// Reports what was not read. Returns the error with which the command ends after printing its sums; fails if nothing was
    /// read at all.
    pub(super) fn report_unread(&mut self) -> Result<Option<Error>, Error> {
        let is_nothing = self.counted + self.repeated + self.ignored + self.skipped == 0;
        let unread = std::mem::take(&mut self.unread);
        if unread.is_empty() {
            return Ok(None);
        }
        let (some, all) = (unread.len(), self.sources);
        if all == 1 && is_nothing {
            return unread.into_iter().next().map_or(Ok(None), Err);
        }
        for error in &unread {
            eprint(&error.to_string());
        }
        if is_nothing {
            return Err(Error::Failed(format!(
                "nothing was read: {some} of {all} files could not be"
            )));
        }
        Ok(Some(Error::Partial(match all {
            1 => "these sums are of the part that could be read".to_owned(),
            _ => format!(
                "these sums are of the part that could be read: {some} of {all} files were not, or not to their end"
            ),
        })))
    }

    /// Prints how many lines were left out as repetitions.
    pub(super) fn report_repeated(&self) {
        if self.repeated > 0 {
            let lines = count(self.repeated, "line");
            eprint(&format!(
                "{lines} left out: these requests were counted already"
            ));
        }
    }

    /// Whether any request was counted.
    pub(super) fn has_counted(&self) -> bool {
        self.counted > 0
    }

    /// Whether there were lines, and none of them was keygate's.
    pub(super) fn is_foreign(&self) -> bool {
        self.ignored == 0 && self.skipped > 0
    }

    /// Whether there was no line of keygate's that is not counted.
    pub(super) fn has_no_events(&self) -> bool {
        self.ignored == 0
    }
}
