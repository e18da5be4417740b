//! Transactions on a state in memory: a copy of the state, writes beside it, and what was read.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::handle::Shared;
use super::reads::ReadSet;
use super::state::{Change, State};
use super::view::{StateCursor, row};
use super::{Backing, Basis};
use crate::domain::{
    Cursor, Direction, Entry, ErrorKind, KeyRange, Mode, Operation, Put, Result, RowRef,
    Transaction, View, WriteView,
};

/// What a transaction has written: none for what it has deleted.
type Writes = BTreeMap<Bytes, Option<Entry>>;

/// A transaction.
pub(super) struct KeyspaceTransaction<B> {
    shared: Arc<Shared<B>>,
    mode: Mode,
    state: State,
    /// When it began: its clock stands still.
    now_ms: u64,
    reads: RefCell<ReadSet>,
    writes: Writes,
    /// Bytes of `writes`.
    bytes: usize,
}

impl<B: Backing> KeyspaceTransaction<B> {
    pub(super) fn new(shared: Arc<Shared<B>>, mode: Mode) -> Self {
        let now_ms = shared.keyspace.now_ms();
        Self {
            mode,
            state: shared.keyspace.state(),
            now_ms,
            shared,
            reads: RefCell::default(),
            writes: Writes::new(),
            bytes: 0,
        }
    }

    fn write(&mut self, key: &[u8], entry: Option<Entry>, bytes: usize) -> Result<()> {
        let limits = self.shared.keyspace.backing().capabilities().limits;
        let total = self.bytes + bytes;
        if total > limits.batch_bytes {
            let kind = ErrorKind::TooLarge {
                what: "a transaction",
                bytes: total,
                limit: limits.batch_bytes,
            };
            return Err(self.shared.error(Operation::Write, kind).key(key));
        }
        self.bytes = total;
        self.writes.insert(Bytes::copy_from_slice(key), entry);
        Ok(())
    }

    fn check_may_write(&self, operation: Operation) -> Result<()> {
        if self.mode == Mode::ReadOnly {
            let kind = ErrorKind::ReadOnly("the transaction was begun to read only");
            return Err(self.shared.error(operation, kind));
        }
        self.shared.check(operation)
    }
}

impl<B: Backing> View for KeyspaceTransaction<B> {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.shared.check(Operation::Get)?;
        if let Some(own) = self.writes.get(key) {
            return Ok(own.clone().filter(|own| !own.is_expired(self.now_ms)));
        }
        if self.mode == Mode::ReadWrite {
            self.reads.borrow_mut().add_point(key);
        }
        let cell = self.state.live(key, self.now_ms);
        Ok(cell.map(|cell| cell.entry.clone()))
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        keys.iter().map(|key| self.entry(key)).collect()
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        self.shared.check(Operation::Iterate)?;
        let cells = StateCursor::new(&self.state, &range, direction, self.now_ms);
        let own = if range.is_empty() {
            // The standard map panics at bounds in the wrong order.
            self.writes
                .range::<[u8], _>((Bound::Excluded(&b""[..]), Bound::Included(&b""[..])))
        } else {
            self.writes.range::<[u8], _>((range.start(), range.end()))
        };
        let own: Box<dyn Iterator<Item = _> + '_> = match direction {
            Direction::Forward => Box::new(own),
            Direction::Reverse => Box::new(own.rev()),
        };
        let mut cursor = Overlay {
            reads: (self.mode == Mode::ReadWrite).then_some(&self.reads),
            range,
            direction,
            now_ms: self.now_ms,
            cells,
            below: None,
            own,
            own_next: None,
            current: None,
            ended: false,
        };
        cursor.advance_below();
        cursor.own_next = cursor.own.next();
        Ok(Box::new(cursor))
    }
}

impl<B: Backing> WriteView for KeyspaceTransaction<B> {
    fn put(&mut self, key: &[u8], put: Put<'_>) -> Result<()> {
        self.check_may_write(Operation::Write)?;
        let limits = self.shared.keyspace.backing().capabilities().limits;
        let bytes = limits.check_put(Operation::Write, key, &put);
        let bytes = bytes.map_err(|e| self.shared.named(e))?;
        self.write(key, Some(put.to_entry()), bytes)
    }

