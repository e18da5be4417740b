//! Copies of stores, from any engine to any: row by row, in bounded memory, resumable.
//!
//! While a copy is under way, its store carries a mark that names its source, and the version
//! that was taken of it for this. That version's name has a token in it that nobody can guess, so
//! that no version of another store (which may have got the source's name), and none that somebody
//! else has taken, is read or deleted for it; and it has a name, so that it stays whatever the
//! source's retention says.
//!
//! Rows come in the order of their keys, so the last key that is there tells where to go on. A
//! source without versions, or whose version is gone, cannot be gone back to: then what was copied
//! is cleared, and the copy begins anew. The mark goes last.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::names::{Claim, Known};
use super::watched::Watched;
use super::{Stores, failed};
use crate::domain::engine::CopyMark;
use crate::domain::{
    CopyProgress, CopyReport, Direction, ErrorKind, EventKind, KeyRange, MultiStore, Operation,
    Result, Row, Rows, Store, StoreOptions, VersionId, Versioned, View, Write, check_name,
};

/// Rows are written this many at a time.
const BATCH_ROWS: usize = 1000;
/// Keys and values of a batch have so many bytes, unless it is one row.
const BATCH_BYTES: usize = 1 << 20;

/// A copy that is under way.
struct Copy<'a> {
    stores: &'a Stores,
    source: Arc<dyn Store>,
    target: Arc<Watched>,
    known: Known,
    to: String,
    /// What the target will have been told when it is complete.
    options: StoreOptions,
    mark: CopyMark,
    /// Whether an earlier one has left something to go on from.
    resumed: bool,
}

impl Stores {
    pub(super) fn copy_store(
        &self,
        from: &str,
        to: &str,
        engine: Option<&str>,
        progress: &mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<CopyReport> {
        let operation = Operation::CopyStore;
        check_name(operation, to)?;
        let source = self.open(from)?;
        let claim = self.names.claim(operation, &[to])?;
        let mut copy = self.begin_copy(source, to, engine)?;
        let view = copy.source_view()?;
        let after = copy.last_key()?;
        let now_ms = self.env.clock.unix_ms();
        let mut rows = Batches::new(&*view, after, now_ms, copy.batch_bytes())?;
        let (copied, complete) = copy.rows(&mut rows, &claim, progress)?;
        let left = if complete { copy.finish()? } else { None };
        let report = CopyReport {
            copied,
            resumed: copy.resumed,
            complete,
        };
        // What follows opens another store, for which nobody waits with a claim.
        drop(claim);
        if let Some(mark) = left {
            self.forget_copy(&mark);
        }
        Ok(report)
    }

    fn begin_copy(
        &self,
        source: Arc<dyn Store>,
        to: &str,
        engine: Option<&str>,
    ) -> Result<Copy<'_>> {
        let operation = Operation::CopyStore;
        let from = source.name().to_owned();
        let Ok(known) = self.names.find(operation, to) else {
            let options = self.names.find(operation, &from)?.rules.options();
            let engine = self.names.engine(operation, engine)?;
            let mark = self.new_mark(&from)?;
            let marked = StoreOptions {
                copy_of: Some(mark.clone()),
                ..options.clone()
            };
            return Ok(Copy {
                stores: self,
                source,
                target: self.create_claimed(to, &engine, &marked)?,
                known: self.names.find(operation, to)?,
                to: to.to_owned(),
                options,
                mark,
                resumed: false,
            });
        };
        let mut options = known.rules.options();
        let mark = options.copy_of.take().filter(|mark| mark.store == from);
        let same_engine = engine.is_none_or(|engine| known.engine.name() == engine);
        let Some(mark) = mark.filter(|_| same_engine) else {
            let taken = failed(operation, to, ErrorKind::StoreExists);
            return Err(taken.engine(known.engine.name()));
        };
        Ok(Copy {
            stores: self,
            source,
            target: self.open_claimed(to)?,
            known,
            to: to.to_owned(),
            options,
            mark,
            resumed: true,
        })
    }

