//! All collections of a database.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use bson::Timestamp;
use bson::raw::RawBson;
use nexusbase_db::{
    Bytes, CommitError, Database, Direction, Error as DbError, KeyRange, Transaction, TreeId, View,
};
use parking_lot::Mutex;

use super::changes::lifecycle;
use super::collection::Collection;
use super::definition::{CollectionInfo, Definition};
use super::error::{Error, NameError};
use super::index::Uses;
use super::transaction::CollectionTx;
use crate::id::UuidV7;
use crate::id::text::uuid_value;
use crate::update::Now;

/// The tree of definitions.
const META_TREE: &str = "documents";
/// The longest name of a collection, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Definitions kept decoded; a database with more collections decodes some again and again.
const CACHE_MAX: usize = 1024;

/// The document collections of a database. Clones share it.
#[derive(Clone, Debug)]
pub struct Documents {
    db: Database,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The tree of definitions, once it is known: it is never dropped.
    meta: OnceLock<TreeId>,
    /// The same of the tree of notes about collections.
    lifecycle: OnceLock<TreeId>,
    /// Lock `documents.definitions`: decoded definitions with the bytes they were decoded from.
    definitions: Mutex<HashMap<String, (Bytes, Arc<Definition>)>>,
    /// Lock `documents.ids`: the last `_id` that was generated.
    ids: Mutex<UuidV7>,
    uses: Uses,
    /// Lock `documents.timestamps`: the last timestamp that was written into a document.
    timestamps: Mutex<LastTimestamp>,
}

#[derive(Debug)]
struct LastTimestamp(Timestamp);

impl Default for LastTimestamp {
    fn default() -> Self {
        Self(Timestamp {
            time: 0,
            increment: 0,
        })
    }
}

impl Documents {
    /// The collections of `db`.
    #[must_use]
    pub fn new(db: &Database) -> Self {
        Self {
            db: db.clone(),
            shared: Arc::default(),
        }
    }

