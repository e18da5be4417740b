//! What an index is asked to be: which paths it orders documents by, and which documents it holds.

use bson::raw::{RawDocument, RawDocumentBuf};

use super::partial;
use crate::filter::Filter;
use crate::json::{Form, to_string};
use crate::sort::{SortKey, keys_of, parse_keys};
use crate::store::error::Error;
use crate::value::key::Direction;

/// How many paths one index may have.
pub const INDEX_PARTS_MAX: usize = 32;
/// The longest name of an index, in bytes.
pub const INDEX_NAME_BYTES_MAX: usize = 128;
/// The longest time after which documents may expire, in seconds.
pub const EXPIRE_SECONDS_MAX: u32 = i32::MAX.unsigned_abs();

/// What the text of a text index begins with.
const TEXT: &str = "text:";

/// An index as it is asked for.
///
/// ```
/// # use nexusbase_documents::store::IndexSpec;
/// # fn main() -> Result<(), nexusbase_documents::Error> {
/// let by_section = IndexSpec::on("section,-size")?;
/// assert_eq!(by_section.name(), "section,-size");
/// let mail = IndexSpec::on("mail")?.unique();
/// # let _ = mail; Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct IndexSpec {
    pub(crate) name: Box<str>,
    pub(crate) parts: Vec<SortKey>,
    pub(crate) unique: bool,
    pub(crate) sparse: bool,
    pub(crate) partial: Option<Partial>,
    pub(crate) expire_after_seconds: Option<u32>,
    /// Documents stand in it by the words under its paths.
    pub(crate) is_text: bool,
}

/// The filter of a partial index, as it was given and as it is used.
#[derive(Clone, Debug)]
pub(crate) struct Partial {
    pub(crate) document: RawDocumentBuf,
    pub(crate) filter: Filter,
}

impl PartialEq for Partial {
    fn eq(&self, other: &Self) -> bool {
        self.document.as_bytes() == other.document.as_bytes()
    }
}

impl IndexSpec {
    /// An index on paths separated by commas, a leading `-` for descending, such as
    /// `section,-size`. That text is also its name, unless it gets another. Behind `text:` it is a
    /// [text index](Self::full_text) on the paths; a field whose name begins so is written `+text:…`.
    ///
    /// # Errors
    /// When a path cannot be indexed.
    pub fn on(text: &str) -> Result<Self, Error> {
        let refused = |reason: String| Error::IndexPath {
            path: text.to_owned(),
            reason,
        };
        let (is_text, paths) = match text.strip_prefix(TEXT) {
            Some(paths) => (true, paths),
            None => (false, text),
        };
        let parts = parse_keys(paths).map_err(|error| refused(error.to_string()))?;
        let mut spec = Self::of(parts).map_err(refused)?;
        if is_text {
            spec = spec.into_text().map_err(refused)?;
        }
        Ok(spec)
    }

    /// A text index on these paths, for filters with `$text`: documents stand in it by the
    /// [words](crate::text) of the strings there, also of those in arrays. Its name is `text:` and
    /// the paths, unless it gets another. It may be [partial](Self::partial), and nothing else; a
    /// collection has at most one.
    ///
    /// # Errors
    /// When a path cannot be indexed.
    pub fn full_text(paths: &[&str]) -> Result<Self, Error> {
        Self::on(&format!("{TEXT}{}", paths.join(",")))
    }

    /// The same as a text index, under the name of one.
    pub(crate) fn into_text(mut self) -> Result<Self, String> {
        if let Some(part) = self
            .parts
            .iter()
            .find(|part| part.direction == Direction::Descending)
        {
            return Err(format!(
                "a text index has no directions, and {} has one",
                part.path
            ));
        }
        self.is_text = true;
        self.name = self.text().into();
        Ok(self)
    }

