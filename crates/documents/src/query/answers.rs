//! Reading what a plan found.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bson::raw::{RawDocument, RawDocumentBuf};
use nexusbase_db::{Bytes, Direction, KeyRange, Scan, TreeId, View};
use nexusbase_io::Clock;

use super::cursor::{self, Cursor};
use super::plan::{Access, Explain, IndexAccess, Plan, SortKind};
use super::{Query, stored_document};
use crate::filter::Filter;
use crate::projection::Projection;
use crate::sort::{SORT_MEMORY_BYTES_MAX, Sort, TopK};
use crate::store::Error;
use crate::store::index::row::rows;
use crate::value::key::split_first;

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
    /// How the next page would continue: what was asked, in which order.
    paging: Option<(u32, Sort)>,
    last_key: Option<Vec<u8>>,
    explain: Explain,
    clock: Arc<dyn Clock>,
    started: Duration,
}

enum Source<'v> {
    /// As the access gives them.
    Stream(Reader<'v>),
    /// Sorted already.
    Sorted {
        documents: std::vec::IntoIter<(Box<[u8]>, RawDocumentBuf)>,
        read: ReadCounts,
    },
}

impl<'v> Answers<'v> {
    pub(crate) fn none(clock: &Arc<dyn Clock>) -> Self {
        Self {
            source: Source::Sorted {
                documents: Vec::new().into_iter(),
                read: ReadCounts::default(),
            },
            skip: 0,
            left: 0,
            projection: None,
            filter: Filter::default(),
            paging: None,
            last_key: None,
            explain: new_explain(Access::Collection, SortKind::None),
            clock: Arc::clone(clock),
            started: clock.monotonic(),
        }
    }

    pub(crate) fn start(
        view: &'v dyn View,
        clock: &Arc<dyn Clock>,
        collection: &str,
        data: TreeId,
        plan: Plan,
        query: &Query,
    ) -> Result<Self, Error> {
        let started = clock.monotonic();
        if let (Some(after), Some(sort)) = (&query.after, &query.sort) {
            after.check(collection, query, sort)?;
        }
        let explain = new_explain(plan.access.clone(), plan.sort);
        let in_memory = plan.sort == SortKind::InMemory;
        let reader = Reader::new(view, collection, data, plan, query);
        let source = match &query.sort {
            Some(sort) if in_memory => sorted(reader, sort, query)?,
            _ => Source::Stream(reader),
        };
        let positional = query.projection.as_ref();
        let positional = positional.is_some_and(Projection::is_positional);
        let paging = query.sort.clone().map(|sort| {
            let question = cursor::question(collection, query, &sort);
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
            paging,
            last_key: None,
            explain,
            clock: Arc::clone(clock),
            started,
        })
    }

    /// How the documents so far were found.
    #[must_use]
    pub fn explain(&self) -> Explain {
        let mut explain = self.explain.clone();
        let read = match &self.source {
            Source::Stream(reader) => reader.read,
            Source::Sorted { read, .. } => *read,
        };
        explain.index_rows_read = read.index_rows;
        explain.documents_read = read.documents;
        let elapsed = self.clock.monotonic().saturating_sub(self.started);
        explain.micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        explain
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
            let document = match &mut self.source {
                Source::Stream(reader) => reader.next()?,
                Source::Sorted { documents, .. } => documents.next().map(|(_, document)| document),
            };
            let Some(document) = document else {
                return Ok(None);
            };
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            self.left -= 1;
            self.explain.documents_returned += 1;
            if let Some((_, sort)) = &self.paging {
                let mut key = Vec::new();
                sort.key(&document, &mut key)?;
                self.last_key = Some(key);
            }
            return Ok(Some(match &self.projection {
                Some(projection) => projection.apply_matched(&document, &self.filter)?,
                None => document,
            }));
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
            .field("explain", &self.explain)
            .finish_non_exhaustive()
    }
}

const fn new_explain(access: Access, sort: SortKind) -> Explain {
    Explain {
        access,
        sort,
        index_rows_read: 0,
        documents_read: 0,
        documents_returned: 0,
        micros: 0,
    }
}

/// Reads everything that matches and keeps the first of it in the order asked for.
fn sorted<'v>(mut reader: Reader<'v>, sort: &Sort, query: &Query) -> Result<Source<'v>, Error> {
    let keep = query.limit.map(|limit| limit.saturating_add(query.skip));
    let mut top = TopK::new(keep, SORT_MEMORY_BYTES_MAX);
    let mut key = Vec::new();
    while let Some(document) = reader.next()? {
        key.clear();
        sort.key(&document, &mut key)?;
        if query.after.as_ref().is_some_and(|after| key <= after.key) {
            continue;
        }
        let bytes = document.as_bytes().len();
        top.offer(&key, bytes, || document)?;
    }
    Ok(Source::Sorted {
        documents: top.into_sorted().into_iter(),
        read: reader.read,
    })
}

#[derive(Clone, Copy, Debug, Default)]
struct ReadCounts {
    index_rows: u64,
    documents: u64,
}

/// Documents that match, in the order of the access.
struct Reader<'v> {
    view: &'v dyn View,
    collection: String,
    data: TreeId,
    filter: Filter,
    index: Option<IndexAccess>,
    direction: Direction,
    /// The ranges of the plan.
    all: Vec<KeyRange>,
    /// Those still to be read, the next one last.
    ranges: Vec<KeyRange>,
    scan: Option<Scan<'v>>,
    read: ReadCounts,
}

