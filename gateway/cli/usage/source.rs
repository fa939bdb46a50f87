//! Where logs are read from: files, compressed or not, standard input, and the journal.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;

use crate::error::Error;
use crate::runtime::printable::count;

/// The longest line that is read, in bytes: access lines are much shorter, and something without an end is none.
const LONGEST: u64 = 4 << 20;
/// Bytes that are looked at to know what a file is.
const MAGIC_BYTES: u64 = 8;

/// How files of others begin, what they are, and how they become text.
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
    /// What people call it.
    pub(super) name: String,
    lines: Box<dyn BufRead>,
    journal: Option<Child>,
}

impl Source {
    /// The file at `path`, or standard input if that is `-`.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        if path == Path::new("-") {
            return Self::of("(standard input)".to_owned(), io::stdin());
        }
        let file =
            File::open(path).map_err(|error| Error::failed(format_args!("read {name}"), error))?;
        Self::of(name, file)
    }

    /// The journal of a unit of systemd, since a time if there is one. To its end: a line has the time at which its
    /// request began, and the journal that at which it was written, an hour later perhaps.
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
                if let Some((_, what, cure)) = known {
                    return Err(Error::Failed(format!(
                        "{name} is {what}, which is not read: {cure}"
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

    /// The next line, into `line`; `false` at the end. A line that is too long is given as an empty one.
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

    /// What to say where this ends in an error, with so many lines read before it.
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

    /// After the end: whether all of it was read.
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
