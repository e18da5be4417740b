//! Rows in a vector as a source, and what the rows of a tree say by the plainest reading: what
//! the cursors and compaction are tested against.

use std::convert::Infallible;

use bytes::Bytes;
use proptest::prelude::*;

use super::RowCursor;
use super::visible::Blobs;
use crate::range_delete::RangeDelete;
use crate::row::{BlobRef, Cell, FileId, RowRef, compare_rows};
use crate::{DiskError, Seqno};

/// A row that owns what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedRow {
    pub(crate) key: Vec<u8>,
    pub(crate) seqno: Seqno,
    pub(crate) weight: i8,
    pub(crate) cell: OwnedCell,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnedCell {
    Put(Vec<u8>),
    Delete,
    Merge(Vec<u8>),
    Blob(BlobRef),
}

impl OwnedRow {
    pub(crate) fn as_ref(&self) -> RowRef<'_> {
        RowRef {
            key: &self.key,
            seqno: self.seqno,
            weight: self.weight,
            cell: match &self.cell {
                OwnedCell::Put(value) => Cell::Put(value),
                OwnedCell::Delete => Cell::Delete,
                OwnedCell::Merge(operand) => Cell::Merge(operand),
                OwnedCell::Blob(blob) => Cell::Blob(*blob),
            },
        }
    }
}

impl From<&RowRef<'_>> for OwnedRow {
    fn from(row: &RowRef<'_>) -> Self {
        Self {
            key: row.key.to_vec(),
            seqno: row.seqno,
            weight: row.weight,
            cell: match row.cell {
                Cell::Put(value) => OwnedCell::Put(value.to_vec()),
                Cell::Delete => OwnedCell::Delete,
                Cell::Merge(operand) => OwnedCell::Merge(operand.to_vec()),
                Cell::Blob(blob) => OwnedCell::Blob(blob),
            },
        }
    }
}

/// A source of rows that lie in a vector.
#[derive(Clone, Debug, Default)]
pub(crate) struct VecCursor {
    pub(crate) rows: Vec<OwnedRow>,
    pub(crate) purged_through: Seqno,
    /// Whether it tells what it knows of keys.
    pub(crate) hints: bool,
    at: Option<usize>,
}

impl VecCursor {
    pub(crate) fn new(mut rows: Vec<OwnedRow>, purged_through: Seqno, hints: bool) -> Self {
        rows.sort_by(|a, b| compare_rows((&a.key, a.seqno), (&b.key, b.seqno)));
        Self {
            rows,
            purged_through,
            hints,
            at: None,
        }
    }

    /// The number of the row it is at.
    pub(crate) fn place(&self) -> Option<usize> {
        self.at.filter(|at| *at < self.rows.len())
    }

    fn before(&self, key: &[u8], seqno: Seqno) -> usize {
        self.rows
            .partition_point(|row| compare_rows((&row.key, row.seqno), (key, seqno)).is_lt())
    }
}

impl RowCursor for VecCursor {
    fn seek_first(&mut self) -> Result<(), DiskError> {
        self.at = Some(0);
        Ok(())
    }

    fn seek_last(&mut self) -> Result<(), DiskError> {
        self.at = self.rows.len().checked_sub(1);
        Ok(())
    }

    fn seek(&mut self, key: &[u8], seqno: Seqno) -> Result<(), DiskError> {
        self.at = Some(self.before(key, seqno));
        Ok(())
    }

    fn seek_before(&mut self, key: &[u8], seqno: Seqno) -> Result<(), DiskError> {
        self.at = self.before(key, seqno).checked_sub(1);
        Ok(())
    }

    fn next(&mut self) -> Result<(), DiskError> {
        self.at = self.at.filter(|at| *at < self.rows.len()).map(|at| at + 1);
        Ok(())
    }

    fn prev(&mut self) -> Result<(), DiskError> {
        let at = self.at.filter(|at| *at < self.rows.len());
        self.at = at.and_then(|at| at.checked_sub(1));
        Ok(())
    }

    fn row(&self) -> Option<RowRef<'_>> {
        Some(self.rows.get(self.at?)?.as_ref())
    }

    fn purged_through(&self) -> Seqno {
        self.purged_through
    }

    fn key_ends(&self) -> bool {
        let key = |i: usize| self.rows.get(i).map(|row| &row.key);
        self.hints
            && self
                .at
                .is_some_and(|at| key(at) != key(at + 1) && (at == 0 || key(at) != key(at - 1)))
    }
}

/// Blobs whose offset is their value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OffsetBlobs;

impl Blobs for OffsetBlobs {
    fn read(&self, _: &[u8], blob: BlobRef) -> Result<Bytes, DiskError> {
        Ok(vec![u8::try_from(blob.offset).unwrap()].into())
    }
}

/// The union of two sets of bytes.
pub(crate) fn union(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut both = [a, b].concat();
    both.sort_unstable();
    both.dedup();
    both
}

