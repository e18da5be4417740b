//! The simulated disk as tests hold it, and as a database sees it.

use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::content::Content;
use super::names::Inode;
use super::random::SimRng;
use super::state::{Counters, FaultKind, State, Step, power_is_off};
use crate::{Error, File, Fs, Lock, LockError, Result};

/// A disk in memory that breaks on demand; the [module](super) says how. Clones share the disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// The life that this handle is good for; any, if it is a test's.
    life: Option<u64>,
}

impl SimDisk {
    /// The process id that lock files name.
    pub const PID: u32 = 4242;

    /// An empty disk. `seed` decides how failing operations fail.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(seed))),
            life: None,
        }
    }

    /// A second disk in the same state, to try different fates from one point. Handles stay with
    /// this disk; the fork begins a new life, as after [`SimDisk::kill`].
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut state = self.state.lock().clone();
        state.end_life();
        Self {
            state: Arc::new(Mutex::new(state)),
            life: None,
        }
    }

    /// A handle that works only until the next [`SimDisk::crash`] or [`SimDisk::kill`].
    #[must_use]
    pub fn for_this_life(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            life: Some(self.state.lock().life),
        }
    }

    /// Cuts the power and starts the machine again; `seed` decides what was lost.
    pub fn crash(&self, seed: u64) {
        self.state.lock().crash(&mut SimRng::new(seed));
    }

    /// Kills the process (`SIGKILL`); the machine lives, and loses nothing.
    pub fn kill(&self) {
        self.state.lock().end_life();
    }

    /// Whether the power is off, since an operation that [`SimDisk::crash_at`] chose.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.state.lock().crashed
    }

    /// Lets the `n`-th operation from now fail, once; 1 is the next one.
    pub fn fail_at(&self, n: u64, kind: FaultKind) {
        let mut state = self.state.lock();
        let at = state.counters.operations.saturating_add(n.max(1));
        state.faults.insert(at, kind);
    }

    /// Lets the power go in the middle of the `n`-th operation from now; 1 is the next one.
    pub fn crash_at(&self, n: u64) {
        let mut state = self.state.lock();
        state.power_cut_at = Some(state.counters.operations.saturating_add(n.max(1)));
    }

    /// Forgets what [`SimDisk::fail_at`] and [`SimDisk::crash_at`] have planned.
    pub fn clear_faults(&self) {
        let mut state = self.state.lock();
        state.faults.clear();
        state.power_cut_at = None;
    }

    /// Limits the bytes in all files together; `None` is no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Whether syncs of files and durable writes only pretend.
    pub fn set_skip_syncs(&self, skip: bool) {
        self.state.lock().skip_syncs = skip;
    }

    /// Whether syncs of directories only pretend.
    pub fn set_skip_dir_syncs(&self, skip: bool) {
        self.state.lock().skip_dir_syncs = skip;
    }

    /// Flips bit `bit` (0 to 7) of the byte at `offset`: the medium has rotted.
    ///
    /// # Errors
    /// When there is no such file or it is shorter.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> Result<()> {
        let mut state = self.state.lock();
        let flip = |state: &mut State| {
            let inode = state.file(&clean(path))?;
            let content = state.content(inode)?;
            if offset >= content.length() || bit > 7 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            content.flip_bit(offset, bit);
            Ok(())
        };
        flip(&mut state).map_err(|e| Error::new("flip a bit of", path, e))
    }

    /// How many operations this disk was asked for.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.lock().counters.operations
    }

    /// What this disk was asked for.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.state.lock().counters
    }

    /// What reading the whole file would show; `None` if there is none. Not an operation: works
    /// without power too.
    #[must_use]
    pub fn file_bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state.lock();
        let inode = state.names.get(&clean(path))?;
        state.contents.get(&inode).map(Content::bytes)
    }

    /// Replaces the content of a file, or creates it and its directories; durable at once. Not an
    /// operation.
    pub fn set_file_bytes(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state.lock();
        let path = clean(path);
        state
            .dirs
            .extend(path.ancestors().skip(1).map(Path::to_path_buf));
        let content = Content::durable(bytes);
        let inode = match state.names.get(&path) {
            Some(inode) => {
                state.contents.insert(inode, content);
                inode
            }
            None => state.add_content(content),
        };
        state.names.add_durably(&path, inode);
    }

    /// The paths of all files, sorted.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state
            .lock()
            .names
            .visible()
            .map(|(path, _)| path.to_path_buf())
            .collect()
    }

    /// One operation. `body` says what each step of it does.
    fn operate<T>(
        &self,
        operation: &'static str,
        path: &Path,
        body: impl FnOnce(&mut State, Step) -> io::Result<T>,
    ) -> Result<T> {
        let mut state = self.state.lock();
        let life = self.life.unwrap_or(state.life);
        let step = state
            .begin(life)
            .map_err(|e| Error::new(operation, path, e))?;
        body(&mut state, step).map_err(|e| Error::new(operation, path, e))
    }

    /// An operation that happens whole or not at all.
    fn whole<T>(
        &self,
        operation: &'static str,
        path: &Path,
        body: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> Result<T> {
        self.operate(operation, path, |state, step| match step {
            Step::Work => body(state),
            Step::Fail(kind) => Err(kind.error()),
            Step::PowerCut => {
                if state.rng.chance(0.5) {
                    // Whether it would have succeeded no longer interests anybody.
                    let _ = body(state);
                }
                Err(power_is_off())
            }
        })
    }

    fn open_as(
        &self,
        operation: &'static str,
        path: &Path,
        writable: bool,
        find: impl FnOnce(&mut State, &Path) -> io::Result<Inode>,
    ) -> Result<Arc<dyn File>> {
        let (inode, life) = self.whole(operation, path, |state| {
            let inode = find(state, &clean(path))?;
            *state.handles.entry(inode).or_default() += 1;
            Ok((inode, state.life))
        })?;
        let disk = Self {
            state: Arc::clone(&self.state),
            life: Some(life),
        };
        Ok(Arc::new(SimFile {
            disk,
            inode,
            path: path.to_path_buf(),
            writable,
        }))
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk")
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

/// The one spelling of a path that names are kept under.
fn clean(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .collect()
}

impl Fs for SimDisk {
    fn create(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.open_as("create", path, true, State::create)
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.open_as("open", path, true, |state, path| state.file(path))
    }

    fn open_read_only(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.open_as("open", path, false, |state, path| state.file(path))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.whole("create directory", path, |state| {
            state.create_dir(&clean(path))
        })
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.whole("list", dir, |state| state.list(&clean(dir)))
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.whole("look for", path, |state| Ok(state.exists(&clean(path))))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.whole("rename", from, |state| {
            state.rename(&clean(from), &clean(to))
        })
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.whole("remove", path, |state| state.remove(&clean(path)))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        self.whole("link", from, |state| {
            state.hard_link(&clean(from), &clean(to))
        })
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.operate("sync directory", dir, |state, step| {
            state.sync_dir(&clean(dir), step)
        })
    }

    fn lock(&self, path: &Path) -> std::result::Result<Lock, LockError> {
        let taken = self.whole("lock", path, |state| {
            let file = clean(path);
            let inode = if state.exists(&file) {
                state.file(&file)?
            } else {
                state.create(&file)?
            };
            if !state.locks.insert(inode) {
                return Ok(None);
            }
            let pid = format!("{}\n", Self::PID);
            state.content(inode)?.write(pid.as_bytes(), 0);
            Ok(Some((inode, state.life)))
        })?;
        let Some((inode, life)) = taken else {
            return Err(LockError::Held {
                path: path.to_path_buf(),
                holder: Some(Self::PID),
            });
        };
        Ok(Lock::new(LockGuard {
            state: Arc::clone(&self.state),
            inode,
            life,
        }))
    }
}

/// Gives a lock back.
struct LockGuard {
    state: Arc<Mutex<State>>,
    inode: Inode,
    life: u64,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if state.life == self.life {
            state.locks.remove(&self.inode);
        }
    }
}

/// An open file of a simulated disk.
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: Inode,
    path: PathBuf,
    writable: bool,
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable {
            Ok(())
        } else {
            Err(Errno::BADF.into())
        }
    }
}

