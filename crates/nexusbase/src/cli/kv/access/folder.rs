//! Key-value stores in a folder that this process holds open.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use nexusbase::Database;
use nexusbase::kv::{
    Bytes, CheckMode, CheckReport, CopyReport, CreateOptions, Diff, Direction, Entry, Error,
    ErrorKind, Expected, KeyRange, MultiStore, Operation, Put, Store, StoreInfo, StoreOptions,
    Swap, Version, VersionId, Versioned, View, standard,
};
use nexusbase::kv::{Capability, Retention};

use super::{
    Condition, EngineShown, Keys, Kv, Listing, NewValue, OptionsChange, Progress, StoreShown,
    TakeDifference, TakeRow, no_store, no_version,
};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::kv::text::{Setting, milliseconds};

/// The stores of a database.
#[derive(Debug)]
pub(in crate::cli::kv) struct Folder {
    db: Database,
    stores: Arc<dyn MultiStore>,
}

impl Folder {
    /// The stores of the database `db`, whose data folder is `folder`.
    pub(in crate::cli::kv) fn open(db: Database, folder: &Path) -> Outcome<Self> {
        let stores = standard(&db, folder)?;
        Ok(Self { db, stores })
    }

    fn open_store(&self, name: &str) -> Outcome<Arc<dyn Store>> {
        self.stores.open(name).map_err(|e| self.failed(name, e))
    }

    /// An error about the store `name`; where it is missing, those that exist are named.
    fn failed(&self, name: &str, error: Error) -> Failure {
        let about = error.store_name().unwrap_or(name);
        match error.kind() {
            ErrorKind::StoreNotFound => match self.names() {
                Ok(all) => no_store(about, &all),
                Err(_) => error.into(),
            },
            ErrorKind::VersionNotFound(id) => match self.versions(name) {
                Ok(all) => no_version(name, id, &all),
                Err(failure) => failure,
            },
            _ => error.into(),
        }
    }

    fn shown(&self, info: StoreInfo) -> StoreShown {
        let mut shown = StoreShown {
            info,
            stats: None,
            trouble: None,
        };
        if shown.copy_of().is_none() {
            let stats = self.stores.open(&shown.info.name).and_then(|s| s.stats());
            match stats {
                Ok(stats) => shown.stats = Some(stats),
                // One that is damaged is no reason not to show the others.
                Err(error) => shown.trouble = Some(error.to_string()),
            }
        }
        shown
    }

    /// A state of a store: a version's, or the newest.
    fn view(&self, store: &str, version: Option<&VersionId>) -> Outcome<Box<dyn View + Send>> {
        let opened = self.open_store(store)?;
        let view = match version {
            Some(id) => versioned(&*opened).and_then(|versions| versions.at_version(id)),
            None => opened.snapshot(),
        };
        view.map_err(|e| self.failed(store, e))
    }

    /// Works on the versions of a store.
    fn with_versions<T>(
        &self,
        store: &str,
        work: impl FnOnce(&dyn Versioned) -> nexusbase::kv::Result<T>,
    ) -> Outcome<T> {
        let opened = self.open_store(store)?;
        let done = versioned(&*opened).and_then(work);
        done.map_err(|e| self.failed(store, e))
    }
}

fn versioned(store: &dyn Store) -> nexusbase::kv::Result<&dyn Versioned> {
    store.versioned().ok_or_else(|| {
        let kind = ErrorKind::Unsupported(Capability::Versions);
        Error::new(Operation::ListVersions, kind)
            .store(store.name())
            .engine(store.engine_name())
    })
}

impl Kv for Folder {
    fn stores(&self) -> Outcome<Vec<StoreShown>> {
        let all = self.stores.list()?.into_iter();
        Ok(all.map(|info| self.shown(info)).collect())
    }

    fn names(&self) -> Outcome<Vec<String>> {
        let all = self.stores.list()?.into_iter();
        Ok(all.map(|info| info.name).collect())
    }

