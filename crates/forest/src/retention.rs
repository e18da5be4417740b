//! Which seqnos can still be read, and so which versions must stay.
//!
//! Promises: whatever can be read at now can be read at after a flush or compaction with the same
//! retention. It relies on two things: the floor only rises, and a pin is never set below the
//! floor of that moment (rows whose seqno was zeroed would be seen by it).

use std::sync::Arc;

use crate::Seqno;

/// The seqnos that are read at: some single ones, and everything from the floor on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    floor: Seqno,
    /// Ascending, all below the floor.
    pins: Arc<[Seqno]>,
}

impl Retention {
    /// Reads at `floor` and above, and at `pins`, in any order.
    pub(crate) fn new(floor: Seqno, mut pins: Vec<Seqno>) -> Self {
        pins.retain(|pin| *pin < floor);
        pins.sort_unstable();
        pins.dedup();
        let pins = pins.into();
        Self { floor, pins }
    }

    pub(crate) fn floor(&self) -> Seqno {
        self.floor
    }

    /// The single ones, ascending.
    pub(crate) fn pins(&self) -> &[Seqno] {
        &self.pins
    }

    /// The least seqno that can be read at.
    pub(crate) fn oldest(&self) -> Seqno {
        self.pins.first().copied().unwrap_or(self.floor)
    }

    /// Whether a read at `at` finds all that it may see.
    #[cfg(test)]
    pub(crate) fn is_readable(&self, at: Seqno) -> bool {
        at >= self.floor || self.pins.binary_search(&at).is_ok()
    }

    /// The number of the oldest reader that sees a version: the pins come first, the floor after
    /// them. Of the versions of a key with the same number only the newest is ever seen, except
    /// above the floor, where each is.
    pub(crate) fn stripe(&self, seqno: Seqno) -> usize {
        if seqno > self.floor {
            return self.pins.len() + 1;
        }
        self.pins.partition_point(|pin| *pin < seqno)
    }

    /// The number of the versions that the floor is the first to see.
    pub(crate) fn floor_stripe(&self) -> usize {
        self.pins.len()
    }

    /// Where the oldest reader that sees the versions of a stripe reads. None above the floor.
    pub(crate) fn reader(&self, stripe: usize) -> Option<Seqno> {
        match self.pins.get(stripe) {
            Some(pin) => Some(*pin),
            None => (stripe == self.pins.len()).then_some(self.floor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_belongs_to_the_oldest_reader_that_sees_it() {
        let seqno = Seqno::new;
        let retention = Retention::new(seqno(10), vec![seqno(7), seqno(3), seqno(7), seqno(12)]);
        let stripes: Vec<_> = (0..=11).map(|s| retention.stripe(seqno(s))).collect();
        assert_eq!(stripes, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3]);
        let readers: Vec<_> = (0..=3).map(|stripe| retention.reader(stripe)).collect();
        assert_eq!(
            readers,
            [Some(seqno(3)), Some(seqno(7)), Some(seqno(10)), None]
        );
        let readable: Vec<_> = (0..=11)
            .filter(|s| retention.is_readable(seqno(*s)))
            .collect();
        assert_eq!(readable, [3, 7, 10, 11]);
        assert_eq!(retention.oldest(), seqno(3));
    }
}
