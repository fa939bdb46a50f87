//! Reads files that a configuration names: regular files of bounded size only.
//!
//! A FIFO, a device or an endless file would block its reader or take all memory. All files of the gateway are read here.
//! Knows neither the contents of files nor their owners.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::runtime::background;

/// The largest configuration, and the largest price file, in bytes.
pub(crate) const LARGEST_TOML: u64 = 16 << 20;
/// The largest file of certificates, in bytes: the bundle of a Linux distribution has some 250,000.
pub(crate) const LARGEST_PEM: u64 = 4 << 20;

/// How much is read at a time, in bytes.
const BUFFER: u64 = 64 << 10;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The file does not exist.
    #[error("is not there")]
    Absent,
    /// The system refused to read it.
    #[error("cannot be read: {0}")]
    Io(#[source] io::Error),
    /// It is not a suitable file: what is wrong, and how to fix it if that is known.
    #[error("{0}")]
    Unfit(String),
}

impl ReadError {
    /// Whether a later try may succeed although the file is unchanged: the system had no descriptor or no memory, or a disk
    /// did not respond. Errors that are not known to be permanent count as transient, so that they are retried.
    pub(crate) fn may_pass(&self) -> bool {
        let Self::Io(error) = self else { return false };
        let permanent = [
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
        Errno::from_io_error(error).is_none_or(|error| !permanent.contains(&error))
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

/// Opens the regular file at `path`, or the one that a symbolic link there leads to. Never blocks, as opening a FIFO
/// would until it has a writer.
///
/// # Errors
/// See [`ReadError`].
pub(crate) fn open(path: &Path) -> Result<(File, Metadata), ReadError> {
    // Check before opening: opening a device may have an effect.
    regular(&fs::metadata(path)?)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(io::Error::from)?;
    // Check again: it may have been replaced in between.
    let about = file.metadata()?;
    regular(&about)?;
    Ok((file, about))
}

/// Checks that the metadata is that of a regular file.
///
/// # Errors
/// [`ReadError::Unfit`] if it is not.
pub(crate) fn regular(about: &Metadata) -> Result<(), ReadError> {
    if about.is_file() {
        return Ok(());
    }
    Err(ReadError::Unfit("is not a regular file".to_owned()))
}

/// Reads the file at `path` as UTF-8 text of at most `largest` bytes.
///
/// # Errors
/// See [`ReadError`].
pub(crate) fn read_text(path: &Path, largest: u64) -> Result<String, ReadError> {
    let (file, about) = open(path)?;
    text_of(&file, about.len(), largest)
}

/// Reads the file at `path`, of at most `largest` bytes.
///
/// # Errors
/// See [`ReadError`].
pub(crate) fn read_bytes(path: &Path, largest: u64) -> Result<Vec<u8>, ReadError> {
    let (file, about) = open(path)?;
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(room(about.len(), largest)?)
        .map_err(|_| no_memory(about.len()))?;
    each_chunk(&file, largest, |chunk| {
        bytes.append(chunk);
        Ok(())
    })?;
    Ok(bytes)
}

/// Reads an open file as UTF-8 text of at most `largest` bytes. `size` is its length by its metadata.
///
/// # Errors
/// See [`ReadError`].
pub(crate) fn text_of(file: &File, size: u64, largest: u64) -> Result<String, ReadError> {
    let mut text = String::new();
    text.try_reserve_exact(room(size, largest)?)
        .map_err(|_| no_memory(size))?;
    let not_text = || ReadError::Unfit("is not text".to_owned());
    let mut is_cut = false;
    // Validate chunk by chunk: validating a large file as a whole would block the thread.
    each_chunk(file, largest, |chunk| {
        let whole = match std::str::from_utf8(chunk) {
            Ok(_) => chunk.len(),
            // A character continues in the next chunk.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(not_text()),
        };
        let rest = chunk.split_off(whole);
        text.push_str(std::str::from_utf8(chunk).map_err(|_| not_text())?);
        is_cut = !rest.is_empty();
        *chunk = rest;
        Ok(())
    })?;
    if is_cut { Err(not_text()) } else { Ok(text) }
}

/// The capacity for a file whose metadata reports `size` bytes. That may be wrong: files of /proc have size 0, others
/// grow.
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

/// Passes the content to `take` chunk by chunk. Bytes that `take` leaves in a chunk are put before the next one.
fn each_chunk(
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
        background::yield_to_others();
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
    fn a_file_that_is_not_regular_is_refused_without_waiting() {
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
    fn a_file_is_read_up_to_its_limit_and_no_further() {
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
        // A character that spans two chunks, and an incomplete one at the end.
        let text = "x".to_owned() + &"\u{20ac}".repeat(30 << 10);
        fs::write(&path, &text).unwrap();
        assert!(read_text(&path, MOST).unwrap() == text);
        let halves: [&[u8]; 3] = [&[0xff], &text.as_bytes()[..5], b"a\xe2\x82b"];
        for half in halves {
            fs::write(&path, half).unwrap();
            let why = read_text(&path, MOST).unwrap_err().to_string();
            assert_eq!(why, "is not text");
        }
        // A file whose size is always 0.
        let (file, about) = open(Path::new("/proc/self/status")).unwrap();
        assert_eq!(about.len(), 0);
        assert!(matches!(text_of(&file, 0, 10), Err(ReadError::Unfit(_))));
    }

    #[test]
    fn an_error_is_transient_unless_it_is_known_to_be_permanent() {
        let is_transient = |errno: Errno| ReadError::from(io::Error::from(errno)).may_pass();
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::IO,
            Errno::NOMEM,
            Errno::STALE,
            Errno::TIMEDOUT,
        ] {
            assert!(is_transient(errno), "{errno}");
        }
        for errno in [
            Errno::NOENT,
            Errno::ACCESS,
            Errno::PERM,
            Errno::LOOP,
            Errno::NOTDIR,
        ] {
            assert!(!is_transient(errno), "{errno}");
        }
        let no_memory = io::Error::new(io::ErrorKind::OutOfMemory, "none");
        assert!(ReadError::from(no_memory).may_pass());
        assert!(!ReadError::Unfit("is not text".to_owned()).may_pass());
    }
}
