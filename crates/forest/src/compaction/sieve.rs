//! Which versions of a key survive a flush or compaction, and in what form.
//!
//! Rows are pushed in, in their order, and those that survive come out, in their order. At most
//! one row is held back, however many versions a key has. Of each key:
//!
//! * every version above the floor stays;
//! * of the others the newest stays for each reader (see [`Retention::stripe`]); a range delete
//!   counts as a tombstone at its seqno that takes no room;
//! * merge rows with one reader become one; onto a put they become a put; with nothing beneath
//!   them, too. Onto a blob they stay, so that values are not moved here;
//! * a tombstone goes if nothing lies beneath it, or an older tombstone that stays;
//! * a put that the floor sees and whose time has come becomes a tombstone.
//!
//! Promises: whoever may read (by the retention) sees the same before and after, but for expired
//! rows; at the bottom, with no pins and nothing above the floor, exactly one put (or a blob and
//! what is to be merged onto it) is left of each live key and nothing of the others.
//!
//! It relies on: the rows being all that the inputs hold of a key, and nothing that is older lying
//! in a newer place than they; the range deletes being all up to the floor; the output's
//! `purged_through` being [`Sieve::purged_through`], without which rows whose seqno was zeroed
//! would be hidden by older range deletes.
//!
//! Weights: those of a counted kind wander from a dropped row to the next newer one, so that the
//! sum over a key stays. A row that a range delete hides takes its weight with it: sums over a
//! range are right only once the range deletes over it are retired, and must not be used before.
//! A counted tombstone whose puts have all been joined to it weighs 0; it could go anywhere, but
//! only if the owner kept the promise that it never puts what is there, and the price of a broken
//! one would be rows that come back. So it stays until the bottom. Rows of counted kinds do not
//! expire: a delete or put would weigh wrong depending on whether compaction came by before.

use std::sync::Arc;

use crate::kind::TreeKind;
use crate::range_delete::{RangeDeletes, RangeDeletesCursor, oldest_above};
use crate::retention::Retention;
use crate::row::{BlobRef, Cell, RowRef};
use crate::table::block::VALUE_MAX;
use crate::{Direction, Seqno};

#[cfg(test)]
mod tests;

/// What decides on the fate of rows.
#[derive(Debug)]
pub(crate) struct SieveOptions<F> {
    pub(crate) kind: TreeKind,
    pub(crate) retention: Retention,
    pub(crate) deletes: Arc<RangeDeletes>,
    /// Whether nothing older of a key lies beneath the output. Asked for ascending keys.
    pub(crate) bottom: F,
    /// The time to judge expiry by, in milliseconds since 1970. None: nothing expires.
    pub(crate) now_ms: Option<u64>,
    /// Whether a row that everybody sees and that has nothing beneath loses its seqno.
    pub(crate) zero_seqnos: bool,
}

/// A walk through the rows of an output. What takes a row is also told up to where range deletes
/// are worked into this row and all before it.
#[derive(Debug)]
pub(crate) struct Sieve<F> {
    rules: Rules<F>,
    deletes: RangeDeletesCursor,
    /// The key of the last row, unless it is known that no row of it follows.
    key: Vec<u8>,
    in_key: bool,
    /// Whether a row of the key came out already.
    emitted: bool,
    held: Option<Held>,
    /// The value or operand of the held row.
    value: Vec<u8>,
}

#[derive(Debug)]
struct Rules<F> {
    kind: TreeKind,
    retention: Retention,
    bottom: F,
    now_ms: Option<u64>,
    zero_seqnos: bool,
    /// The oldest range delete up to the floor that hides a row of the output.
    oldest_needed: Option<Seqno>,
    faults: u64,
}

/// The row that may still change, because older rows of its key may follow.
#[derive(Clone, Copy, Debug)]
struct Held {
    seqno: Seqno,
    weight: i8,
    stripe: usize,
    form: Form,
    /// The oldest range delete that hides it.
    hidden_by: Option<Seqno>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Put,
    Delete,
    Merge,
    Blob(BlobRef),
}

impl Form {
    fn of(cell: Cell<'_>) -> (Self, &[u8]) {
        match cell {
            Cell::Put(value) => (Self::Put, value),
            Cell::Delete => (Self::Delete, &[]),
            Cell::Merge(operand) => (Self::Merge, operand),
            Cell::Blob(blob) => (Self::Blob(blob), &[]),
        }
    }

    fn cell(self, value: &[u8]) -> Cell<'_> {
        match self {
            Self::Put => Cell::Put(value),
            Self::Delete => Cell::Delete,
            Self::Merge => Cell::Merge(value),
            Self::Blob(blob) => Cell::Blob(blob),
        }
    }

    fn is_live(self) -> bool {
        matches!(self, Self::Put | Self::Blob(_))
    }
}