/// What a history does to a tree. The seqno of a step is its place in the history, from 1.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Write(Vec<u8>, OwnedCell),
    RangeDelete(Vec<u8>, Option<Vec<u8>>),
}

/// Everything that ever happened to a tree.
#[derive(Clone, Debug)]
pub(crate) struct History(pub(crate) Vec<Step>);

impl History {
    pub(crate) fn last(&self) -> Seqno {
        Seqno::new(self.0.len() as u64)
    }

    fn steps(&self) -> impl DoubleEndedIterator<Item = (Seqno, &Step)> {
        let seqnos = (1..=self.0.len() as u64).map(Seqno::new);
        seqnos.zip(&self.0).collect::<Vec<_>>().into_iter()
    }

    /// All rows that were written, with the weight of a kind that is not counted.
    pub(crate) fn rows(&self) -> Vec<OwnedRow> {
        self.steps()
            .filter_map(|(seqno, step)| match step {
                Step::Write(key, cell) => Some(OwnedRow {
                    key: key.clone(),
                    seqno,
                    weight: i8::from(matches!(cell, OwnedCell::Put(_) | OwnedCell::Blob(_))),
                    cell: cell.clone(),
                }),
                Step::RangeDelete(..) => None,
            })
            .collect()
    }

    pub(crate) fn range_deletes(&self) -> Vec<RangeDelete> {
        self.steps()
            .filter_map(|(seqno, step)| match step {
                Step::RangeDelete(start, end) => Some(RangeDelete {
                    start: start.clone().into(),
                    end: end.clone().map(Bytes::from),
                    seqno,
                }),
                Step::Write(..) => None,
            })
            .collect()
    }

    /// The keys that are there for a reader at `at`, and their values, blobs read.
    pub(crate) fn read(&self, at: Seqno) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut live = std::collections::BTreeMap::new();
        for (_, step) in self.steps().take_while(|(seqno, _)| *seqno <= at) {
            match step {
                Step::RangeDelete(start, end) => {
                    live.retain(|key, _| key < start || end.as_ref().is_some_and(|e| key >= e));
                }
                Step::Write(key, OwnedCell::Delete) => drop(live.remove(key)),
                Step::Write(key, OwnedCell::Put(value)) => {
                    drop(live.insert(key.clone(), value.clone()));
                }
                Step::Write(key, OwnedCell::Blob(blob)) => {
                    drop(live.insert(key.clone(), OffsetBlobs.read(key, *blob).unwrap().to_vec()));
                }
                Step::Write(key, OwnedCell::Merge(operand)) => {
                    let value = live.entry(key.clone()).or_insert_with(Vec::new);
                    *value = union(value, operand);
                }
            }
        }
        live.into_iter().collect()
    }
}

pub(crate) fn keys() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(b'a'..b'c', 0..3)
}

prop_compose! {
    pub(crate) fn cells()(which in 0..10, value in 0u8..200) -> OwnedCell {
        match which {
            0..4 => OwnedCell::Put(vec![value]),
            4..6 => OwnedCell::Delete,
            6..9 => OwnedCell::Merge(vec![value]),
            _ => OwnedCell::Blob(BlobRef { file: FileId(1), offset: u64::from(value), length: 1 }),
        }
    }
}

pub(crate) fn histories(steps: usize) -> impl Strategy<Value = History> {
    let write = (keys(), cells()).prop_map(|(key, cell)| Step::Write(key, cell));
    // Few keys with long chains, to get past where the cursors seek instead of stepping.
    let same = cells().prop_map(|cell| Step::Write(b"b".to_vec(), cell));
    let delete = (keys(), prop::option::of(keys())).prop_map(|(s, e)| Step::RangeDelete(s, e));
    let step = prop_oneof![8 => write, 6 => same, 1 => delete];
    prop::collection::vec(step, 0..steps).prop_map(History)
}

/// Deals rows out to sources: of one key, the newer a row the lesser its source's number, as in
/// the levels of a tree.
pub(crate) fn deal(
    rows: Vec<OwnedRow>,
    cuts: &[(Vec<u8>, Vec<u64>)],
    sources: usize,
) -> Vec<Vec<OwnedRow>> {
    let mut dealt = vec![Vec::new(); sources];
    for row in rows {
        let cuts = cuts.iter().find(|(key, _)| *key == row.key);
        let older_than = cuts.map_or(0, |(_, cuts)| {
            cuts.iter().filter(|cut| row.seqno.get() <= **cut).count()
        });
        dealt[older_than.min(sources - 1)].push(row);
    }
    dealt
}

/// Collects rows; for sinks that cannot fail.
pub(crate) fn into_vec(
    rows: &mut Vec<OwnedRow>,
) -> impl FnMut(&RowRef<'_>, Seqno) -> Result<(), Infallible> {
    |row, _| {
        rows.push(row.into());
        Ok(())
    }
}
