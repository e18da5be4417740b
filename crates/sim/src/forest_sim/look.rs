//! Looking at a forest in every way there is, and comparing with the model.

use std::ops::Bound;

use bytes::Bytes;
use nexusbase_forest::{
    Direction, DiskError, FingerprintSum, Forest, KeyRange, ReadError, Seqno, TreeId,
};
use nexusbase_io::sim::SimRng;

use super::kinds;
use super::model::{Rows, State, Tree};

/// Why a look did not show what it should.
pub(super) enum Trouble {
    /// There was no answer.
    Disk(DiskError),
    /// There was a wrong one.
    Wrong(String),
}

impl Trouble {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Disk(error) => error.to_string(),
            Self::Wrong(text) => text.clone(),
        }
    }
}

impl From<DiskError> for Trouble {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Disk(error) => Self::Disk(error),
            error => Self::Wrong(error.to_string()),
        }
    }
}

pub(super) type Seen<T = ()> = Result<T, Trouble>;

fn wrong<T>(text: impl Into<String>) -> Seen<T> {
    Err(Trouble::Wrong(text.into()))
}

/// One who looks: at what, when, and at random.
pub(super) struct Look<'a> {
    pub(super) forest: &'a Forest,
    pub(super) at: Seqno,
    pub(super) longest_key: usize,
    /// Rows that expired before may be there or not.
    pub(super) now_ms: u64,
    pub(super) rng: &'a mut SimRng,
}

