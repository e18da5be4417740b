//! A gate in front of a simulated disk: a test shuts it, waits for somebody to arrive, and looks
//! at the database while that thread stands in the middle of a write.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use nexusbase_db::Options;
use nexusbase_io::sim::SimDisk;
use nexusbase_io::{Env, File, Fs, Lock, LockError, Result};
use parking_lot::{Condvar, Mutex};

/// What a test waits at most for something that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What waits at the gate while it is shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Writing, durably or not.
    Write,
    /// Making room for a segment.
    Allocate,
}

/// Open until somebody shuts it.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shut_for: Option<Work>,
    /// How many stand before it, those with a pass not counted.
    held: usize,
    passes: usize,
}

impl Gate {
    /// Opens a database on `disk` behind this gate.
    pub(crate) fn options(self: &Arc<Self>, disk: &SimDisk) -> Options {
        let fs = GatedFs {
            disk: disk.clone(),
            gate: Arc::clone(self),
        };
        Options {
            segment_bytes: 4 << 20,
            env: Env {
                fs: Arc::new(fs),
                ..Env::os()
            },
            ..Options::default()
        }
    }

    /// Shuts it for `work`, until what this returns is dropped: also by a test that fails, which
    /// could otherwise not close its database.
    pub(crate) fn shut(self: &Arc<Self>, work: Work) -> Shut {
        self.state.lock().shut_for = Some(work);
        Shut(Arc::clone(self))
    }

    fn pass(&self, work: Work) {
        let mut state = self.state.lock();
        if state.shut_for != Some(work) {
            return;
        }
        state.held += 1;
        self.changed.notify_all();
        while state.shut_for == Some(work) && state.passes == 0 {
            self.changed.wait(&mut state);
        }
        state.passes = state.passes.saturating_sub(1);
    }
}

/// A gate that is shut.
#[derive(Debug)]
pub(crate) struct Shut(Arc<Gate>);

impl Shut {
    /// Waits until somebody stands before it.
    pub(crate) fn wait_for_one(&self) {
        let mut state = self.0.state.lock();
        let nobody = |state: &mut State| state.held == 0;
        let waited = self.0.changed.wait_while_for(&mut state, nobody, PATIENCE);
        assert!(!waited.timed_out(), "nobody came to the gate");
    }

    /// Lets one of those through that stand before it.
    pub(crate) fn let_one_through(&self) {
        let mut state = self.0.state.lock();
        state.held -= 1;
        state.passes += 1;
        self.0.changed.notify_all();
    }
}

impl Drop for Shut {
    fn drop(&mut self) {
        *self.0.state.lock() = State::default();
        self.0.changed.notify_all();
    }
}

/// Runs `work` on a thread of its own; what it returns can be waited for, or not.
pub(crate) fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    receiver
}

/// What a thread had for an answer.
pub(crate) fn answer<T, E: Debug>(receiver: &Receiver<std::result::Result<T, E>>) -> T {
    receiver.recv_timeout(PATIENCE).unwrap().unwrap()
}

#[derive(Debug)]
struct GatedFs {
    disk: SimDisk,
    gate: Arc<Gate>,
}

impl GatedFs {
    fn gated(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        let gate = Arc::clone(&self.gate);
        Arc::new(GatedFile { file, gate })
    }
}

impl Fs for GatedFs {
    fn create(&self, path: &Path) -> Result<Arc<dyn File>> {
        Ok(self.gated(self.disk.create(path)?))
    }
    fn open(&self, path: &Path) -> Result<Arc<dyn File>> {
        Ok(self.gated(self.disk.open(path)?))
    }
    fn open_read_only(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.disk.open_read_only(path)
    }
    fn create_dir(&self, path: &Path) -> Result<()> {
        self.disk.create_dir(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn exists(&self, path: &Path) -> Result<bool> {
        self.disk.exists(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<()> {
        self.disk.remove(path)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        self.disk.hard_link(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.disk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> std::result::Result<Lock, LockError> {
        self.disk.lock(path)
    }
}

#[derive(Debug)]
struct GatedFile {
    file: Arc<dyn File>,
    gate: Arc<Gate>,
}

impl File for GatedFile {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        self.gate.pass(Work::Write);
        self.file.write_at(data, offset)
    }
    fn write_durable_at(&self, data: &[u8], offset: u64) -> Result<()> {
        self.gate.pass(Work::Write);
        self.file.write_durable_at(data, offset)
    }
    fn allocate_zeroed(&self, length: u64) -> Result<()> {
        self.gate.pass(Work::Allocate);
        self.file.allocate_zeroed(length)
    }
    fn sync_data(&self) -> Result<()> {
        self.file.sync_data()
    }
}
