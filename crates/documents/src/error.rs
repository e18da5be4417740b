//! What can go wrong, one error type per operation.
//!
//! Every message says what happened, where (a JSON pointer such as `/items/3/price`, which is
//! empty for the whole), what was expected, and what to do where that is not plain. The fields
//! are public so that a protocol can report them one by one.

use crate::{DOCUMENT_BYTES_MAX, NESTING_MAX};

/// A value that cannot be compared, encoded or written.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// The bytes are not BSON.
    #[error("the BSON is damaged: {0}")]
    Damaged(Box<bson::error::Error>),
    /// The value is nested too deeply.
    #[error("the value is nested deeper than {NESTING_MAX} levels")]
    TooDeep,
    /// A pattern could not be tried on a text within its limits, so nobody knows whether it
    /// matches.
    #[error("the pattern {pattern:?} {reason}: make it simpler, or narrow the filter")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Which limit it met.
        reason: &'static str,
    },
    /// A text search, or the score of one, where no text index is known.
    #[error(
        "{what} needs the text index of a collection: it can stand in a query, and in the first \
         stages of a pipeline, and nowhere else"
    )]
    TextSearch {
        /// What was asked.
        what: &'static str,
    },
}

impl From<bson::error::Error> for ValueError {
    fn from(error: bson::error::Error) -> Self {
        Self::Damaged(Box::new(error))
    }
}

/// A document that may not be stored.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The bytes are not BSON.
    #[error("the document is damaged at {}: {source}", place(at))]
    Damaged {
        /// Where, as a JSON pointer.
        at: String,
        /// What the decoder says.
        source: Box<bson::error::Error>,
    },
    /// Too many bytes.
    #[error("the document has {bytes} bytes; at most {DOCUMENT_BYTES_MAX} are allowed: split it")]
    TooLarge {
        /// How many bytes it has.
        bytes: usize,
    },
    /// Objects and arrays inside one another beyond the limit.
    #[error("{} is nested deeper than {NESTING_MAX} levels", place(at))]
    TooDeep {
        /// Where, as a JSON pointer.
        at: String,
    },
    /// One object has two fields of one name.
    #[error("the field {name:?} stands twice in {}: remove one of them", place(at))]
    DuplicateName {
        /// The object, as a JSON pointer.
        at: String,
        /// The name.
        name: String,
    },
    /// A field name that no path could address.
    #[error("the field name {name:?} in {} {reason}: rename the field", place(at))]
    Name {
        /// The object, as a JSON pointer.
        at: String,
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The `_id` has a type that cannot be an identity.
    #[error(transparent)]
    Id(#[from] IdError),
}

/// An `_id`, or a text that should name one, that is refused.
#[derive(Debug, thiserror::Error)]
pub enum IdError {
    /// The type cannot be an identity.
    #[error("an _id cannot be {found}: any type but array, regex and undefined is allowed")]
    Type {
        /// The type that was given.
        found: &'static str,
    },
    /// The text is empty.
    #[error("an id is expected here; the empty string is written \"\" (two quotation marks)")]
    Empty,
    /// The text begins like JSON, and is not.
    #[error(
        "an id that begins with {{, \" or = is read as JSON, and this is none: {0}; \
         write a string that begins so as a JSON string"
    )]
    Json(#[from] ParseError),
    /// The value cannot be written as text.
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// Why text is not a JSON document that can be stored as BSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}, at line {line}, column {column} ({})", place(at))]
pub struct ParseError {
    /// The line of the text, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The value in question, as a JSON pointer; empty for the whole text.
    pub at: String,
    /// What is wrong.
    pub kind: ParseErrorKind,
}

/// What is wrong with a JSON text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// Not JSON.
    #[error("expected {expected}, found {found}")]
    Syntax {
        /// What could stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// The bytes are not UTF-8.
    #[error("the text is not UTF-8")]
    Utf8,
    /// A `\u` escape for half a character.
    #[error("the escape \\u{unit:04x} is half of a surrogate pair and no character by itself")]
    LoneSurrogate {
        /// The number in the escape.
        unit: u16,
    },
    /// One object has two members of one name.
    #[error("the name {name:?} stands twice in one object")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A member name with a NUL in it, which BSON cannot store.
    #[error("a field name contains the character NUL, which cannot be stored")]
    NulInName,
    /// An integer beyond 64 bits.
    #[error(
        "the integer {text} does not fit into 64 bits: write it as a string, or as \
         {{\"$numberDecimal\": \"{text}\"}}"
    )]
    IntegerRange {
        /// The number as written.
        text: String,
    },
    /// A number beyond the doubles.
    #[error(
        "the number {text} is beyond the range of a double: write it as \
         {{\"$numberDecimal\": \"{text}\"}}"
    )]
    DoubleRange {
        /// The number as written.
        text: String,
    },
    /// Objects and arrays inside one another beyond the limit.
    #[error("nested deeper than {NESTING_MAX} levels")]
    TooDeep,
    /// The BSON would be too large.
    #[error("the document is larger than {DOCUMENT_BYTES_MAX} bytes as BSON: split it")]
    TooLarge,
    /// An extended JSON object that does not say what it should.
    #[error("{wrapper} expects {expected}")]
    Extended {
        /// Which one, for example `$oid`.
        wrapper: &'static str,
        /// What it should look like.
        expected: &'static str,
    },
}

