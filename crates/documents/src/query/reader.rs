//! Documents, in the order of the access that a plan chose: each that matches exactly once.
//!
//! Nothing is remembered of documents that were seen. One that has several rows in an index counts
//! at its first row there; of several branches it counts in the first whose condition it meets;
//! and of two indexes whose rows lie in the order of `_id` the common ones are found by walking
//! through both at once.
//!
//! A document is read in place and checked against the whole filter.

use std::sync::Arc;

use bson::raw::RawDocument;
use nexusbase_db::{Bytes, Direction, TreeId, View};

use super::index_scan::IndexScan;
use super::plan::{Access, Plan};
use super::rows::{IndexRows, Rows};
use super::text::{Postings, TextScan};
use crate::filter::{Condition, Filter};
use crate::store::index::row::rows;
use crate::store::{Error, IndexDefinition};

/// How much was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadCounts {
    pub(crate) index_rows: u64,
    pub(crate) documents: u64,
}

/// Where documents are read.
#[derive(Clone)]
pub(crate) struct Place<'v> {
    pub(crate) view: &'v dyn View,
    pub(crate) collection: Arc<str>,
    pub(crate) data: TreeId,
}

/// Documents that match.
pub(crate) struct Reader<'v> {
    place: Place<'v>,
    filter: Filter,
    source: Source<'v>,
}

