//! One random sequence: the store, the model, and the comparison of both.

use std::sync::Arc;

use bytes::Bytes;
use nexusbase_kv::{
    Diff, Difference, Direction, Entry, ErrorKind, Expected, KeyRange, PageQuery, Put, Row, Store,
    Swap, Version, VersionId, Versioned, View, Write,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::operations::{Expect, Operation, Time, Value};
use crate::fixture::Fixture;
use crate::model::Model;

type Outcome = Result<(), TestCaseError>;

/// A store and its model.
pub(crate) struct Run<'a> {
    fixture: &'a mut Fixture,
    name: String,
    store: Option<Arc<dyn Store>>,
    model: Model,
    snapshots: Vec<(Box<dyn View + Send>, Model)>,
    versions: Vec<(Version, Model)>,
    last_version: u64,
}

impl<'a> Run<'a> {
    pub(crate) fn new(fixture: &'a mut Fixture, name: &str) -> Self {
        let store = fixture.create(name);
        Self {
            fixture,
            name: name.to_owned(),
            store: Some(store),
            model: Model::default(),
            snapshots: Vec::new(),
            versions: Vec::new(),
            last_version: 0,
        }
    }

    fn store(&self) -> &dyn Store {
        &**self.store.as_ref().expect("the store is open")
    }

    fn versioned(&self) -> &dyn Versioned {
        self.store().versioned().expect("the store has versions")
    }

    fn time(&self, time: Time) -> Option<u64> {
        let now = self.fixture.now_ms();
        match time {
            Time::Never => None,
            Time::Over => Some(now.saturating_sub(1)),
            Time::Soon(ms) if self.fixture.has_clock() => Some(now + ms),
            Time::Soon(_) | Time::Later => Some(now + 3_600_000),
        }
    }

    fn entry(&self, value: &Value) -> Entry {
        Entry {
            value: Bytes::copy_from_slice(&value.value),
            expires_ms: self.time(value.time),
            media_type: value.media_type.map(Arc::from),
        }
    }

    /// What is there now.
    fn now(&self) -> Model {
        self.model.at(self.fixture.now_ms())
    }

    pub(crate) fn step(&mut self, step: &Operation) -> Outcome {
        match step {
            Operation::Write(changes) => self.write(changes),
            Operation::Delete(key) => {
                let there = self.now().0.contains_key(key);
                prop_assert_eq!(self.store().delete(key)?, there, "the answer of delete");
                self.model.0.remove(key);
                Ok(())
            }
            Operation::CompareAndSet(key, expect, new) => {
                self.compare_and_set(key, expect, new.as_ref())
            }
            Operation::Expire(key, time) => self.expire(key, self.time(*time)),
            Operation::Clear => {
                self.store().clear()?;
                self.model.0.clear();
                Ok(())
            }
            Operation::Pass(ms) => {
                if self.fixture.has_clock() {
                    self.fixture.pass_ms(*ms);
                }
                Ok(())
            }
            Operation::Read(range, direction, limit) => self.read(range, *direction, *limit),
            Operation::Snapshot => {
                self.snapshots.push((self.store().snapshot()?, self.now()));
                Ok(())
            }
            Operation::ReadSnapshot(at) => self.read_snapshot(*at),
            Operation::Compact => Ok(self.store().compact().map(drop)?),
            Operation::CloseStore => {
                self.store().close()?;
                self.store = Some(self.fixture.open(&self.name));
                Ok(())
            }
            Operation::Reopen => {
                if self.fixture.can().durable {
                    self.snapshots.clear();
                    self.store = None;
                    self.fixture.open_again();
                    self.store = Some(self.fixture.open(&self.name));
                }
                Ok(())
            }
            Operation::TakeVersion(named) => self.take_version(*named),
            Operation::ReadVersion(at) => self.read_version(*at),
            Operation::Restore(at) => self.restore(*at),
            Operation::DeleteVersion(at) => self.delete_version(*at),
        }
    }

    fn write(&mut self, changes: &[(Vec<u8>, Option<Value>)]) -> Outcome {
        let entries: Vec<_> = changes
            .iter()
            .map(|(key, value)| (key, value.as_ref().map(|value| self.entry(value))))
            .collect();
        let writes: Vec<_> = entries
            .iter()
            .map(|(key, entry)| match entry {
                Some(entry) => Write::Put(key, entry.as_put()),
                None => Write::Delete(key),
            })
            .collect();
        self.store().write(&writes)?;
        for (key, entry) in entries {
            match entry {
                Some(entry) => self.model.0.insert(key.clone(), entry),
                None => self.model.0.remove(key),
            };
        }
        Ok(())
    }

