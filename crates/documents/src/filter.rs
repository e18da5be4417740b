//! Filters: which documents a question is about.
//!
//! A filter is a document in the shape that MongoDB's users know:
//! `{"kind": "tool", "size": {"$gte": 10, "$lt": 20}, "$or": [{"a": 1}, {"b": null}]}`. All
//! conditions of an object must hold. A value stands for equality, a regular expression for a
//! pattern; an object of operators is those of [`FIELD_OPERATORS`]; `$and $or $nor` combine whole
//! filters; `$text` searches in a collection's text index ([`crate::text`]). Everything else is
//! refused by name, never ignored.
//!
//! What it promises: a filter that parsed is structurally sound, so matching fails only on a
//! damaged document, or where a pattern meets its limits ([`Pattern`]). Values are compared
//! exactly and across number types, ranges stay within one type, a condition on an array holds
//! for the array or any one of its elements, and null equals missing. `$ne`, `$nin`, `$not` and
//! `$nor` are complements over whole documents. Matching reads the raw document in place; only
//! patterns with look-around, and paths with more than four numeric parts, allocate. It costs at
//! most the size of the filter times the size of the document.
//!
//! A planner asks [`Filter::constraints`] what must hold for a path, and [`Condition::branches`]
//! between what a document may choose.

mod matches;
mod operands;
mod operators;
mod parse;
mod pattern;
mod position;
mod text;
mod types;

use std::sync::Arc;

use bson::raw::{RawBson, RawBsonRef};

use crate::path::Path;

pub(crate) use parse::element_condition;
pub use pattern::{
    BACKTRACKING_PATTERN_BYTES_MAX, BACKTRACKING_TEXT_BYTES_MAX, LARGE_PATTERN_TEXT_BYTES_MAX,
    PATTERN_BYTES_MAX, PATTERNS_MAX, Pattern,
};
pub use text::TextTest;
pub use types::Types;

/// The operators on a field.
pub const FIELD_OPERATORS: &[&str] = &[
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$exists",
    "$type",
    "$regex",
    "$options",
    "$mod",
    "$size",
    "$all",
    "$elemMatch",
    "$not",
];

/// What may stand instead of a field.
pub(crate) const TOP_OPERATORS: &[&str] = &["$and", "$or", "$nor", "$text"];

/// The operators that combine filters.
pub const LOGICAL_OPERATORS: &[&str] = &["$and", "$or", "$nor"];

/// A filter, parsed and checked.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// What must hold, all of it; `$and` is dissolved into this list.
    conjuncts: Vec<Condition>,
}

/// One thing that must hold.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The test holds for something that the path finds.
    Field {
        /// Where to look.
        path: Arc<Path>,
        /// What must hold there.
        test: Test,
    },
    /// All of them hold.
    All(Vec<Condition>),
    /// At least one of them holds; if there are none, this never holds.
    Any(Vec<Condition>),
    /// It does not hold for the document as a whole.
    Not(Box<Condition>),
    /// The collection's text index has it. Only among the conjuncts of a filter.
    Text(TextTest),
}

/// What must hold for a value, or for one element of an array.
#[derive(Clone, Debug)]
pub enum Test {
    /// It compares so with the literal.
    Compare(Comparison, Literal),
    /// It equals one of these, which are in order and different from one another.
    In(Vec<Literal>),
    /// The field is there, whatever its value.
    Exists,
    /// It has one of these types.
    Type(Types),
    /// It is a string that the pattern matches, or the pattern itself as a stored regular
    /// expression.
    Pattern(Pattern),
    /// It is a number that, without its fraction, leaves this remainder.
    Mod {
        /// What it is divided by; not zero.
        divisor: i64,
        /// What remains.
        remainder: i64,
    },
    /// It is an array with so many elements. A test of the array as a whole, not of its elements.
    Size(u64),
    /// It is an array with an element that meets this. A test of the array as a whole.
    Element(Element),
    /// It meets one of these tests.
    Either(Vec<Test>),
}

/// What one element of an array must meet, all of it at once.
#[derive(Clone, Debug)]
pub enum Element {
    /// Tests of the element itself, which is not opened if it is an array. The paths in these
    /// conditions are the path of the array, and no other: an index on that path has an entry
    /// that meets them all.
    Value(Vec<Condition>),
    /// Conditions on the fields of the element, which is an object (or an array, whose indexes
    /// then are field names). The paths start in the element.
    Object(Vec<Condition>),
}

/// How a value compares with a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Above, and of the same type class.
    Gt,
    /// Above or equal, and of the same type class.
    Gte,
    /// Below, and of the same type class.
    Lt,
    /// Below or equal, and of the same type class.
    Lte,
}

/// A value in a filter.
#[derive(Clone, Debug)]
pub struct Literal(RawBson);

impl Literal {
    /// The value.
    #[must_use]
    pub fn value(&self) -> RawBsonRef<'_> {
        self.0.as_raw_bson_ref()
    }
}

/// One constraint on a path that every matching document meets.
#[derive(Clone, Copy, Debug)]
pub struct Constraint<'f> {
    /// The path.
    pub path: &'f Path,
    /// What something that the path finds must meet. On an array, two constraints may be met by
    /// two different elements; what stands within one [`Test::Element`] is met by one.
    pub test: &'f Test,
}

impl Filter {
    /// What must hold, all of it.
    #[must_use]
    pub fn conjuncts(&self) -> &[Condition] {
        &self.conjuncts
    }

    /// Whether every document matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.conjuncts.is_empty()
    }

    /// The constraints on `path` that every matching document meets: the conjuncts that are a
    /// plain test of exactly this path. The values of `$all` are equalities among them.
    pub fn constraints(&self, path: &str) -> impl Iterator<Item = Constraint<'_>> {
        self.conjuncts
            .iter()
            .filter_map(Condition::as_constraint)
            .filter(move |constraint| constraint.path.as_str() == path)
    }
}

impl Condition {
    /// The constraint that this condition is, if it is a plain test of a field.
    #[must_use]
    pub fn as_constraint(&self) -> Option<Constraint<'_>> {
        match self {
            Self::Field { path, test } => Some(Constraint { path, test }),
            Self::All(_) | Self::Any(_) | Self::Not(_) | Self::Text(_) => None,
        }
    }

    /// The conditions of which at least one holds, if this is such a choice: the branches of an
    /// `$or`. One that is made of several conditions is [`Self::All`] of them.
    #[must_use]
    pub fn branches(&self) -> Option<&[Self]> {
        match self {
            Self::Any(branches) => Some(branches),
            Self::Field { .. } | Self::All(_) | Self::Not(_) | Self::Text(_) => None,
        }
    }
}
