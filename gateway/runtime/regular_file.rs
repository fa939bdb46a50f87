//! Reads a file that a configuration names: a regular file of a bounded size, and nothing that waits for a writer.
//!
//! A FIFO, a device, or a file without an end in the place of a configuration file would hold its reader up or take all
//! its memory. Whoever reads a file for the gateway reads it here. Knows nothing of what files hold, nor of whose they are.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::runtime::background;

/// The largest configuration, and the largest price file, in bytes.
pub const LARGEST_TOML: u64 = 16 << 20;
/// The largest file of certificates, in bytes: the bundle of a Linux distribution has some 250,000.
pub const LARGEST_PEM: u64 = 4 << 20;

/// Bytes that are read at a time.
const BUFFER: u64 = 64 << 10;

/// Why a file was not read.
#[derive(Debug)]
pub enum ReadError {
    /// It is not there.
    Absent,
    /// The system did not let it be read.
    Io(io::Error),
    /// It is no file of the kind that is wanted: what is wrong, with a cure where there is one.
    Unfit(String),
}

impl ReadError {
    /// Whether reading the unchanged file may succeed a moment later: the system had no file descriptor or no memory,
    /// or a disk did not answer. An error that is not known to stay counts as one that passes: it is tried again.
    pub fn may_pass(&self) -> bool {
        let Self::Io(error) = self else { return false };
        let stays = [
            Errno::ACCESS,
            Errno::PERM,
            Errno::NOTDIR,
            Errno::ISDIR,
            Errno::LOOP,
            Errno::NAMETOOLONG,
            Errno::NXIO,
            Errno::NODEV,
            Errno::INVAL,
        ];
        Errno::from_io_error(error).is_none_or(|error| !stays.contains(&error))
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("is not there"),
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::Unfit(why) => f.write_str(why),
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Absent,
            _ => Self::Io(error),
        }
    }
}

/// Opens the regular file at `path`, or the one that a symbolic link there leads to. Never waits: opening a FIFO
/// would, until somebody writes to it.
pub fn open(path: &Path) -> Result<(File, Metadata), ReadError> {
    // Before it is opened: opening a device may already do something.
    regular(&fs::metadata(path)?)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?;
    let file = File::from(file);
    // And once more, for it may have been replaced in between.
    let about = file.metadata()?;
    regular(&about)?;
    Ok((file, about))
}

/// Refuses what is not a regular file.
pub fn regular(about: &Metadata) -> Result<(), ReadError> {
    if about.is_file() {
        return Ok(());
    }
    Err(ReadError::Unfit("is not a regular file".to_owned()))
}

/// The text of the file at `path`, which has at most `largest` bytes.
pub fn read_text(path: &Path, largest: u64) -> Result<String, ReadError> {
    let (file, about) = open(path)?;
    text_of(&file, about.len(), largest)
}

/// The content of the file at `path`, which has at most `largest` bytes.
pub fn read_bytes(path: &Path, largest: u64) -> Result<Vec<u8>, ReadError> {
    let (file, about) = open(path)?;
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(room(about.len(), largest)?)
        .map_err(|_| no_memory(about.len()))?;
    each_piece(&file, largest, |chunk| {
        bytes.append(chunk);
        Ok(())
    })?;
    Ok(bytes)
}

/// The text of an open file of `size` bytes, as its metadata says, and of at most `largest`.
pub fn text_of(file: &File, size: u64, largest: u64) -> Result<String, ReadError> {
    let mut text = String::new();
    text.try_reserve_exact(room(size, largest)?)
        .map_err(|_| no_memory(size))?;
    let not_text = || ReadError::Unfit("is not text".to_owned());
    let mut left = false;
    // Chunk by chunk, for it may be large, and checking it whole would let nobody else run.
    each_piece(file, largest, |chunk| {
        let whole = match std::str::from_utf8(chunk) {
            Ok(_) => chunk.len(),
            // A character goes on in the next chunk.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(not_text()),
        };
        let rest = chunk.split_off(whole);
        text.push_str(std::str::from_utf8(chunk).map_err(|_| not_text())?);
        left = !rest.is_empty();
        *chunk = rest;
        Ok(())
    })?;
    if left { Err(not_text()) } else { Ok(text) }
}

