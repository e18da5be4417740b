//! A store's state in memory, for engines that keep all of it there: `memory` and `file`.
//!
//! A [`State`] is a persistent tree: a copy costs nothing and shares all that is not changed
//! afterwards, so a snapshot, a transaction's view and a version in memory are each one copy. A
//! [`Keyspace`] is the newest state and the one way to change it:
//!
//! 1. the writer takes its turn (one at a time), and checks what its transaction has read;
//! 2. the engine's [`Backing`] makes the changes durable, if it does such a thing;
//! 3. the changes are worked into the state, and from then on everybody sees them.
//!
//! Promises: readers wait for nobody but the few instructions of step 3; a change that the backing
//! refuses never happened; what a commit did is all there or not at all. A [`KeyspaceStore`] makes
//! a [`Store`](crate::Store) of it. Does not: know files, or when to open and close what.

mod backing;
mod handle;
mod reads;
mod state;
#[cfg(test)]
mod tests;
mod transaction;
mod versions;
mod view;

use std::sync::Arc;

use nexusbase_io::Clock;
use parking_lot::{Mutex, RwLock};

pub(crate) use backing::{Backing, Label};
pub(crate) use handle::KeyspaceStore;
pub(crate) use state::{Change, State};

use crate::domain::{Entry, Error, ErrorKind, Operation, Result};
use reads::ReadSet;

/// More changes than these are worked in beside the readers, who would wait too long.
const CHANGES_AT_ONCE: usize = 1000;

/// The newest state of a store, and the one way to change it.
#[derive(Debug)]
pub(crate) struct Keyspace<B> {
    /// Lock `kv.turn`: taken by writers only, held while the backing writes.
    turn: Mutex<()>,
    /// Lock `kv.state`: held for a few instructions.
    state: RwLock<State>,
    clock: Arc<dyn Clock>,
    backing: B,
}

/// What a transaction has read, and in which state.
pub(crate) struct Basis<'a> {
    state: &'a State,
    reads: &'a ReadSet,
    now_ms: u64,
}

impl<B: Backing> Keyspace<B> {
    pub(crate) fn new(state: State, clock: Arc<dyn Clock>, backing: B) -> Self {
        Self {
            turn: Mutex::default(),
            state: RwLock::new(state),
            clock,
            backing,
        }
    }

    pub(crate) const fn backing(&self) -> &B {
        &self.backing
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    /// The newest state.
    pub(crate) fn state(&self) -> State {
        self.state.read().clone()
    }

    /// What is under `key` and has not expired.
    fn entry(&self, key: &[u8]) -> Option<Entry> {
        let state = self.state.read();
        let entry = &state.cell(key)?.entry;
        // The clock is asked only for what expires.
        let gone = entry.expires_ms.is_some() && entry.is_expired(self.now_ms());
        (!gone).then(|| entry.clone())
    }

    /// Makes `changes`, all or none.
    pub(crate) fn commit(&self, changes: Vec<Change<&[u8]>>) -> Result<()> {
        self.commit_after(changes, || Ok(()))
    }

    /// Makes `changes`, all or none, unless something was changed that `basis` rests on.
    fn commit_on(&self, basis: &Basis<'_>, changes: Vec<Change<&[u8]>>) -> Result<()> {
        self.commit_after(changes, || {
            // Only writers change the state, so it stays as it is while the turn is held.
            let newest = self.state.read();
            if basis.reads.is_changed(basis.state, &newest, basis.now_ms) {
                return Err(Error::new(Operation::Commit, ErrorKind::Conflict));
            }
            Ok(())
        })
    }

    fn commit_after(
        &self,
        changes: Vec<Change<&[u8]>>,
        check: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let turn = self.turn.lock();
        check()?;
        if changes.is_empty() {
            return Ok(());
        }
        self.append(changes)?;
        drop(turn);
        self.backing.settle(self)
    }

    /// Lets `choose` say what to change of the newest state, as one step.
    pub(crate) fn change<'k, T>(
        &self,
        choose: impl FnOnce(&State) -> (Vec<Change<&'k [u8]>>, T),
    ) -> Result<T> {
        let turn = self.turn.lock();
        let (changes, answer) = choose(&self.state());
        if changes.is_empty() {
            return Ok(answer);
        }
        self.append(changes)?;
        drop(turn);
        self.backing.settle(self)?;
        Ok(answer)
    }

    /// Lets `decide` look at what is under `key`, and makes the change that it wants, as one step.
    pub(crate) fn update<'k, T>(
        &self,
        key: &'k [u8],
        decide: impl FnOnce(Option<&Entry>) -> (Option<Change<&'k [u8]>>, T),
    ) -> Result<T> {
        let turn = self.turn.lock();
        let (change, answer) = decide(self.entry(key).as_ref());
        let Some(change) = change else {
            return Ok(answer);
        };
        self.append(vec![change])?;
        drop(turn);
        self.backing.settle(self)?;
        Ok(answer)
    }

    /// Lets `work` see the newest state, which does not change meanwhile, and replace it.
    pub(crate) fn replace<T>(
        &self,
        work: impl FnOnce(&State) -> Result<(Option<State>, T)>,
    ) -> Result<T> {
        let _turn = self.turn.lock();
        let newest = self.state();
        let (next, answer) = work(&newest)?;
        if let Some(next) = next {
            let next = next.replacing(&newest);
            // What was there is taken apart when nobody waits for it.
            let _before = std::mem::replace(&mut *self.state.write(), next);
        }
        Ok(answer)
    }

    /// Makes changes durable, and then seen. Within the turn.
    fn append(&self, changes: Vec<Change<&[u8]>>) -> Result<()> {
        // No copy of the state is left when it is changed: what two share has to be copied.
        self.backing.append(&self.state(), &changes)?;
        if changes.len() > CHANGES_AT_ONCE {
            // Nobody else changes the state, so it may be worked on beside those who read it.
            let mut next = self.state();
            let cleared = next.apply(changes, || self.now_ms());
            let before = std::mem::replace(&mut *self.state.write(), next);
            drop((cleared, before));
        } else {
            let cleared = self.state.write().apply(changes, || self.now_ms());
            drop(cleared);
        }
        Ok(())
    }
}