/// Why text is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing.
    #[error("a field name is expected, and this is empty")]
    Empty,
    /// A dot at an end, or two dots in a row.
    #[error("the path {path:?} has an empty part: dots stand between names only")]
    EmptyPart {
        /// The path as given.
        path: String,
    },
    /// A part that begins with `$`.
    #[error("the part {part:?} of the path {path:?} begins with $, and no stored field does")]
    Dollar {
        /// The path as given.
        path: String,
        /// The part.
        part: String,
    },
    /// More parts than documents have levels.
    #[error("the path has {parts} parts; documents are nested at most {NESTING_MAX} levels deep")]
    TooLong {
        /// How many parts it has.
        parts: usize,
    },
}

/// Why a filter is refused.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The filter, or a part of it, is not an object.
    #[error("expected an object with conditions at {}, found {found}", place(at))]
    NotAnObject {
        /// Where in the filter, as a JSON pointer.
        at: String,
        /// The type that stands there.
        found: &'static str,
    },
    /// An operator that does not exist here.
    #[error(
        "the operator {operator} at {} is not supported here; supported are: {}",
        place(at),
        supported.join(", ")
    )]
    UnknownOperator {
        /// The operator.
        operator: String,
        /// Where in the filter, as a JSON pointer.
        at: String,
        /// The operators that are allowed in this place.
        supported: &'static [&'static str],
    },
    /// Operators and field names in one object.
    #[error(
        "{} mixes operators and the field name {name:?}: compare with a whole object by $eq, or \
         with one of its fields by a dotted path",
        place(at)
    )]
    Mixed {
        /// Where in the filter, as a JSON pointer.
        at: String,
        /// The name that is no operator.
        name: String,
    },
    /// An operand of the wrong type.
    #[error("{operator} at {} expects {expected}, found {found}", place(at))]
    Operand {
        /// The operator.
        operator: &'static str,
        /// Where in the filter, as a JSON pointer.
        at: String,
        /// What it takes.
        expected: &'static str,
        /// What it got.
        found: &'static str,
    },
    /// A regular expression as the operand of a comparison.
    #[error(
        "a regular expression at {} cannot be compared with: {{\"$regex\": …}} and \
         {{\"$not\": …}} match a pattern, and {{\"$eq\": …}} finds a stored regular expression",
        place(at)
    )]
    Regex {
        /// Where in the filter, as a JSON pointer.
        at: String,
    },
    /// A pattern that is refused.
    #[error("the pattern at {} cannot be used: {reason}", place(at))]
    Pattern {
        /// Where in the filter, as a JSON pointer.
        at: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A path that names nothing.
    #[error("{source} (at {} of the filter)", place(at))]
    Path {
        /// Where in the filter, as a JSON pointer.
        at: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// The filter itself is damaged, too deep or too large.
    #[error("the filter cannot be read: {0}")]
    Document(#[from] DocumentError),
}

/// Why an order is refused, or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SortError {
    /// A key that is not a path.
    #[error("the sort key {key:?} is not usable: {source}")]
    Path {
        /// The key as given.
        key: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// The order is not an object.
    #[error("a sort is an object such as {{\"size\": -1, \"name\": 1}}, not {found}")]
    NotAnObject {
        /// The type that was given.
        found: &'static str,
    },
    /// A direction that is neither up nor down.
    #[error("the direction of the sort key {key:?} must be 1 or -1")]
    Direction {
        /// The key.
        key: String,
    },
    /// An order by score beside something else, or by something unknown.
    #[error(
        "the sort key {key:?} must be {{\"$meta\": \"textScore\"}} and stand alone: of documents with \
         equal scores, the _id decides"
    )]
    Score {
        /// The key.
        key: String,
    },
    /// A key that stands twice.
    #[error("the sort key {key:?} stands twice: the second could never decide anything")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// Too many keys.
    #[error("a sort has at most {max} keys, and this one has {keys}")]
    TooManyKeys {
        /// How many it has.
        keys: usize,
        /// How many are allowed.
        max: usize,
    },
    /// A sort in memory outgrew its limit.
    #[error(
        "sorting needs more than {bytes_max} bytes of memory: ask for fewer documents by a limit \
         or a narrower filter, or create an index with this order"
    )]
    Memory {
        /// The limit.
        bytes_max: usize,
    },
    /// A document or the order itself cannot be read.
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// Why a projection is refused, or could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// A field that is not a path.
    #[error("the field {field:?} cannot be selected: {source}")]
    Path {
        /// The field as given.
        field: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// One field lies inside another.
    #[error("the fields {field:?} and {other:?} overlap: name only one of them")]
    Collision {
        /// One of them.
        field: String,
        /// The other.
        other: String,
    },
    /// No field at all.
    #[error("a projection names at least one field")]
    Empty,
    /// The projection is not an object.
    #[error("a projection is an object such as {{\"name\": 1, \"owner.mail\": 1}}, not {found}")]
    NotAnObject {
        /// The type that was given.
        found: &'static str,
    },
    /// Fields to keep and fields to leave out in one projection.
    #[error(
        "the field {field:?} is {}, and others are not: a projection either names the fields to \
         keep or those to leave out, and only _id may differ",
        if *kept { "kept" } else { "left out" }
    )]
    Mixed {
        /// The field that differs from those before it.
        field: String,
        /// Whether it is to be kept.
        kept: bool,
    },
    /// A field that would have to be computed.
    #[error(
        "the field {field:?} is given {found}, which would have to be computed: a projection takes \
         1, 0, $slice, $elemMatch, {{\"$meta\": \"textScore\"}} and a trailing .$"
    )]
    Computed {
        /// The field.
        field: String,
        /// What was asked of it.
        found: String,
    },
    /// An operand of the wrong kind.
    #[error("{operator} of the field {field:?} expects {expected}, found {found}")]
    Operand {
        /// The operator.
        operator: &'static str,
        /// The field.
        field: String,
        /// What it takes.
        expected: &'static str,
        /// What it got.
        found: String,
    },
    /// A positional field where it cannot be.
    #[error("the positional field {field:?} {reason}")]
    Positional {
        /// The field as given.
        field: String,
        /// Why not.
        reason: &'static str,
    },
    /// The condition of `$elemMatch` is refused.
    #[error("the condition of the field {field:?} is refused: {source}")]
    Condition {
        /// The field.
        field: String,
        /// What is wrong with it.
        source: Box<FilterError>,
    },
    /// A positional field in a document in which no array element was matched.
    #[error(
        "the positional field {field:?} has no element to show: {reason}; the filter must have a \
         condition on that array, outside of $or, $nor and $not"
    )]
    NoElement {
        /// The field as given.
        field: String,
        /// What is missing.
        reason: &'static str,
    },
    /// The projection cannot be read.
    #[error("the projection cannot be read: {0}")]
    Document(#[from] DocumentError),
    /// The document cannot be read.
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// How a JSON pointer is said in a sentence: the empty one means everything.
pub(crate) fn place(pointer: &str) -> &str {
    if pointer.is_empty() {
        "the top level"
    } else {
        pointer
    }
}