/// Room for `size` bytes, if a file may have so many. The size may be a lie: files of /proc have none, others grow.
fn room(size: u64, largest: u64) -> Result<usize, ReadError> {
    if size > largest {
        return Err(too_large(size, largest));
    }
    usize::try_from(size).map_err(|_| no_memory(size))
}

fn no_memory(size: u64) -> ReadError {
    let why = format!("there is no memory for its {size} bytes");
    io::Error::new(io::ErrorKind::OutOfMemory, why).into()
}

/// Hands over the content chunk by chunk. What `take` leaves of a chunk stands before the next one.
fn each_piece(
    file: &File,
    largest: u64,
    mut take: impl FnMut(&mut Vec<u8>) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let (mut chunk, mut read) = (Vec::new(), 0);
    loop {
        let more = file.take(BUFFER).read_to_end(&mut chunk)?;
        if more == 0 {
            return Ok(());
        }
        read += more as u64;
        if read > largest {
            return Err(too_large(read, largest));
        }
        take(&mut chunk)?;
        background::step();
    }
}

fn too_large(size: u64, largest: u64) -> ReadError {
    let most = match largest >> 20 {
        0 => format!("{} KiB", largest >> 10),
        mebibytes => format!("{mebibytes} MiB"),
    };
    ReadError::Unfit(format!(
        "is too large: {size} bytes or more, of at most {most}"
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    const MOST: u64 = 100 << 10;

    fn refusal(path: &Path) -> String {
        match read_bytes(path, MOST) {
            Err(error @ ReadError::Unfit(_)) => error.to_string(),
            other => panic!("{}: {other:?}", path.display()),
        }
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let link = folder.path().join("link");
        symlink("/dev/zero", &link).unwrap();
        for path in [&fifo, &link, folder.path(), Path::new("/dev/zero")] {
            assert_eq!(refusal(path), "is not a regular file");
        }
        let nothing = read_bytes(&folder.path().join("nothing"), MOST);
        assert!(matches!(nothing, Err(ReadError::Absent)));
    }

    #[test]
    fn a_file_is_read_up_to_its_limit_and_not_a_byte_further() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let limit = usize::try_from(MOST).unwrap();
        for size in [0, 1, limit - 1, limit] {
            fs::write(&path, vec![b'x'; size]).unwrap();
            assert_eq!(read_text(&path, MOST).unwrap().len(), size);
        }
        let sparse = File::create(&path).unwrap();
        for size in [MOST + 1, 2 << 30] {
            sparse.set_len(size).unwrap();
            let why = refusal(&path);
            assert_eq!(
                why,
                format!("is too large: {size} bytes or more, of at most 100 KiB")
            );
        }
        // A character on the border of two chunks, and half of one at the end.
        let text = "x".to_owned() + &"\u{20ac}".repeat(30 << 10);
        fs::write(&path, &text).unwrap();
        assert!(read_text(&path, MOST).unwrap() == text);
        let halves: [&[u8]; 3] = [&[0xff], &text.as_bytes()[..5], b"a\xe2\x82b"];
        for half in halves {
            fs::write(&path, half).unwrap();
            let why = read_text(&path, MOST).unwrap_err().to_string();
            assert_eq!(why, "is not text");
        }
        // One whose size says nothing.
        let (file, about) = open(Path::new("/proc/self/status")).unwrap();
        assert_eq!(about.len(), 0);
        assert!(matches!(text_of(&file, 0, 10), Err(ReadError::Unfit(_))));
    }

    #[test]
    fn an_error_passes_unless_it_is_known_to_stay() {
        let passes = |errno: Errno| ReadError::from(io::Error::from(errno)).may_pass();
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::IO,
            Errno::NOMEM,
            Errno::STALE,
            Errno::TIMEDOUT,
        ] {
            assert!(passes(errno), "{errno}");
        }
        for errno in [
            Errno::NOENT,
            Errno::ACCESS,
            Errno::PERM,
            Errno::LOOP,
            Errno::NOTDIR,
        ] {
            assert!(!passes(errno), "{errno}");
        }
        let no_memory = io::Error::new(io::ErrorKind::OutOfMemory, "none");
        assert!(ReadError::from(no_memory).may_pass());
        assert!(!ReadError::Unfit("is not text".to_owned()).may_pass());
    }
}
