//! Documents in the order asked for: skipped, limited, cut down to the fields asked for.
//!
//! Where the access gives the order, documents are read as they are asked for. Where it does not,
//! everything that matches is read and sorted in bounded memory: the first documents are kept,
//! and of those beyond [`KEPT_BYTES`] only the sort keys, which end with the `_id`; they are read
//! again when it is their turn, from the same state.

use std::sync::Arc;
use std::time::Duration;

use bson::raw::{RawDocument, RawDocumentBuf};
use nexusbase_io::Clock;

use super::Query;
use super::cursor::{self, Cursor};
use super::explain::{Explain, SortKind, Work};
use super::order;
use super::plan::{Access, Choice};
use super::reader::{Place, ReadCounts, Reader, read};
use super::text::{self, Scorer};
use crate::filter::Filter;
use crate::projection::Projection;
use crate::sort::{SORT_MEMORY_BYTES_MAX, Sort, TopK};
use crate::store::Error;
use crate::value::key::{Direction, invert, split_first_directed};

/// How many bytes of documents are kept while sorting.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// The documents that a query asked for, one by one, and how they were found.
///
/// Documents are read as they are asked for, from the state that the query was put to.
pub struct Answers<'v> {
    source: Source<'v>,
    skip: usize,
    left: usize,
    projection: Option<Projection>,
    /// What the documents match; kept only where the projection asks for it.
    filter: Filter,
    /// Says how well documents answer a search; kept only where that is asked for.
    scorer: Option<Scorer>,
    /// How the next page would continue: what was asked, in which order.
    paging: Option<(u32, Sort)>,
    last_key: Option<Vec<u8>>,
    /// How documents are found; none if there is no collection.
    choice: Option<Choice>,
    returned: u64,
    clock: Arc<dyn Clock>,
    started: Duration,
}

enum Source<'v> {
    Nothing,
    /// As the access gives them; those up to this sort key were on the page before.
    Stream(Box<Reader<'v>>, Option<Vec<u8>>),
    /// In order: sort keys, and the documents as far as they were kept.
    Sorted {
        place: Place<'v>,
        sort: Sort,
        documents: std::vec::IntoIter<(Box<[u8]>, Option<RawDocumentBuf>)>,
        read: ReadCounts,
    },
}

impl<'v> Answers<'v> {
    pub(crate) fn none(clock: &Arc<dyn Clock>) -> Self {
        Self {
            source: Source::Nothing,
            skip: 0,
            left: 0,
            projection: None,
            filter: Filter::default(),
            scorer: None,
            paging: None,
            last_key: None,
            choice: None,
            returned: 0,
            clock: Arc::clone(clock),
            started: clock.monotonic(),
        }
    }

    pub(crate) fn start(
        place: &Place<'v>,
        clock: &Arc<dyn Clock>,
        choice: Choice,
        query: &Query,
        (started, scorer): (Duration, Option<Scorer>),
    ) -> Result<Self, Error> {
        let plan = choice.plan();
        let after = query.after.as_ref().zip(query.sort.as_ref());
        let source = match &query.sort {
            Some(sort) if plan.sort == SortKind::InMemory => {
                let reader = Reader::new(place.clone(), plan, &query.filter, None);
                sorted(place.clone(), reader, (sort, scorer.as_ref()), query)?
            }
            _ => {
                let start = after.and_then(|(after, sort)| start_row(&plan.access, sort, after));
                let start = start.as_deref();
                let reader = Reader::new(place.clone(), plan, &query.filter, start);
                let before = after.map(|(after, _)| after.key.clone());
                Source::Stream(Box::new(reader), before)
            }
        };
        let positional = query.projection.as_ref();
        let positional = positional.is_some_and(Projection::is_positional);
        // A score changes with every other document, so a page by score has no place to go on from.
        let pages = query.sort.clone().filter(|sort| !sort.is_by_score());
        let paging = pages.map(|sort| {
            let question = cursor::question(&place.collection, query, &sort);
            (question, sort)
        });
        Ok(Self {
            source,
            skip: query.skip,
            left: query.limit.unwrap_or(usize::MAX),
            projection: query.projection.clone(),
            filter: if positional {
                query.filter.clone()
            } else {
                Filter::default()
            },
            scorer,
            paging,
            last_key: None,
            choice: Some(choice),
            returned: 0,
            clock: Arc::clone(clock),
            started,
        })
    }

