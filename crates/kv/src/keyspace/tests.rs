//! What readers see while a keyspace is changed.

use std::sync::{OnceLock, Weak};
use std::time::Duration;

use super::*;
use crate::domain::{Capabilities, Limits, Put, Transactions, Version};

/// Keeps nothing.
#[derive(Debug)]
struct Nowhere;

impl Backing for Nowhere {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: false,
            ordered: true,
            transactions: Transactions::OneStore,
            versioned: false,
            larger_than_memory: false,
            limits: Limits {
                key_bytes: 100,
                value_bytes: 100,
                batch_bytes: usize::MAX,
            },
        }
    }

    fn append(&self, _newest: &State, _changes: &[Change<&[u8]>]) -> Result<()> {
        Ok(())
    }

    fn take_version(&self, _state: &State, _label: Label<'_>) -> Result<Version> {
        Err(Error::new(Operation::TakeVersion, ErrorKind::Closed))
    }

    fn versions(&self) -> Result<Vec<Version>> {
        Ok(Vec::new())
    }

    fn read_version(&self, _version: &Version, _stamp: u64) -> Result<State> {
        Err(Error::new(Operation::ReadVersion, ErrorKind::Closed))
    }

    fn delete_version(&self, _version: &Version) -> Result<()> {
        Ok(())
    }

    fn close(&self, _newest: &State) -> Result<()> {
        Ok(())
    }
}

/// Looks whether readers have to wait when it is asked for the time.
#[derive(Debug, Default)]
struct Watch {
    keyspace: OnceLock<Weak<Keyspace<Nowhere>>>,
    waited: Mutex<Vec<bool>>,
}

impl Clock for Watch {
    fn unix_ms(&self) -> u64 {
        if let Some(keyspace) = self.keyspace.get().and_then(Weak::upgrade) {
            let waits = keyspace.state.try_read().is_none();
            self.waited.lock().push(waits);
        }
        1
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn readers_do_not_wait_while_a_large_batch_is_worked_in() {
    let watch = Arc::new(Watch::default());
    let clock = Arc::clone(&watch) as Arc<dyn Clock>;
    let keyspace = Arc::new(Keyspace::new(State::default(), clock, Nowhere));
    watch.keyspace.set(Arc::downgrade(&keyspace)).unwrap();
    let keys: Vec<_> = (0..=CHANGES_AT_ONCE).map(usize::to_be_bytes).collect();
    // The time is asked for when there is something that expires, in the midst of the work.
    let put = Put {
        expires_ms: Some(u64::MAX),
        ..Put::new(b"v")
    };
    let changes = keys.iter().map(|key| Change::Put(&key[..], put.to_entry()));
    keyspace.commit(changes.collect()).unwrap();
    assert_eq!(*watch.waited.lock(), [false]);
    assert_eq!(keyspace.state().len(), keys.len() as u64);
}
