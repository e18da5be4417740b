//! Reading entries back: a range of them, or a stream that follows what is committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::ReadError;
use crate::log::Log;
use crate::record::{Decoded, Group, Index, LogId, Position, Record, decode};
use crate::segment::Segment;
use crate::watermark::{Changed, Watermark};

/// How much is read from a segment at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// An entry that was read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its index and term.
    pub id: LogId,
    /// What it says.
    pub payload: &'a [u8],
}

/// Indices that readers still need, by group.
#[derive(Debug, Default)]
pub(crate) struct Pins(BTreeMap<(Group, Index), usize>);

impl Pins {
    /// The lowest index of `group` that somebody needs.
    pub(crate) fn lowest(&self, group: Group) -> Option<Index> {
        let all = (group, Index::ZERO)..=(group, Index::new(u64::MAX));
        self.0.range(all).next().map(|(&(_, index), _)| index)
    }

    fn add(&mut self, group: Group, index: Index) {
        *self.0.entry((group, index)).or_default() += 1;
    }

    fn remove(&mut self, group: Group, index: Index) {
        if let Some(count) = self.0.get_mut(&(group, index)) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&(group, index));
            }
        }
    }
}

/// Keeps the segments from an entry on; given back when dropped.
#[derive(Debug)]
struct Pin {
    log: Log,
    group: Group,
    index: Index,
}

impl Pin {
    fn move_to(&mut self, index: Index) {
        let mut state = self.log.shared.state.lock();
        state.pins.add(self.group, index);
        state.pins.remove(self.group, self.index);
        drop(state);
        self.index = index;
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.log
            .shared
            .state
            .lock()
            .pins
            .remove(self.group, self.index);
    }
}

/// A group's entries in their order. Not an `Iterator`, because each entry lies in a buffer that
/// the next one may overwrite.
#[derive(Debug)]
pub struct Entries {
    group: Group,
    next: Index,
    to: Index,
    place: Option<Place>,
    segment: Option<Arc<Segment>>,
    buffer: Vec<u8>,
    buffer_at: Position,
    pin: Pin,
}

/// Where reading goes on.
#[derive(Clone, Copy, Debug)]
struct Place {
    position: Position,
    /// Up to this entry it can go on from there.
    run_last: Index,
    /// It can if no group was cut back since.
    cuts: u64,
}

impl Entries {
    pub(crate) fn new(log: Log, group: Group, from: Index, to: Index) -> Result<Self, ReadError> {
        let from = from.max(Index::new(1));
        {
            let mut state = log.shared.state.lock();
            let purged = state
                .groups
                .get(&group)
                .map_or(Index::ZERO, |g| g.view.purged.index);
            if from <= purged {
                return Err(ReadError::Purged {
                    group,
                    asked: from,
                    oldest: purged.next(),
                });
            }
            state.pins.add(group, from);
        }
        let pin = Pin {
            log,
            group,
            index: from,
        };
        Ok(Self {
            group,
            next: from,
            to,
            place: None,
            segment: None,
            buffer: Vec::new(),
            buffer_at: Position::ZERO,
            pin,
        })
    }

