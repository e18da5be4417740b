//! Everything that a simulated disk knows, and what each operation does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::content::{Content, Fate};
use super::names::{Inode, Names, parent};
use super::random::SimRng;

/// How an operation fails that [`SimDisk::fail_at`](super::SimDisk::fail_at) has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The device answers with an I/O error (`EIO`).
    Io,
    /// The device says that it is full (`ENOSPC`), whatever its capacity.
    NoSpace,
}

impl FaultKind {
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Io => Errno::IO.into(),
            Self::NoSpace => Errno::NOSPC.into(),
        }
    }
}

/// How often a disk was asked to do something, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Operations of any kind, failed ones included.
    pub operations: u64,
    /// Writes that are not durable by themselves.
    pub writes: u64,
    /// Writes that are.
    pub durable_writes: u64,
    /// Bytes in both kinds of writes; zeros of allocations are not counted.
    pub bytes_written: u64,
    /// Syncs of files.
    pub syncs: u64,
    /// Syncs of directories.
    pub dir_syncs: u64,
    /// Syncs of directories that have failed in this life. A file system whose journal cannot be
    /// written serves nobody before the next start of the machine, so a faithful simulation lets
    /// a power cut follow.
    pub failed_dir_syncs: u64,
}

/// What an operation is to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// What it is for.
    Work,
    /// Fail, in its own way.
    Fail(FaultKind),
    /// Get only half done before the power goes.
    PowerCut,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) life: u64,
    pub(super) crashed: bool,
    pub(super) rng: SimRng,
    pub(super) names: Names,
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) contents: BTreeMap<Inode, Content>,
    /// How many handles each file has.
    pub(super) handles: BTreeMap<Inode, usize>,
    pub(super) locks: BTreeSet<Inode>,
    pub(super) faults: BTreeMap<u64, FaultKind>,
    pub(super) power_cut_at: Option<u64>,
    pub(super) capacity: Option<u64>,
    pub(super) skip_syncs: bool,
    pub(super) skip_dir_syncs: bool,
    pub(super) counters: Counters,
    next_inode: Inode,
}

