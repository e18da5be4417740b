//! The simulated world: a disk with a fault model, a clock and randomness that follow a seed.
//!
//! A whole database can run, crash and recover in it inside one thread, from one seed, and do the
//! same again from the same seed. (With several threads each call is still atomic, but the order
//! of the calls is no longer the seed's.)
//!
//! # The disk's fault model
//!
//! What may break is what a real machine may break; what must survive is what [`Fs`](crate::Fs)
//! and [`File`](crate::File) promise, and nothing more.
//!
//! **Content of files.** A file is a durable image and a list of unsynced pieces, at most one
//! sector (512 bytes) long each; reads see both. [`File::sync_data`](crate::File::sync_data) makes
//! all of the file's pieces durable,
//! [`File::write_durable_at`](crate::File::write_durable_at) exactly its own range and the length
//! it needs, nothing else, not even an unsynced byte in the same sector.
//!
//! **Names.** Create, rename, remove and hard link are pending until
//! [`Fs::sync_dir`](crate::Fs::sync_dir) of their directory; a rename between two directories
//! until both are synced. Syncing a file does not make its name durable. Directories themselves
//! are durable at once.
//!
//! **A power cut** ([`SimDisk::crash`]) loses or keeps every unsynced thing by itself:
//! * each sector with pieces shows one of the versions that it had since it was last durable, so
//!   writes are reordered and torn at sector size, but never inside a sector;
//! * a file that had grown keeps its durable length, or any longer one up to the length it had;
//!   it reaches at least as far as its kept pieces; what was lost in between is zero;
//! * each pending change of names is kept or lost as a whole: a rename never shows half. A kept
//!   change keeps the earlier pending changes of the same names (no file system reorders those);
//!   changes of different names are independent;
//! * a file without a name is gone.
//!
//! Half of the power cuts lose everything unsynced, or keep all of it: the likely cases in life.
//!
//! **The death of the process** ([`SimDisk::kill`]) loses nothing, and syncs nothing. After either
//! death all handles, files and [`Env`]s of the old life only return errors, so that a forgotten
//! thread or a `Drop` cannot reach into the new one, and locks are free again.
//!
//! **A failing operation** ([`SimDisk::fail_at`]) returns an error once. A failed write has
//! written some of its sectors. A failed sync (or durable write) has made some sectors durable;
//! the others will never be, though reads go on to show them until the power cut and the next sync
//! succeeds: that is what Linux does, and why a failed sync must not be tried again. A failed
//! directory sync does the same to names.
//!
//! **A power cut inside an operation** ([`SimDisk::crash_at`]) leaves it partly done; it and all
//! later ones fail until [`SimDisk::crash`] (or [`SimDisk::kill`]) starts the next life.
//!
//! **A full disk** ([`SimDisk::set_capacity`]) fails what makes a file longer, after writing as
//! much as fits. **Rot** ([`SimDisk::flip_bit`]) changes what is stored. **A lying disk**
//! ([`SimDisk::set_skip_syncs`]) says that it synced and did not; a crash test that does not
//! notice proves nothing.
//!
//! Not simulated: symbolic links, permissions, renaming or removing directories, misdirected
//! writes, and reads that differ between two tries.

mod clock;
mod content;
mod disk;
mod names;
mod random;
mod state;

use std::sync::Arc;
use std::time::Duration;

pub use clock::SimClock;
pub use disk::SimDisk;
pub use random::{SimRandom, SimRng};
pub use state::{Counters, FaultKind};

use crate::Env;

impl Env {
    /// A simulated world on `disk`, with a clock that moves by a microsecond per reading and
    /// randomness from `seed`. It belongs to the present life of the disk: after
    /// [`SimDisk::crash`] or [`SimDisk::kill`] its files only return errors and the next life
    /// needs a new one.
    #[must_use]
    pub fn simulated(disk: &SimDisk, seed: u64) -> Self {
        Self {
            fs: Arc::new(disk.for_this_life()),
            clock: Arc::new(SimClock::ticking(Duration::from_micros(1))),
            random: Arc::new(SimRandom::new(seed)),
        }
    }
}