    /// The next entry; none behind the last one asked for, or the last one that there is.
    ///
    /// # Errors
    /// When the log cannot be read or is damaged.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, ReadError> {
        if self.next > self.to {
            return Ok(None);
        }
        loop {
            let Some(position) = self.position() else {
                return Ok(None);
            };
            let (start, size, id) = match self.decode_at(position)? {
                Found::Entry { start, size, id } => (start, size, id),
                Found::Other { size } => {
                    self.advance(position, size);
                    continue;
                }
            };
            self.advance(position, size);
            if id.index < self.next {
                continue;
            }
            self.next = id.index.next();
            let payload = self.entry_payload(start, size)?;
            return Ok(Some(Entry { id, payload }));
        }
    }

    fn entry_payload(&self, start: usize, size: usize) -> Result<&[u8], ReadError> {
        let bytes = self.buffer.get(start..start + size).unwrap_or_default();
        // The length field was checked when the record was decoded.
        let length = crate::record::u32_at(bytes, 4) as usize;
        let from = crate::record::HEADER_BYTES;
        Ok(bytes.get(from..from + length).unwrap_or_default())
    }

    fn position(&mut self) -> Option<Position> {
        let shared = &self.pin.log.shared;
        let cuts = shared.cuts.load(Ordering::Acquire);
        if let Some(place) = &self.place
            && self.next <= place.run_last
            && cuts == place.cuts
        {
            return Some(place.position);
        }
        let (position, run_last) = {
            let state = shared.state.lock();
            state.groups.get(&self.group)?.locate(self.next)?
        };
        // A run that grew since it was looked up goes on where reading stopped.
        let position = match &self.place {
            Some(reached) if reached.position > position => reached.position,
            _ => position,
        };
        self.place = Some(Place {
            position,
            run_last,
            cuts,
        });
        Some(position)
    }

    fn advance(&mut self, position: Position, size: usize) {
        if let Some(place) = &mut self.place {
            place.position = position.plus(size);
        }
    }

    fn decode_at(&mut self, position: Position) -> Result<Found, ReadError> {
        if let Some(found) = self.decode_buffered(position) {
            return Ok(found);
        }
        self.fill(position, CHUNK_BYTES)?;
        if let Some(found) = self.decode_buffered(position) {
            return Ok(found);
        }
        // A record larger than a chunk.
        let length = crate::record::u32_at(&self.buffer, 4) as usize;
        let wanted = length.min(crate::record::PAYLOAD_BYTES_MAX) + 2 * crate::record::HEADER_BYTES;
        let segment = self.fill(position, wanted.max(CHUNK_BYTES))?;
        match decode(&self.buffer, segment.seed, position) {
            Ok(found) => Ok(Found::of(&found, self.group, 0)),
            Err(bad) => Err(segment.damage(position, bad.expected, bad.found).into()),
        }
    }

    fn decode_buffered(&self, position: Position) -> Option<Found> {
        let segment = self.segment.as_ref()?;
        let start = usize::try_from(position.get().checked_sub(self.buffer_at.get())?).ok()?;
        let bytes = self.buffer.get(start..)?;
        let found = decode(bytes, segment.seed, position).ok()?;
        Some(Found::of(&found, self.group, start))
    }

    fn fill(&mut self, position: Position, bytes: usize) -> Result<Arc<Segment>, ReadError> {
        self.pin.move_to(self.next);
        let (segment, written) = {
            let state = self.pin.log.shared.state.lock();
            (state.segment_at(position), state.written)
        };
        let Some(segment) = segment else {
            let oldest = self.pin.log.group(self.group).purged.index.next();
            return Err(ReadError::Purged {
                group: self.group,
                asked: self.next,
                oldest,
            });
        };
        let there = usize::try_from(written.get().saturating_sub(position.get()));
        segment.read(
            position,
            bytes.min(there.unwrap_or(bytes)),
            &mut self.buffer,
        )?;
        self.buffer_at = position;
        self.segment = Some(Arc::clone(&segment));
        Ok(segment)
    }
}

/// What lies at a position, without a borrow of the buffer.
enum Found {
    Entry {
        start: usize,
        size: usize,
        id: LogId,
    },
    Other {
        size: usize,
    },
}

impl Found {
    fn of(found: &Decoded<'_>, wanted: Group, start: usize) -> Self {
        match found.record {
            Record::Entry { group, id, .. } if group == wanted => Self::Entry {
                start,
                size: found.size,
                id,
            },
            _ => Self::Other { size: found.size },
        }
    }
}

/// A stream of a group's committed entries.
#[derive(Debug)]
pub struct Subscription {
    entries: Entries,
    committed: Arc<Watermark>,
}

impl Subscription {
    pub(crate) fn new(log: &Log, group: Group, from: Index) -> Result<Self, ReadError> {
        let committed = log.committed(group);
        Ok(Self {
            entries: Entries::new(log.clone(), group, from, Index::ZERO)?,
            committed,
        })
    }

    /// The index of the entry that comes next.
    #[must_use]
    pub const fn position(&self) -> Index {
        self.entries.next
    }

    /// The next committed entry, if there is one already.
    ///
    /// # Errors
    /// When the log cannot be read or is damaged.
    pub fn try_next(&mut self) -> Result<Option<Entry<'_>>, ReadError> {
        self.entries.to = Index::new(self.committed.get());
        self.entries.next_entry()
    }

    /// Waits until [`Self::try_next`] has an entry, at most for `timeout`.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Changed {
        self.committed
            .wait_beyond(self.entries.next.get().saturating_sub(1), timeout)
    }

    /// Ready when [`Self::try_next`] has an entry, or the log is closed.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Changed> {
        self.committed
            .poll_beyond(self.entries.next.get().saturating_sub(1), context)
    }
}