pub(super) fn power_is_off() -> io::Error {
    io::Error::other("the simulated machine has lost its power")
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            life: 0,
            crashed: false,
            rng: SimRng::new(seed),
            names: Names::default(),
            // Where relative and absolute paths begin.
            dirs: ["", "/"].into_iter().map(PathBuf::from).collect(),
            contents: BTreeMap::new(),
            handles: BTreeMap::new(),
            locks: BTreeSet::new(),
            faults: BTreeMap::new(),
            power_cut_at: None,
            capacity: None,
            skip_syncs: false,
            skip_dir_syncs: false,
            counters: Counters::default(),
            next_inode: 0,
        }
    }

    /// Counts an operation of a process that lived in `life`, and decides what becomes of it.
    pub(super) fn begin(&mut self, life: u64) -> io::Result<Step> {
        if life != self.life {
            return Err(io::Error::other(
                "this belongs to a life of the simulated disk that ended",
            ));
        }
        if self.crashed {
            return Err(power_is_off());
        }
        self.counters.operations += 1;
        if self.power_cut_at == Some(self.counters.operations) {
            self.crashed = true;
            return Ok(Step::PowerCut);
        }
        Ok(self
            .faults
            .remove(&self.counters.operations)
            .map_or(Step::Work, Step::Fail))
    }

    /// Ends this life: handles are dead, locks free, planned faults forgotten.
    pub(super) fn end_life(&mut self) {
        self.life += 1;
        self.crashed = false;
        self.handles.clear();
        self.locks.clear();
        self.faults.clear();
        self.power_cut_at = None;
        self.counters.failed_dir_syncs = 0;
        self.forget_unreachable();
    }

    pub(super) fn crash(&mut self, rng: &mut SimRng) {
        let (names, contents) = (Fate::draw(rng), Fate::draw(rng));
        self.names.crash(names, rng);
        for content in self.contents.values_mut() {
            content.crash(contents, rng);
        }
        self.end_life();
    }

    fn forget_unreachable(&mut self) {
        let named = self.names.inodes();
        let handles = &self.handles;
        self.contents
            .retain(|inode, _| named.contains(inode) || handles.contains_key(inode));
    }

    /// The file of a handle. Handles keep their file alive, so it is there.
    pub(super) fn content(&mut self, inode: Inode) -> io::Result<&mut Content> {
        self.contents
            .get_mut(&inode)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn add_content(&mut self, content: Content) -> Inode {
        self.next_inode += 1;
        self.contents.insert(self.next_inode, content);
        self.next_inode
    }

    // Names.

    /// The file at `path`, or the error that Linux gives.
    pub(super) fn file(&self, path: &Path) -> io::Result<Inode> {
        if self.dirs.contains(path) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.names
            .get(path)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        self.check_dir(parent(path))
    }

    pub(super) fn check_dir(&self, dir: &Path) -> io::Result<()> {
        if self.dirs.contains(dir) {
            Ok(())
        } else if self.names.get(dir).is_some() {
            Err(io::ErrorKind::NotADirectory.into())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        self.dirs.contains(path) || self.names.get(path).is_some()
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<Inode> {
        self.check_parent(path)?;
        if self.exists(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = self.add_content(Content::default());
        self.names.change(None, Some((path, inode)));
        Ok(inode)
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        for dir in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
            if self.names.get(dir).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            self.dirs.insert(dir.to_path_buf());
        }
        Ok(())
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.check_dir(dir)?;
        let paths = self.names.visible().map(|(path, _)| path);
        let names: BTreeSet<String> = paths
            .chain(self.dirs.iter().map(PathBuf::as_path))
            .filter(|path| parent(path) == dir)
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect();
        Ok(names.into_iter().collect())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.file(from)?;
        self.check_parent(to)?;
        if self.dirs.contains(to) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // Two names of one file: POSIX says that nothing happens.
        if self.names.get(to) != Some(inode) {
            self.names.change(Some(from), Some((to, inode)));
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        self.names.change(Some(path), None);
        Ok(())
    }

    pub(super) fn hard_link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.file(from)?;
        self.check_parent(to)?;
        if self.exists(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.names.change(None, Some((to, inode)));
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path, step: Step) -> io::Result<()> {
        self.check_dir(dir)?;
        self.counters.dir_syncs += 1;
        match step {
            Step::Work if self.skip_dir_syncs => {}
            Step::Work => {
                self.names.sync(dir);
                self.forget_unreachable();
            }
            // What was synced before the power went is the crash's to decide.
            Step::PowerCut => return Err(power_is_off()),
            Step::Fail(kind) => {
                self.counters.failed_dir_syncs += 1;
                self.names.fail_sync(dir, &mut self.rng);
                return Err(kind.error());
            }
        }
        Ok(())
    }

    // Content.

    pub(super) fn write(
        &mut self,
        inode: Inode,
        data: &[u8],
        at: u64,
        step: Step,
    ) -> io::Result<()> {
        self.counters.writes += 1;
        self.counters.bytes_written += data.len() as u64;
        self.write_without_sync(inode, data, at, step)
    }

    fn write_without_sync(
        &mut self,
        inode: Inode,
        data: &[u8],
        at: u64,
        step: Step,
    ) -> io::Result<()> {
        let end = at
            .checked_add(data.len() as u64)
            .ok_or_else(|| io::Error::from(Errno::INVAL))?;
        let room = self.room(inode, end)?;
        let fits = usize::try_from(room.saturating_sub(at))
            .unwrap_or(data.len())
            .min(data.len());
        let mut rng = self.rng.clone();
        let content = self.content(inode)?;
        match step {
            Step::Work => content.write(&data[..fits], at),
            _ => content.write_where(&data[..fits], at, || rng.chance(0.5)),
        }
        self.rng = rng;
        match step {
            Step::Work if fits < data.len() => Err(FaultKind::NoSpace.error()),
            Step::Work => Ok(()),
            Step::PowerCut => Err(power_is_off()),
            Step::Fail(kind) => Err(kind.error()),
        }
    }

    pub(super) fn write_durable(
        &mut self,
        inode: Inode,
        data: &[u8],
        at: u64,
        step: Step,
    ) -> io::Result<()> {
        self.counters.durable_writes += 1;
        self.counters.bytes_written += data.len() as u64;
        let end = at.saturating_add(data.len() as u64);
        if matches!(step, Step::Work) && self.room(inode, end)? == end && !self.skip_syncs {
            self.content(inode)?.write_durable(data, at);
            return Ok(());
        }
        let written = self.write_without_sync(inode, data, at, step);
        if let Step::Fail(_) = step {
            let mut rng = self.rng.clone();
            self.content(inode)?.fail_sync(at..end, &mut rng);
            self.rng = rng;
        }
        written
    }

    pub(super) fn allocate_zeroed(
        &mut self,
        inode: Inode,
        length: u64,
        step: Step,
    ) -> io::Result<()> {
        let start = self.content(inode)?.length();
        let room = self.room(inode, length)?.max(start);
        let growth = room - start;
        match step {
            Step::Work => self.content(inode)?.grow(room),
            _ => {
                let part = self.rng.below(growth + 1);
                self.content(inode)?.grow(start + part);
            }
        }
        match step {
            Step::Work if room < length => Err(FaultKind::NoSpace.error()),
            Step::Work => Ok(()),
            Step::PowerCut => Err(power_is_off()),
            Step::Fail(kind) => Err(kind.error()),
        }
    }

    pub(super) fn sync(&mut self, inode: Inode, step: Step) -> io::Result<()> {
        self.counters.syncs += 1;
        let skip = self.skip_syncs;
        let mut rng = self.rng.clone();
        let content = self.content(inode)?;
        match step {
            Step::Work if skip => {}
            Step::Work => content.sync(),
            Step::PowerCut => return Err(power_is_off()),
            Step::Fail(kind) => {
                content.fail_sync(0..u64::MAX, &mut rng);
                self.rng = rng;
                return Err(kind.error());
            }
        }
        Ok(())
    }

    /// How long the file may get on its way to `end`, given the capacity of the disk.
    fn room(&mut self, inode: Inode, end: u64) -> io::Result<u64> {
        let length = self.content(inode)?.length();
        let Some(capacity) = self.capacity.filter(|_| end > length) else {
            return Ok(end);
        };
        let named: BTreeSet<Inode> = self.names.visible().map(|(_, inode)| inode).collect();
        let held = |inode: &Inode| named.contains(inode) || self.handles.contains_key(inode);
        let files = self.contents.iter().filter(|(inode, _)| held(inode));
        let used: u64 = files.map(|(_, content)| content.length()).sum();
        Ok(end.min(length + capacity.saturating_sub(used)))
    }
}
