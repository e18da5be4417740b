//! Queries: from a filter, an order and a page to documents.
//!
//! 1. `bounds` turns the filter's conjuncts on a path into ranges of keys.
//! 2. `plan` picks one access: by `_id`, by an index, or the whole collection; and says whether
//!    that access gives the order asked for.
//! 3. `answers` reads, checks every document against the whole filter, sorts in bounded memory
//!    where the access does not give the order, skips and limits.
//!
//! What it promises: the access changes the cost, never the answer. Pages by [`Cursor`] show each
//! document that was there all the time exactly once, whatever is written meanwhile.

mod answers;
mod bounds;
mod cursor;
mod plan;

use std::sync::Arc;

use bson::raw::{RawDocument, RawDocumentBuf};
use nexusbase_db::View;
use nexusbase_io::Clock;

use crate::filter::Filter;
use crate::projection::Projection;
use crate::sort::Sort;
use crate::store::{Definition, Error};

pub use answers::Answers;
pub use cursor::{Cursor, CursorError};
pub use plan::{Access, Explain, SortKind};

/// What is asked of a collection.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Which documents; the default is all.
    pub filter: Filter,
    /// In which order; without one, whichever is cheapest.
    pub sort: Option<Sort>,
    /// How many at most.
    pub limit: Option<usize>,
    /// How many to leave out first.
    pub skip: usize,
    /// Where the page before ended. Needs `sort`.
    pub after: Option<Cursor>,
    /// Which fields; the default is all.
    pub projection: Option<Projection>,
}

impl Query {
    /// A query for the documents that match `filter`, which has the shape that
    /// [`Filter`](crate::filter) describes.
    ///
    /// # Errors
    /// When the filter is refused.
    pub fn new(filter: &RawDocument) -> Result<Self, Error> {
        Ok(Self {
            filter: Filter::parse(filter)?,
            ..Self::default()
        })
    }

    /// The same, in the order that `sort` names, such as `-size,name`.
    ///
    /// # Errors
    /// When the order is refused.
    pub fn sort(mut self, sort: &str) -> Result<Self, Error> {
        self.sort = Some(Sort::parse(sort)?);
        Ok(self)
    }

    /// The same, with at most `limit` documents.
    #[must_use]
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The same, without the first `skip` documents.
    #[must_use]
    pub const fn skip(mut self, skip: usize) -> Self {
        self.skip = skip;
        self
    }

    /// The same, with nothing but the fields that `fields` names, such as `name,owner.mail`.
    ///
    /// # Errors
    /// When the fields are refused.
    pub fn fields(mut self, fields: &str) -> Result<Self, Error> {
        self.projection = Some(Projection::parse(fields)?);
        Ok(self)
    }
}

/// Answers `query` from a state of the database.
pub(crate) fn find<'v>(
    view: &'v dyn View,
    clock: &Arc<dyn Clock>,
    collection: &str,
    definition: Option<Arc<Definition>>,
    query: &Query,
) -> Result<Answers<'v>, Error> {
    let Some(definition) = definition else {
        return Ok(Answers::none(clock));
    };
    let plan = plan::choose(view, &definition, query)?;
    Answers::start(view, clock, collection, definition.data, plan, query)
}

/// A document as it was stored; anything else is damage.
pub(crate) fn stored_document(collection: &str, bytes: &[u8]) -> Result<RawDocumentBuf, Error> {
    RawDocumentBuf::from_bytes(bytes.to_vec()).map_err(|e| Error::Damaged {
        collection: collection.to_owned(),
        reason: format!("a stored document is no BSON: {e}"),
    })
}