    fn compare_and_set(&mut self, key: &[u8], expect: &Expect, new: Option<&Value>) -> Outcome {
        let found = self.now().0.get(key).cloned();
        let some = found
            .clone()
            .unwrap_or_else(|| Put::new(b"none").to_entry());
        let expected = match expect {
            Expect::Absent => Expected::Absent,
            Expect::Present => Expected::Present,
            Expect::Right => Expected::Value(&some.value),
            Expect::RightEntry => Expected::Entry(&some),
            Expect::Value(value) => Expected::Value(value),
        };
        let new = new.map(|new| self.entry(new));
        let put = new.as_ref().map(Entry::as_put);
        let swap = self.store().compare_and_set(key, expected, put)?;
        if !expected.is(found.as_ref()) {
            prop_assert_eq!(swap, Swap::Differs(found), "the answer of compare_and_set");
            return Ok(());
        }
        prop_assert_eq!(swap, Swap::Done, "the answer of compare_and_set");
        match new {
            Some(new) => self.model.0.insert(key.to_vec(), new),
            None => self.model.0.remove(key),
        };
        Ok(())
    }

    fn expire(&mut self, key: &[u8], expires_ms: Option<u64>) -> Outcome {
        let there = self.now().0.contains_key(key);
        match self.store().expire(key, expires_ms) {
            Ok(()) => prop_assert!(there, "expire has found what is not there"),
            Err(error) => {
                prop_assert!(
                    !there && matches!(error.kind(), ErrorKind::KeyNotFound),
                    "{error:?}"
                );
                return Ok(());
            }
        }
        let entry = self.model.0.get_mut(key).expect("it is there");
        entry.expires_ms = expires_ms;
        Ok(())
    }

    fn read(&self, range: &KeyRange, direction: Direction, limit: usize) -> Outcome {
        let (range, direction) = if self.fixture.can().ordered {
            (range.clone(), direction)
        } else {
            (KeyRange::all(), Direction::Forward)
        };
        let wanted = self.now().rows(&range, direction);
        compare_rows(self.store(), &range, direction, &wanted)?;
        if self.fixture.can().ordered {
            let query = PageQuery {
                direction,
                limit,
                ..PageQuery::new(range)
            };
            let page = self.store().page(&query)?;
            let length = wanted.len().min(limit.max(1));
            prop_assert_eq!(&page.rows, &wanted[..length], "a page");
            let next = (length < wanted.len()).then(|| wanted[length - 1].key.clone());
            prop_assert_eq!(&page.next, &next, "where the next page begins");
            let Some(after) = next else {
                return Ok(());
            };
            let rest = self.store().page(&PageQuery {
                after: Some(after),
                limit: 1000,
                ..query
            })?;
            prop_assert_eq!(&rest.rows, &wanted[length..], "the page after it");
        }
        Ok(())
    }

    fn read_snapshot(&self, at: usize) -> Outcome {
        let Some((snapshot, model)) = pick(&self.snapshots, at) else {
            return Ok(());
        };
        // What has expired since may be there or not.
        let now = self.fixture.now_ms();
        let rows = sorted(&**snapshot)?;
        let rows: Vec<_> = rows
            .into_iter()
            .filter(|row| !row.entry.is_expired(now))
            .collect();
        prop_assert_eq!(rows, model.at(now).all(), "a snapshot has changed");
        for (key, entry) in &model.at(now).0 {
            let found = snapshot.entry(key)?;
            prop_assert_eq!(found.as_ref(), Some(entry), "a snapshot has changed");
        }
        Ok(())
    }

    /// Compares all that is there.
    pub(crate) fn compare(&self) -> Outcome {
        let wanted = self.now();
        compare_rows(
            self.store(),
            &KeyRange::all(),
            Direction::Forward,
            &wanted.all(),
        )?;
        // Also keys that are not there, or not any more.
        for key in self.model.0.keys() {
            let found = self.store().entry(key)?;
            prop_assert_eq!(found.as_ref(), wanted.0.get(key), "entry of {:?}", key);
        }
        Ok(())
    }

    fn take_version(&mut self, named: bool) -> Outcome {
        let name = named.then(|| format!("v{}", self.last_version + 1));
        let version = self.versioned().take_version(name.as_deref(), "a note")?;
        prop_assert_eq!(&version.name, &name);
        prop_assert_eq!(&version.note, "a note");
        self.add_version(version)
    }

