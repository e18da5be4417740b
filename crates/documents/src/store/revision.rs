//! Revisions: which content a document has, and conditions on it.
//!
//! A revision is the hash of a document's stored bytes. The same content has the same revision
//! wherever and whenever it is stored, and nothing is stored for it. It tells versions of one
//! document apart; it is no proof against somebody who makes two documents collide on purpose.

use std::fmt;

use bson::raw::{RawBsonRef, RawDocument};
use xxhash_rust::xxh3::xxh3_128;

use super::error::Error;
use crate::id::text::format;

/// How many hexadecimal digits a revision is written with.
const DIGITS: usize = 32;

/// What tells one version of a document from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revision([u8; 16]);

/// The revision of a document as it is stored.
#[must_use]
pub fn revision(document: &RawDocument) -> Revision {
    Revision(xxh3_128(document.as_bytes()).to_be_bytes())
}

impl Revision {
    /// Reads what [`fmt::Display`] writes: 32 hexadecimal digits in lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        if text.len() != DIGITS || !text.bytes().all(digit) {
            return None;
        }
        let number = u128::from_str_radix(text, 16).ok()?;
        Some(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0DIGITS$x}", u128::from_be_bytes(self.0))
    }
}

/// What must hold of a document before it is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    Any,
    /// It exists.
    Exists,
    /// It does not exist.
    Absent,
    /// It exists and has one of these revisions.
    Matches(Vec<Revision>),
}

impl Condition {
    /// Holds the condition against what is stored under `id`.
    pub(crate) fn check(
        &self,
        collection: &str,
        id: RawBsonRef<'_>,
        stored: Option<&RawDocument>,
    ) -> Result<(), Error> {
        let met = match (self, stored) {
            (Self::Any, _) | (Self::Exists, Some(_)) | (Self::Absent, None) => true,
            (Self::Matches(revisions), Some(stored)) => revisions.contains(&revision(stored)),
            (Self::Exists | Self::Matches(_), None) | (Self::Absent, Some(_)) => false,
        };
        if met {
            return Ok(());
        }
        Err(Error::Precondition {
            collection: collection.to_owned(),
            id: format(id)?,
            current: stored.map(revision),
        })
    }
}