impl File for SimFile {
    fn len(&self) -> Result<u64> {
        self.disk.whole("measure", &self.path, |state| {
            Ok(state.content(self.inode)?.length())
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.disk.whole("read", &self.path, |state| {
            Ok(state.content(self.inode)?.read(buffer, offset))
        })
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        self.disk.operate("write", &self.path, |state, step| {
            self.check_writable()?;
            state.write(self.inode, data, offset, step)
        })
    }

    fn write_durable_at(&self, data: &[u8], offset: u64) -> Result<()> {
        self.disk.operate("write", &self.path, |state, step| {
            self.check_writable()?;
            state.write_durable(self.inode, data, offset, step)
        })
    }

    fn allocate_zeroed(&self, length: u64) -> Result<()> {
        self.disk.operate("write", &self.path, |state, step| {
            self.check_writable()?;
            state.allocate_zeroed(self.inode, length, step)
        })
    }

    fn sync_data(&self) -> Result<()> {
        self.disk.operate("sync", &self.path, |state, step| {
            state.sync(self.inode, step)
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        if self.disk.life != Some(state.life) {
            return;
        }
        if let Some(handles) = state.handles.get_mut(&self.inode) {
            *handles -= 1;
            if *handles == 0 {
                state.handles.remove(&self.inode);
            }
        }
    }
}
