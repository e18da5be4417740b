//! Whether a handle of a store can still be used.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::domain::ErrorKind;

const OPEN: u8 = 0;
const CLOSED: u8 = 1;
const GONE: u8 = 2;

/// Whether a handle can still be used. Once it cannot, it never can again.
#[derive(Debug, Default)]
pub(crate) struct Life(AtomicU8);

impl Life {
    /// From now on it was closed.
    pub(crate) fn close(&self) {
        // What is gone stays gone.
        let _ = self
            .0
            .compare_exchange(OPEN, CLOSED, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// From now on there is no such store.
    pub(crate) fn end(&self) {
        self.0.store(GONE, Ordering::Release);
    }

    pub(crate) fn check(&self) -> Result<(), ErrorKind> {
        match self.0.load(Ordering::Acquire) {
            OPEN => Ok(()),
            CLOSED => Err(ErrorKind::Closed),
            _ => Err(ErrorKind::StoreNotFound),
        }
    }
}
