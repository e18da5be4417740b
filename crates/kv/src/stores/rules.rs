//! What a store was told, as those who keep to it read it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::failed;
use crate::domain::engine::CopyMark;
use crate::domain::{ErrorKind, Operation, Result, Retention, StoreOptions};

/// What a store was told.
#[derive(Debug)]
pub(super) struct Rules {
    /// Lock `kv.rules`.
    options: Mutex<StoreOptions>,
    read_only: AtomicBool,
    unfinished: AtomicBool,
    /// 0: entries without a time stay.
    ttl_ms: AtomicU64,
}

impl Rules {
    pub(super) fn new(options: StoreOptions) -> Self {
        let rules = Self {
            options: Mutex::default(),
            read_only: AtomicBool::default(),
            unfinished: AtomicBool::default(),
            ttl_ms: AtomicU64::default(),
        };
        rules.set(options);
        rules
    }

    pub(super) fn set(&self, options: StoreOptions) {
        let mut kept = self.options.lock();
        self.read_only.store(options.read_only, Ordering::Release);
        let unfinished = options.copy_of.is_some();
        self.unfinished.store(unfinished, Ordering::Release);
        let ttl_ms = options.ttl_ms.unwrap_or(0);
        self.ttl_ms.store(ttl_ms, Ordering::Release);
        *kept = options;
    }

    pub(super) fn options(&self) -> StoreOptions {
        self.options.lock().clone()
    }

    pub(super) fn retention(&self) -> Retention {
        self.options.lock().retention
    }

    /// What an unfinished copy has to know.
    pub(super) fn mark(&self) -> Option<CopyMark> {
        self.options.lock().copy_of.clone()
    }

    /// What an unfinished copy is a copy of may have another name now.
    pub(super) fn follow(&self, from: &str, to: &str) {
        let mut options = self.options.lock();
        if let Some(mark) = &mut options.copy_of
            && mark.store == from
        {
            to.clone_into(&mut mark.store);
        }
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Acquire)
    }

    pub(super) fn has_ttl(&self) -> bool {
        self.ttl_ms.load(Ordering::Acquire) > 0
    }

    /// When an entry that is put at `now_ms` without a time expires.
    pub(super) fn expires_ms(&self, now_ms: impl FnOnce() -> u64) -> Option<u64> {
        let ttl_ms = self.ttl_ms.load(Ordering::Acquire);
        (ttl_ms > 0).then(|| now_ms().saturating_add(ttl_ms))
    }

    /// Refuses writes to a store that can only be read.
    pub(super) fn check_writable(
        &self,
        operation: Operation,
        engine: &str,
        store: &str,
    ) -> Result<()> {
        if !self.is_read_only() {
            return Ok(());
        }
        let kind = ErrorKind::ReadOnly("the store's options say so");
        Err(failed(operation, store, kind).engine(engine))
    }

    /// Refuses a store that a copy has left half done.
    pub(super) fn check_complete(&self, operation: Operation, name: &str) -> Result<()> {
        if !self.unfinished.load(Ordering::Acquire) {
            return Ok(());
        }
        let of = self.mark().map_or_else(String::new, |mark| mark.store);
        Err(failed(operation, name, ErrorKind::UnfinishedCopy { of }))
    }
}
