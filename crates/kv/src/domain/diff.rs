//! The difference between two states, key by key.

use std::cmp::Ordering;

use bytes::Bytes;

use super::cursor::Rows;
use super::entry::{Entry, Row};
use super::error::Result;
use super::view::View;
use super::{Direction, KeyRange};

/// How a key differs between two states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It is only in the second.
    Added {
        /// The key.
        key: Bytes,
        /// What is under it in the second state.
        new: Entry,
    },
    /// It is only in the first.
    Removed {
        /// The key.
        key: Bytes,
        /// What is under it in the first state.
        old: Entry,
    },
    /// It is in both, with different entries.
    Changed {
        /// The key.
        key: Bytes,
        /// What is under it in the first state.
        old: Entry,
        /// What is under it in the second state.
        new: Entry,
    },
}

impl Difference {
    /// The key that differs.
    #[must_use]
    pub const fn key(&self) -> &Bytes {
        match self {
            Self::Added { key, .. } | Self::Removed { key, .. } | Self::Changed { key, .. } => key,
        }
    }
}

/// The differences between two states, in the order of their keys. It reads both once, side by
/// side, and ends after the first error.
#[derive(Debug)]
pub struct Diff<'a> {
    old: Side<'a>,
    new: Side<'a>,
    failed: bool,
}

#[derive(Debug)]
struct Side<'a> {
    rows: Rows<'a>,
    next: Option<Row>,
}

impl Side<'_> {
    fn advance(&mut self) -> Result<Option<Row>> {
        let next = self.rows.next().transpose()?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

impl<'a> Diff<'a> {
    /// What has to be done to `old` to get `new`, within `range`.
    ///
    /// # Errors
    /// When one of them cannot be read; [`Unsupported`](super::ErrorKind::Unsupported) where it has
    /// no order.
    pub fn between(
        old: &'a (dyn View + 'a),
        new: &'a (dyn View + 'a),
        range: &KeyRange,
    ) -> Result<Self> {
        let side = |view: &'a (dyn View + 'a)| {
            let rows = view.rows(range.clone(), Direction::Forward)?;
            let mut side = Side { rows, next: None };
            side.advance()?;
            Ok(side)
        };
        Ok(Self {
            old: side(old)?,
            new: side(new)?,
            failed: false,
        })
    }

    fn step(&mut self) -> Result<Option<Difference>> {
        loop {
            let order = match (&self.old.next, &self.new.next) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.key.cmp(&new.key),
            };
            let old = if order.is_le() {
                self.old.advance()?
            } else {
                None
            };
            let new = if order.is_ge() {
                self.new.advance()?
            } else {
                None
            };
            match (old, new) {
                (Some(Row { key, entry: old }), Some(Row { entry: new, .. })) if old != new => {
                    return Ok(Some(Difference::Changed { key, old, new }));
                }
                (Some(_), Some(_)) | (None, None) => {}
                (Some(Row { key, entry: old }), None) => {
                    return Ok(Some(Difference::Removed { key, old }));
                }
                (None, Some(Row { key, entry: new })) => {
                    return Ok(Some(Difference::Added { key, new }));
                }
            }
        }
    }
}

impl Iterator for Diff<'_> {
    type Item = Result<Difference>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}