    /// As [`Self::on`], of an object such as `{"section": 1, "size": -1}`, whose order counts.
    ///
    /// # Errors
    /// As there.
    pub fn on_keys(keys: &RawDocument) -> Result<Self, Error> {
        let refused = |reason: String| Error::IndexPath {
            path: to_string(keys, Form::Relaxed).unwrap_or_default(),
            reason,
        };
        let parts = keys_of(keys).map_err(|error| refused(error.to_string()))?;
        Self::of(parts).map_err(refused)
    }

    /// An index on these paths in these directions.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub(crate) fn of(parts: Vec<SortKey>) -> Result<Self, String> {
        match parts.as_slice() {
            [] => return Err("an index needs at least one path".to_owned()),
            [only] if only.path.as_str() == "_id" => {
                return Err("every collection has that index".to_owned());
            }
            _ if parts.len() > INDEX_PARTS_MAX => {
                return Err(format!("an index has at most {INDEX_PARTS_MAX} paths"));
            }
            _ => {}
        }
        for (at, part) in parts.iter().enumerate() {
            if parts[..at].iter().any(|before| before.path == part.path) {
                return Err(format!("the path {} stands twice", part.path));
            }
        }
        Ok(Self {
            name: text_of(&parts).into(),
            parts,
            unique: false,
            sparse: false,
            partial: None,
            expire_after_seconds: None,
            is_text: false,
        })
    }

    /// The same under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// The same, in which no two documents may have the same values. A missing field counts as
    /// null, equal numbers of different types are the same value, and one document may have a
    /// value several times in an array.
    ///
    /// A transaction that exchanges the values of two documents one after the other is refused at
    /// the first of the two: give one of them a third value, or delete and insert.
    #[must_use]
    pub const fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// The same, without documents that have none of the fields; one that is null is there. Not
    /// together with [`Self::partial`].
    #[must_use]
    pub const fn sparse(mut self) -> Self {
        self.sparse = true;
        self
    }

    /// The same, with only the documents that match `filter`, which consists of `$eq`, `$gt`,
    /// `$gte`, `$lt`, `$lte`, `$in`, `$all`, `$type`, `$exists: true`, `$and` and `$or`. Not
    /// together with [`Self::sparse`].
    ///
    /// # Errors
    /// When the filter is refused.
    pub fn partial(mut self, filter: &RawDocument) -> Result<Self, Error> {
        partial::check(filter).map_err(|reason| self.refused(reason))?;
        self.partial = Some(Partial {
            document: filter.to_owned(),
            filter: Filter::parse(filter)?,
        });
        Ok(self)
    }

    /// The same, whose documents are deleted `seconds` after the date that they have under the
    /// index's only path; of several dates in an array the earliest counts, and a document without
    /// a date stays. [`expire_step`](crate::Documents::expire_step) deletes them; until it is
    /// called they are there as all others.
    #[must_use]
    pub const fn expire_after(mut self, seconds: u32) -> Self {
        self.expire_after_seconds = Some(seconds);
        self
    }

    /// Whether two parts (from 0) may lead through the same array: their paths begin alike.
    ///
    /// Where both are multikey as well, two conditions on them may be met by two elements, which
    /// stand in two rows of the index; so the bounds of at most one of the two narrow a range of
    /// rows, unless both conditions are known to be about one element. In all other cases a
    /// document that meets several conditions, one on each part, has a row that meets them all.
    #[must_use]
    pub fn may_share_array(&self, part: usize, other: usize) -> bool {
        match (self.parts.get(part), self.parts.get(other)) {
            (Some(part), Some(other)) => part.path.first() == other.path.first(),
            _ => false,
        }
    }

    /// Refuses what contradicts itself or cannot be named.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let name = &*self.name;
        if !(1..=INDEX_NAME_BYTES_MAX).contains(&name.len()) {
            return Err(self.refused(format!(
                "its name has {} bytes, and 1 to {INDEX_NAME_BYTES_MAX} are allowed; give it a \
                 shorter name of its own",
                name.len()
            )));
        }
        let unprintable = |letter: char| letter.is_control() || letter == '/';
        if name.contains(unprintable) || matches!(name, "." | ".." | "_id") {
            return Err(self.refused(
                "its name is not usable: no control characters, no '/', and not \".\", \"..\" \
                 or \"_id\""
                    .to_owned(),
            ));
        }
        if self.is_text && (self.unique || self.sparse || self.expire_after_seconds.is_some()) {
            return Err(self.refused(
                "it is a text index, which can be partial, but not unique, sparse or expiring"
                    .to_owned(),
            ));
        }
        if self.sparse && self.partial.is_some() {
            return Err(self.refused(
                "it is sparse and partial: leave out sparse, and say {\"FIELD\": {\"$exists\": \
                 true}} in the filter"
                    .to_owned(),
            ));
        }
        if let Some(seconds) = self.expire_after_seconds {
            if self.parts.len() > 1 {
                let parts = self.parts.len();
                return Err(self.refused(format!(
                    "it has {parts} paths, and documents expire by an index on one"
                )));
            }
            if seconds > EXPIRE_SECONDS_MAX {
                return Err(self.refused(format!(
                    "documents expire after at most {EXPIRE_SECONDS_MAX} seconds, not {seconds}"
                )));
            }
        }
        Ok(())
    }

    fn refused(&self, reason: String) -> Error {
        let index = self.name.to_string();
        Error::IndexSpec { index, reason }
    }

    /// What is different in a spec that is asked for under the same name, in words.
    pub(crate) fn difference(&self, asked: &Self) -> Option<String> {
        let facts = |spec: &Self| {
            let partial = spec.partial.as_ref();
            let partial = partial.map(|partial| to_string(&partial.document, Form::Relaxed));
            let expiry = spec.expire_after_seconds;
            [
                ("paths", spec.text()),
                ("unique", spec.unique.to_string()),
                ("sparse", spec.sparse.to_string()),
                (
                    "partial",
                    partial.map_or_else(none, Result::unwrap_or_default),
                ),
                (
                    "expire_after",
                    expiry.map_or_else(none, |seconds| seconds.to_string()),
                ),
            ]
        };
        let facts = facts(self).into_iter().zip(facts(asked));
        let different = facts.filter(|((_, is), (_, asked))| is != asked);
        let words: Vec<_> = different
            .map(|((what, is), (_, asked))| format!("{what} is {is}, not {asked}"))
            .collect();
        (self != asked).then(|| words.join("; "))
    }

    /// What it is called within its collection.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether no two documents may have the same values in it.
    #[must_use]
    pub const fn is_unique(&self) -> bool {
        self.unique
    }

    /// Whether documents that have none of the fields are left out.
    #[must_use]
    pub const fn is_sparse(&self) -> bool {
        self.sparse
    }

    /// Which documents it holds, if not all.
    #[must_use]
    pub fn partial_filter(&self) -> Option<&RawDocument> {
        self.partial.as_ref().map(|partial| &*partial.document)
    }

    /// How long after its date a document is deleted, if that is so.
    #[must_use]
    pub const fn expiry_seconds(&self) -> Option<u32> {
        self.expire_after_seconds
    }

    /// The paths with their directions, as [`Self::on`] reads them.
    #[must_use]
    pub fn text(&self) -> String {
        let paths = text_of(&self.parts);
        if self.is_text {
            format!("{TEXT}{paths}")
        } else {
            paths
        }
    }

    /// Whether it is a [text index](Self::full_text).
    #[must_use]
    pub const fn is_text(&self) -> bool {
        self.is_text
    }

    /// How many encoded values a row has.
    pub(crate) const fn row_values(&self) -> usize {
        if self.is_text { 1 } else { self.parts.len() }
    }
}

fn none() -> String {
    "none".to_owned()
}

fn text_of(parts: &[SortKey]) -> String {
    let one = |part: &SortKey| match part.direction {
        Direction::Ascending => part.path.as_str().to_owned(),
        Direction::Descending => format!("-{}", part.path),
    };
    parts.iter().map(one).collect::<Vec<_>>().join(",")
}
