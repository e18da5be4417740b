//! Why an update is refused, or could not be applied.

use crate::error::{DocumentError, FilterError, PathError, SortError, ValueError};
use crate::value::arithmetic::ArithmeticError;

/// Why an update is refused, or could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// Fields without operators, which would replace the whole document.
    #[error(
        "{name:?} is a field, and an update consists of operators: write {{\"$set\": {{{name:?}: …}}}} \
         to change it, or replace the document"
    )]
    Replacement {
        /// The first name that is no operator.
        name: String,
    },
    /// Nothing at all.
    #[error("the update is empty: it needs at least one operator, such as $set")]
    Empty,
    /// An operator that does not exist here.
    #[error(
        "the update operator {operator} is not supported; supported are: {}",
        supported.join(", ")
    )]
    UnknownOperator {
        /// The operator.
        operator: String,
        /// The operators that there are.
        supported: &'static [&'static str],
    },
    /// An operator whose operand is not an object of paths.
    #[error("{operator} expects an object of paths and values, found {found}")]
    NotAnObject {
        /// The operator.
        operator: &'static str,
        /// The type that it got.
        found: &'static str,
    },
    /// An operand of the wrong type or value.
    #[error("{operator} of {path:?} expects {expected}, found {found}")]
    Operand {
        /// The operator.
        operator: &'static str,
        /// The path.
        path: String,
        /// What it takes.
        expected: &'static str,
        /// What it got.
        found: String,
    },
    /// A path that names nothing.
    #[error("{operator} cannot be applied: {source}")]
    Path {
        /// The operator.
        operator: &'static str,
        /// What is wrong with the path.
        source: PathError,
    },
    /// A positional part where there can be none.
    #[error("the path {path:?} {reason}")]
    Positional {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two operations on one place, or on a place and something inside it.
    #[error("the path {path:?} conflicts with another operation at {at:?}: name each place once")]
    Conflict {
        /// The path that came second.
        path: String,
        /// Where the two meet.
        at: String,
    },
    /// An array filter that cannot be used.
    #[error("the array filter {number} {reason}")]
    ArrayFilter {
        /// Which one, from 0.
        number: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// `$[name]` without an array filter of that name.
    #[error("no array filter is about {name:?}, which the path {path:?} uses")]
    ArrayFilterMissing {
        /// The name.
        name: String,
        /// The path.
        path: String,
    },
    /// An array filter that no path uses.
    #[error("no path of the update uses the array filter {name:?}: remove it")]
    ArrayFilterUnused {
        /// The name that it is about.
        name: String,
    },
    /// An array filter or the condition of `$pull` that is no filter.
    #[error("the condition for {path:?} cannot be used: {source}")]
    Condition {
        /// The path, or the name of the array filter.
        path: String,
        /// What is wrong with it.
        source: FilterError,
    },
    /// A `$sort` of `$push` that is no order.
    #[error("$sort for {path:?} cannot be used: {source}")]
    Sort {
        /// The path.
        path: String,
        /// What is wrong with it.
        source: SortError,
    },
    /// A path that leads through a value without fields.
    #[error("the path {path:?} cannot go on at {at:?}, because that is {found}")]
    Blocked {
        /// The path.
        path: String,
        /// The place that has no such field.
        at: String,
        /// The type that stands there.
        found: &'static str,
    },
    /// A value that the operator cannot change.
    #[error("{operator} of {path:?} needs {expected} there, and that is {found}")]
    Target {
        /// The operator.
        operator: &'static str,
        /// The path.
        path: String,
        /// What it can change.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// `$[]` or `$[name]` where there is no array.
    #[error("{at:?} must be an array, because a path selects elements of it, and is {found}")]
    NotAnArray {
        /// The place.
        at: String,
        /// What stands there.
        found: &'static str,
    },
    /// `$` without an element that the filter found.
    #[error(
        "the path {path:?} means the array element that the filter found, and it found none: put \
         a condition on that array into the filter (not $ne, $nin or $not; an upsert that inserts \
         has none)"
    )]
    NoPosition {
        /// Where the `$` stands.
        path: String,
    },
    /// `$rename` from or to an element of an array.
    #[error("$rename of {path:?} leads through an array: only fields of objects can be renamed")]
    RenameInArray {
        /// The path.
        path: String,
    },
    /// An index far beyond the end of an array.
    #[error(
        "the array {at:?} would need {padding} nulls before the element {index}; an update adds \
         at most {max}"
    )]
    Padding {
        /// The array.
        at: String,
        /// The index.
        index: usize,
        /// How many nulls would have to be added.
        padding: usize,
        /// How many may be.
        max: usize,
    },
    /// Much to do in each of many array elements.
    #[error(
        "the update changes, or looks at, more than {max} places in one document: select fewer \
         array elements, or split the update"
    )]
    TooManyPlaces {
        /// How many it may.
        max: usize,
    },
    /// The `_id` would change.
    #[error("the update would change the _id, which a document keeps: insert another document")]
    Id,
    /// Arithmetic without a result.
    #[error("{operator} of {path:?}: {source}")]
    Arithmetic {
        /// The operator.
        operator: &'static str,
        /// The path.
        path: String,
        /// Why.
        source: ArithmeticError,
    },
    /// A filter from which no document follows.
    #[error(
        "an upsert cannot tell the value of {path:?}: the filter demands equality for it, or for \
         something inside it, twice"
    )]
    Ambiguous {
        /// The path.
        path: String,
    },
    /// The update, or the changed document, cannot be stored.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A part of the document that had to be read is damaged or nested too deeply.
    #[error(transparent)]
    Value(#[from] ValueError),
}
