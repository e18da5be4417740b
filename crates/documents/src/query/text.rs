//! `$text` in a query: what its fields are, which rows of the text index answer it, and how well a
//! document does.
//!
//! The rows of a word lie in the order of `_id`, so those of several words are walked through at once,
//! and each document counts once. Where phrases must occur, every document that matches has each of
//! their words, and the rows of the rarest one are enough.

use std::borrow::Cow;
use std::sync::Arc;

use bson::raw::{CStr, RawBsonRef, RawDocument, RawDocumentBuf};
use nexusbase_db::{Direction, KeyRange, View};

use super::Query;
use super::index_scan::holds_all;
use super::reader::Place;
use super::rows::Rows;
use crate::filter::{Condition, Filter};
use crate::path::Path;
use crate::sort::Sort;
use crate::store::index::text::{fields, word_key};
use crate::store::{Definition, Error, IndexDefinition};
use crate::text::{Collected, Search, Statistics};
use crate::value::key::{self, Direction as Way, split_first_directed};

/// The filter, whose `$text` knows the fields of the collection's text index.
///
/// # Errors
/// When there is no such index.
pub(super) fn resolve<'f>(
    definition: &Definition,
    collection: &str,
    filter: &'f Filter,
) -> Result<Cow<'f, Filter>, Error> {
    if filter.text().is_none() {
        return Ok(Cow::Borrowed(filter));
    }
    let (_, index) = definition.text_index().ok_or_else(|| Error::NoTextIndex {
        collection: collection.to_owned(),
    })?;
    let fields: Arc<[Path]> = fields(&index.spec).into();
    Ok(Cow::Owned(filter.searching(&fields)))
}

/// The same of a whole query.
pub(super) fn resolve_query<'q>(
    definition: &Definition,
    collection: &str,
    query: &'q Query,
) -> Result<Cow<'q, Query>, Error> {
    Ok(match resolve(definition, collection, &query.filter)? {
        Cow::Borrowed(_) => Cow::Borrowed(query),
        Cow::Owned(filter) => Cow::Owned(Query {
            filter,
            ..query.clone()
        }),
    })
}

/// The rows of some words of a text index, among which every document that matches has one.
#[derive(Clone, Debug)]
pub(crate) struct TextScan {
    definition: Arc<Definition>,
    at: usize,
    /// The words, for people.
    pub(crate) words: String,
    /// The rows of each word.
    pub(crate) ranges: Vec<KeyRange>,
    /// A document matches exactly if it has a row here.
    pub(crate) exact: bool,
}

impl TextScan {
    /// The rows that answer the `$text` among `conditions`; none if there is none, or the index
    /// may lack a document.
    pub(crate) fn new(
        definition: &Arc<Definition>,
        view: &dyn View,
        conditions: &[Condition],
    ) -> Result<Option<Self>, Error> {
        let mut searches = conditions.iter().filter_map(|condition| match condition {
            Condition::Text(text) => Some(text.search()),
            _ => None,
        });
        let Some((search, (at, index))) = searches.next().zip(definition.text_index()) else {
            return Ok(None);
        };
        if !index.ready || !holds_all(index, conditions)? {
            return Ok(None);
        }
        let mut rarest: Option<(u64, &str)> = None;
        for word in search.required() {
            let rows = view.estimate(index.tree, &range(word)?)?;
            if rarest.is_none_or(|(known, _)| rows < known) {
                rarest = Some((rows, word));
            }
        }
        let words: Vec<&str> = match rarest {
            Some((_, word)) => vec![word],
            None => search.wanted().collect(),
        };
        let ranges = words.iter().map(|word| range(word));
        Ok(Some(Self {
            definition: Arc::clone(definition),
            at,
            ranges: ranges.collect::<Result<_, _>>()?,
            words: words.join(" or "),
            exact: search.is_of_words() && conditions.len() == 1,
        }))
    }

    pub(crate) fn index(&self) -> &IndexDefinition {
        &self.definition.indexes[self.at]
    }
}

fn range(word: &str) -> Result<KeyRange, Error> {
    Ok(KeyRange::prefix(&word_key(word)?))
}

/// The documents that the rows of a scan name, in the order of `_id`, each once.
pub(super) struct Postings<'v> {
    words: Vec<Word<'v>>,
    direction: Direction,
    /// The `_id` key that it is at; empty before the first.
    id: Vec<u8>,
}

/// The rows of one word.
struct Word<'v> {
    rows: Rows<'v>,
    /// The `_id` key that it is at; none at the end.
    id: Option<Vec<u8>>,
}

