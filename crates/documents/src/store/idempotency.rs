//! Answers kept for repeated requests: a request that comes twice is done once.
//!
//! Who sends a request chooses a key, unique within a scope. [`begin`] says within a transaction
//! whether the request of that key was done; if not, the transaction does it and [`finish`] keeps
//! its answer. So the answer is committed together with what the request did: after a crash either
//! both are there or neither. Of two at once with one key, the second to commit conflicts, and finds
//! the answer of the first when it runs again.
//!
//! An answer counts until it expires, by the clock of the database; then its key is new again. It is
//! removed by [`expire_step`], which somebody has to call now and then.
//!
//! Two trees. `documents/idempotency`: length of the scope (2 bytes, big-endian), scope, key, to
//! when the answer expires (8 bytes, little-endian, milliseconds since 1970), when it was kept (8),
//! fingerprint (16, little-endian), answer. `documents/idempotency/expiry`: when it expires (8 bytes,
//! big-endian), the key of the row in the first tree, to nothing.

use std::ops::Bound;

use nexusbase_db::{Bytes, Database, Direction, KeyRange, Transaction, TreeId, View, WriteError};
use xxhash_rust::xxh3::xxh3_128;

use super::error::Error;

const ANSWERS: &str = "documents/idempotency";
const EXPIRY: &str = "documents/idempotency/expiry";

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// The longest scope, in bytes.
pub const SCOPE_BYTES_MAX: usize = 4096;
/// The longest answer, in bytes.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How long an answer is kept unless said otherwise, in milliseconds: a day.
pub const KEEP_MS: u64 = 24 * 60 * 60 * 1000;

/// Why an answer cannot be kept, or found.
#[derive(Debug, thiserror::Error)]
pub enum IdempotencyError {
    /// The key is empty or too long.
    #[error("an idempotency key has 1 to {KEY_BYTES_MAX} bytes, and this one has {bytes}")]
    Key {
        /// Its length.
        bytes: usize,
    },
    /// The scope is too long.
    #[error(
        "the scope of an idempotency key has {bytes} bytes; at most {SCOPE_BYTES_MAX} are allowed"
    )]
    Scope {
        /// Its length.
        bytes: usize,
    },
    /// The answer is too long.
    #[error(
        "the answer has {bytes} bytes; at most {ANSWER_BYTES_MAX} can be kept for a repeated \
         request: ask for a shorter answer, or send the request without an idempotency key"
    )]
    Answer {
        /// Its length.
        bytes: usize,
    },
    /// What the database holds makes no sense.
    #[error("the answers kept for repeated requests are damaged")]
    Damaged,
}

/// What a request is, in 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// The fingerprint of a request's content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(xxh3_128(content))
    }
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Nothing: do the request, and [`finish`].
    New,
    /// The request was done; this was its answer.
    Replay(Bytes),
    /// Another request had this key.
    Mismatch,
}

/// Which request it is.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Within what the key is unique, such as who sends it and to where.
    pub scope: &'a [u8],
    /// The key.
    pub key: &'a [u8],
    /// What the request is.
    pub fingerprint: Fingerprint,
}

impl Request<'_> {
    fn row_key(&self) -> Result<Vec<u8>, IdempotencyError> {
        let (scope, key) = (self.scope.len(), self.key.len());
        if key == 0 || key > KEY_BYTES_MAX {
            return Err(IdempotencyError::Key { bytes: key });
        }
        let refused = IdempotencyError::Scope { bytes: scope };
        let length = u16::try_from(scope)
            .ok()
            .filter(|_| scope <= SCOPE_BYTES_MAX);
        let length = length.ok_or(refused)?.to_be_bytes();
        Ok([&length, self.scope, self.key].concat())
    }
}

/// Whether a request was done already. `now_ms` is the time of the database's clock, in milliseconds
/// since 1970.
///
/// # Errors
/// When the key is not allowed or the database cannot be read.
pub fn begin(tx: &Transaction, request: &Request<'_>, now_ms: u64) -> Result<Begun, Error> {
    let key = request.row_key()?;
    let Some(tree) = tx.tree(ANSWERS)? else {
        return Ok(Begun::New);
    };
    let Some(value) = tx.get(tree, &key)? else {
        return Ok(Begun::New);
    };
    let row = Row::decode(&value)?;
    Ok(if row.expires_ms <= now_ms {
        Begun::New
    } else if row.fingerprint == request.fingerprint {
        Begun::Replay(row.answer)
    } else {
        Begun::Mismatch
    })
}

