//! Running a pipeline: a chain of iterators that pull documents.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use bson::raw::RawDocumentBuf;

use super::error::AggregateError;
use super::expression::Watch;
use super::stage::Stage;
use super::{MEMORY_BYTES_MAX, Pipeline, Query};
use crate::store::Error;

/// How many documents, or elements in expressions, pass between two questions whether to go on.
const DOCUMENTS_PER_QUESTION: u32 = 256;

/// Documents on their way.
pub(crate) type Documents<'v> = Box<dyn Iterator<Item = Result<RawDocumentBuf, Error>> + 'v>;

/// One state of the collections that a pipeline reads.
pub(crate) trait Source<'v> {
    /// What a query finds in a collection; nothing in one that does not exist.
    fn find(&self, collection: &str, query: &Query) -> Result<Documents<'v>, Error>;
}

/// What the stages of a running pipeline share.
pub(crate) struct Context<'v> {
    source: Box<dyn Source<'v> + 'v>,
    memory_used: Cell<usize>,
    cancelled: OnceCell<Box<dyn Fn() -> bool + 'v>>,
    passed: Cell<u32>,
}

impl<'v> Context<'v> {
    pub(crate) fn new(source: impl Source<'v> + 'v) -> Rc<Self> {
        Rc::new(Self {
            source: Box::new(source),
            memory_used: Cell::new(0),
            cancelled: OnceCell::new(),
            passed: Cell::new(0),
        })
    }

    /// Counts a document, and asks now and then whether anybody waits for more.
    pub(super) fn pass(&self) -> Result<(), AggregateError> {
        if self.goes_on() {
            Ok(())
        } else {
            Err(AggregateError::Cancelled)
        }
    }

    /// What a query finds in a collection.
    pub(super) fn find(
        self: &Rc<Self>,
        collection: &str,
        query: &Query,
    ) -> Result<Documents<'v>, Error> {
        let context = Rc::clone(self);
        let found = self.source.find(collection, query)?;
        Ok(Box::new(found.map(move |document| {
            context.pass()?;
            document
        })))
    }
}

impl Watch for Context<'_> {
    fn goes_on(&self) -> bool {
        let passed = self.passed.get().wrapping_add(1);
        self.passed.set(passed);
        let asks = passed.is_multiple_of(DOCUMENTS_PER_QUESTION);
        !(asks && self.cancelled.get().is_some_and(|cancelled| cancelled()))
    }
}

/// Memory that a stage uses for something; given back when it is dropped.
pub(super) struct Reservation<'v> {
    context: Rc<Context<'v>>,
    at: &'v str,
    bytes: usize,
}

impl<'v> Reservation<'v> {
    /// Nothing yet, for the stage at `at`.
    pub(super) fn new(context: &Rc<Context<'v>>, at: &'v str) -> Self {
        Self {
            context: Rc::clone(context),
            at,
            bytes: 0,
        }
    }

    /// Reserves more.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), AggregateError> {
        let used = self.context.memory_used.get().saturating_add(bytes);
        if used > MEMORY_BYTES_MAX {
            return Err(AggregateError::Memory {
                at: self.at.to_owned(),
                bytes_max: MEMORY_BYTES_MAX,
            });
        }
        self.bytes += bytes;
        self.context.memory_used.set(used);
        Ok(())
    }

    /// Gives some back.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        let used = &self.context.memory_used;
        used.set(used.get().saturating_sub(bytes));
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

/// Documents that are worked out when the first one is asked for.
pub(super) fn lazily<'v>(
    work: impl FnOnce() -> Result<Documents<'v>, Error> + 'v,
) -> Documents<'v> {
    let mut work = Some(work);
    let mut made: Option<Documents<'v>> = None;
    Box::new(std::iter::from_fn(move || {
        if let Some(work) = work.take() {
            match work() {
                Ok(documents) => made = Some(documents),
                Err(error) => return Some(Err(error)),
            }
        }
        made.as_mut()?.next()
    }))
}

/// Sends documents through stages.
pub(super) fn through<'v>(
    documents: Documents<'v>,
    stages: &'v [Stage],
    context: &Rc<Context<'v>>,
) -> Documents<'v> {
    let next = |documents, stage: &'v Stage| stage.run(documents, context);
    stages.iter().fold(documents, next)
}

/// The documents that a pipeline makes, one by one. After an error there are no more.
pub struct Aggregation<'v> {
    documents: Documents<'v>,
    context: Rc<Context<'v>>,
    ended: bool,
}

impl<'v> Aggregation<'v> {
    pub(crate) fn start(
        pipeline: &'v Pipeline,
        collection: &str,
        context: Rc<Context<'v>>,
    ) -> Result<Self, Error> {
        let found = context.find(collection, pipeline.query())?;
        Ok(Self {
            documents: through(found, pipeline.rest(), &context),
            context,
            ended: false,
        })
    }

    /// The same, but stopping with [`AggregateError::Cancelled`] once `cancelled` says so. It is
    /// asked every few hundred documents that are read or made, and also while an expression goes
    /// through a long array.
    #[must_use]
    pub fn cancelled_by(self, cancelled: impl Fn() -> bool + 'v) -> Self {
        // Set once: a second one would change what the first was promised.
        let _ = self.context.cancelled.set(Box::new(cancelled));
        self
    }
}

impl Iterator for Aggregation<'_> {
    type Item = Result<RawDocumentBuf, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = match self.context.pass() {
            Ok(()) => self.documents.next(),
            Err(cancelled) => Some(Err(cancelled.into())),
        };
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

impl std::fmt::Debug for Aggregation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aggregation")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
