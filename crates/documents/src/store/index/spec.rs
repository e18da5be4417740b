//! What an index is asked to be: which paths it orders documents by, and which documents it holds.

use bson::raw::{RawDocument, RawDocumentBuf};

use crate::filter::Filter;
use crate::sort::{SortKey, parse_keys};
use crate::store::error::Error;
use crate::value::key::Direction;

/// How many paths one index may have.
pub const INDEX_PARTS_MAX: usize = 32;
/// The longest time after which documents may expire, in seconds.
pub const EXPIRE_SECONDS_MAX: u32 = i32::MAX.unsigned_abs();

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
    /// `section,-size`. That text is also its name, unless it gets another.
    ///
    /// # Errors
    /// When a path cannot be indexed.
    pub fn on(text: &str) -> Result<Self, Error> {
        let refused = |reason: String| Error::IndexPath {
            path: text.to_owned(),
            reason,
        };
        let parts = parse_keys(text).map_err(|error| refused(error.to_string()))?;
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
        Ok(Self {
            name: text_of(&parts).into(),
            parts,
            unique: false,
            sparse: false,
            partial: None,
            expire_after_seconds: None,
        })
    }

    /// The same under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// The same, in which no two documents may have the same values.
    #[must_use]
    pub const fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// The same, without documents that have none of the fields.
    #[must_use]
    pub const fn sparse(mut self) -> Self {
        self.sparse = true;
        self
    }

    /// The same, with only the documents that match `filter`.
    ///
    /// # Errors
    /// When the filter is refused.
    pub fn partial(mut self, filter: &RawDocument) -> Result<Self, Error> {
        self.partial = Some(Partial {
            document: filter.to_owned(),
            filter: Filter::parse(filter)?,
        });
        Ok(self)
    }

    /// The same, whose documents are deleted `seconds` after the date that they have under the
    /// index's path.
    #[must_use]
    pub const fn expire_after(mut self, seconds: u32) -> Self {
        self.expire_after_seconds = Some(seconds);
        self
    }

    /// What it is called within its collection.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The paths with their directions, as [`Self::on`] reads them.
    #[must_use]
    pub fn text(&self) -> String {
        text_of(&self.parts)
    }
}

fn text_of(parts: &[SortKey]) -> String {
    let one = |part: &SortKey| match part.direction {
        Direction::Ascending => part.path.as_str().to_owned(),
        Direction::Descending => format!("-{}", part.path),
    };
    parts.iter().map(one).collect::<Vec<_>>().join(",")
}