    fn store(&self, name: &str) -> Outcome<StoreShown> {
        let info = self.stores.info(name).map_err(|e| self.failed(name, e))?;
        Ok(self.shown(info))
    }

    fn engines(&self) -> Outcome<Vec<EngineShown>> {
        let default = self.stores.default_engine();
        let engines = self.stores.engines().into_iter().map(|engine| EngineShown {
            name: engine.name().to_owned(),
            is_default: default.as_deref() == Some(engine.name()),
            capabilities: engine.capabilities(),
        });
        Ok(engines.collect())
    }

    fn create(&self, name: &str, options: &CreateOptions) -> Outcome {
        self.stores.create(name, options)?;
        Ok(())
    }

    fn drop_store(&self, name: &str) -> Outcome {
        let dropped = self.stores.drop_store(name);
        dropped.map_err(|e| self.failed(name, e))
    }

    fn rename(&self, from: &str, to: &str) -> Outcome {
        let renamed = self.stores.rename(from, to);
        renamed.map_err(|e| self.failed(from, e))
    }

    fn set_options(&self, name: &str, change: &OptionsChange) -> Outcome {
        let info = self.stores.info(name).map_err(|e| self.failed(name, e))?;
        let options = change.apply(info.options);
        let set = self.stores.set_options(name, &options);
        set.map_err(|e| self.failed(name, e))
    }

    fn copy(
        &self,
        from: &str,
        to: &str,
        engine: Option<&str>,
        progress: &mut Progress<'_>,
    ) -> Outcome<CopyReport> {
        let copied = self.stores.copy(from, to, engine, progress);
        copied.map_err(|e| self.failed(from, e))
    }

    fn check(&self, name: &str, mode: CheckMode) -> Outcome<CheckReport> {
        let report = self.stores.check(name, mode);
        report.map_err(|e| self.failed(name, e))
    }

    fn value(
        &self,
        store: &str,
        key: &[u8],
        version: Option<&VersionId>,
    ) -> Outcome<Option<Bytes>> {
        let value = self.view(store, version)?.get(key);
        value.map_err(|e| self.failed(store, e))
    }

    fn entry(
        &self,
        store: &str,
        key: &[u8],
        version: Option<&VersionId>,
    ) -> Outcome<Option<Entry>> {
        let entry = self.view(store, version)?.entry(key);
        entry.map_err(|e| self.failed(store, e))
    }

    fn set(&self, store: &str, new: NewValue<'_>, condition: Condition<'_>) -> Outcome<bool> {
        let opened = self.open_store(store)?;
        let now_ms = || self.db.env().clock.unix_ms();
        let put = Put {
            value: new.value,
            expires_ms: new
                .ttl
                .map(|ttl| now_ms().saturating_add(milliseconds(ttl))),
            media_type: new.media_type,
        };
        let swap = match condition {
            Condition::Any => opened.put(new.key, put).map(|()| Swap::Done),
            Condition::Absent => opened.compare_and_set(new.key, Expected::Absent, Some(put)),
            Condition::Value(old) => {
                opened.compare_and_set(new.key, Expected::Value(old), Some(put))
            }
        };
        Ok(swap.map_err(|e| self.failed(store, e))? == Swap::Done)
    }

    fn delete(&self, store: &str, key: &[u8]) -> Outcome<bool> {
        let deleted = self.open_store(store)?.delete(key);
        deleted.map_err(|e| self.failed(store, e))
    }

    fn list(&self, store: &str, listing: &Listing, take: &mut TakeRow<'_>) -> Outcome {
        let view = self.view(store, listing.version.as_ref())?;
        let direction = if listing.reverse {
            Direction::Reverse
        } else {
            Direction::Forward
        };
        let mut cursor = view.cursor(listing.keys.range(), direction)?;
        let mut left = listing.limit.unwrap_or(u64::MAX);
        while left > 0
            && let Some(row) = cursor.next()?
        {
            take(row)?;
            left -= 1;
        }
        Ok(())
    }