impl<'v> Postings<'v> {
    /// From the `_id` key `start` on in the direction, if it is given.
    pub(super) fn new(
        place: &Place<'v>,
        scan: &TextScan,
        direction: Direction,
        start: Option<&[u8]>,
    ) -> Self {
        let words = scan.ranges.iter().map(|range| {
            let start = start.and_then(|id| match range.start() {
                std::ops::Bound::Included(word) => Some([word, id].concat()),
                _ => None,
            });
            let ranges = std::slice::from_ref(range);
            let tree = scan.index().tree;
            Word {
                rows: Rows::new(place.view, tree, ranges, direction, start.as_deref()),
                id: Some(Vec::new()),
            }
        });
        Self {
            words: words.collect(),
            direction,
            id: Vec::new(),
        }
    }

    /// Goes to the next document. Returns whether there is one.
    pub(super) fn advance(&mut self, place: &Place<'v>, scan: &TextScan) -> Result<bool, Error> {
        let mut next: Option<&[u8]> = None;
        for word in &mut self.words {
            // Before the first document all of them stand before their first rows.
            if word.id.as_ref() == Some(&self.id) {
                word.advance(place, scan)?;
            }
            let Some(id) = word.id.as_deref() else {
                continue;
            };
            let is_nearer = next.is_none_or(|next| match self.direction {
                Direction::Forward => id < next,
                Direction::Reverse => id > next,
            });
            if is_nearer {
                next = Some(id);
            }
        }
        let Some(next) = next else {
            return Ok(false);
        };
        self.id.clear();
        self.id.extend_from_slice(next);
        Ok(true)
    }

    /// The `_id` key of the document.
    pub(super) fn id(&self) -> &[u8] {
        &self.id
    }

    /// How many rows were read.
    pub(super) fn read(&self) -> u64 {
        self.words.iter().map(|word| word.rows.read).sum()
    }
}

impl<'v> Word<'v> {
    fn advance(&mut self, place: &Place<'v>, scan: &TextScan) -> Result<(), Error> {
        let mut id = self.id.take().unwrap_or_default();
        if !self.rows.advance()? {
            return Ok(());
        }
        let (key, value) = self.rows.row()?;
        let (_, found) = scan.index().split_row(key, value).ok_or_else(|| {
            let name = scan.index().name();
            Error::Damaged {
                collection: place.collection.to_string(),
                reason: format!("a row of the index {name} cannot be read"),
            }
        })?;
        id.clear();
        id.extend_from_slice(found);
        self.id = Some(id);
        Ok(())
    }
}

/// What scores documents by a `$text`.
#[derive(Debug)]
pub(crate) struct Scorer {
    search: Arc<Search>,
    fields: Vec<Path>,
    statistics: Statistics,
}

impl Scorer {
    /// The scorer that a query needs, if it asks for scores.
    ///
    /// # Errors
    /// When its filter gives none.
    pub(super) fn of(
        view: &dyn View,
        definition: &Definition,
        query: &Query,
    ) -> Result<Option<Self>, Error> {
        let projection = query.projection.as_ref();
        let asked_in = if query.sort.as_ref().is_some_and(Sort::is_by_score) {
            "sort"
        } else if projection.is_some_and(|projection| projection.score().is_some()) {
            "projection"
        } else {
            return Ok(None);
        };
        let text = query.filter.text().zip(definition.text_index());
        let (text, (_, index)) = text.ok_or(Error::NoTextScore { asked_in })?;
        let search = Arc::clone(text.search());
        let with_word = search.wanted().map(|word| {
            let rows = view.estimate(index.tree, &range(word)?)?;
            Ok::<_, Error>(rows)
        });
        let with_word = with_word.collect::<Result<Vec<_>, _>>()?;
        let documents = view.estimate(definition.data, &KeyRange::all())?;
        let rows = view.estimate(index.tree, &KeyRange::all())?;
        Ok(Some(Self {
            statistics: Statistics::new(documents, rows, &with_word),
            fields: fields(&index.spec),
            search,
        }))
    }

    fn score(&self, document: &RawDocument) -> Result<f64, Error> {
        let collected = Collected::of(&self.search, &self.fields, document)?;
        Ok(self.statistics.score(&collected))
    }

    /// The key by which a document is in the order by score: the best first, then by `_id`.
    pub(super) fn key(
        &self,
        document: &RawDocument,
        id: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let score = RawBsonRef::Double(self.score(document)?);
        key::encode_directed(score, Way::Descending, out)?;
        out.extend_from_slice(id);
        Ok(())
    }

    /// What is shown of a document, with its score as the field `name`, at the end.
    pub(super) fn added(
        &self,
        name: &CStr,
        document: &RawDocument,
        shown: &RawDocument,
    ) -> Result<RawDocumentBuf, Error> {
        let mut with = RawDocumentBuf::new();
        for field in shown {
            let (other, value) = field.map_err(crate::ValueError::from)?;
            if other != name {
                with.append(other, value);
            }
        }
        with.append(name, self.score(document)?);
        Ok(with)
    }
}

/// What follows the score in a sort key of an order by score.
pub(super) fn behind_score(key: &[u8]) -> Option<&[u8]> {
    split_first_directed(key, Way::Descending).map(|(_, behind)| behind)
}