impl<'v> Reader<'v> {
    fn new(view: &'v dyn View, collection: &str, data: TreeId, plan: Plan, query: &Query) -> Self {
        let mut ranges = plan.ranges.clone();
        if plan.direction == Direction::Forward {
            ranges.reverse();
        }
        if plan.sort == SortKind::ByAccess {
            let start = query.after.as_ref().zip(query.sort.as_ref());
            if let Some(start) =
                start.and_then(|(after, sort)| start_key(after, sort, plan.index.as_ref(), &plan))
            {
                ranges.retain_mut(|range| {
                    *range = behind(range, &start, plan.direction);
                    !range.is_empty()
                });
            }
        }
        Self {
            view,
            collection: collection.to_owned(),
            data,
            filter: query.filter.clone(),
            index: plan.index,
            direction: plan.direction,
            all: plan.ranges,
            ranges,
            scan: None,
            read: ReadCounts::default(),
        }
    }

    fn next(&mut self) -> Result<Option<RawDocumentBuf>, Error> {
        while let Some((key, value)) = self.next_row()? {
            let document = match self.index {
                None => stored_document(&self.collection, &value)?,
                Some(_) => match self.indexed_document(&key)? {
                    Some(document) => document,
                    None => continue,
                },
            };
            self.read.documents += 1;
            if self.filter.matches(&document)? {
                return Ok(Some(document));
            }
        }
        Ok(None)
    }

    fn next_row(&mut self) -> Result<Option<(Bytes, Bytes)>, Error> {
        loop {
            if let Some(scan) = &mut self.scan {
                if let Some(row) = scan.next() {
                    self.read.index_rows += u64::from(self.index.is_some());
                    return Ok(Some(row?));
                }
                self.scan = None;
            }
            let Some(range) = self.ranges.pop() else {
                return Ok(None);
            };
            let tree = self
                .index
                .as_ref()
                .map_or(self.data, |index| index.definition.tree);
            self.scan = Some(self.view.scan(tree, range, self.direction)?);
        }
    }

    /// The document that an index row leads to, unless it came by another row already.
    fn indexed_document(&self, row: &[u8]) -> Result<Option<RawDocumentBuf>, Error> {
        let damaged = |reason: String| Error::Damaged {
            collection: self.collection.clone(),
            reason,
        };
        let Some(index) = &self.index else {
            return Ok(None);
        };
        let (value, id) = split_first(row).ok_or_else(|| {
            damaged(format!(
                "a row of the index on {} has no value",
                index.definition.name()
            ))
        })?;
        let bytes = self.view.get(self.data, id)?.ok_or_else(|| {
            damaged(format!(
                "the index on {} names a document that is missing",
                index.definition.name()
            ))
        })?;
        let document = stored_document(&self.collection, &bytes)?;
        if index.repeats && self.came_before(index, value, id, &document)? {
            return Ok(None);
        }
        Ok(Some(document))
    }

    /// Whether a row of the same document was read before the one with `value`: the first row of
    /// a document within the ranges is the one that counts, so that nothing has to be remembered.
    fn came_before(
        &self,
        index: &IndexAccess,
        value: &[u8],
        id: &[u8],
        document: &RawDocument,
    ) -> Result<bool, Error> {
        let keys = rows(&index.definition, document)?.values;
        let row = |key: &[u8]| [key, id].concat();
        let in_range = |key: &&Vec<u8>| self.all.iter().any(|range| range.contains(&row(key)));
        let first = match self.direction {
            Direction::Forward => keys.iter().find(in_range),
            Direction::Reverse => keys.iter().rev().find(in_range),
        };
        Ok(first.is_some_and(|first| first != value))
    }
}

/// The row that a cursor ended at, in the tree that the plan reads.
fn start_key(
    after: &Cursor,
    sort: &Sort,
    index: Option<&IndexAccess>,
    plan: &Plan,
) -> Option<Vec<u8>> {
    let Some(index) = index else {
        return after.part(sort, 0);
    };
    if sort
        .keys()
        .first()
        .is_some_and(|key| key.path == index.definition.spec.parts[0].path)
    {
        let mut row = after.part(sort, 0)?;
        row.extend(after.part(sort, 1)?);
        return Some(row);
    }
    // One value of the index, in the order of `_id`.
    let mut row = match plan.ranges.first()?.start() {
        Bound::Included(value) | Bound::Excluded(value) => value.to_vec(),
        Bound::Unbounded => return None,
    };
    row.extend(after.part(sort, 0)?);
    Some(row)
}

/// The part of `range` that comes behind `start`.
fn behind(range: &KeyRange, start: &[u8], direction: Direction) -> KeyRange {
    let owned = |bound: Bound<&[u8]>| bound.map(<[u8]>::to_vec);
    let (low, high) = (owned(range.start()), owned(range.end()));
    let cut = Bound::Excluded(start.to_vec());
    let is_inside = |bound: &Bound<Vec<u8>>, ahead: fn(&[u8], &[u8]) -> bool| match bound {
        Bound::Included(key) | Bound::Excluded(key) => ahead(key, start),
        Bound::Unbounded => false,
    };
    match direction {
        Direction::Forward if is_inside(&low, |key, start| key > start) => range.clone(),
        Direction::Forward => KeyRange::from_bounds(cut, high),
        Direction::Reverse if is_inside(&high, |key, start| key < start) => range.clone(),
        Direction::Reverse => KeyRange::from_bounds(low, cut),
    }
}