/// Keeps the answer to a request, for `keep_ms` milliseconds from `now_ms` on. To be called in the
/// transaction that does the request, which has called [`begin`].
///
/// # Errors
/// When the answer is too long or the transaction becomes too large.
pub fn finish(
    tx: &mut Transaction,
    request: &Request<'_>,
    answer: &[u8],
    now_ms: u64,
    keep_ms: u64,
) -> Result<(), Error> {
    let bytes = answer.len();
    if bytes > ANSWER_BYTES_MAX {
        return Err(IdempotencyError::Answer { bytes }.into());
    }
    let key = request.row_key()?;
    let (answers, expiry) = (tree(tx, ANSWERS)?, tree(tx, EXPIRY)?);
    if let Some(before) = tx.get(answers, &key)? {
        let before = Row::decode(&before)?;
        tx.delete(expiry, &expiry_key(before.expires_ms, &key))?;
    }
    let expires_ms = now_ms.saturating_add(keep_ms);
    let mut value = Vec::with_capacity(Row::HEAD + bytes);
    value.extend_from_slice(&expires_ms.to_le_bytes());
    value.extend_from_slice(&now_ms.to_le_bytes());
    value.extend_from_slice(&request.fingerprint.0.to_le_bytes());
    value.extend_from_slice(answer);
    tx.put(answers, &key, &value)?;
    Ok(tx.put(expiry, &expiry_key(expires_ms, &key), &[])?)
}

/// Removes at most `limit` answers that have expired, in one transaction. Returns how many.
///
/// # Errors
/// When the database fails.
pub fn expire_step(db: &Database, limit: usize) -> Result<usize, Error> {
    let now = db.env().clock.unix_ms();
    db.transact(|tx| {
        let (Some(answers), Some(expiry)) = (tx.tree(ANSWERS)?, tx.tree(EXPIRY)?) else {
            return Ok(0);
        };
        let end = now.saturating_add(1).to_be_bytes().to_vec();
        let expired = tx
            .scan(
                expiry,
                KeyRange::from_bounds(Bound::Unbounded, Bound::Excluded(end)),
                Direction::Forward,
            )?
            .take(limit)
            .collect::<Result<Vec<_>, _>>()?;
        for (row, _) in &expired {
            let key = row.get(8..).ok_or(IdempotencyError::Damaged)?;
            tx.delete(answers, key)?;
            tx.delete(expiry, row)?;
        }
        Ok(expired.len())
    })
}

fn tree(tx: &mut Transaction, name: &str) -> Result<TreeId, WriteError> {
    match tx.tree(name)? {
        Some(tree) => Ok(tree),
        None => tx.create_tree(name),
    }
}

fn expiry_key(expires_ms: u64, key: &[u8]) -> Vec<u8> {
    [&expires_ms.to_be_bytes(), key].concat()
}

struct Row {
    expires_ms: u64,
    fingerprint: Fingerprint,
    answer: Bytes,
}

impl Row {
    /// What stands in front of the answer.
    const HEAD: usize = 8 + 8 + 16;

    fn decode(value: &Bytes) -> Result<Self, IdempotencyError> {
        let damaged = IdempotencyError::Damaged;
        let (expires, rest) = value.split_first_chunk::<8>().ok_or(damaged)?;
        let fingerprint = rest.get(8..).and_then(<[u8]>::first_chunk::<16>);
        let fingerprint = fingerprint.ok_or(IdempotencyError::Damaged)?;
        Ok(Self {
            expires_ms: u64::from_le_bytes(*expires),
            fingerprint: Fingerprint(u128::from_le_bytes(*fingerprint)),
            answer: value.slice(Self::HEAD..),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of the format, as described above.
    #[test]
    fn golden_row() {
        let request = Request {
            scope: b"me",
            key: b"k",
            fingerprint: Fingerprint(7),
        };
        assert_eq!(request.row_key().unwrap(), b"\0\x02mek");
        let db = Database::in_memory().unwrap();
        db.transact(|tx| {
            finish(tx, &request, b"yes", 5, 3)?;
            let answers = tx.tree(ANSWERS)?.unwrap();
            let value = tx.get(answers, b"\0\x02mek")?.unwrap();
            let times = b"\x08\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0";
            let print = b"\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
            assert_eq!(*value, [&times[..], print, b"yes"].concat());
            let expiry = tx.tree(EXPIRY)?.unwrap();
            assert!(tx.get(expiry, b"\0\0\0\0\0\0\0\x08\0\x02mek")?.is_some());
            Ok::<_, Error>(())
        })
        .unwrap();
        let short = Bytes::from_static(&[0; 31]);
        assert!(Row::decode(&short).is_err());
    }
}