    fn add_version(&mut self, version: Version) -> Outcome {
        let model = self.now();
        self.last_version += 1;
        prop_assert_eq!(version.number, self.last_version, "the number of a version");
        if version.exact {
            prop_assert_eq!(version.keys, model.0.len() as u64, "the keys of a version");
        }
        self.versions.push((version, model));
        let wanted: Vec<_> = self
            .versions
            .iter()
            .map(|(version, _)| version.clone())
            .collect();
        prop_assert_eq!(self.versioned().versions()?, wanted, "the list of versions");
        Ok(())
    }

    fn read_version(&self, at: usize) -> Outcome {
        let Some((version, model)) = pick(&self.versions, at) else {
            return Ok(());
        };
        let view = self
            .versioned()
            .at_version(&VersionId::Number(version.number))?;
        compare_rows(&*view, &KeyRange::all(), Direction::Forward, &model.all())?;
        if !self.fixture.can().ordered {
            return Ok(());
        }
        let now = self.now();
        let diff = Diff::between(&*view, self.store(), &KeyRange::all())?;
        let diff: Vec<_> = diff.collect::<Result<_, _>>()?;
        prop_assert_eq!(
            diff,
            differences(model, &now),
            "the difference to a version"
        );
        Ok(())
    }

    fn restore(&mut self, at: usize) -> Outcome {
        let Some((version, model)) = pick(&self.versions, at).cloned() else {
            return Ok(());
        };
        let new = self
            .versioned()
            .restore_version(&VersionId::Number(version.number))?;
        prop_assert_eq!(&new.name, &None, "the name of what was restored");
        prop_assert!(
            !new.note.is_empty(),
            "what was restored says where it is from"
        );
        self.model = model;
        self.add_version(new)
    }

    fn delete_version(&mut self, at: usize) -> Outcome {
        if self.versions.is_empty() {
            return Ok(());
        }
        let at = at % self.versions.len();
        let (version, model) = self.versions.remove(at);
        let id = VersionId::Number(version.number);
        let view = self.versioned().at_version(&id)?;
        self.versioned().delete_version(&id)?;
        compare_rows(&*view, &KeyRange::all(), Direction::Forward, &model.all())?;
        drop(view);
        let left = self.versioned().versions()?;
        prop_assert!(left.iter().all(|left| left.number != version.number));
        prop_assert!(
            self.versioned().at_version(&id).is_err(),
            "a deleted version is there"
        );
        Ok(())
    }
}

fn pick<T>(all: &[T], at: usize) -> Option<&T> {
    all.get(at.checked_rem(all.len())?)
}

fn sorted(view: &dyn View) -> Result<Vec<Row>, TestCaseError> {
    let rows = view.rows(KeyRange::all(), Direction::Forward)?;
    let mut rows: Vec<_> = rows.collect::<Result<_, _>>()?;
    rows.sort_by(|a: &Row, b: &Row| a.key.cmp(&b.key));
    Ok(rows)
}

pub(crate) fn compare_rows(
    view: &dyn View,
    range: &KeyRange,
    direction: Direction,
    wanted: &[Row],
) -> Outcome {
    let rows = view.rows(range.clone(), direction)?;
    let mut rows: Vec<_> = rows.collect::<Result<_, _>>()?;
    if *range == KeyRange::all() && direction == Direction::Forward {
        // An engine without order lists them in any.
        let ordered = rows.is_sorted_by(|a: &Row, b: &Row| a.key < b.key);
        if !ordered {
            rows.sort_by(|a, b| a.key.cmp(&b.key));
        }
    }
    prop_assert_eq!(rows, wanted, "rows of {:?}, {:?}", range, direction);
    prop_assert_eq!(
        view.count(range.clone())?,
        wanted.len() as u64,
        "count of {:?}",
        range
    );
    let keys: Vec<_> = wanted.iter().map(|row| row.key.as_ref()).collect();
    let entries: Vec<_> = wanted.iter().map(|row| Some(row.entry.clone())).collect();
    prop_assert_eq!(view.entries(&keys)?, entries, "entries");
    Ok(())
}

/// The differences as they should be, found in another way.
fn differences(old: &Model, new: &Model) -> Vec<Difference> {
    let mut keys: Vec<_> = old.0.keys().chain(new.0.keys()).collect();
    keys.sort();
    keys.dedup();
    let differ = |key: &Vec<u8>| {
        let (old, new) = (old.0.get(key).cloned(), new.0.get(key).cloned());
        let key = Bytes::copy_from_slice(key);
        match (old, new) {
            (Some(old), None) => Some(Difference::Removed { key, old }),
            (None, Some(new)) => Some(Difference::Added { key, new }),
            (Some(old), Some(new)) if old != new => Some(Difference::Changed { key, old, new }),
            _ => None,
        }
    };
    keys.into_iter().filter_map(differ).collect()
}
