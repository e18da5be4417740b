//! The one who appends: batches in, durable positions out.
//!
//! There is one writer, and whoever has it leads: a commit pipeline hands it from leader to
//! leader instead of holding a lock over I/O.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nexusbase_io as io;

use crate::error::{AppendError, OpenError};
use crate::group::GroupView;
use crate::log::Log;
use crate::record::{BATCH_BYTES, Group, PAYLOAD_BYTES_MAX, Position, Record};
use crate::segment::{self, Header, RECORDS_AT, Segment};
use crate::spare::Spare;

/// Zeros written behind each batch (where there is room), so that a reader meets zeros and not
/// the remains of a recycled segment where the log ends.
const TERMINATOR_BYTES: usize = BATCH_BYTES;

/// When a batch is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// When `append` returns.
    Durable,
    /// After a later sync, or when the operating system feels like it.
    Later,
}

/// Appends to the log. See [`Log`] for its other half.
#[derive(Debug)]
pub struct LogWriter {
    log: Log,
    current: Arc<Segment>,
    /// Where the next batch goes.
    written: Position,
    durable: Position,
    /// What the last batch on disk says is durable.
    claimed: Position,
    buffer: Vec<u8>,
    failed: Option<Arc<io::Error>>,
}

impl LogWriter {
    pub(crate) fn new(log: Log, end: Position, claimed: bool) -> Result<Self, OpenError> {
        let newest = log.shared.state.lock().segments.back().cloned();
        let current = match newest {
            Some(newest) => newest,
            None => first_segment(&log)?,
        };
        let mut writer = Self {
            log,
            current,
            written: end,
            durable: end,
            claimed: if claimed { end } else { Position::ZERO },
            buffer: Vec::new(),
            failed: None,
        };
        if writer.log.shared.state.lock().segments.is_empty() {
            writer.adopt(Arc::clone(&writer.current));
        }
        Ok(writer)
    }

    /// Appends `records` as one batch: one write, and one sync if `sync` says so. Returns where
    /// the log ends now.
    ///
    /// # Errors
    /// [`AppendError::NoSpace`], [`AppendError::Gap`], [`AppendError::BelowPurged`] and
    /// [`AppendError::TooLarge`] have written nothing. After [`AppendError::Failed`] nobody knows
    /// what is on disk, and the writer refuses all further work.
    pub fn append(&mut self, records: &[Record<'_>], sync: Sync) -> Result<Position, AppendError> {
        self.check(records)?;
        let bytes: usize = records.iter().map(Record::encoded_len).sum();
        if BATCH_BYTES + bytes > self.room() {
            self.roll(BATCH_BYTES + bytes)?;
        }
        self.write_batch(records, bytes, sync)?;
        Ok(self.written)
    }

    /// Makes everything appended so far durable.
    ///
    /// # Errors
    /// [`AppendError::Failed`]: a failed sync is final.
    pub fn sync(&mut self) -> Result<(), AppendError> {
        self.check(&[])?;
        if self.durable < self.written {
            let synced = self.current.file.sync_data();
            self.or_fail(synced)?;
            self.set_durable(self.written);
        }
        Ok(())
    }

    /// Makes everything durable and writes down that it is, unless that is written already.
    ///
    /// The last batch of a log is claimed as durable by none, so damage to it would look like a
    /// torn tail. A log that becomes idle, or is closed, says it here.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn claim(&mut self) -> Result<(), AppendError> {
        self.sync()?;
        // A claim is itself a batch that nobody claims, but there is nothing in it to lose.
        if self.claimed < self.durable {
            self.append(&[], Sync::Durable)?;
            self.claimed = self.durable;
        }
        Ok(())
    }

    /// Everything before this position survives a crash.
    #[must_use]
    pub const fn durable(&self) -> Position {
        self.durable
    }

