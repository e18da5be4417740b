//! Between which seqnos reads are possible, as readers, writers and background work share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::retention::Retention;
use crate::{ReadError, Seqno};

/// The seqnos between which reads are possible, as readers and writers share them.
#[derive(Debug, Default)]
pub(crate) struct Horizon {
    applied: AtomicU64,
    floor: AtomicU64,
    pins: ArcSwap<Vec<Seqno>>,
    /// Lock `forest.horizon`: held while the floor or the pins change. Readers do not take it.
    turn: Mutex<()>,
}

impl Horizon {
    /// A horizon where everything up to `applied` has been applied and nothing older is kept.
    pub(crate) fn new(applied: Seqno) -> Self {
        Self {
            applied: AtomicU64::new(applied.get()),
            floor: AtomicU64::new(applied.get()),
            pins: ArcSwap::default(),
            turn: Mutex::default(),
        }
    }

    pub(crate) fn applied(&self) -> Seqno {
        Seqno::new(self.applied.load(Ordering::Acquire))
    }

    /// Publishes what was written up to `at`: readers that see this see all of it.
    pub(crate) fn set_applied(&self, at: Seqno) {
        self.applied.store(at.get(), Ordering::Release);
    }

    pub(crate) fn floor(&self) -> Seqno {
        Seqno::new(self.floor.load(Ordering::Acquire))
    }

    pub(crate) fn raise_floor(&self, at: Seqno) {
        let _turn = self.turn.lock();
        self.floor.fetch_max(at.get(), Ordering::AcqRel);
    }

    /// Pins what was pinned before the forest was opened, although the floor is above.
    pub(crate) fn restore_pins(&self, pins: &[Seqno]) {
        let _turn = self.turn.lock();
        let mut pins = pins.to_vec();
        pins.sort_unstable();
        pins.dedup();
        self.pins.store(Arc::new(pins));
    }

    /// Pins those of `pins` that can be read at.
    pub(crate) fn set_pins(&self, pins: &[Seqno]) {
        // While the floor stands still: else it could rise above a pin that was just accepted,
        // and background work that does not know the pin yet could go by it.
        let _turn = self.turn.lock();
        let mut pins = pins.to_vec();
        let (floor, before) = (self.floor(), self.pins.load());
        pins.retain(|pin| *pin >= floor || before.binary_search(pin).is_ok());
        pins.sort_unstable();
        pins.dedup();
        self.pins.store(Arc::new(pins));
    }

    /// What has to be kept, for a flush or a compaction that starts now, of entries up to
    /// `through`.
    pub(crate) fn retention(&self, through: Seqno) -> Retention {
        // The floor first: a pin that was set before the floor rose above it is then seen.
        let floor = self.floor().min(through);
        Retention::new(floor, Vec::clone(&self.pins.load()))
    }

    /// Whether everything up to `at` has been applied. To be asked before a picture of the trees
    /// is taken, so that the picture has it.
    pub(crate) fn check_applied(&self, at: Seqno) -> Result<(), ReadError> {
        let applied = self.applied();
        if at > applied {
            return Err(ReadError::NotApplied { at, applied });
        }
        Ok(())
    }

    /// Whether a picture of the trees that was taken before this is asked has all that a read at
    /// `at` should see: versions go only after the floor has risen.
    pub(crate) fn check_kept(&self, at: Seqno) -> Result<(), ReadError> {
        let floor = self.floor();
        if at < floor && self.pins.load().binary_search(&at).is_err() {
            return Err(ReadError::TooOld {
                at,
                oldest_needed: floor,
            });
        }
        Ok(())
    }
}