    /// The database that the collections live in.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.db
    }

    /// The collection called `name`, whether it exists already or not.
    ///
    /// # Errors
    /// When no collection can have that name.
    pub fn collection(&self, name: &str) -> Result<Collection, NameError> {
        check_name(name)?;
        Ok(Collection::new(self.clone(), name))
    }

    /// All collections by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list(&self) -> Result<Vec<CollectionInfo>, Error> {
        let snapshot = self.db.snapshot();
        let sizes = self.tree_sizes();
        let mut all = Vec::new();
        for (name, definition) in self.definitions(&snapshot)? {
            let indexes = self.index_infos(&snapshot, &sizes, &name, &definition)?;
            all.push(definition.info(name, indexes));
        }
        Ok(all)
    }

    /// The definitions of all collections by name.
    pub(super) fn definitions(
        &self,
        view: &dyn View,
    ) -> Result<Vec<(String, Arc<Definition>)>, Error> {
        let Some(meta) = self.meta(view)? else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for row in view.scan(meta, KeyRange::all(), Direction::Forward)? {
            let (key, bytes) = row?;
            let name = String::from_utf8_lossy(&key).into_owned();
            let definition = self.decode(&name, bytes)?;
            all.push((name, definition));
        }
        Ok(all)
    }

    /// Works on a collection inside a transaction.
    ///
    /// # Errors
    /// When no collection can have that name.
    pub fn within<'tx>(
        &self,
        tx: &'tx mut Transaction,
        name: &str,
    ) -> Result<CollectionTx<'tx>, NameError> {
        Ok(self.collection(name)?.within(tx))
    }

    pub(super) fn uses(&self) -> &Uses {
        &self.shared.uses
    }

    /// A new `_id`.
    pub(crate) fn new_id(&self) -> Result<RawBson, Error> {
        let env = self.db.env();
        let mut random = [0; 10];
        env.random
            .fill(&mut random)
            .map_err(|e| DbError::Open(e.into()))?;
        let now = env.clock.unix_ms();
        Ok(uuid_value(self.shared.ids.lock().next(now, random)))
    }

    /// The time, for what writes it into documents.
    pub(crate) fn now(&self) -> Now {
        let unix_ms = self.db.env().clock.unix_ms();
        let time = u32::try_from(unix_ms / 1000).unwrap_or(u32::MAX);
        let mut last = self.shared.timestamps.lock();
        last.0 = match last.0 {
            Timestamp {
                time: at,
                increment,
            } if at == time => Timestamp {
                time,
                increment: increment.saturating_add(1),
            },
            _ => Timestamp { time, increment: 1 },
        };
        Now {
            unix_ms,
            timestamp: last.0,
        }
    }

    /// The definition of a collection as `view` sees it.
    pub(crate) fn definition(
        &self,
        view: &dyn View,
        name: &str,
    ) -> Result<Option<Arc<Definition>>, Error> {
        let Some(meta) = self.meta(view)? else {
            return Ok(None);
        };
        match view.get(meta, name.as_bytes())? {
            Some(bytes) => self.decode(name, bytes).map(Some),
            None => Ok(None),
        }
    }

    fn decode(&self, name: &str, bytes: Bytes) -> Result<Arc<Definition>, Error> {
        if let Some((known, definition)) = self.shared.definitions.lock().get(name)
            && *known == bytes
        {
            return Ok(Arc::clone(definition));
        }
        let definition = Definition::decode(&bytes).map_err(|reason| Error::Damaged {
            collection: name.to_owned(),
            reason,
        })?;
        let definition = Arc::new(definition);
        let mut definitions = self.shared.definitions.lock();
        if definitions.len() >= CACHE_MAX {
            definitions.clear();
        }
        definitions.insert(name.to_owned(), (bytes, Arc::clone(&definition)));
        Ok(definition)
    }

    pub(crate) fn meta(&self, view: &dyn View) -> Result<Option<TreeId>, Error> {
        if let Some(meta) = self.shared.meta.get() {
            return Ok(Some(*meta));
        }
        Ok(view.tree(META_TREE)?)
    }

    /// The tree of notes about collections, if there is one. It is never dropped either.
    pub(crate) fn lifecycle_tree(&self) -> Result<Option<TreeId>, Error> {
        if let Some(tree) = self.shared.lifecycle.get() {
            return Ok(Some(*tree));
        }
        let found = self.db.snapshot().tree(lifecycle::TREE)?;
        if let Some(tree) = found {
            // Two threads can only find the same number.
            let _ = self.shared.lifecycle.set(tree);
        }
        Ok(found)
    }

    /// Remembers the tree of definitions, now that a commit has shown that it is there to stay.
    fn remember_meta(&self) -> Result<(), Error> {
        if self.shared.meta.get().is_none()
            && let Some(meta) = self.db.snapshot().tree(META_TREE)?
        {
            // Two threads can only find the same number.
            let _ = self.shared.meta.set(meta);
        }
        Ok(())
    }

    /// Runs `work` in a transaction of its own; see [`Database::transact`].
    ///
    /// # Errors
    /// What `work` returns, or what the commit failed with.
    pub fn transact<T>(
        &self,
        work: impl FnMut(&mut Transaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.transact_as(work)
    }

    /// As [`Self::transact`], for work that can fail for reasons of its own.
    ///
    /// # Errors
    /// As there.
    pub fn transact_as<T, E: From<Error> + From<CommitError>>(
        &self,
        work: impl FnMut(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        self.remember_meta()?;
        self.db.transact(work)
    }

    /// Writes a collection's definition.
    pub(crate) fn put_definition(
        &self,
        tx: &mut Transaction,
        name: &str,
        definition: &Definition,
    ) -> Result<(), Error> {
        // Not the remembered number: a transaction that is older than the tree must find that it
        // is missing, so that its commit conflicts with the one that has created it.
        let meta = match tx.tree(META_TREE)? {
            Some(meta) => meta,
            None => tx.create_tree(META_TREE)?,
        };
        Ok(tx.put(meta, name.as_bytes(), definition.encode().as_bytes())?)
    }

    pub(crate) fn delete_definition(&self, tx: &mut Transaction, name: &str) -> Result<(), Error> {
        if let Some(meta) = self.meta(tx)? {
            tx.delete(meta, name.as_bytes())?;
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), NameError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let good = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with(['.', '-']);
    if good {
        Ok(())
    } else {
        Err(NameError {
            name: name.to_owned(),
        })
    }
}