impl<F: FnMut(&[u8]) -> bool> Rules<F> {
    /// Adds a weight that wanders to a newer row.
    fn add_weight(&mut self, held: &mut Held, weight: i8) {
        if self.kind.counted {
            let sum = held.weight.saturating_add(weight);
            held.weight = sum.clamp(-1, 1);
            self.faults += u64::from(sum != held.weight);
        }
    }

    /// Makes the held row say something else.
    fn set_form(&self, held: &mut Held, form: Form) {
        held.form = form;
        if !self.kind.counted {
            held.weight = i8::from(form.is_live());
        }
    }

    /// Turns a put whose time has come into a tombstone.
    fn expire(&self, key: &[u8], value: &[u8], held: &mut Held) {
        if held.form == Form::Put
            && held.stripe == self.retention.floor_stripe()
            && !self.kind.counted
            && let (Some(expiry), Some(now_ms)) = (self.kind.expiry, self.now_ms)
            && expiry(key, value).is_some_and(|time| time <= now_ms)
        {
            self.set_form(held, Form::Delete);
        }
    }

    /// What becomes of a row of which no older one is left in the inputs; `alone` if no newer one
    /// either.
    fn end(&mut self, key: &[u8], value: &[u8], mut held: Held, alone: bool) -> Option<Held> {
        self.expire(key, value, &mut held);
        let seen_by_floor = held.seqno <= self.retention.floor();
        let matters = match held.form {
            Form::Merge => true,
            Form::Delete => seen_by_floor,
            Form::Put | Form::Blob(_) => alone && (self.zero_seqnos || self.kind.counted),
        };
        if !matters || !(self.bottom)(key) {
            return Some(held);
        }
        match held.form {
            Form::Delete => {
                self.faults += u64::from(held.weight != 0 && self.kind.counted);
                return None;
            }
            Form::Merge => self.set_form(&mut held, Form::Put),
            Form::Put | Form::Blob(_) => {}
        }
        if alone && held.weight != 1 {
            self.faults += 1;
            held.weight = 1;
        }
        // A range delete that hides it still does: it is newer than the oldest reader, or the row
        // would be gone, and so it is not counted as worked in.
        let seen_by_all = held.seqno <= self.retention.oldest();
        if self.zero_seqnos && alone && seen_by_all {
            held.seqno = Seqno::ZERO;
        }
        Some(held)
    }

    fn emit<E>(
        &mut self,
        key: &[u8],
        value: &[u8],
        held: Held,
        sink: &mut impl FnMut(&RowRef<'_>, Seqno) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(delete) = held.hidden_by
            && delete <= self.retention.floor()
        {
            let oldest = self.oldest_needed.get_or_insert(delete);
            *oldest = delete.min(*oldest);
        }
        let row = RowRef {
            key,
            seqno: held.seqno,
            weight: held.weight,
            cell: held.form.cell(value),
        };
        sink(&row, self.purged_through())
    }

    /// See [`Sieve::purged_through`].
    fn purged_through(&self) -> Seqno {
        let floor = self.retention.floor();
        match self.oldest_needed {
            Some(delete) => Seqno::new(delete.get().saturating_sub(1)).min(floor),
            None => floor,
        }
    }
}

impl<F: FnMut(&[u8]) -> bool> Sieve<F> {
    pub(crate) fn new(options: SieveOptions<F>) -> Self {
        Self {
            rules: Rules {
                kind: options.kind,
                retention: options.retention,
                bottom: options.bottom,
                now_ms: options.now_ms,
                zero_seqnos: options.zero_seqnos,
                oldest_needed: None,
                faults: 0,
            },
            deletes: RangeDeletesCursor::new(options.deletes),
            key: Vec::new(),
            in_key: false,
            emitted: false,
            held: None,
            value: Vec::new(),
        }
    }

