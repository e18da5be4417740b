//! Cursors: where a page ended.
//!
//! A cursor holds the sort key of the last document of a page, which contains its `_id`. The next
//! page starts behind that key, wherever that is by then: nothing is kept on the server, and
//! page 10,000 costs what page 1 costs where an index gives the order. The token is text that
//! fits into a URL, with a checksum over itself and what the query asked, so that a cut token or
//! one from another query is refused instead of silently answering something else.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Query;
use crate::sort::Sort;
use crate::value::key::{Direction, split_first_directed};

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 4 + 4;

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// What the query asked, as a checksum.
    pub(crate) question: u32,
    /// The sort key of the last document.
    pub(crate) key: Vec<u8>,
}

/// Why a cursor is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It is not a cursor at all, or was cut.
    #[error("this is not a cursor; use the one that the page before returned, unchanged")]
    Malformed,
    /// It belongs to another query.
    #[error(
        "the cursor belongs to another query; keep filter and sort as they were, or start again \
         without a cursor"
    )]
    OtherQuery,
}

impl Cursor {
    /// Whether the cursor belongs to `query` on `collection`.
    pub(crate) fn check(
        &self,
        collection: &str,
        query: &Query,
        sort: &Sort,
    ) -> Result<(), CursorError> {
        if self.question != question(collection, query, sort) {
            return Err(CursorError::OtherQuery);
        }
        let mut rest = self.key.as_slice();
        for part in sort.keys() {
            (_, rest) = split_first_directed(rest, part.direction).ok_or(CursorError::Malformed)?;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(CursorError::Malformed)
        }
    }

    /// The part of the key for one of the sort's paths, ascending.
    pub(crate) fn part(&self, sort: &Sort, number: usize) -> Option<Vec<u8>> {
        let mut rest = self.key.as_slice();
        for (at, sort_key) in sort.keys().iter().enumerate() {
            let (part, behind) = split_first_directed(rest, sort_key.direction)?;
            if at == number {
                let mut part = part.to_vec();
                if sort_key.direction == Direction::Descending {
                    crate::value::key::invert(&mut part);
                }
                return Some(part);
            }
            rest = behind;
        }
        None
    }
}

/// A checksum over what a query asks, apart from the page.
pub(crate) fn question(collection: &str, query: &Query, sort: &Sort) -> u32 {
    // Derived `Debug` of parsed values shows everything that distinguishes two of them.
    let text = format!("{collection}\n{:?}\n{sort:?}", query.filter);
    crc32c::crc32c(text.as_bytes())
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.question.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&self.key).to_le_bytes());
        bytes.extend_from_slice(&self.key);
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| CursorError::Malformed)?;
        let (head, key) = bytes
            .split_first_chunk::<HEAD_BYTES>()
            .ok_or(CursorError::Malformed)?;
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if head[0] != VERSION || number(5) != crc32c::crc32c(key) {
            return Err(CursorError::Malformed);
        }
        Ok(Self {
            question: number(1),
            key: key.to_vec(),
        })
    }
}
