//! Transactions over all stores of the reference engine.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use nexusbase_kv::{
    Cursor, Direction, Entry, ErrorKind, KeyRange, Mode, Operation, Put, Result, Row, Transaction,
    Transactional, View, Write, WriteView,
};
use parking_lot::Mutex;

use super::view::{Handle, State};
use super::{Fault, Inner, Rows, error};

/// A transaction, and what it has of each store.
#[derive(Debug)]
struct Tx {
    engine: Arc<Inner>,
    store: String,
    parts: BTreeMap<String, Part>,
}

/// What a transaction has of one store.
#[derive(Debug)]
struct Part {
    handle: Handle,
    mode: Mode,
    begun: State,
    writes: BTreeMap<Vec<u8>, Option<Entry>>,
    reads: Mutex<Vec<KeyRange>>,
}

impl Transactional for Handle {
    fn begin(&self, mode: Mode) -> Result<Box<dyn Transaction>> {
        let mut world = self.engine.world.lock();
        self.find(Operation::Begin, &mut world)?;
        let now_ms = self.engine.now();
        let part = |(name, data): (&String, &super::Data)| {
            let begun = State {
                rows: Arc::clone(&data.rows),
                now_ms,
                fault: self.engine.fault,
            };
            let handle = if *name == self.name {
                self.clone()
            } else {
                Self::new(&self.engine, name, data.id)
            };
            let part = Part {
                handle,
                mode,
                begun,
                writes: BTreeMap::new(),
                reads: Mutex::default(),
            };
            (name.clone(), part)
        };
        let tx = Tx {
            engine: Arc::clone(&self.engine),
            store: self.name.clone(),
            parts: world.stores.iter().map(part).collect(),
        };
        Ok(Box::new(tx))
    }
}

impl Part {
    fn state(&self) -> State {
        let mut rows = Rows::clone(&self.begun.rows);
        // What was put in the past is not there in the transaction either.
        for (key, write) in &self.writes {
            match write {
                Some(entry) => drop(rows.insert(key.clone(), entry.clone())),
                None => drop(rows.remove(key)),
            }
        }
        let rows = Arc::new(rows);
        State {
            rows,
            ..self.begun.clone()
        }
    }

    fn has_read(&self, key: &[u8]) {
        if !self.writes.contains_key(key) && self.handle.engine.fault != Fault::NoReadConflicts {
            let bound = || Bound::Included(key.to_vec());
            self.reads
                .lock()
                .push(KeyRange::from_bounds(bound(), bound()));
        }
    }

    fn write(&mut self, operation: Operation, key: &[u8], put: Option<Put<'_>>) -> Result<()> {
        if self.mode == Mode::ReadOnly {
            let kind = ErrorKind::ReadOnly("the transaction only reads");
            return Err(self.handle.error(operation, kind));
        }
        let write = put.map_or(Write::Delete(key), |put| Write::Put(key, put));
        self.handle.check_limits(operation, &[write])?;
        let entry = put.map(|put| self.handle.engine.entry(put));
        if self.handle.engine.fault == Fault::LeaksUncommittedWrites {
            let mut world = self.handle.engine.world.lock();
            let data = self.handle.find(operation, &mut world)?;
            data.change(key, entry.clone(), Fault::None);
        }
        self.writes.insert(key.to_vec(), entry);
        Ok(())
    }

    fn has_changed(&self, now: &Rows) -> bool {
        let inside = |rows: &Rows, range: &KeyRange| -> Vec<Row> {
            let state = State {
                rows: Arc::new(rows.clone()),
                now_ms: 0,
                fault: Fault::None,
            };
            state.walk(range, Direction::Forward).rows
        };
        let reads = self.reads.lock();
        let mut reads = reads.iter();
        reads.any(|range| inside(&self.begun.rows, range) != inside(now, range))
    }
}

macro_rules! view {
    ($type:ty) => {
        impl View for $type {
            fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
                self.part().has_read(key);
                self.part().state().entry(key)
            }

            fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
                keys.iter().map(|key| self.entry(key)).collect()
            }

            fn cursor(
                &self,
                range: KeyRange,
                direction: Direction,
            ) -> Result<Box<dyn Cursor + '_>> {
                let walk = self.part().state().walk(&range, direction);
                if self.part().handle.engine.fault != Fault::NoPhantoms {
                    self.part().reads.lock().push(range);
                }
                Ok(Box::new(walk))
            }
        }

        impl WriteView for $type {
            fn put(&mut self, key: &[u8], put: Put<'_>) -> Result<()> {
                self.part_mut().write(Operation::Write, key, Some(put))
            }

            fn delete(&mut self, key: &[u8]) -> Result<bool> {
                let there = self.has(key)?;
                self.part_mut().write(Operation::Delete, key, None)?;
                Ok(there)
            }
        }
    };
}

struct Also<'a>(&'a mut Part);

impl Tx {
    fn part(&self) -> &Part {
        &self.parts[&self.store]
    }

    fn part_mut(&mut self) -> &mut Part {
        let part = self.parts.get_mut(&self.store);
        part.expect("its own store is one of its parts")
    }
}

impl Also<'_> {
    const fn part(&self) -> &Part {
        self.0
    }

    const fn part_mut(&mut self) -> &mut Part {
        self.0
    }
}

view!(Also<'_>);
view!(Tx);

impl Transaction for Tx {
    fn also(&mut self, store: &str) -> Result<Box<dyn WriteView + '_>> {
        match self.parts.get_mut(store) {
            Some(part) => Ok(Box::new(Also(part))),
            None => Err(error(Operation::Begin, store, ErrorKind::StoreNotFound)),
        }
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let operation = Operation::Commit;
        let mut world = self.engine.world.lock();
        let parts: Vec<_> = self.parts.iter().collect();
        if parts.iter().all(|(_, part)| part.writes.is_empty()) {
            return Ok(());
        }
        for (name, part) in &parts {
            if part.writes.is_empty() && part.reads.lock().is_empty() {
                continue;
            }
            let data = part.handle.find(operation, &mut world)?;
            if part.has_changed(&data.rows) {
                return Err(error(operation, name, ErrorKind::Conflict));
            }
            let writes = part.writes.iter().filter_map(|(key, entry)| {
                entry.as_ref().map(|entry| Write::Put(key, entry.as_put()))
            });
            part.handle
                .check_limits(operation, &writes.collect::<Vec<_>>())?;
        }
        for (_, part) in parts {
            if part.writes.is_empty() {
                continue;
            }
            let data = part.handle.find(operation, &mut world)?;
            for (key, entry) in &part.writes {
                data.change(key, entry.clone(), self.engine.fault);
            }
        }
        Ok(())
    }
}