    /// Whether the writer has failed for good.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    fn check(&self, records: &[Record<'_>]) -> Result<(), AppendError> {
        if let Some(failed) = &self.failed {
            return Err(AppendError::Failed(Arc::clone(failed)));
        }
        let mut views: BTreeMap<Group, GroupView> = BTreeMap::new();
        for record in records {
            let bytes = record.payload_len();
            if bytes > PAYLOAD_BYTES_MAX {
                return Err(AppendError::TooLarge {
                    bytes,
                    limit: PAYLOAD_BYTES_MAX,
                });
            }
            if let Some(group) = record.group() {
                views
                    .entry(group)
                    .or_insert_with(|| self.log.group(group))
                    .step(group, record)?;
            }
        }
        Ok(())
    }

    /// Bytes left in the current segment.
    fn room(&self) -> usize {
        let used = self.current.offset(self.written);
        usize::try_from(self.current.header.file_bytes.saturating_sub(used)).unwrap_or(usize::MAX)
    }

    fn write_batch(
        &mut self,
        records: &[Record<'_>],
        bytes: usize,
        sync: Sync,
    ) -> Result<(), AppendError> {
        let start = self.written;
        self.buffer.clear();
        self.buffer.reserve(BATCH_BYTES + bytes + TERMINATOR_BYTES);
        encode_batch(
            records,
            bytes,
            self.durable,
            start,
            &self.current,
            &mut self.buffer,
        );
        let end = start.plus(self.buffer.len());
        let terminated = self.buffer.len() + TERMINATOR_BYTES.min(self.room() - self.buffer.len());
        self.buffer.resize(terminated, 0);

        let (file, offset) = (&self.current.file, self.current.offset(start));
        let written = match sync {
            Sync::Durable if self.durable == start => file.write_durable_at(&self.buffer, offset),
            Sync::Durable => file
                .write_at(&self.buffer, offset)
                .and_then(|()| file.sync_data()),
            Sync::Later => file.write_at(&self.buffer, offset),
        };
        self.or_fail(written)?;
        self.claimed = self.durable;
        self.written = end;
        self.note(records, start)?;
        if sync == Sync::Durable {
            self.set_durable(end);
        }
        // One huge batch should not keep its memory for ever.
        if self.buffer.capacity() > 4 << 20 {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    fn note(&mut self, records: &[Record<'_>], start: Position) -> Result<(), AppendError> {
        let mut state = self.log.shared.state.lock();
        let mut position = start.plus(BATCH_BYTES);
        for record in records {
            if let Some(group) = record.group() {
                let known = state.groups.entry(group).or_default();
                known.note(group, record, position, self.current.header.base)?;
            }
            if matches!(record, Record::TruncateAfter { .. }) {
                self.log.shared.cuts.fetch_add(1, Ordering::Release);
            }
            position = position.plus(record.encoded_len());
        }
        state.written = self.written;
        Ok(())
    }

    fn set_durable(&mut self, durable: Position) {
        self.durable = durable;
        self.log
            .shared
            .durable
            .store(durable.get(), Ordering::Release);
    }

    fn or_fail<T>(&mut self, result: io::Result<T>) -> Result<T, AppendError> {
        result.map_err(|e| {
            let failed = Arc::new(e);
            self.failed = Some(Arc::clone(&failed));
            AppendError::Failed(failed)
        })
    }

    /// Goes on in a new segment that has room for a batch of `needed` bytes.
    fn roll(&mut self, needed: usize) -> Result<(), AppendError> {
        // First the space, which may be missing without harm; then what must not fail.
        let checkpoint = checkpoint(&self.log);
        let spare = self.spare(needed, &checkpoint).map_err(|e| {
            if e.is_no_space() {
                AppendError::NoSpace(Arc::new(e))
            } else {
                self.fail(e)
            }
        })?;
        self.sync()?;
        let made = make_segment(
            &self.log,
            &spare,
            self.current.header.generation + 1,
            self.written,
            &checkpoint,
        );
        let segment = Arc::new(self.or_fail(made)?);
        let lasts = checkpoint
            .iter()
            .filter_map(|r| Some((r.group()?, r.id().index)));
        // Only this writer seals segments, each once.
        let _ = self.current.sealed.set(lasts.collect());
        self.adopt(segment);
        Ok(())
    }

    fn fail(&mut self, error: io::Error) -> AppendError {
        let failed = Arc::new(error);
        self.failed = Some(Arc::clone(&failed));
        AppendError::Failed(failed)
    }

    fn spare(&self, needed: usize, checkpoint: &[Record<'_>]) -> io::Result<Spare> {
        let shared = &self.log.shared;
        let fixed = RECORDS_AT + (batch_bytes(checkpoint) + needed) as u64;
        if fixed <= shared.options.segment_bytes {
            let at_hand = shared.spares.lock().pop();
            return at_hand.map_or_else(|| shared.allocate(shared.options.segment_bytes), Ok);
        }
        shared.allocate(fixed.next_multiple_of(4096))
    }

    /// Takes a segment that was made, with its checkpoint, as the current one.
    fn adopt(&mut self, segment: Arc<Segment>) {
        let checkpoint = checkpoint(&self.log);
        let end = segment.header.base.plus(batch_bytes(&checkpoint));
        let mut state = self.log.shared.state.lock();
        state.segments.push_back(Arc::clone(&segment));
        state.written = end;
        drop(state);
        self.current = segment;
        self.written = end;
        self.set_durable(end);
        self.claimed = self.current.header.base;
    }
}

/// The state of all groups as records.
fn checkpoint(log: &Log) -> Vec<Record<'static>> {
    let state = log.shared.state.lock();
    let one = |(group, known): (&Group, &crate::group::GroupState)| Record::Checkpoint {
        group: *group,
        last: known.view.last,
        purged: known.view.purged,
        vote: known.view.vote,
    };
    state.groups.iter().map(one).collect()
}

fn batch_bytes(records: &[Record<'_>]) -> usize {
    BATCH_BYTES + records.iter().map(Record::encoded_len).sum::<usize>()
}

fn encode_batch(
    records: &[Record<'_>],
    bytes: usize,
    durable: Position,
    start: Position,
    segment: &Segment,
    out: &mut Vec<u8>,
) {
    let from = out.len();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let batch = Record::Batch {
        durable,
        bytes: count(bytes),
        records: count(records.len()),
    };
    batch.encode(segment.seed, start, out);
    for record in records {
        record.encode(segment.seed, start.plus(out.len() - from), out);
    }
}

fn first_segment(log: &Log) -> Result<Arc<Segment>, OpenError> {
    let spare = log.shared.spares.lock().pop();
    let spare = spare.map_or_else(|| log.shared.allocate(log.shared.options.segment_bytes), Ok)?;
    Ok(Arc::new(make_segment(log, &spare, 1, Position::ZERO, &[])?))
}

/// Turns a spare into a segment: header and checkpoint durable first, then the name.
fn make_segment(
    log: &Log,
    spare: &Spare,
    generation: u64,
    base: Position,
    checkpoint: &[Record<'_>],
) -> io::Result<Segment> {
    let shared = &log.shared;
    let header = Header {
        database: shared.options.database,
        generation,
        base,
        file_bytes: spare.bytes,
    };
    let path = segment::path_of(&shared.dir, generation);
    let segment = Segment::new(path, Arc::clone(&spare.file), header);
    let mut bytes = header.encode().to_vec();
    bytes.resize(usize::try_from(RECORDS_AT).unwrap_or_default(), 0);
    let of_records: usize = checkpoint.iter().map(Record::encoded_len).sum();
    encode_batch(checkpoint, of_records, base, base, &segment, &mut bytes);
    let room = usize::try_from(spare.bytes).unwrap_or(usize::MAX) - bytes.len();
    bytes.resize(bytes.len() + TERMINATOR_BYTES.min(room), 0);
    spare.file.write_at(&bytes, 0)?;
    spare.file.sync_data()?;
    shared.fs.rename(&spare.path, &segment.path)?;
    shared.fs.sync_dir(&shared.dir)?;
    Ok(segment)
}
