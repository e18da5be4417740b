//! The outside world behind traits: files, clock, randomness.
//!
//! Everything that NexusBase asks of the machine it asks through an [`Env`]: an [`Fs`] for
//! files, a [`Clock`] and a [`Random`]. Two of each exist: the operating system's ([`os`])
//! and a simulated one ([`sim`]) that is deterministic, can lose unsynced data, can fail at the
//! n-th operation, can be full and can rot. Nothing above this crate calls `std::fs`, reads a
//! clock or draws a random number by itself; a repository test fails if it does. That is what
//! lets a whole database run, crash and recover inside one thread from one seed.
//!
//! What it promises: the operations mean the same in both worlds, and each error names the
//! operation and the path. What it does not: buffering, caching, retrying. A failed
//! [`File::sync_data`] in particular must never be retried by a caller, because the operating
//! system may have dropped the pages that it could not write.

mod error;
mod fs;
pub mod os;
pub mod sim;
pub mod user_file;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use error::{Error, LockError, Result};
pub use fs::{File, Fs, Lock};

/// A source of time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z; may jump when the machine's clock is set.
    fn unix_ms(&self) -> u64;

    /// Time since some fixed moment; never goes back. For measuring durations.
    fn monotonic(&self) -> Duration;
}

/// A source of random bytes that an outsider cannot predict (except in a simulation).
pub trait Random: fmt::Debug + Send + Sync {
    /// Fills `bytes` with random bytes.
    ///
    /// # Errors
    /// When the operating system's random source cannot be read.
    fn fill(&self, bytes: &mut [u8]) -> Result<()>;
}

/// The world that a database lives in.
#[derive(Clone, Debug)]
pub struct Env {
    /// Where its files are.
    pub fs: Arc<dyn Fs>,
    /// What time it is there.
    pub clock: Arc<dyn Clock>,
    /// Where chance comes from.
    pub random: Arc<dyn Random>,
}

impl Env {
    /// The real world: the operating system's files, clock and random source.
    #[must_use]
    pub fn os() -> Self {
        Self {
            fs: Arc::new(os::OsFs),
            clock: Arc::new(os::OsClock::new()),
            random: Arc::new(os::OsRandom),
        }
    }
}
