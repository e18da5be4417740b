//! The real world: the operating system's files, clock and random source.
//!
//! Files are opened through `std`; the one thing `std` does not offer is a single write that is
//! durable when it returns (`RWF_DSYNC` on Linux, one system call where `write` and `fdatasync`
//! are two and flush more than they need). On other systems that write is a write and a sync.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the one module that may touch the world"
)]

use std::fs;
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::{Clock, Error, File, Fs, Lock, LockError, Random, Result};

/// How much zero is written per call when a file is allocated.
const ZERO_CHUNK: usize = 1 << 20;

/// The operating system's file system.
#[derive(Clone, Copy, Debug)]
pub struct OsFs;

/// A file of the operating system, with the path it was opened by for error messages.
#[derive(Debug)]
struct OsFile {
    file: fs::File,
    path: PathBuf,
}

impl OsFs {
    fn open_as(
        path: &Path,
        operation: &'static str,
        options: &fs::OpenOptions,
    ) -> Result<Arc<dyn File>> {
        let file = options
            .open(path)
            .map_err(|e| Error::new(operation, path, e))?;
        Ok(Arc::new(OsFile {
            file,
            path: path.to_path_buf(),
        }))
    }
}

impl Fs for OsFs {
    fn create(&self, path: &Path) -> Result<Arc<dyn File>> {
        Self::open_as(
            path,
            "create",
            fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true),
        )
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn File>> {
        Self::open_as(path, "open", fs::OpenOptions::new().read(true).write(true))
    }

    fn open_read_only(&self, path: &Path) -> Result<Arc<dyn File>> {
        Self::open_as(path, "open", fs::OpenOptions::new().read(true))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        let sync_parent = || self.sync_dir(parent.unwrap_or(Path::new(".")));
        if path.is_dir() {
            // Whoever has made it may have ended before this. A parent that this process may not
            // even read was made by somebody else, long ago.
            return match sync_parent() {
                Err(e) if e.source.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                synced => synced,
            };
        }
        if let Some(parent) = parent {
            self.create_dir(parent)?;
        }
        match fs::create_dir(path) {
            Ok(()) => sync_parent(),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => sync_parent(),
            Err(e) => Err(Error::new("create directory", path, e)),
        }
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let failed = |e| Error::new("list", dir, e);
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        path.try_exists()
            .map_err(|e| Error::new("look for", path, e))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(|e| Error::new("rename", from, e))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        fs::remove_file(path).map_err(|e| Error::new("remove", path, e))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        fs::hard_link(from, to).map_err(|e| Error::new("link", from, e))
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        fs::File::open(dir)
            .and_then(|handle| handle.sync_all())
            .map_err(|e| Error::new("sync directory", dir, e))
    }

    fn lock(&self, path: &Path) -> std::result::Result<Lock, LockError> {
        let failed = |e| Error::new("lock", path, e);
        // Not truncated on opening: the file still names the present holder.
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Only to name the holder: an unreadable lock file still means "held".
                let _ = file.read_to_string(&mut text);
                return Err(LockError::Held {
                    path: path.to_path_buf(),
                    holder: text.trim().parse().ok(),
                });
            }
            Err(fs::TryLockError::Error(e)) => return Err(failed(e).into()),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Lock::new(file))
    }
}

impl OsFile {
    fn error(&self, operation: &'static str, source: io::Error) -> Error {
        Error::new(operation, &self.path, source)
    }
}

impl File for OsFile {
    fn len(&self) -> Result<u64> {
        Ok(self
            .file
            .metadata()
            .map_err(|e| self.error("measure", e))?
            .len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.error("read", e)),
            }
        }
        Ok(done)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        self.file
            .write_all_at(data, offset)
            .map_err(|e| self.error("write", e))
    }

    #[cfg(target_os = "linux")]
    fn write_durable_at(&self, data: &[u8], offset: u64) -> Result<()> {
        use rustix::io::{Errno, ReadWriteFlags, pwritev2};
        let mut done = 0;
        while done < data.len() {
            let rest = IoSlice::new(&data[done..]);
            match pwritev2(
                &self.file,
                &[rest],
                offset + done as u64,
                ReadWriteFlags::DSYNC,
            ) {
                Ok(0) => return Err(self.error("write", io::ErrorKind::WriteZero.into())),
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                // A kernel or file system without the flag: the long way.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    self.write_at(&data[done..], offset + done as u64)?;
                    return self.sync_data();
                }
                Err(e) => return Err(self.error("write", e.into())),
            }
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn write_durable_at(&self, data: &[u8], offset: u64) -> Result<()> {
        self.write_at(data, offset)?;
        self.sync_data()
    }

    fn allocate_zeroed(&self, length: u64) -> Result<()> {
        let zeros = vec![0; ZERO_CHUNK];
        let mut at = self.len()?;
        while at < length {
            let step = usize::try_from(length - at)
                .unwrap_or(ZERO_CHUNK)
                .min(ZERO_CHUNK);
            self.write_at(&zeros[..step], at)?;
            at += step as u64;
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| self.error("sync", e))
    }
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct OsClock {
    start: Instant,
}

impl OsClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for OsClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for OsClock {
    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The operating system's random source.
#[derive(Clone, Copy, Debug)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        getrandom::fill(bytes)
            .map_err(|e| Error::new("read", Path::new("random source"), io::Error::other(e)))
    }
}

/// Raises this process's limit of open files as far as it may, and returns it, if there is one: a
/// database keeps each of its tables open, and the usual limit is low for that.
#[must_use]
pub fn raise_file_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // Refused: then it stays as it is.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current
}
