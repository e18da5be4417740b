//! Expiry: deleting documents whose date has come.
//!
//! Nothing expires by itself: whoever runs the database calls [`Documents::expire_step`] now and
//! then, and only that reads the clock. Until then a document is there as all others, so reads
//! may show it for as long as the time between two calls. Expired documents are deleted in
//! ordinary transactions, so whoever follows the changes sees it as any other delete.

use std::ops::Bound;

use bson::DateTime;
use bson::raw::RawBsonRef;
use nexusbase_db::{Direction as Scanning, KeyRange, TreeId, View};

use super::is_too_large;
use super::row::rows;
use crate::path::field;
use crate::store::definition::IndexDefinition;
use crate::store::documents::Documents;
use crate::store::error::Error;
use crate::store::transaction::CollectionTx;
use crate::value::Class;
use crate::value::key::{Direction, encode_directed};

/// How many documents are deleted per transaction.
const BATCH: usize = 100;

/// What a step of expiry has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Documents that were deleted.
    pub documents: usize,
    /// There may be more whose time has come: the step has ended at its limit.
    pub more: bool,
}

impl Documents {
    /// Deletes documents whose date, in an index that lets them
    /// [expire](super::IndexSpec::expire_after), lies far enough back by the database's clock; at
    /// most `limit` of them. Call it again while there are [more](Expired::more). It finds them by
    /// the index, so where nothing is due it costs one short scan per index.
    ///
    /// # Errors
    /// When the database fails. What was deleted before stays deleted.
    pub fn expire_step(&self, limit: usize) -> Result<Expired, Error> {
        let mut known = None;
        let snapshot = self.database().snapshot();
        let mut expired = Expired::default();
        for (collection, definition) in self.definitions(&snapshot)? {
            let expires =
                |index: &&IndexDefinition| index.ready && index.spec.expire_after_seconds.is_some();
            for index in definition.indexes.iter().filter(expires) {
                // Where nothing can expire, nobody asks for the time.
                let now = *known.get_or_insert_with(|| self.database().env().clock.unix_ms());
                let Some(due) = due(index, now)? else {
                    continue;
                };
                let mut batch: Vec<Vec<u8>> = Vec::new();
                for row in snapshot.scan(index.tree, due, Scanning::Forward)? {
                    if expired.documents + batch.len() >= limit {
                        expired.more = true;
                        break;
                    }
                    let (key, value) = row?;
                    let (_, id) = index
                        .split_row(&key, &value)
                        .ok_or_else(|| Error::Damaged {
                            collection: collection.clone(),
                            reason: format!("the index {} has a row without values", index.name()),
                        })?;
                    if !batch.iter().any(|known| known == id) {
                        batch.push(id.to_vec());
                    }
                    if batch.len() >= BATCH {
                        expired.documents += self.expire(&collection, index.tree, &batch, now)?;
                        batch.clear();
                    }
                }
                expired.documents += self.expire(&collection, index.tree, &batch, now)?;
            }
        }
        Ok(expired)
    }

    /// Deletes those of these documents whose time has come still. Returns how many.
    fn expire(
        &self,
        collection: &str,
        index: TreeId,
        ids: &[Vec<u8>],
        now: u64,
    ) -> Result<usize, Error> {
        if ids.is_empty() {
            return Ok(0);
        }
        let expired = self.transact(|tx| self.within(tx, collection)?.expire(index, ids, now));
        match expired {
            // Documents may have so many index rows that few of them fill a transaction.
            Err(error) if is_too_large(&error) && ids.len() > 1 => {
                let (one, other) = ids.split_at(ids.len() / 2);
                let deleted = self.expire(collection, index, one, now)?;
                Ok(deleted + self.expire(collection, index, other, now)?)
            }
            expired => expired,
        }
    }
}

impl CollectionTx<'_> {
    fn expire(&mut self, tree: TreeId, ids: &[Vec<u8>], now: u64) -> Result<usize, Error> {
        let Some(definition) = self.definition()? else {
            return Ok(0);
        };
        let Some((_, index)) = definition.index_in(tree) else {
            return Ok(0);
        };
        let Some(due) = due(index, now)? else {
            return Ok(0);
        };
        let mut deleted = 0;
        for key in ids {
            let Some(document) = self.stored(&definition, key)? else {
                continue;
            };
            let rows = rows(index, &document)?.values;
            if let Some(id) = field(&document, "_id")?
                && rows.iter().any(|values| due.contains(values))
                && self.delete(id)?
            {
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}

/// The rows of an index whose dates have come; none if its documents do not expire.
fn due(index: &IndexDefinition, now: u64) -> Result<Option<KeyRange>, Error> {
    let (Some(seconds), [part]) = (index.spec.expire_after_seconds, &*index.spec.parts) else {
        return Ok(None);
    };
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let latest = DateTime::from_millis(now.saturating_sub(i64::from(seconds) * 1000));
    let latest = RawBsonRef::DateTime(latest);
    let mut row = Vec::new();
    encode_directed(latest, part.direction, &mut row)?;
    let class = Class::of(latest).byte();
    let behind = |prefix: &[u8]| KeyRange::prefix(prefix).end().map(<[u8]>::to_vec);
    Ok(Some(match part.direction {
        Direction::Ascending => KeyRange::from_bounds(Bound::Included(vec![class]), behind(&row)),
        Direction::Descending => KeyRange::from_bounds(Bound::Included(row), behind(&[!class])),
    }))
}
