//! The log as its readers and its housekeeping see it. [`LogWriter`] is its other half.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nexusbase_io::{self as io, Fs};
use parking_lot::Mutex;

use crate::error::{OpenError, ReadError};
use crate::group::{GroupState, GroupView};
use crate::reader::{Entries, Pins, Subscription};
use crate::record::{Group, Index, Position};
use crate::segment::{SEGMENT_BYTES_MIN, Segment};
use crate::spare::{self, Spare};
use crate::watermark::Watermark;
use crate::writer::LogWriter;
use crate::{recovery, segment};

/// How a log is laid out.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Size of a segment file in bytes. A batch that does not fit gets a larger one of its own.
    pub segment_bytes: u64,
    /// The id of the database that the log belongs to.
    pub database: [u8; 16],
    /// Recycles segments before the purge that allows it is durable: a defect on purpose, to
    /// prove that the crash simulation finds it.
    #[cfg(feature = "broken-on-purpose")]
    pub broken_early_recycle: bool,
}

impl LogOptions {
    /// The default layout: segments of 16 MiB.
    #[must_use]
    pub const fn new(database: [u8; 16]) -> Self {
        Self {
            segment_bytes: 16 << 20,
            database,
            #[cfg(feature = "broken-on-purpose")]
            broken_early_recycle: false,
        }
    }
}

/// A log that was opened.
#[derive(Debug)]
pub struct Opened {
    /// For reading and housekeeping; cheap to clone.
    pub log: Log,
    /// For appending: there is only one.
    pub writer: LogWriter,
    /// The end of an interrupted write that was cut off, if there was one.
    pub torn: Option<TornTail>,
}

/// The end of a write that a crash interrupted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub path: PathBuf,
    /// Where in the file the whole batches end.
    pub offset: u64,
    /// What was wrong with the next.
    pub reason: String,
}

/// The log, for reading and housekeeping. Clones share one log.
#[derive(Clone, Debug)]
pub struct Log {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    pub(crate) options: LogOptions,
    /// Everything before it survives a crash.
    pub(crate) durable: AtomicU64,
    /// How often a group was cut back: what a reader knows about places is void then.
    pub(crate) cuts: AtomicU64,
    /// Lock `log.state`: held for look-ups and notes, never over I/O.
    pub(crate) state: Mutex<State>,
    /// Lock `log.spare`: held to take or to give, never over I/O.
    pub(crate) spares: Mutex<Vec<Spare>>,
    /// Numbers for spares, so that no two have one name.
    pub(crate) spare_number: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Oldest first.
    pub(crate) segments: VecDeque<Arc<Segment>>,
    pub(crate) groups: BTreeMap<Group, GroupState>,
    pub(crate) written: Position,
    pub(crate) committed: BTreeMap<Group, Arc<Watermark>>,
    pub(crate) pins: Pins,
    /// A segment could not be recycled. It may be there again after a crash, so none behind it
    /// may go.
    pub(crate) recycling_failed: bool,
}

impl State {
    /// The segment that `position` lies in, or would be written to.
    pub(crate) fn segment_at(&self, position: Position) -> Option<Arc<Segment>> {
        let after = self.segments.partition_point(|s| s.header.base <= position);
        self.segments.get(after.checked_sub(1)?).cloned()
    }
}

impl Log {
    /// Opens the log in `dir`, creating it if there is none, and recovers it.
    ///
    /// A torn tail is cut off; everything that is then in the log is durable. Memory: the
    /// largest segment, while opening.
    ///
    /// # Errors
    /// When a file cannot be used, is damaged, missing, of another format or of another database.
    /// Nothing has been changed then.
    pub fn open(fs: Arc<dyn Fs>, dir: &Path, options: LogOptions) -> Result<Opened, OpenError> {
        if options.segment_bytes < SEGMENT_BYTES_MIN {
            return Err(OpenError::SegmentSize {
                segment_bytes: options.segment_bytes,
                minimum: SEGMENT_BYTES_MIN,
            });
        }
        fs.create_dir(dir)?;
        let recovered = recovery::recover(&*fs, dir, options.database)?;
        let spares = spare::find(&*fs, dir, options.segment_bytes)?;
        let newest = segment::generations(&*fs, dir)?
            .last()
            .copied()
            .unwrap_or(0);
        let shared = Arc::new(Shared {
            fs,
            dir: dir.to_path_buf(),
            options,
            durable: AtomicU64::new(recovered.end.get()),
            cuts: AtomicU64::new(0),
            state: Mutex::new(State {
                segments: recovered.segments.into(),
                groups: recovered.groups,
                written: recovered.end,
                ..State::default()
            }),
            // Above every name that an old spare can have.
            spare_number: AtomicU64::new(
                spares.iter().map(spare_number).fold(newest, u64::max) + 1,
            ),
            spares: Mutex::new(spares),
        });
        let log = Self { shared };
        let writer = LogWriter::new(log.clone(), recovered.end, recovered.claimed)?;
        Ok(Opened {
            log,
            writer,
            torn: recovered.torn,
        })
    }