    fn delete(&mut self, key: &[u8]) -> Result<bool> {
        self.check_may_write(Operation::Delete)?;
        let limits = self.shared.keyspace.backing().capabilities().limits;
        let bytes = limits.check_key(Operation::Delete, key);
        let bytes = bytes.map_err(|e| self.shared.named(e))?;
        let was_there = self.entry(key)?.is_some();
        self.write(key, None, bytes)?;
        Ok(was_there)
    }
}

impl<B: Backing> Transaction for KeyspaceTransaction<B> {
    fn commit(self: Box<Self>) -> Result<()> {
        self.shared.check(Operation::Commit)?;
        let Self {
            shared,
            state,
            now_ms,
            reads,
            writes,
            ..
        } = *self;
        if writes.is_empty() {
            // It saw one state, and leaves none behind.
            return Ok(());
        }
        let changes = writes.iter().map(|(key, entry)| match entry {
            Some(entry) => Change::Put(key.as_ref(), entry.clone()),
            None => Change::Delete(key.as_ref()),
        });
        let changes = changes.collect();
        let basis = Basis {
            state: &state,
            reads: &reads.into_inner(),
            now_ms,
        };
        let done = shared.keyspace.commit_on(&basis, changes);
        done.map_err(|e| shared.named(e))
    }
}

impl<B> fmt::Debug for KeyspaceTransaction<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("mode", &self.mode)
            .field("writes", &self.writes.len())
            .finish_non_exhaustive()
    }
}

/// A state's rows with a transaction's own writes laid over them.
struct Overlay<'a> {
    reads: Option<&'a RefCell<ReadSet>>,
    range: KeyRange,
    direction: Direction,
    now_ms: u64,
    cells: StateCursor,
    /// The state's next row.
    below: Option<(Vec<u8>, Entry)>,
    own: Box<dyn Iterator<Item = (&'a Bytes, &'a Option<Entry>)> + 'a>,
    own_next: Option<(&'a Bytes, &'a Option<Entry>)>,
    /// The row that is lent.
    current: Option<(Vec<u8>, Entry)>,
    ended: bool,
}

impl Overlay<'_> {
    fn advance_below(&mut self) {
        let next = self.cells.next_cell();
        self.below = next.map(|(key, cell)| (key.to_vec(), cell.entry.clone()));
    }

    /// Takes the next row, of the state or of the writes.
    fn take(&mut self) -> Option<(Vec<u8>, Entry)> {
        loop {
            let order = match (&self.below, &self.own_next) {
                (None, None) => return None,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((below, _)), Some((own, _))) => {
                    let order = below.as_slice().cmp(own);
                    if self.direction == Direction::Reverse {
                        order.reverse()
                    } else {
                        order
                    }
                }
            };
            let mut row = None;
            if order.is_le() {
                row = self.below.take();
                self.advance_below();
            }
            if order.is_ge() {
                // Its own write hides what lies below.
                row = self.own_next.take().and_then(|(key, entry)| {
                    let entry = entry.clone().filter(|own| !own.is_expired(self.now_ms))?;
                    Some((key.to_vec(), entry))
                });
                self.own_next = self.own.next();
            }
            if row.is_some() {
                return row;
            }
        }
    }
}

impl Cursor for Overlay<'_> {
    fn next(&mut self) -> Result<Option<RowRef<'_>>> {
        self.current = self.take();
        self.ended |= self.current.is_none();
        Ok(self.current.as_ref().map(|(key, entry)| row(key, entry)))
    }
}

impl Drop for Overlay<'_> {
    /// Remembers the range as far as it was read: all up to the row that would have come next.
    fn drop(&mut self) {
        let Some(reads) = self.reads else { return };
        let next = self.below.as_ref().filter(|_| !self.ended);
        let own = |bound: Bound<&[u8]>| bound.map(<[u8]>::to_vec);
        let (start, end) = (own(self.range.start()), own(self.range.end()));
        let read = match (next, self.direction) {
            (None, _) => KeyRange::from_bounds(start, end),
            (Some((key, _)), Direction::Forward) => {
                KeyRange::from_bounds(start, Bound::Included(key.clone()))
            }
            (Some((key, _)), Direction::Reverse) => {
                KeyRange::from_bounds(Bound::Included(key.clone()), end)
            }
        };
        reads.borrow_mut().add_range(read);
    }
}