    /// How the documents so far were found.
    #[must_use]
    pub fn explain(&self) -> Explain {
        let Some(choice) = &self.choice else {
            return Explain::nothing();
        };
        let elapsed = self.clock.monotonic().saturating_sub(self.started);
        let work = Work {
            read: match &self.source {
                Source::Nothing => ReadCounts::default(),
                Source::Stream(reader, _) => reader.read(),
                Source::Sorted { read, .. } => *read,
            },
            returned: self.returned,
            micros: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        };
        Explain::new(choice, work)
    }

    /// Where the next page starts: behind the last document returned. None before the first one,
    /// or where no order was asked for.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        let (question, _) = self.paging.as_ref()?;
        Some(Cursor {
            question: *question,
            key: self.last_key.clone()?,
        })
    }

    fn next_document(&mut self) -> Result<Option<RawDocumentBuf>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        loop {
            let mut out = Outlet {
                skip: self.skip > 0,
                projection: self.projection.as_ref(),
                filter: &self.filter,
                scorer: self.scorer.as_ref(),
                sort: self.paging.as_ref().map(|(_, sort)| sort),
                last_key: &mut self.last_key,
            };
            let next = match &mut self.source {
                Source::Nothing => None,
                Source::Stream(reader, before) => stream_next(reader, before, &mut out)?,
                Source::Sorted {
                    place,
                    sort,
                    documents,
                    read,
                } => match documents.next() {
                    None => None,
                    Some((key, kept)) => {
                        Some(sorted_next(place, sort, &key, kept, read, &mut out)?)
                    }
                },
            };
            match next {
                None => return Ok(None),
                Some(None) => self.skip -= 1,
                Some(Some(document)) => {
                    self.left -= 1;
                    self.returned += 1;
                    return Ok(Some(document));
                }
            }
        }
    }
}

impl Iterator for Answers<'_> {
    type Item = Result<RawDocumentBuf, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_document().transpose()
    }
}

impl std::fmt::Debug for Answers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers")
            .field("explain", &self.explain())
            .finish_non_exhaustive()
    }
}

/// What becomes of a document.
struct Outlet<'a> {
    /// Nothing.
    skip: bool,
    projection: Option<&'a Projection>,
    /// What the documents match, if the projection asks for it.
    filter: &'a Filter,
    scorer: Option<&'a Scorer>,
    sort: Option<&'a Sort>,
    /// Where its sort key goes.
    last_key: &'a mut Option<Vec<u8>>,
}

impl Outlet<'_> {
    fn returned(&self, document: &RawDocument) -> Result<RawDocumentBuf, Error> {
        let Some(projection) = self.projection else {
            return Ok(document.to_owned());
        };
        let shown = projection.apply_matched(document, self.filter)?;
        match (self.scorer, projection.score()) {
            (Some(scorer), Some(name)) => scorer.added(name, document, &shown),
            _ => Ok(shown),
        }
    }
}

/// The next document of a stream; a document that is skipped is none.
fn stream_next(
    reader: &mut Reader<'_>,
    before: &mut Option<Vec<u8>>,
    out: &mut Outlet<'_>,
) -> Result<Option<Option<RawDocumentBuf>>, Error> {
    loop {
        let next = reader.next_with(|_, document| {
            if before.is_none() && out.skip {
                return Ok(Some(None));
            }
            if let Some(sort) = out.sort {
                let mut key = out.last_key.take().unwrap_or_default();
                key.clear();
                sort.key(document, &mut key)?;
                if before.as_ref().is_some_and(|before| key <= *before) {
                    return Ok(None);
                }
                *out.last_key = Some(key);
            }
            // All that follow come later in the order, too.
            *before = None;
            if out.skip {
                return Ok(Some(None));
            }
            Ok(Some(Some(out.returned(document)?)))
        })?;
        match next {
            None => return Ok(None),
            // It was on the page before.
            Some(None) => {}
            Some(next) => return Ok(next),
        }
    }
}

