//! Pipelines over collections.

use bson::raw::RawDocumentBuf;
use nexusbase_db::View;

use super::collection::Collection;
use super::documents::Documents;
use super::error::Error;
use super::transaction::CollectionTx;
use crate::aggregate::{self, Aggregation, Context, Pipeline, Source};
use crate::query::{Explain, Query};

/// One state of all collections.
struct State<'v> {
    documents: Documents,
    view: &'v dyn View,
}

impl<'v> Source<'v> for State<'v> {
    fn find(&self, collection: &str, query: &Query) -> Result<aggregate::Documents<'v>, Error> {
        // A name that no collection can have is one of a collection that does not exist.
        let Ok(collection) = self.documents.collection(collection) else {
            return Ok(Box::new(std::iter::empty()));
        };
        Ok(Box::new(collection.find_in(self.view, query)?))
    }
}

impl Collection {
    /// The documents that a pipeline makes of the newest state of the collection.
    ///
    /// # Errors
    /// When an expression has no value for a document, the pipeline needs too much memory, or the
    /// database cannot be read.
    pub fn aggregate(&self, pipeline: &Pipeline) -> Result<Vec<RawDocumentBuf>, Error> {
        self.aggregate_in(&self.snapshot(), pipeline)?.collect()
    }

    /// How the first stages of a pipeline, which are put to the planner as a query, would be
    /// answered. Nothing is read, unless the query has to sort in memory.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn explain_aggregate_in(
        &self,
        view: &dyn View,
        pipeline: &Pipeline,
    ) -> Result<Explain, Error> {
        Ok(self.find_in(view, pipeline.query())?.explain())
    }

    /// As [`Self::aggregate`], one by one, in a state that the caller holds. Other collections
    /// that the pipeline names are read in the same state.
    ///
    /// # Errors
    /// As there.
    pub fn aggregate_in<'v>(
        &self,
        view: &'v dyn View,
        pipeline: &'v Pipeline,
    ) -> Result<Aggregation<'v>, Error> {
        let documents = self.documents().clone();
        let context = Context::new(State { documents, view });
        Aggregation::start(pipeline, self.name(), context)
    }
}

impl CollectionTx<'_> {
    /// The documents that a pipeline makes of the collection as this transaction sees it.
    ///
    /// # Errors
    /// As for [`Collection::aggregate`].
    pub fn aggregate<'v>(&'v self, pipeline: &'v Pipeline) -> Result<Aggregation<'v>, Error> {
        self.collection().aggregate_in(self.view(), pipeline)
    }
}