/// Documents that may match, each once.
enum Source<'v> {
    Documents { rows: Rows<'v> },
    Index(Box<Indexed<'v>>),
    Common(Box<Common<'v>>),
    Branches(Branches<'v>),
    Text(Box<Worded<'v>>),
}

impl<'v> Reader<'v> {
    /// Reads as `plan` says, from the row `start` on if it is given.
    pub(crate) fn new(
        place: Place<'v>,
        plan: &Plan,
        filter: &Filter,
        start: Option<&[u8]>,
    ) -> Self {
        Self {
            filter: filter.clone(),
            source: Source::new(&place, &plan.access, plan.direction, start),
            place,
        }
    }

    /// Gives the next document that matches, with its key, to `take`.
    pub(crate) fn next_with<R>(
        &mut self,
        take: impl FnOnce(&[u8], &RawDocument) -> Result<R, Error>,
    ) -> Result<Option<R>, Error> {
        while self.source.advance(&self.place)? {
            let (key, document) = self.source.document(&self.place)?;
            if self.filter.matches(document)? {
                return take(key, document).map(Some);
            }
        }
        Ok(None)
    }

    /// How much was read so far.
    pub(crate) fn read(&self) -> ReadCounts {
        self.source.read()
    }
}

impl<'v> Source<'v> {
    fn new(place: &Place<'v>, access: &Access, direction: Direction, start: Option<&[u8]>) -> Self {
        let index = |scan: &IndexScan, start| {
            let rows = IndexRows::new(place, scan.clone(), direction, start);
            Indexed {
                rows,
                direction,
                id: Vec::new(),
                document: Bytes::new(),
                documents: 0,
            }
        };
        match access {
            Access::Documents(scan) => Self::Documents {
                rows: Rows::new(place.view, place.data, &scan.ranges, direction, start),
            },
            Access::Index(scan) => Self::Index(Box::new(index(scan, start))),
            Access::Common(scans) => {
                let [one, other] = &**scans;
                Self::Common(Box::new(Common {
                    one: index(one, None),
                    other: index(other, None).rows,
                    begun: false,
                    skip_to: start.map(<[u8]>::to_vec),
                }))
            }
            Access::Branches(branches) => {
                let source = |access: &Access| Self::new(place, access, direction, None);
                let (conditions, sources) = branches
                    .iter()
                    .map(|(condition, access)| (condition.clone(), source(access)))
                    .unzip();
                Self::Branches(Branches {
                    conditions,
                    sources,
                    at: 0,
                })
            }
            Access::Text(scan) => Self::Text(Box::new(Worded {
                postings: Postings::new(place, scan, direction, start),
                scan: scan.clone(),
                document: Bytes::new(),
                documents: 0,
            })),
        }
    }

    fn advance(&mut self, place: &Place<'v>) -> Result<bool, Error> {
        match self {
            Self::Documents { rows } => rows.advance(),
            Self::Index(indexed) => indexed.advance(place),
            Self::Common(common) => common.advance(place),
            Self::Branches(branches) => branches.advance(place),
            Self::Text(worded) => worded.advance(place),
        }
    }

    /// The document that it is at, and its key.
    fn document(&mut self, place: &Place<'v>) -> Result<(&[u8], &RawDocument), Error> {
        match self {
            Self::Documents { rows } => {
                let (key, value) = rows.row()?;
                Ok((key, read(place, value)?))
            }
            Self::Index(indexed) => indexed.document(place),
            Self::Common(common) => common.one.document(place),
            // Whoever asks has advanced to a document of this source.
            Self::Branches(branches) => branches.sources[branches.at].document(place),
            Self::Text(worded) => Ok((worded.postings.id(), read(place, &worded.document)?)),
        }
    }

    fn read(&self) -> ReadCounts {
        match self {
            Self::Documents { rows } => ReadCounts {
                index_rows: 0,
                documents: rows.read,
            },
            Self::Index(indexed) => ReadCounts {
                index_rows: indexed.rows.rows.read,
                documents: indexed.documents,
            },
            Self::Common(common) => ReadCounts {
                index_rows: common.one.rows.rows.read + common.other.rows.read,
                documents: common.one.documents,
            },
            Self::Text(worded) => ReadCounts {
                index_rows: worded.postings.read(),
                documents: worded.documents,
            },
            Self::Branches(branches) => {
                let reads = branches.sources.iter().map(Self::read);
                reads.fold(ReadCounts::default(), |sum, read| ReadCounts {
                    index_rows: sum.index_rows + read.index_rows,
                    documents: sum.documents + read.documents,
                })
            }
        }
    }
}

/// A stored document, in place.
pub(crate) fn read<'b>(place: &Place<'_>, bytes: &'b [u8]) -> Result<&'b RawDocument, Error> {
    RawDocument::from_bytes(bytes).map_err(|e| Error::Damaged {
        collection: place.collection.to_string(),
        reason: format!("a stored document is no BSON: {e}"),
    })
}

/// The document that an index names.
fn fetch(place: &Place<'_>, id: &[u8], index: &IndexDefinition) -> Result<Bytes, Error> {
    let found = place.view.get(place.data, id)?;
    found.ok_or_else(|| Error::Damaged {
        collection: place.collection.to_string(),
        reason: format!(
            "the index on {} names a document that is missing",
            index.name()
        ),
    })
}

/// Documents to which words of the text index lead.
struct Worded<'v> {
    postings: Postings<'v>,
    scan: TextScan,
    document: Bytes,
    documents: u64,
}

impl<'v> Worded<'v> {
    fn advance(&mut self, place: &Place<'v>) -> Result<bool, Error> {
        if !self.postings.advance(place, &self.scan)? {
            return Ok(false);
        }
        self.document = fetch(place, self.postings.id(), self.scan.index())?;
        self.documents += 1;
        Ok(true)
    }
}

/// Documents to which rows of an index lead.
struct Indexed<'v> {
    rows: IndexRows<'v>,
    direction: Direction,
    id: Vec<u8>,
    document: Bytes,
    documents: u64,
}

impl<'v> Indexed<'v> {
    fn advance(&mut self, place: &Place<'v>) -> Result<bool, Error> {
        while self.rows.advance()? {
            if self.fetch(place)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads the document of the row. Returns whether this is the row at which it counts.
    fn fetch(&mut self, place: &Place<'v>) -> Result<bool, Error> {
        let (_, id) = self.rows.row()?;
        self.id.clear();
        self.id.extend_from_slice(id);
        self.document = fetch(place, &self.id, self.rows.scan.index())?;
        self.documents += 1;
        if !self.rows.scan.repeats {
            return Ok(true);
        }
        let document = read(place, &self.document)?;
        let index = self.rows.scan.index();
        let all = rows(index, document)?.values;
        let here = |values: &&Vec<u8>| self.rows.scan.holds(&index.row(values, &self.id).0);
        let first = match self.direction {
            Direction::Forward => all.iter().find(here),
            Direction::Reverse => all.iter().rev().find(here),
        };
        // A first row other than this one was read before.
        let (values, _) = self.rows.row()?;
        Ok(first.is_none_or(|first| first == values))
    }

    fn document(&mut self, place: &Place<'v>) -> Result<(&[u8], &RawDocument), Error> {
        Ok((&self.id, read(place, &self.document)?))
    }
}

/// Documents to which rows of both of two indexes lead, in the order of `_id`.
struct Common<'v> {
    one: Indexed<'v>,
    other: IndexRows<'v>,
    begun: bool,
    /// The `_id` to begin at.
    skip_to: Option<Vec<u8>>,
}

impl<'v> Common<'v> {
    fn advance(&mut self, place: &Place<'v>) -> Result<bool, Error> {
        if self.begun {
            if !self.one.rows.rows.advance()? {
                return Ok(false);
            }
        } else {
            self.begun = true;
            if !self.one.rows.rows.advance()? || !self.other.rows.advance()? {
                return Ok(false);
            }
            if let Some(id) = self.skip_to.take()
                && !reach(&mut self.one.rows, &id, self.one.direction)?
            {
                return Ok(false);
            }
        }
        let mut id = self.one.rows.row()?.1.to_vec();
        loop {
            if !reach(&mut self.other, &id, self.one.direction)? {
                return Ok(false);
            }
            let there = self.other.row()?.1;
            if there == id {
                return self.one.fetch(place);
            }
            id.clear();
            id.extend_from_slice(there);
            if !reach(&mut self.one.rows, &id, self.one.direction)? {
                return Ok(false);
            }
            let here = self.one.rows.row()?.1;
            if here != id {
                id.clear();
                id.extend_from_slice(here);
            }
        }
    }
}

/// Goes on to the row of `id`, or the first one behind it, unless it is that far already.
fn reach(rows: &mut IndexRows<'_>, id: &[u8], direction: Direction) -> Result<bool, Error> {
    let (values, here) = rows.row()?;
    let is_there = match direction {
        Direction::Forward => here >= id,
        Direction::Reverse => here <= id,
    };
    if is_there {
        return Ok(true);
    }
    let row = [values, id].concat();
    rows.rows.seek(&row)
}

/// Documents of several sources, one after the other.
struct Branches<'v> {
    conditions: Vec<Condition>,
    sources: Vec<Source<'v>>,
    at: usize,
}

impl<'v> Branches<'v> {
    fn advance(&mut self, place: &Place<'v>) -> Result<bool, Error> {
        while let Some(source) = self.sources.get_mut(self.at) {
            while source.advance(place)? {
                let (_, document) = source.document(place)?;
                if first_that_holds(&self.conditions, document)? == Some(self.at) {
                    return Ok(true);
                }
            }
            self.at += 1;
        }
        Ok(false)
    }
}

fn first_that_holds(
    conditions: &[Condition],
    document: &RawDocument,
) -> Result<Option<usize>, Error> {
    for (number, condition) in conditions.iter().enumerate() {
        if condition.holds(document)? {
            return Ok(Some(number));
        }
    }
    Ok(None)
}