    /// Whether there is a log in `dir`.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn exists(fs: &dyn Fs, dir: &Path) -> io::Result<bool> {
        Ok(fs.exists(dir)? && !segment::generations(fs, dir)?.is_empty())
    }

    /// What the log knows of a group.
    #[must_use]
    pub fn group(&self, group: Group) -> GroupView {
        self.shared
            .state
            .lock()
            .groups
            .get(&group)
            .map_or_else(GroupView::default, |g| g.view)
    }

    /// Everything before this position survives a crash.
    #[must_use]
    pub fn durable(&self) -> Position {
        Position::new(self.shared.durable.load(Ordering::Acquire))
    }

    /// The number of segment files and their size in bytes.
    #[must_use]
    pub fn size(&self) -> (usize, u64) {
        let state = self.shared.state.lock();
        (
            state.segments.len(),
            state.segments.iter().map(|s| s.header.file_bytes).sum(),
        )
    }

    /// Reads a group's entries `from ..= to`, as far as they are in the log. Entries that are cut
    /// off meanwhile may still be shown; what comes after them then need not follow them.
    ///
    /// # Errors
    /// [`ReadError::Purged`] when `from` is purged.
    pub fn entries(&self, group: Group, from: Index, to: Index) -> Result<Entries, ReadError> {
        Entries::new(self.clone(), group, from, to)
    }

    /// Streams a group's committed entries from `from` on: those that are there, then those to
    /// come, as [`Self::set_committed`] releases them. Segments are kept while the subscription
    /// needs them.
    ///
    /// # Errors
    /// [`ReadError::Purged`] when `from` is purged.
    pub fn subscribe(&self, group: Group, from: Index) -> Result<Subscription, ReadError> {
        Subscription::new(self, group, from)
    }

    /// Releases a group's entries up to `index` to subscriptions.
    pub fn set_committed(&self, group: Group, index: Index) {
        self.committed(group).advance(index.get());
    }

    /// A group's committed index, to wait for.
    #[must_use]
    pub fn committed(&self, group: Group) -> Arc<Watermark> {
        Arc::clone(self.shared.state.lock().committed.entry(group).or_default())
    }

    /// Ends all subscriptions, because nothing more will be committed.
    pub fn close(&self) {
        let marks: Vec<_> = self
            .shared
            .state
            .lock()
            .committed
            .values()
            .cloned()
            .collect();
        marks.iter().for_each(|mark| mark.close());
    }

    /// Makes a spare segment if there is none, so that no commit has to wait for one. Returns
    /// whether it made one. To be called by housekeeping after each change of segment.
    ///
    /// # Errors
    /// When the file cannot be made. Nothing is lost by that; a commit will try again.
    pub fn prepare_spare_step(&self) -> io::Result<bool> {
        if !self.shared.spares.lock().is_empty() {
            return Ok(false);
        }
        let made = self.shared.allocate(self.shared.options.segment_bytes)?;
        self.shared.spares.lock().push(made);
        Ok(true)
    }

    /// Recycles the oldest segment if all its entries are durably purged and nobody reads them.
    /// Returns whether it did; to be called until it does not.
    ///
    /// # Errors
    /// When the file cannot be renamed or removed. Nothing more is recycled then until the log is
    /// opened again, which finds the segment again: if those behind it were gone, that would look
    /// like a log with a hole.
    pub fn recycle_step(&self) -> io::Result<bool> {
        let Some(oldest) = self.take_purged_segment() else {
            return Ok(false);
        };
        let usable = oldest.header.file_bytes == self.shared.options.segment_bytes
            && self.shared.spares.lock().len() < spare::SPARES_MAX;
        let number = self.shared.spare_number.fetch_add(1, Ordering::Relaxed);
        let path = &oldest.path;
        let made = spare::retire(&*self.shared.fs, &self.shared.dir, path, number, usable)
            .inspect_err(|_| self.shared.state.lock().recycling_failed = true)?;
        if let Some(made) = made {
            self.shared.spares.lock().push(made);
        }
        Ok(true)
    }

    fn take_purged_segment(&self) -> Option<Arc<Segment>> {
        let mut state = self.shared.state.lock();
        if state.recycling_failed {
            return None;
        }
        let sealed = state.segments.front()?.sealed.get()?;
        let durable = self.durable();
        #[cfg(feature = "broken-on-purpose")]
        let durable = if self.shared.options.broken_early_recycle {
            Position::new(u64::MAX)
        } else {
            durable
        };
        let needed = sealed.iter().any(|(group, last)| {
            let purged = state
                .groups
                .get(group)
                .is_some_and(|known| known.view.purged.index >= *last && known.purge_at < durable);
            !purged || state.pins.lowest(*group).is_some_and(|pin| pin <= *last)
        });
        if needed {
            return None;
        }
        let oldest = state.segments.pop_front()?;
        let base = state
            .segments
            .front()
            .map_or(state.written, |s| s.header.base);
        state
            .groups
            .values_mut()
            .for_each(|group| group.forget_before(base));
        Some(oldest)
    }
}

impl Shared {
    /// Makes a file of `bytes` bytes that can become a segment.
    pub(crate) fn allocate(&self, bytes: u64) -> io::Result<Spare> {
        let number = self.spare_number.fetch_add(1, Ordering::Relaxed);
        spare::allocate(&*self.fs, &self.dir, number, bytes)
    }
}

fn spare_number(spare: &Spare) -> u64 {
    let stem = spare
        .path
        .file_stem()
        .and_then(|s| s.to_str())
        .unwrap_or_default();
    u64::from_str_radix(stem, 16).unwrap_or(0)
}