impl Look<'_> {
    /// Compares all trees with what they should be.
    pub(super) fn all(&mut self, state: &State) -> Seen {
        for (id, tree) in &state.trees {
            let outcome = self.tree(*id, tree);
            outcome.map_err(|trouble| match trouble {
                Trouble::Wrong(text) => {
                    let (at, kind) = (self.at, tree.kind.name);
                    Trouble::Wrong(format!("tree {id} ({kind}) at {at}: {text}"))
                }
                disk @ Trouble::Disk(_) => disk,
            })?;
        }
        for id in &state.dropped {
            match self.forest.get(*id, b"a", self.at) {
                Err(ReadError::UnknownTree { .. }) => {}
                other => return wrong(format!("tree {id} was dropped, but {other:?}")),
            }
        }
        Ok(())
    }

    fn tree(&mut self, id: TreeId, tree: &Tree) -> Seen {
        let expected: Vec<(Bytes, Bytes)> = self.fresh(tree, &tree.rows);
        for direction in [Direction::Forward, Direction::Reverse] {
            let range = KeyRange::all();
            let mut found = self.scan(id, tree, range, direction)?;
            if direction == Direction::Reverse {
                found.reverse();
            }
            compare(&expected, &found)?;
        }
        self.part(id, tree)?;
        for _ in 0..4 {
            self.one(id, tree)?;
        }
        if tree.kind.expiry.is_none() {
            self.sum(id, tree, &KeyRange::all())?;
            let range = self.range();
            self.sum(id, tree, &range)?;
        }
        if !tree.kind.zones.is_empty() {
            self.zone(id, tree)?;
        }
        Ok(())
    }

    /// A part of the tree.
    fn part(&mut self, id: TreeId, tree: &Tree) -> Seen {
        let range = self.range();
        let direction = [Direction::Forward, Direction::Reverse][self.rng.index(2)];
        let mut found = self.scan(id, tree, range.clone(), direction)?;
        if direction == Direction::Reverse {
            found.reverse();
        }
        let mut expected = self.fresh(tree, &tree.rows);
        expected.retain(|(key, _)| range.contains(key));
        compare(&expected, &found)
    }

    /// One key: by a point read, and by a seek.
    fn one(&mut self, id: TreeId, tree: &Tree) -> Seen {
        let key = super::work::key(self.rng, self.longest_key);
        let is_fresh = |value: &Bytes| self.is_fresh(tree, &key, value);
        let expected = tree.rows.get(&key).filter(|value| is_fresh(value));
        let found = self.forest.get(id, &key, self.at)?;
        let found = found.filter(|value| is_fresh(value));
        if found.as_ref() != expected {
            return wrong(format!("{key:?} should be {expected:?}, is {found:?}"));
        }
        let all = KeyRange::all();
        let direction = [Direction::Forward, Direction::Reverse][self.rng.index(2)];
        let mut cursor = self.forest.cursor(id, all, direction, self.at)?;
        if tree.kind.expiry.is_some() {
            return Ok(());
        }
        let found = cursor.seek(&key)?.then(|| cursor.key().to_vec());
        let expected = match direction {
            Direction::Forward => tree.rows.range(key.clone()..).next(),
            Direction::Reverse => tree.rows.range(..=key.clone()).next_back(),
        };
        if found.as_deref() != expected.map(|(key, _)| &**key) {
            return wrong(format!(
                "a seek to {key:?} should find {expected:?}, finds {found:?}"
            ));
        }
        Ok(())
    }

    fn sum(&self, id: TreeId, tree: &Tree, range: &KeyRange) -> Seen {
        let found = self.forest.sum(id, range, self.at)?;
        let keys = || tree.rows.keys().filter(|key| range.contains(key));
        if found.rows != keys().count() as u64 {
            let (expected, found) = (keys().count(), found.rows);
            return wrong(format!(
                "the sum over {range:?} should be {expected} and is {found}"
            ));
        }
        let mut expected = FingerprintSum::default();
        if tree.kind.fingerprint.is_some() {
            for key in keys() {
                add(&mut expected.0, kinds::fingerprint(key));
            }
        }
        if found.fingerprint != expected {
            return wrong(format!("the fingerprint of {range:?} is wrong"));
        }
        Ok(())
    }

    /// Only the keys that begin with some bytes.
    fn zone(&mut self, id: TreeId, tree: &Tree) -> Seen {
        let from = u64::from(b'a') + self.rng.below(3);
        let wanted = from..=from + self.rng.below(2);
        let zones = [(0, wanted.clone())];
        let (all, forward) = (KeyRange::all(), Direction::Forward);
        let cursor = self.forest.cursor_where(id, all, forward, self.at, &zones);
        let mut cursor = cursor?;
        let mut found = Vec::new();
        while cursor.advance()? {
            let key = Bytes::copy_from_slice(cursor.key());
            found.push((key, Bytes::copy_from_slice(cursor.value()?)));
        }
        let mut expected = self.fresh(tree, &tree.rows);
        expected.retain(|(key, _)| wanted.contains(&kinds::first_byte(key)));
        compare(&expected, &found)
    }

    fn scan(
        &self,
        id: TreeId,
        tree: &Tree,
        range: KeyRange,
        direction: Direction,
    ) -> Seen<Vec<(Bytes, Bytes)>> {
        let rows = self.forest.scan(id, range, direction, self.at)?;
        let mut found = rows.collect::<Result<Vec<_>, _>>()?;
        found.retain(|(key, value)| self.is_fresh(tree, key, value));
        Ok(found)
    }

    fn range(&mut self) -> KeyRange {
        let mut bound = || {
            let key = super::work::key(self.rng, self.longest_key).to_vec();
            match self.rng.below(5) {
                0 => Bound::Unbounded,
                1..=2 => Bound::Included(key),
                _ => Bound::Excluded(key),
            }
        };
        let (start, end) = (bound(), bound());
        KeyRange::from_bounds(start, end)
    }

    fn fresh(&self, tree: &Tree, rows: &Rows) -> Vec<(Bytes, Bytes)> {
        let fresh = rows.iter().filter(|(k, v)| self.is_fresh(tree, k, v));
        fresh.map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    fn is_fresh(&self, tree: &Tree, key: &[u8], value: &[u8]) -> bool {
        tree.kind.expiry.is_none() || kinds::expiry(key, value).is_none_or(|at| at > self.now_ms)
    }
}

/// Adds modulo 2^256.
fn add(sum: &mut [u64; 4], fingerprint: [u8; 32]) {
    let mut carry = false;
    for (sum, bytes) in sum.iter_mut().zip(fingerprint.as_chunks().0) {
        let (total, over) = sum.overflowing_add(u64::from_le_bytes(*bytes));
        let (total, again) = total.overflowing_add(u64::from(carry));
        *sum = total;
        carry = over || again;
    }
}

/// Compares rows in ascending order.
pub(super) fn compare(expected: &[(Bytes, Bytes)], found: &[(Bytes, Bytes)]) -> Seen {
    if expected == found {
        return Ok(());
    }
    let at = expected.iter().zip(found).position(|(a, b)| a != b);
    let at = at.unwrap_or(expected.len().min(found.len()));
    let (a, b) = (expected.get(at), found.get(at));
    let (many, are) = (expected.len(), found.len());
    wrong(format!(
        "row {at} should be {a:?}, and is {b:?} (of {many} rows, there are {are})"
    ))
}