    fn count(&self, store: &str, keys: &Keys, version: Option<&VersionId>) -> Outcome<u64> {
        let count = self.view(store, version)?.count(keys.range());
        count.map_err(|e| self.failed(store, e))
    }

    fn versions(&self, store: &str) -> Outcome<Vec<Version>> {
        self.with_versions(store, |versions| versions.versions())
    }

    fn take_version(&self, store: &str, name: Option<&str>, note: &str) -> Outcome<Version> {
        self.with_versions(store, |versions| versions.take_version(name, note))
    }

    fn delete_version(&self, store: &str, version: &VersionId) -> Outcome {
        self.with_versions(store, |versions| versions.delete_version(version))
    }

    fn restore_version(&self, store: &str, version: &VersionId) -> Outcome<Version> {
        self.with_versions(store, |versions| versions.restore_version(version))
    }

    fn diff(
        &self,
        store: &str,
        from: &VersionId,
        to: Option<&VersionId>,
        take: &mut TakeDifference<'_>,
    ) -> Outcome {
        let (old, new) = (self.view(store, Some(from))?, self.view(store, to)?);
        for difference in Diff::between(&*old, &*new, &KeyRange::all())? {
            take(difference?)?;
        }
        Ok(())
    }

    fn close(&self) -> Outcome {
        self.stores.close()?;
        Ok(self.db.close()?)
    }
}

impl OptionsChange {
    fn apply(&self, mut options: StoreOptions) -> StoreOptions {
        let Retention { count, age_ms } = options.retention;
        options.ttl_ms = self.ttl_ms.map_or(options.ttl_ms, Setting::into_option);
        options.retention = Retention {
            count: self.keep_versions.map_or(count, Setting::into_option),
            age_ms: self.keep_versions_ms.map_or(age_ms, Setting::into_option),
        };
        options.read_only = self.read_only.unwrap_or(options.read_only);
        for (name, value) in &self.labels {
            match value {
                Some(value) => options.labels.insert(name.clone(), value.clone()),
                None => options.labels.remove(name),
            };
        }
        options
    }
}

impl Keys {
    /// The keys that fulfil all that is asked.
    fn range(&self) -> KeyRange {
        let own = |bound: Bound<&[u8]>| bound.map(<[u8]>::to_vec);
        let prefix = self.prefix.as_deref().map(KeyRange::prefix);
        let prefix = prefix.unwrap_or_else(KeyRange::all);
        let start = match (own(prefix.start()), &self.start) {
            (Bound::Included(of_prefix), Some(start)) => {
                Bound::Included(of_prefix.max(start.clone()))
            }
            (Bound::Unbounded, Some(start)) => Bound::Included(start.clone()),
            (of_prefix, _) => of_prefix,
        };
        let end = match (own(prefix.end()), &self.end) {
            (Bound::Excluded(of_prefix), Some(end)) => Bound::Excluded(of_prefix.min(end.clone())),
            (Bound::Unbounded, Some(end)) => Bound::Excluded(end.clone()),
            (of_prefix, _) => of_prefix,
        };
        KeyRange::from_bounds(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_start_and_end_count_together() {
        let keys = |prefix: &str, start: &str, end: &str| Keys {
            prefix: Some(prefix.into()),
            start: Some(start.into()),
            end: Some(end.into()),
        };
        let range = keys("b", "ba", "d").range();
        let among = |key: &str| range.contains(key.as_bytes());
        assert!(among("ba") && among("bz") && !among("b") && !among("c"));
        let range = keys("b", "a", "bc").range();
        let among = |key: &str| range.contains(key.as_bytes());
        assert!(among("b") && among("bb") && !among("bc") && !among("a"));
        let all = Keys::default().range();
        assert!(all.contains(b"") && all.contains(b"\xff"));
    }
}
