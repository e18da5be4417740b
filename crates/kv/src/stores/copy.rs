//! Copies of stores, from any engine to any: row by row, in bounded memory, resumable.
//!
//! While a copy is under way, its store carries a mark that names its source, and the version
//! that was taken of it for this. Rows come in the order of their keys, so the last key that is
//! there tells where to go on. A source without versions, or whose version is gone, cannot be gone back to: then
//! what was copied is cleared, and the copy begins anew. The mark goes last.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::names::Known;
use super::watched::Watched;
use super::{Stores, failed};
use crate::domain::engine::CopyMark;
use crate::domain::{
    CopyProgress, CopyReport, Direction, ErrorKind, KeyRange, MultiStore, Operation, Result, Row,
    Store, StoreOptions, VersionId, View, Write, check_name,
};

/// Rows are written this many at a time.
const BATCH_ROWS: usize = 1000;
/// A batch ends early when its keys and values have this many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// A copy that is under way.
struct Copy {
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
        let _claim = self.names.claim(operation, &[to])?;
        let mut copy = self.begin_copy(source, to, engine)?;
        let view = copy.source_view()?;
        let after = copy.last_key()?;
        let now_ms = self.env.clock.unix_ms();
        let (copied, complete) = copy.rows(&*view, after, now_ms, progress)?;
        if complete {
            copy.finish()?;
        }
        Ok(CopyReport {
            copied,
            resumed: copy.resumed,
            complete,
        })
    }

    fn begin_copy(&self, source: Arc<dyn Store>, to: &str, engine: Option<&str>) -> Result<Copy> {
        let operation = Operation::CopyStore;
        let from = source.name().to_owned();
        let Ok(known) = self.names.find(operation, to) else {
            let options = self.names.find(operation, &from)?.rules.options();
            let engine = self.names.engine(operation, engine)?;
            let mark = CopyMark {
                store: from,
                version: None,
            };
            let marked = StoreOptions {
                copy_of: Some(mark.clone()),
                ..options.clone()
            };
            return Ok(Copy {
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
            source,
            target: self.open_claimed(to)?,
            known,
            to: to.to_owned(),
            options,
            mark,
            resumed: true,
        })
    }

    /// Forgets the version that was taken for a copy that will not be finished.
    pub(super) fn forget_copy(&self, mark: &CopyMark) -> Result<()> {
        let Some(number) = mark.version else {
            return Ok(());
        };
        let gone = |error: &crate::Error| {
            matches!(
                error.kind(),
                ErrorKind::StoreNotFound | ErrorKind::VersionNotFound(_)
            )
        };
        let source = match self.open(&mark.store) {
            Err(error) if gone(&error) => return Ok(()),
            source => source?,
        };
        match delete_version(&*source, number) {
            Err(error) if gone(&error) => Ok(()),
            outcome => outcome,
        }
    }
}

fn delete_version(store: &dyn Store, number: u64) -> Result<()> {
    let versions = store.versioned();
    versions.map_or(Ok(()), |versions| {
        versions.delete_version(&VersionId::Number(number))
    })
}

impl Copy {
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
        if let Some(number) = self.mark.version {
            match versions.at_version(&VersionId::Number(number)) {
                Err(error) if matches!(error.kind(), ErrorKind::VersionNotFound(_)) => {}
                view => return view,
            }
        }
        let number = self.take_version()?;
        self.mark.version = Some(number);
        // Cleared first: a mark that names the new version vouches for all that is there.
        self.start_anew()?;
        self.set_mark(Some(self.mark.clone()))?;
        versions.at_version(&VersionId::Number(number))
    }

    /// Takes a version of the source; with a name, if that is possible, so that it stays whatever
    /// the source's retention says.
    fn take_version(&self) -> Result<u64> {
        let Some(versions) = self.source.versioned() else {
            return Ok(0);
        };
        let note = format!("for the copy to {}", self.to);
        let name = format!("copy-to-{}", self.to);
        let named = check_name(Operation::CopyStore, &name).is_ok();
        let take = || versions.take_version(named.then_some(&name), &note);
        let taken = match take() {
            // Of an earlier copy that nobody finished.
            Err(error) if matches!(error.kind(), ErrorKind::VersionExists(_)) => {
                versions.delete_version(&VersionId::Name(name.clone()))?;
                take()?
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

    /// Copies the rows behind `after`. Returns what was copied, and whether that was all.
    fn rows(
        &self,
        view: &dyn View,
        after: Option<Vec<u8>>,
        now_ms: u64,
        progress: &mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<(CopyProgress, bool)> {
        let range = after.map_or_else(KeyRange::all, |after| {
            KeyRange::from_bounds(Bound::Excluded(after), Bound::Unbounded)
        });
        let mut rows = view.rows(range, Direction::Forward)?;
        let mut copied = CopyProgress::default();
        loop {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while batch.len() < BATCH_ROWS && bytes < BATCH_BYTES {
                let Some(row) = rows.next().transpose()? else {
                    break;
                };
                if !row.entry.is_expired(now_ms) {
                    bytes += row.key.len() + row.entry.value.len();
                    batch.push(row);
                }
            }
            if batch.is_empty() {
                return Ok((copied, true));
            }
            self.write(&batch)?;
            copied.rows += batch.len() as u64;
            copied.bytes += bytes as u64;
            if progress(copied).is_break() {
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

    /// Makes the target a store like others.
    fn finish(&self) -> Result<()> {
        self.set_mark(None)?;
        match self.mark.version {
            Some(number) => delete_version(&*self.source, number),
            None => Ok(()),
        }
    }
}