    /// Takes the next row, which lies in a table with this `purged_through`. `key_ends` is what
    /// the cursor says of it.
    #[inline]
    pub(crate) fn push<E>(
        &mut self,
        row: &RowRef<'_>,
        purged_through: Seqno,
        key_ends: bool,
        sink: &mut impl FnMut(&RowRef<'_>, Seqno) -> Result<(), E>,
    ) -> Result<(), E> {
        let same_key = self.in_key && row.key == self.key;
        if !same_key {
            self.end_key(sink)?;
        }
        let stripe = self.rules.retention.stripe(row.seqno);
        let (form, value) = Form::of(row.cell);
        let mut next = Held {
            seqno: row.seqno,
            weight: row.weight,
            stripe,
            form,
            hidden_by: None,
        };
        if !self.deletes.is_empty() {
            let over = self.deletes.over(row.key, Direction::Forward);
            next.hidden_by = oldest_above(over, row.seqno.max(purged_through));
        }
        let reader = self.rules.retention.reader(stripe);
        let dropped = reader.is_some_and(|at| next.hidden_by.is_some_and(|delete| delete <= at));
        if !same_key {
            if key_ends {
                return self.push_only(row.key, value, next, dropped, sink);
            }
            self.key.clear();
            self.key.extend_from_slice(row.key);
            self.in_key = true;
            self.emitted = false;
        }
        self.push_below(value, next, dropped, sink)
    }

    /// What is left to come out. To be called once, after the last row.
    pub(crate) fn finish<E>(
        &mut self,
        sink: &mut impl FnMut(&RowRef<'_>, Seqno) -> Result<(), E>,
    ) -> Result<(), E> {
        self.end_key(sink)
    }

    /// Up to where range deletes are worked into what came out: none up to there hides a row that
    /// came out, or may.
    #[cfg(test)]
    pub(crate) fn purged_through(&self) -> Seqno {
        self.rules.purged_through()
    }

    /// How many weights were not what the kind promises. Each was put right where that is
    /// possible; counts in the inputs were wrong.
    pub(crate) fn faults(&self) -> u64 {
        self.rules.faults
    }

    /// The fate of the only row of a key, without copying it.
    #[inline]
    fn push_only<E>(
        &mut self,
        key: &[u8],
        value: &[u8],
        row: Held,
        dropped: bool,
        sink: &mut impl FnMut(&RowRef<'_>, Seqno) -> Result<(), E>,
    ) -> Result<(), E> {
        if dropped {
            return Ok(());
        }
        match self.rules.end(key, value, row, true) {
            Some(row) => self.rules.emit(key, value, row, sink),
            None => Ok(()),
        }
    }

    /// The next older row of the key, or its first. `dropped` if a range delete hides it from all.
    fn push_below<E>(
        &mut self,
        value: &[u8],
        mut next: Held,
        dropped: bool,
        sink: &mut impl FnMut(&RowRef<'_>, Seqno) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(held) = &mut self.held {
            // Everything from this row down is hidden from those who see the held one.
            let hidden = next.hidden_by.is_some_and(|delete| delete <= held.seqno);
            if held.form == Form::Merge && hidden {
                self.rules.set_form(held, Form::Put);
            }
            if dropped {
                return Ok(());
            }
            let one_reader =
                held.stripe == next.stripe && next.stripe <= self.rules.retention.floor_stripe();
            let joined = match (held.form, next.form) {
                _ if !one_reader => false,
                (Form::Merge, Form::Blob(_)) => false,
                (Form::Merge, Form::Put | Form::Merge) => {
                    Self::unite(&mut self.rules, &mut self.value, value)
                }
                _ => true,
            };
            if joined {
                if held.form == Form::Merge && next.form != Form::Merge {
                    self.rules.set_form(held, Form::Put);
                }
                self.rules.add_weight(held, next.weight);
                return Ok(());
            }
        } else if dropped {
            return Ok(());
        }
        self.emit_above(&mut next, sink)?;
        self.value.clear();
        self.value.extend_from_slice(value);
        self.held = Some(next);
        Ok(())
    }

    /// Merges an older value into the held one. Not if that would be more than a row can hold: then
    /// both stay, and readers merge them.
    fn unite(rules: &mut Rules<F>, value: &mut Vec<u8>, older: &[u8]) -> bool {
        let Some(merge) = rules.kind.merge else {
            // It cannot have been written; the newest counts, as everywhere.
            rules.faults += 1;
            return true;
        };
        if value.len().saturating_add(older.len()) > VALUE_MAX {
            return false;
        }
        let united = merge(older, value);
        if united.len() > VALUE_MAX {
            return false;
        }
        *value = united;
        true
    }

    /// Lets the held row go, above `next`, which stays.
    fn emit_above<E>(
        &mut self,
        next: &mut Held,
        sink: &mut impl FnMut(&RowRef<'_>, Seqno) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(mut held) = self.held.take() else {
            return Ok(());
        };
        let rules = &mut self.rules;
        if held.form == Form::Merge && next.form == Form::Delete {
            rules.set_form(&mut held, Form::Put);
        }
        rules.expire(&self.key, &self.value, &mut held);
        let seen_by_floor = held.seqno <= rules.retention.floor();
        if held.form == Form::Delete && next.form == Form::Delete && seen_by_floor {
            rules.add_weight(next, held.weight);
            return Ok(());
        }
        self.emitted = true;
        rules.emit(&self.key, &self.value, held, sink)
    }

    fn end_key<E>(
        &mut self,
        sink: &mut impl FnMut(&RowRef<'_>, Seqno) -> Result<(), E>,
    ) -> Result<(), E> {
        self.in_key = false;
        let Some(held) = self.held.take() else {
            return Ok(());
        };
        match self.rules.end(&self.key, &self.value, held, !self.emitted) {
            Some(held) => self.rules.emit(&self.key, &self.value, held, sink),
            None => Ok(()),
        }
    }
}
