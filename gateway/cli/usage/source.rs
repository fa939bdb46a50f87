//! The sources of logs: files, compressed or not, standard input, and the journal.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;

use crate::error::Error;
use crate::runtime::printable::count;

/// The longest line that is read, in bytes. Access lines are much shorter, so a longer line is not one.
const LONGEST: u64 = 4 << 20;
/// The number of bytes by which the format of a file is recognized.
const MAGIC_BYTES: u64 = 8;

/// Formats that are not read: the bytes at the start of a file, the name, and a command that converts it.
const UNREADABLE: [(&[u8], &str, &str); 5] = [
    (
        b"\xfd7zXZ\0",
        "compressed by xz",
        "xzcat FILE | keygate usage -",
    ),
    (
        b"BZh",
        "compressed by bzip2",
        "bzcat FILE | keygate usage -",
    ),
    (
        b"\x04\x22\x4d\x18",
        "compressed by lz4",
        "lz4cat FILE | keygate usage -",
    ),
    (
        b"PK\x03\x04",
        "a zip archive",
        "unzip -p FILE | keygate usage -",
    ),
    (
        b"LPKSHHRH",
        "a file of journald",
        "journalctl --file FILE -o cat | keygate usage -",
    ),
];

/// A log that is being read.
pub(super) struct Source {
    /// The name of the source in messages.
    pub(super) name: String,
    lines: Box<dyn BufRead>,
    journal: Option<Child>,
}

impl Source {
    /// Opens the file at `path`, or standard input for `-`.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        if path == Path::new("-") {
            return Self::of("(standard input)".to_owned(), io::stdin());
        }
        let file =
            File::open(path).map_err(|error| Error::failed(format_args!("read {name}"), error))?;
        Self::of(name, file)
    }

    /// Starts to read the journal of a systemd unit since a time. Always to its end: the journal has the time at which a line
    /// was written, which may be an hour after the start of its request.
    pub(super) fn journal(unit: &str, since: Option<Timestamp>) -> Result<Self, Error> {
        let mut command = Command::new("journalctl");
        command.args(["--no-pager", "-o", "cat", "-u", unit]);
        if let Some(since) = since {
            command.arg(format!("--since=@{}", since.as_second()));
        }
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut journal = started.map_err(|error| {
            Error::Failed(format!(
                "the journal cannot be read ({error}): name files of access lines, or `-` for standard input"
            ))
        })?;
        let Some(output) = journal.stdout.take() else {
            return Err(Error::Failed("journalctl has no output".to_owned()));
        };
        Ok(Self {
            name: format!("the journal of {unit}"),
            lines: Box::new(BufReader::new(output)),
            journal: Some(journal),
        })
    }

    fn of(name: String, mut input: impl Read + 'static) -> Result<Self, Error> {
        let failed = |error| Error::failed(format_args!("read {name}"), error);
        let mut beginning = Vec::new();
        input
            .by_ref()
            .take(MAGIC_BYTES)
            .read_to_end(&mut beginning)
            .map_err(failed)?;
        let whole = io::Cursor::new(beginning.clone()).chain(input);
        let lines: Box<dyn BufRead> = match &*beginning {
            [0x1f, 0x8b, ..] => Box::new(BufReader::new(MultiGzDecoder::new(whole))),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                let decoder = zstd::stream::read::Decoder::new(whole);
                Box::new(BufReader::new(decoder.map_err(failed)?))
            }
            other => {
                let known = UNREADABLE
                    .iter()
                    .find(|(begins, ..)| other.starts_with(begins));
                if let Some((_, what, command)) = known {
                    return Err(Error::Failed(format!(
                        "{name} is {what}, which is not read: {command}"
                    )));
                }
                Box::new(BufReader::new(whole))
            }
        };
        Ok(Self {
            name,
            lines,
            journal: None,
        })
    }

    /// Reads the next line into `line`; returns `false` at the end. A line that is too long is replaced by a marker.
    pub(super) fn read(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        let mut lines = self.lines.by_ref().take(LONGEST);
        let read = lines.read_until(b'\n', line)?;
        if read as u64 == LONGEST && !line.ends_with(b"\n") {
            line.clear();
            line.extend(b"(too long)");
            self.lines.skip_until(b'\n')?;
        }
        Ok(read > 0)
    }

    /// The error for a source that failed after this number of lines.
    pub(super) fn read_error(&self, error: &io::Error, lines: u64) -> Error {
        let why = match error.kind() {
            io::ErrorKind::UnexpectedEof => "it is cut off, or still being written".to_owned(),
            _ => error.to_string(),
        };
        let name = &self.name;
        Error::Failed(match lines {
            0 => format!("cannot read {name}: {why}"),
            _ => format!(
                "cannot read {name} to its end: {why}; before that, {}, which {}",
                count(lines, "line"),
                if lines == 1 { "counts" } else { "count" }
            ),
        })
    }

    /// Reports whether the source was complete. To be called at its end.
    pub(super) fn finish(self) -> Result<(), Error> {
        let Some(mut journal) = self.journal else {
            return Ok(());
        };
        match journal.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Error::Failed(format!("journalctl has failed: {status}"))),
            Err(error) => Err(Error::failed("wait for journalctl", error)),
        }
    }
}