fn sorted_next(
    place: &Place<'_>,
    sort: &Sort,
    key: &[u8],
    kept: Option<RawDocumentBuf>,
    counts: &mut ReadCounts,
    out: &mut Outlet<'_>,
) -> Result<Option<RawDocumentBuf>, Error> {
    if out.skip {
        return Ok(None);
    }
    *out.last_key = Some(key.to_vec());
    if let Some(document) = kept {
        return Ok(Some(match out.projection {
            Some(_) => out.returned(&document)?,
            None => document,
        }));
    }
    let damaged = |reason: &str| Error::Damaged {
        collection: place.collection.to_string(),
        reason: reason.to_owned(),
    };
    let id = id_of(sort, key).ok_or_else(|| damaged("a sort key has no _id"))?;
    counts.documents += 1;
    let found = place.view.get(place.data, &id)?;
    let found = found.ok_or_else(|| damaged("a document that was sorted is missing"))?;
    Ok(Some(out.returned(read(place, &found)?)?))
}

/// The `_id` in a sort key, as a key of the tree of documents.
fn id_of(sort: &Sort, key: &[u8]) -> Option<Vec<u8>> {
    let mut rest = if sort.is_by_score() {
        text::behind_score(key)?
    } else {
        key
    };
    for part in sort.keys() {
        let (value, behind) = split_first_directed(rest, part.direction)?;
        if part.path.as_str() == "_id" {
            let mut id = value.to_vec();
            if part.direction == Direction::Descending {
                invert(&mut id);
            }
            return Some(id);
        }
        rest = behind;
    }
    None
}

/// Reads everything that matches and keeps the first of it in the order asked for.
fn sorted<'v>(
    place: Place<'v>,
    mut reader: Reader<'v>,
    (sort, scorer): (&Sort, Option<&Scorer>),
    query: &Query,
) -> Result<Source<'v>, Error> {
    let keep = query.limit.map(|limit| limit.saturating_add(query.skip));
    let mut top = TopK::new(keep, SORT_MEMORY_BYTES_MAX);
    let mut key = Vec::new();
    let mut kept = 0;
    let after = query.after.as_ref().map(|after| after.key.as_slice());
    loop {
        let next = reader.next_with(|id, document| {
            key.clear();
            match scorer.filter(|_| sort.is_by_score()) {
                Some(scorer) => scorer.key(document, id, &mut key)?,
                None => sort.key(document, &mut key)?,
            }
            if after.is_some_and(|after| key.as_slice() <= after) {
                return Ok(());
            }
            let bytes = document.as_bytes().len();
            if kept + bytes > KEPT_BYTES {
                top.offer(&key, 0, || None)?;
            } else {
                top.offer(&key, bytes, || {
                    kept += bytes;
                    Some(document.to_owned())
                })?;
            }
            Ok(())
        })?;
        if next.is_none() {
            break;
        }
    }
    Ok(Source::Sorted {
        place,
        sort: sort.clone(),
        documents: top.into_sorted().into_iter(),
        read: reader.read(),
    })
}

/// The row at which a page behind `after` begins, in an access that gives the order.
fn start_row(access: &Access, sort: &Sort, after: &Cursor) -> Option<Vec<u8>> {
    match access {
        Access::Index(scan) => order::start(scan, sort, after),
        Access::Documents(_) | Access::Common(_) | Access::Text(_) => after.part(sort, 0),
        Access::Branches(_) => None,
    }
}
