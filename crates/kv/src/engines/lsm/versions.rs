//! Versions: indices of the log that the database keeps readable.

use std::sync::Arc;

use nexusbase_db::{Snapshot, TreeId};

use super::failure::Fault;
use super::restore;
use super::store::LsmStore;
use super::view::LsmView;
use crate::domain::version::check_version;
use crate::domain::{
    ErrorKind, Operation, Result, Store as _, Version, VersionId, Versioned, View,
};

impl LsmStore {
    fn take(&self, name: Option<&str>, note: &str) -> std::result::Result<Version, Fault> {
        let core = &self.core;
        core.transact(|tx| {
            let tree = self.tree_of(tx)?;
            if let Some(name) = name
                && core
                    .catalog
                    .versions(tx, self.id)?
                    .iter()
                    .any(|row| row.version.name.as_deref() == Some(name))
            {
                return Err(ErrorKind::VersionExists(name.to_owned()).into());
            }
            // Of the state that is kept. Who writes meanwhile is no reason to begin anew.
            let time_ms = core.now_ms();
            let (keys, bytes, exact) = self.size(tx.snapshot(), tree, time_ms)?;
            let version = Version {
                number: core.catalog.next_number(tx, self.id)?,
                name: name.map(str::to_owned),
                note: note.to_owned(),
                time_ms,
                keys,
                bytes,
                exact,
            };
            core.catalog
                .add_version(tx, self.id, tree, version.clone())?;
            Ok(version)
        })
    }

    /// The state that a version is, and the tree that it is in.
    pub(super) fn state_of(
        &self,
        id: &VersionId,
    ) -> std::result::Result<(Snapshot, TreeId, Version), Fault> {
        let core = &self.core;
        let row = core.catalog.version(&core.db.snapshot(), self.id, id)?;
        let snapshot = core.db.snapshot_at(row.index());
        // Another has deleted it meanwhile.
        let snapshot = snapshot.ok_or_else(|| ErrorKind::VersionNotFound(id.clone()))?;
        Ok((snapshot, row.tree(), row.version))
    }
}

impl Versioned for LsmStore {
    fn take_version(&self, name: Option<&str>, note: &str) -> Result<Version> {
        self.check(Operation::TakeVersion)?;
        check_version(name, note).map_err(|e| e.engine(super::NAME).store(self.name()))?;
        self.named(Operation::TakeVersion, self.take(name, note))
    }

    fn versions(&self) -> Result<Vec<Version>> {
        let operation = Operation::ListVersions;
        self.check(operation)?;
        let listed = self
            .core
            .catalog
            .versions(&self.core.db.snapshot(), self.id);
        let rows = self.named(operation, listed)?;
        Ok(rows.into_iter().map(|row| row.version).collect())
    }

    fn at_version(&self, version: &VersionId) -> Result<Box<dyn View + Send>> {
        let operation = Operation::ReadVersion;
        self.check(operation)?;
        let (snapshot, tree, version) = self.named(operation, self.state_of(version))?;
        Ok(Box::new(LsmView {
            snapshot: Arc::new(snapshot),
            tree,
            expiry: self.core.catalog.expiry,
            store: self.name().to_owned(),
            now_ms: version.time_ms,
        }))
    }

    fn restore_version(&self, version: &VersionId) -> Result<Version> {
        let operation = Operation::RestoreVersion;
        self.check(operation)?;
        self.named(operation, restore::restore(self, version))
    }

    fn delete_version(&self, version: &VersionId) -> Result<()> {
        let operation = Operation::DeleteVersion;
        self.check(operation)?;
        let core = &self.core;
        let deleted = core.transact(|tx| {
            self.tree_of(tx)?;
            let row = core.catalog.version(tx, self.id, version)?;
            core.catalog.remove_version(tx, self.id, &row)
        });
        self.named(operation, deleted)
    }
}