    fn new_mark(&self, from: &str) -> Result<CopyMark> {
        let mut bytes = [0; 16];
        let filled = self.env.random.fill(&mut bytes);
        filled.map_err(|error| failed(Operation::CopyStore, from, error.into()))?;
        Ok(CopyMark {
            store: from.to_owned(),
            version: None,
            token: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// Forgets the version that was taken for a copy that is done with, if it is still there. No
    /// name is claimed.
    pub(super) fn forget_copy(&self, mark: &CopyMark) {
        if let Ok(source) = self.open(&mark.store) {
            forget_version(&*source, mark);
        }
    }
}

/// Deletes the version that a mark means. That it cannot be done is nobody's error: the version has
/// a name and a note by which its owner knows what it was for.
fn forget_version(source: &dyn Store, mark: &CopyMark) {
    if let Some(versions) = source.versioned()
        && let Ok(Some(number)) = marked(versions, mark)
    {
        let _ = versions.delete_version(&VersionId::Number(number));
    }
}

/// The number of the version that a mark means.
fn marked(versions: &dyn Versioned, mark: &CopyMark) -> Result<Option<u64>> {
    let versions = versions.versions()?;
    let found = versions.iter().find(|version| mark.is(version));
    Ok(found.map(|version| version.number))
}

impl Copy<'_> {
    /// Replaces what the target is told of the copy.
    fn set_mark(&self, mark: Option<CopyMark>) -> Result<()> {
        let options = StoreOptions {
            copy_of: mark,
            ..self.options.clone()
        };
        self.known.engine.set_options(&self.to, &options)?;
        self.known.rules.set(options);
        Ok(())
    }

    /// The state that is copied. If it is not the one of which a part is there, the target is
    /// cleared.
    fn source_view(&mut self) -> Result<Box<dyn View + Send>> {
        let source = Arc::clone(&self.source);
        let Some(versions) = source.versioned() else {
            self.start_anew()?;
            return source.snapshot();
        };
        if self.mark.version.is_some()
            && let Some(number) = marked(versions, &self.mark)?
        {
            match versions.at_version(&VersionId::Number(number)) {
                // Another has deleted it meanwhile.
                Err(error) if matches!(error.kind(), ErrorKind::VersionNotFound(_)) => {}
                view => return view,
            }
        }
        if self.resumed {
            // It may have been interrupted between taking the version and noting its number.
            forget_version(&*source, &self.mark);
            // Cleared first: a mark that names the new version vouches for all that is there.
            self.start_anew()?;
            self.renew_mark()?;
        }
        let number = self.take_version(versions)?;
        self.mark.version = Some(number);
        self.set_mark(Some(self.mark.clone()))?;
        versions.at_version(&VersionId::Number(number))
    }

    /// Another token, for another version.
    fn renew_mark(&mut self) -> Result<()> {
        self.mark = self.stores.new_mark(&self.mark.store)?;
        self.set_mark(Some(self.mark.clone()))
    }

    /// Takes a version of the source.
    fn take_version(&mut self, versions: &dyn Versioned) -> Result<u64> {
        let note = format!("for the copy to {}", self.to);
        let taken = match versions.take_version(Some(&self.mark.version_name()), &note) {
            // By a chance that there is only where chance is simulated.
            Err(error) if matches!(error.kind(), ErrorKind::VersionExists(_)) => {
                self.renew_mark()?;
                versions.take_version(Some(&self.mark.version_name()), &note)?
            }
            taken => taken?,
        };
        Ok(taken.number)
    }

    fn start_anew(&mut self) -> Result<()> {
        if self.resumed {
            self.target.inner().clear()?;
            self.resumed = false;
        }
        Ok(())
    }

    /// The last key that was copied.
    fn last_key(&mut self) -> Result<Option<Vec<u8>>> {
        if !self.source.capabilities().ordered || !self.target.capabilities().ordered {
            // There is no last one.
            self.start_anew()?;
        }
        if !self.resumed {
            return Ok(None);
        }
        let mut last = self.target.cursor(KeyRange::all(), Direction::Reverse)?;
        Ok(last.next()?.map(|row| row.key.to_vec()))
    }

    /// So many bytes are written at once.
    fn batch_bytes(&self) -> usize {
        BATCH_BYTES.min(self.target.capabilities().limits.batch_bytes)
    }

    /// Copies rows. Returns what was copied, and whether that was all.
    fn rows(
        &self,
        rows: &mut Batches<'_>,
        claim: &Claim<'_>,
        progress: &mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<(CopyProgress, bool)> {
        let mut copied = CopyProgress::default();
        loop {
            let (batch, bytes) = rows.next()?;
            if batch.is_empty() {
                return Ok((copied, !self.stores.names.is_closed()));
            }
            self.write(&batch)?;
            copied.rows += batch.len() as u64;
            copied.bytes += bytes as u64;
            let flow = claim.aside(|| progress(copied));
            if flow.is_break() || self.stores.names.is_closed() {
                return Ok((copied, false));
            }
        }
    }

    fn write(&self, batch: &[Row]) -> Result<()> {
        let writes: Vec<_> = batch
            .iter()
            .map(|row| Write::Put(&row.key, row.entry.as_put()))
            .collect();
        self.target.inner().write(&writes)
    }

    /// Makes the target a store like others. Returns the mark if its version has still to be
    /// forgotten.
    fn finish(&self) -> Result<Option<CopyMark>> {
        // The source may have another name since.
        let mark = self.known.rules.mark();
        self.set_mark(None)?;
        let name = &self.to;
        self.stores.events.publish(name, || EventKind::Created);
        if !self.source.is_open() {
            return Ok(mark);
        }
        forget_version(&*self.source, &self.mark);
        Ok(None)
    }
}

/// The rows that are copied, so many at a time.
struct Batches<'a> {
    rows: Rows<'a>,
    /// A row that did not go into the batch before.
    held: Option<(Row, usize)>,
    now_ms: u64,
    bytes_max: usize,
}

impl<'a> Batches<'a> {
    /// The rows behind `after`.
    fn new(
        view: &'a dyn View,
        after: Option<Vec<u8>>,
        now_ms: u64,
        bytes_max: usize,
    ) -> Result<Self> {
        let range = after.map_or_else(KeyRange::all, |after| {
            KeyRange::from_bounds(Bound::Excluded(after), Bound::Unbounded)
        });
        Ok(Self {
            rows: view.rows(range, Direction::Forward)?,
            held: None,
            now_ms,
            bytes_max,
        })
    }

    /// The next batch, and its bytes; an empty one at the end.
    fn next(&mut self) -> Result<(Vec<Row>, usize)> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_ROWS {
            let Some((row, size)) = self.row()? else {
                break;
            };
            if !batch.is_empty() && bytes + size > self.bytes_max {
                self.held = Some((row, size));
                break;
            }
            bytes += size;
            batch.push(row);
        }
        Ok((batch, bytes))
    }

    fn row(&mut self) -> Result<Option<(Row, usize)>> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        while let Some(row) = self.rows.next().transpose()? {
            if !row.entry.is_expired(self.now_ms) {
                let size = row.key.len() + row.entry.value.len();
                return Ok(Some((row, size)));
            }
        }
        Ok(None)
    }
}
