//! Versions of a store on a keyspace. Where they are kept is the backing's business.

use super::backing::{Backing, Label};
use super::handle::KeyspaceStore;
use super::view::StateView;
use crate::domain::version::check_version;
use crate::domain::{Error, ErrorKind, Operation, Result, Version, VersionId, Versioned, View};

impl<B: Backing> KeyspaceStore<B> {
    fn find(&self, operation: Operation, id: &VersionId) -> Result<Version> {
        let versions = self.shared.keyspace.backing().versions()?;
        let found = versions.into_iter().find(|version| version.is(id));
        found.ok_or_else(|| Error::new(operation, ErrorKind::VersionNotFound(id.clone())))
    }

    /// Checks that no version has that name. When nobody knows, it is not free.
    fn must_be_free(&self, name: &str) -> Result<()> {
        let operation = Operation::TakeVersion;
        match self.find(operation, &VersionId::Name(name.to_owned())) {
            Ok(_) => {
                let kind = ErrorKind::VersionExists(name.to_owned());
                Err(Error::new(operation, kind))
            }
            Err(error) if matches!(error.kind(), ErrorKind::VersionNotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn take(&self, name: Option<&str>, note: &str) -> Result<Version> {
        check_version(name, note)?;
        let keyspace = &self.shared.keyspace;
        keyspace.replace(|newest| {
            if let Some(name) = name {
                self.must_be_free(name)?;
            }
            let time_ms = keyspace.now_ms();
            let label = Label {
                name,
                note,
                time_ms,
            };
            let mut state = newest.clone();
            // A version is what is there, and nothing that has expired.
            state.drop_expired(time_ms, usize::MAX);
            let version = keyspace.backing().take_version(&state, label)?;
            Ok((None, version))
        })
    }

    fn restore(&self, id: &VersionId) -> Result<Version> {
        let keyspace = &self.shared.keyspace;
        keyspace.replace(|newest| {
            let of = self.find(Operation::RestoreVersion, id)?;
            let stamp = newest.next_stamp();
            let mut state = keyspace.backing().read_version(&of, stamp)?;
            let time_ms = keyspace.now_ms();
            state.drop_expired(time_ms, usize::MAX);
            let note = format!("restored from version {}", of.number);
            let label = Label {
                name: None,
                note: &note,
                time_ms,
            };
            let version = keyspace.backing().restore(newest, &state, label)?;
            Ok((Some(state), version))
        })
    }
}

impl<B: Backing> Versioned for KeyspaceStore<B> {
    fn take_version(&self, name: Option<&str>, note: &str) -> Result<Version> {
        self.check(Operation::TakeVersion)?;
        self.named(self.take(name, note))
    }

    fn versions(&self) -> Result<Vec<Version>> {
        self.check(Operation::ListVersions)?;
        self.named(self.shared.keyspace.backing().versions())
    }

    fn at_version(&self, id: &VersionId) -> Result<Box<dyn View + Send>> {
        self.check(Operation::ReadVersion)?;
        let version = self.named(self.find(Operation::ReadVersion, id))?;
        let state = self.shared.keyspace.backing().read_version(&version, 0);
        Ok(Box::new(StateView::new(
            self.named(state)?,
            version.time_ms,
        )))
    }

    fn restore_version(&self, id: &VersionId) -> Result<Version> {
        self.check(Operation::RestoreVersion)?;
        self.named(self.restore(id))
    }

    fn delete_version(&self, id: &VersionId) -> Result<()> {
        self.check(Operation::DeleteVersion)?;
        let version = self.named(self.find(Operation::DeleteVersion, id))?;
        self.named(self.shared.keyspace.backing().delete_version(&version))
    }
}
