//! The access log: one JSON line per request on standard output, written by a thread of its own.
//!
//! A request never waits for the log: the channel is bounded, and records that find it full are
//! dropped and counted. A line holds no header values, no query and nothing of a body.

mod line;
mod record;

use std::io::{self, Write};
use std::time::Duration;

use prometheus::IntCounter;

use self::line::Line;
pub(crate) use self::record::{AccessRecord, RequestCost, cap};
use crate::runtime::line_queue::LineQueue;

/// How long the process waits at its end for the last lines to be read.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// A handle to the access log, cheap to clone. The writing thread ends when every clone is dropped.
#[derive(Clone)]
pub(crate) struct AccessLog {
    lines: Option<LineQueue<AccessRecord>>,
}

impl AccessLog {
    /// Starts a thread that writes to `output`. Lost lines are counted in `dropped`.
    pub(crate) fn start(
        output: impl Write + Send + 'static,
        dropped: IntCounter,
    ) -> io::Result<Self> {
        let lines = LineQueue::start("access-log", output, Line::default(), dropped)?;
        Ok(Self { lines: Some(lines) })
    }

    /// A log that drops every record silently.
    pub(crate) fn off() -> Self {
        Self { lines: None }
    }

    /// Queues a record, or drops and counts it if the queue is full.
    pub(crate) fn write(&self, record: AccessRecord) {
        if let Some(lines) = &self.lines {
            lines.push(record);
        }
    }

    /// Waits until every record so far is written, for at most two seconds in case the reader has
    /// stopped reading.
    pub(crate) fn flush(&self) {
        let unread = self
            .lines
            .as_ref()
            .is_some_and(|lines| !lines.flush(FLUSH_TIMEOUT));
        if unread {
            tracing::warn!("nobody reads the access log: its last lines are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::record::MAX_PATH;
    use super::*;

    fn counter() -> IntCounter {
        IntCounter::new("c", "c").unwrap()
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_record_is_one_line_of_json_whatever_is_in_it() {
        let output = Shared::default();
        let log = AccessLog::start(output.clone(), counter()).unwrap();
        log.write(AccessRecord::example("/a\r\n\u{1b}[31m{\"x\":1}"));
        log.write(AccessRecord::example(&"/x".repeat(10_000)));
        log.flush();
        let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["time"], "2026-11-21T10:00:00.500000Z");
        assert_eq!(lines[1]["path"].as_str().unwrap().len(), MAX_PATH);
    }
}
