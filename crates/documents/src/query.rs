//! Queries: from a filter, an order and a page to documents.
//!
//! 1. `bounds` turns the filter's conjuncts on a path into ranges of values (`interval`), and
//!    `index_scan` those of an index's parts into ranges of its rows, if the index holds every
//!    document asked for (`implies`).
//! 2. `plan` lists every access that could answer, `order` says which of them give the order
//!    asked for, `cost` what they would cost, and the cheapest is taken.
//! 3. `reader` walks through its rows (`rows`), and checks every document against the whole
//!    filter, in place. `answers` sorts in bounded memory where the access does not give the
//!    order, skips, limits and projects; `count` and `distinct` do without documents where they
//!    can. `text` finds, checks and scores what `$text` searches for.
//!
//! What it promises: the access changes the cost, never the answer. Pages by [`Cursor`] show each
//! document that was there all the time exactly once, whatever is written meanwhile.

mod answers;
mod bounds;
mod cost;
mod count;
mod cursor;
mod distinct;
mod explain;
mod implies;
mod index_scan;
mod interval;
mod order;
mod plan;
mod reader;
mod rows;
mod text;

use std::fmt;
use std::sync::Arc;

use bson::raw::{RawBson, RawDocument, RawDocumentBuf};
use nexusbase_db::View;
use nexusbase_io::Clock;

use self::plan::Question;
use self::reader::Place;
use self::text::Scorer;
use crate::filter::Filter;
use crate::path::Path;
use crate::projection::Projection;
use crate::sort::Sort;
use crate::store::{Definition, Error};

pub use answers::Answers;
pub use cursor::{Cursor, CursorError};
pub use explain::{Access, Explain, PartBounds, PlanStep, Rejected, SortKind};

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
    /// How to find them; the default is whatever is thought to be cheapest.
    pub hint: Option<Hint>,
}

/// Which way to find documents, against the choice that would be made. It changes the cost, never
/// the answer: a way that could miss a document is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Through the whole collection.
    Collection,
    /// By the index of this name.
    Index(Box<str>),
    /// By the plan of this number, as [`Explain`] counts them for the same query and state.
    Number(usize),
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collection => f.write_str("the whole collection"),
            Self::Index(name) => write!(f, "the index {name:?}"),
            Self::Number(number) => write!(f, "plan {number}"),
        }
    }
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

    /// The same, found in the way that `hint` names.
    #[must_use]
    pub fn hint(mut self, hint: Hint) -> Self {
        self.hint = Some(hint);
        self
    }

    fn question(&self) -> Question<'_> {
        Question {
            filter: &self.filter,
            sort: self.sort.as_ref(),
            limit: self.limit.map(|limit| limit.saturating_add(self.skip)),
            hint: self.hint.as_ref(),
            count: false,
        }
    }
}

/// A collection in a state of the database.
pub(crate) struct State<'v> {
    pub(crate) view: &'v dyn View,
    pub(crate) collection: Arc<str>,
    /// None: there is no such collection.
    pub(crate) definition: Option<Arc<Definition>>,
}

impl<'v> State<'v> {
    fn place(&self, definition: &Definition) -> Place<'v> {
        Place {
            view: self.view,
            collection: Arc::clone(&self.collection),
            data: definition.data,
        }
    }

    /// The documents that `query` asks for.
    pub(crate) fn find(&self, clock: &Arc<dyn Clock>, query: &Query) -> Result<Answers<'v>, Error> {
        let Some(definition) = &self.definition else {
            return Ok(Answers::none(clock));
        };
        let started = clock.monotonic();
        let query = &*text::resolve_query(definition, &self.collection, query)?;
        if let (Some(after), Some(sort)) = (&query.after, &query.sort) {
            after.check(&self.collection, query, sort)?;
        }
        let choice = plan::choose(self.view, definition, &query.question())?;
        let scorer = Scorer::of(self.view, definition, query)?;
        Answers::start(
            &self.place(definition),
            clock,
            choice,
            query,
            (started, scorer),
        )
    }

    /// How many documents match `filter`.
    pub(crate) fn count(&self, filter: &Filter, hint: Option<&Hint>) -> Result<u64, Error> {
        let Some(definition) = &self.definition else {
            return Ok(0);
        };
        let filter = &*text::resolve(definition, &self.collection, filter)?;
        let question = Question {
            filter,
            sort: None,
            limit: None,
            hint,
            count: true,
        };
        let choice = plan::choose(self.view, definition, &question)?;
        count::count(self.place(definition), choice.plan(), filter)
    }

    /// The different values that the documents which match `filter` have under `path`.
    pub(crate) fn distinct(
        &self,
        path: &Path,
        filter: &Filter,
        hint: Option<&Hint>,
    ) -> Result<Vec<RawBson>, Error> {
        let Some(definition) = &self.definition else {
            return Ok(Vec::new());
        };
        let filter = &*text::resolve(definition, &self.collection, filter)?;
        let question = Question {
            filter,
            sort: None,
            limit: None,
            hint,
            count: false,
        };
        let mut choice = plan::choose(self.view, definition, &question)?;
        if hint.is_none() {
            let skips = |plan: &plan::Plan| distinct::skips(plan, path, filter);
            choice.chosen = choice.plans.iter().position(skips).unwrap_or(choice.chosen);
        }
        distinct::distinct(self.place(definition), choice.plan(), filter, path)
    }
}

/// A document as it was stored; anything else is damage.
pub(crate) fn stored_document(collection: &str, bytes: &[u8]) -> Result<RawDocumentBuf, Error> {
    RawDocumentBuf::from_bytes(bytes.to_vec()).map_err(|e| Error::Damaged {
        collection: collection.to_owned(),
        reason: format!("a stored document is no BSON: {e}"),
    })
}
