//! A store as simple as it can be, to compare real ones with.

use std::collections::BTreeMap;

use bytes::Bytes;
use nexusbase_kv::{Direction, Entry, KeyRange, Put, Row, View};

/// Keys and what lies under them, those whose time has come included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model(pub(crate) BTreeMap<Vec<u8>, Entry>);

impl Model {
    /// Without what is gone at `now_ms`.
    pub(crate) fn at(&self, now_ms: u64) -> Self {
        let there = self.0.iter().filter(|(_, entry)| !entry.is_expired(now_ms));
        Self(
            there
                .map(|(key, entry)| (key.clone(), entry.clone()))
                .collect(),
        )
    }

    pub(crate) fn put(&mut self, key: &[u8], put: Put<'_>) {
        self.0.insert(key.to_vec(), put.to_entry());
    }

    pub(crate) fn rows(&self, range: &KeyRange, direction: Direction) -> Vec<Row> {
        let inside = self.0.iter().filter(|(key, _)| range.contains(key));
        let mut rows: Vec<Row> = inside
            .map(|(key, entry)| Row {
                key: Bytes::copy_from_slice(key),
                entry: entry.clone(),
            })
            .collect();
        if direction == Direction::Reverse {
            rows.reverse();
        }
        rows
    }

    pub(crate) fn all(&self) -> Vec<Row> {
        self.rows(&KeyRange::all(), Direction::Forward)
    }
}

/// All rows of a view, in the order of their keys whether the engine has an order or not.
#[track_caller]
pub(crate) fn all_rows(view: &dyn View) -> Vec<Row> {
    let rows = view.rows(KeyRange::all(), Direction::Forward);
    let rows: Result<Vec<Row>, _> = rows.expect("all rows can be listed").collect();
    let mut rows = rows.expect("all rows can be read");
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows
}

/// The keys and values of a view, as text.
#[track_caller]
pub(crate) fn texts(view: &dyn View) -> Vec<(String, String)> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let rows = all_rows(view).into_iter();
    rows.map(|row| (text(&row.key), text(&row.entry.value)))
        .collect()
}

/// What [`texts`] should be.
pub(crate) fn expected(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    rows.iter().map(own).collect()
}
